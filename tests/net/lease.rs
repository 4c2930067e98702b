//! What is laid on traffic lasts as long as a process says so: afterwards it flows as before, with no process that ends it.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use squall::engine::net::userspace;
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;
use squall::host::net::nft::{self, LEASE, Lease, TableState};
use squall::host::net::outside;
use squall::host::process::with_variable;
use squall::model::network::{Bandwidth, Direction, Dns, DnsAnswer, Flow, Network, Shape, Traffic, Treatment};

use super::kernel::{dropped, shaped, wires};
use super::pair::{FAR, NEAR, Pair, told, until};
use super::shaper::{Tag, delay, laid_by, network, shape};

async fn laid(at: &Namespace, tag: &Tag, network: &Network) -> Lease {
    laid_by(Path::new(env!("CARGO_BIN_EXE_squall")), at, tag, network).await
}

fn state(at: &Namespace) -> Vec<TableState> {
    at.run(nft::tables).unwrap().into_iter().map(|table| table.state).collect()
}

/// Whether a datagram gets to the far end and back within a tenth of a second.
fn is_answered(pair: &Pair) -> bool {
    let bound = |at: &Namespace, address: &str| {
        let socket = at.run(|| UdpSocket::bind(format!("{address}:0"))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket
    };
    let (near, far) = (bound(&pair.near, NEAR), bound(&pair.far, FAR));
    let goes = |from: &UdpSocket, to: &UdpSocket| {
        from.send_to(b"?", to.local_addr()?)?;
        to.recv(&mut [0; 8]).map(drop)
    };
    goes(&near, &far).and_then(|()| goes(&far, &near)).is_ok()
}

/// Every kind of rule. None of them lets a datagram pass, or one that is late.
fn kinds() -> Vec<(&'static str, Network)> {
    let late = |direction| network([(Traffic::all(direction), shape(delay(60_000)))]);
    let one = |flow: Flow| Network { flows: vec![flow], mechanism: None, seed: 1 };
    let slow = Shape { bandwidth: Some(Bandwidth { rate: 8, burst: 1500 }), ..Shape::default() };
    vec![
        ("dropped", one(dropped(Traffic::all(Direction::Both)))),
        ("refused", one(Flow { traffic: Traffic::all(Direction::Egress), treatment: Treatment::Reject })),
        ("late as it leaves", late(Direction::Egress)),
        ("late as it arrives", late(Direction::Ingress)),
        ("queued by the kernel", one(shaped(Traffic::all(Direction::Egress), slow))),
    ]
}

#[tokio::test]
async fn traffic_flows_again_when_its_lease_is_not_renewed_and_what_has_lapsed_stays_so() {
    for (what, network) in kinds() {
        let (pair, tag) = (Pair::new(), Tag::new());
        assert!(is_answered(&pair), "before it is {what}");
        let mut lease = laid(&pair.near, &tag, &network).await;
        // A bucket is full to begin with.
        let begin = Instant::now();
        while is_answered(&pair) {
            assert!(begin.elapsed() < LEASE, "it is not {what}");
            assert!(lease.renew().unwrap(), "{what}");
        }
        until(what, || is_answered(&pair));
        assert_eq!(state(&pair.near), [TableState::Lapsed], "{what}");
        assert!(!lease.renew().unwrap(), "what was {what} is not to come back");
        assert!(is_answered(&pair), "{what}");
        until("the shaper ends", || with_variable(userspace::VARIABLE, &tag.0).is_empty());
        userspace::clear(&pair.near, &tag.0).await.unwrap();
        pair.near.run(squall::engine::net::kernel::clear).unwrap();
        assert!(state(&pair.near).is_empty() && is_answered(&pair), "{what}");
    }
}

#[tokio::test]
async fn a_lease_that_is_kept_goes_on_until_its_keeper_or_its_table_is_gone() {
    let (pair, tag) = (Pair::new(), Tag::new());
    let leases = Leases::default();
    let cut = network([(Traffic::all(Direction::Both), Treatment::Drop)]);
    leases.keep(laid(&pair.near, &tag, &cut).await, std::process::id());
    let begin = Instant::now();
    while begin.elapsed() < LEASE * 3 {
        assert_eq!((is_answered(&pair), state(&pair.near)), (false, vec![TableState::Whole]));
    }
    drop(leases);
    until("it flows again", || is_answered(&pair));

    // The table of one that is kept goes, and one for another takes its place.
    let leases = Leases::default();
    pair.near.run(nft::delete_all).unwrap();
    for _ in 0..2 {
        leases.keep(laid(&pair.near, &tag, &cut).await, std::process::id());
        assert!(!is_answered(&pair));
        pair.near.run(nft::delete_all).unwrap();
        assert!(is_answered(&pair));
    }
}

/// A lease must not keep the network of a container that has ended.
#[tokio::test]
async fn a_lease_ends_with_the_process_whose_traffic_it_is() {
    let (pair, tag) = (Pair::new(), Tag::new());
    let leases = Leases::default();
    let cut = network([(Traffic::all(Direction::Both), Treatment::Drop)]);
    let mut holder = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    leases.keep(laid(&pair.near, &tag, &cut).await, holder.id());
    holder.kill().unwrap();
    holder.wait().unwrap();
    until("it flows again", || is_answered(&pair));
}

#[test]
fn a_machine_that_is_cut_off_is_reachable_again() {
    let pair = Pair::new();
    let wires = wires(&pair);
    let links: Vec<_> = wires.iter().filter(|link| link.name == "wire").collect();
    let lease = pair.near.run(|| nft::put("squallnode_x", &outside::cut(&links, None, nft::Verdict::Drop))).unwrap();
    assert_eq!((is_answered(&pair), pair.near.run(|| nft::has_lapsed("squallnode_x")).unwrap()), (false, false));
    drop(lease);
    until("it is reachable", || is_answered(&pair));
    assert!(pair.near.run(|| nft::has_lapsed("squallnode_x")).unwrap());
}

/// Answers about names are given by a process, and on the loopback, too.
#[tokio::test]
async fn names_are_answered_as_before() {
    let (pair, tag) = (Pair::new(), Tag::new());
    let dns = Dns { names: Vec::new(), answer: DnsAnswer::Nxdomain };
    let lease = laid(&pair.near, &tag, &network([(Traffic::all(Direction::Egress), Treatment::Dns(dns))])).await;
    let rules = || told(&pair.near, "nft list ruleset");
    assert!(rules().contains("lease over"), "{}", rules());
    drop(lease);
    until("its shaper ends", || with_variable(userspace::VARIABLE, &tag.0).is_empty());
    assert_eq!(state(&pair.near), [TableState::Lapsed]);
}
