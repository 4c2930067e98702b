//! The proxy on the side of the server: real clients, whose addresses the server sees.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall::engine::net::proxy;
use squall::host::process::with_variable;
use squall::model::network::{
    Direction, Existing, HttpFault, Network, Peer, Peers, Ports, Proxied, ProxyFault, RequestMatch, StreamEnd,
    StreamFault, Traffic, Treatment,
};

use super::pair::{FAR, FAR6, NEAR, NEAR6, Pair, told};
use super::proxy::{InThePath, MEANT, OTHER, Server, answer, ask, connect, nothing, untouched};
use super::shaper::network;

/// A wire whose far end is the one that is laid on; `near` is the client's.
struct Wire {
    client: Pair,
    server: Pair,
}

impl Wire {
    fn new() -> Self {
        let client = Pair::new();
        let server = Pair { near: client.far.try_clone().unwrap(), far: client.near.try_clone().unwrap() };
        Self { client, server }
    }
}

/// Before a server's port.
fn before(fault: ProxyFault, existing: Existing) -> Network {
    treated(Treatment::Proxy(Proxied { existing, fault }), Peers::Everybody)
}

fn treated(treatment: Treatment, peers: Peers) -> Network {
    let ports = vec![Ports { first: MEANT, last: MEANT }];
    let traffic = Traffic { local_ports: ports, peers, ..Traffic::all(Direction::Ingress) };
    Network { mechanism: None, ..network([(traffic, treatment)]) }
}

fn refusing() -> ProxyFault {
    let matching = RequestMatch { paths: vec!["/fail*".to_owned()], ..RequestMatch::default() };
    ProxyFault::Http(Box::new(HttpFault { matching, answer: Some(answer(503)), ..nothing() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_is_answered_before_the_server_which_sees_its_clients() {
    let Wire { client, server } = Wire::new();
    let (meant, neighbour) = (Server::polite(&client, MEANT), Server::polite(&client, OTHER));
    let path = InThePath::on(server, &before(refusing(), Existing::Reset)).await;
    for (far, near) in [(FAR, NEAR), (FAR6, NEAR6)] {
        let mut connection = connect(&client, (far, MEANT));
        assert_eq!(ask(&mut connection, "GET", "/").0, 200, "{far}");
        assert_eq!(meant.heard_from().last(), Some(&near.parse().unwrap()), "the client's own address");
        assert_eq!(ask(&mut connection, "GET", "/fail"), (503, "squall".to_owned()));
        assert_eq!(ask(&mut connect(&client, (far, OTHER)), "GET", "/fail").0, 200, "a neighbour");
        // Who asks itself goes past it.
        let own: SocketAddr = (far.parse::<IpAddr>().unwrap(), MEANT).into();
        let mut itself = client.far.run(|| TcpStream::connect(own)).unwrap();
        assert_eq!(ask(&mut itself, "GET", "/fail").0, 200, "from the namespace itself");
    }
    assert!(neighbour.heard().contains("/fail"));
    path.tells("what was met", |told| (told.connections, told.requests, told.affected) == (2, 4, 2));
    path.clear().await;
    assert_eq!(ask(&mut connect(&client, (FAR, MEANT)), "GET", "/fail").0, 200, "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_that_are_meant_meet_it() {
    let wire = Wire::new();
    let _server = Server::polite(&wire.client, MEANT);
    let near: IpAddr = NEAR.parse().unwrap();
    let these = Peers::These(vec![Peer::Addresses(near.into())]);
    let fault = Treatment::Proxy(Proxied { existing: Existing::Reset, fault: refusing() });
    let path = InThePath::on(wire.server, &treated(fault, these)).await;
    assert_eq!(ask(&mut connect(&wire.client, (FAR, MEANT)), "GET", "/fail").0, 503);
    assert_eq!(ask(&mut connect(&wire.client, (FAR6, MEANT)), "GET", "/fail").0, 200, "from another address");
    path.tells("one of two", |told| told.connections == 1);
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_open_already_are_reset_or_left_alone() {
    for (existing, reset) in [(Existing::Reset, 1), (Existing::Leave, 0)] {
        let Wire { client, server } = Wire::new();
        let (_server, _neighbour) = (Server::polite(&client, MEANT), Server::polite(&client, OTHER));
        let (mut open, mut neighbour) = (connect(&client, (FAR, MEANT)), connect(&client, (FAR, OTHER)));
        assert_eq!(ask(&mut open, "GET", "/fail").0, 200);
        assert_eq!(ask(&mut neighbour, "GET", "/fail").0, 200);
        let path = InThePath::on(server, &before(refusing(), existing)).await;
        if existing == Existing::Reset {
            assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        } else {
            assert_eq!(ask(&mut open, "GET", "/fail").0, 200, "it goes on past the proxy");
        }
        assert_eq!(ask(&mut neighbour, "GET", "/fail").0, 200, "a neighbour goes on");
        let mut through = connect(&client, (FAR, MEANT));
        // As long as it looks for connections that were on their way.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1200) {
            assert_eq!(ask(&mut through, "GET", "/fail").0, 503, "the next is affected, and is not reset itself");
            assert_eq!(ask(&mut through, "GET", "/").0, 200);
        }
        path.tells("what was reset", |told| told.reset == reset);
        path.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_as_it_is_told_or_is_refused() {
    let end = Some(StreamEnd { after: Duration::ZERO, reset: true });
    let cut = ProxyFault::Stream(StreamFault { end, ..untouched() });
    for (network, told) in
        [(before(cut, Existing::Reset), true), (treated(Treatment::Refuse(Existing::Reset), Peers::Everybody), false)]
    {
        let Wire { client, server } = Wire::new();
        let (_server, _neighbour) = (Server::polite(&client, MEANT), Server::polite(&client, OTHER));
        let path = InThePath { pair: server, tag: super::shaper::Tag::new(), mark: network.mark() };
        path.lay(&network).await;
        let to: SocketAddr = (FAR.parse::<IpAddr>().unwrap(), MEANT).into();
        let met = client.near.run(|| TcpStream::connect(to)).and_then(|mut stream| stream.read(&mut [0]));
        let met = met.map_err(|e| e.kind());
        assert_eq!(met, Err(if told { ErrorKind::ConnectionReset } else { ErrorKind::ConnectionRefused }));
        assert_eq!(ask(&mut connect(&client, (FAR, OTHER)), "GET", "/").0, 200, "a neighbour");
        path.clear().await;
        assert_eq!(ask(&mut connect(&client, (FAR, MEANT)), "GET", "/").0, 200, "it is over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_killed_clients_reach_the_server_and_nothing_of_it_stays() {
    let Wire { client, server } = Wire::new();
    let before_it = told(&client.far, "nft list ruleset");
    let meant = Server::polite(&client, MEANT);
    let path = InThePath::on(server, &before(refusing(), Existing::Reset)).await;
    assert_eq!(ask(&mut connect(&client, (FAR, MEANT)), "GET", "/fail").0, 503);
    let proxies = with_variable(proxy::VARIABLE, &path.tag.0);
    assert_eq!(proxies.len(), 1);
    proxies[0].signal(Signal::KILL).unwrap();
    proxies[0].ended_within(Duration::from_secs(5)).await.unwrap();
    // The rules go with the process: no lease has to lapse.
    assert_eq!(ask(&mut connect(&client, (FAR, MEANT)), "GET", "/fail").0, 200);
    assert!(meant.heard().contains("/fail"));
    path.clear().await;
    assert_eq!(told(&client.far, "nft list ruleset"), before_it);
    for what in ["ip rule", "ip route show table all"] {
        assert!(!told(&client.far, what).contains("fwmark"), "no route of ours was ever there");
    }
}
