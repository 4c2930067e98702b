//! The proxy as a process of its own, in the path between two namespaces.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall::engine::net::{proxy, userspace};
use squall::host::net::namespace::Namespace;
use squall::host::process::with_variable;
use squall::model::network::{
    Chosen, Delay, Direction, Existing, HttpAnswer, HttpFault, Network, Ports, Proxied, ProxyFault, ProxyStatistics,
    RedisError, RequestMatch, Slice, SqlError, StreamEnd, StreamFault, Traffic, Treatment, When,
};

use super::pair::{FAR, FAR6, LEASES, NEAR, NEAR6, Pair, until};
use super::shaper::{Tag, laid_by, network};

/// The port of servers that are meant, and of one that is not.
pub(super) const MEANT: u16 = 8000;
pub(super) const OTHER: u16 = 8001;

pub(super) fn http(fault: HttpFault) -> Network {
    through(ProxyFault::Http(Box::new(fault)), Existing::Reset)
}

fn stream(fault: StreamFault) -> Network {
    through(ProxyFault::Stream(fault), Existing::Reset)
}

pub(super) fn through(fault: ProxyFault, existing: Existing) -> Network {
    let ports = vec![Ports { first: MEANT, last: MEANT }];
    let traffic = Traffic { remote_ports: ports, ..Traffic::all(Direction::Egress) };
    let network = network([(traffic, Treatment::Proxy(Proxied { existing, fault }))]);
    Network { mechanism: None, ..network }
}

/// Does nothing to anything.
pub(super) fn nothing() -> HttpFault {
    HttpFault {
        matching: RequestMatch::default(),
        chosen: Chosen::default(),
        when: When::Before,
        answer: None,
        delay: Delay::default(),
        stall: false,
        cut_after: None,
        corrupt_body: false,
        bandwidth: None,
    }
}

pub(super) fn untouched() -> StreamFault {
    StreamFault {
        share: 1.0,
        direction: Direction::Both,
        delay: Delay::default(),
        bandwidth: None,
        slice: None,
        limit: None,
        slow_close: Duration::ZERO,
        hang: false,
        end: None,
    }
}

pub(super) fn answer(status: u16) -> HttpAnswer {
    HttpAnswer { status, headers: vec![("retry-after".to_owned(), "5".to_owned())], body: "squall".to_owned() }
}

/// A network between two namespaces with a proxy in the path; whatever becomes of the test, it goes.
pub(super) struct InThePath {
    pub(super) pair: Pair,
    pub(super) tag: Tag,
    pub(super) mark: String,
}

impl InThePath {
    pub(super) async fn with(network: &Network) -> Self {
        Self::on(Pair::new(), network).await
    }

    /// Laid on the near end.
    pub(super) async fn on(pair: Pair, network: &Network) -> Self {
        let path = Self { pair, tag: Tag::new(), mark: network.mark() };
        path.lay(network).await;
        path
    }

    pub(super) async fn lay(&self, network: &Network) {
        let program = Path::new(env!("CARGO_BIN_EXE_squall"));
        LEASES.keep(laid_by(program, &self.pair.near, &self.tag, network).await, std::process::id());
    }

    pub(super) fn told(&self) -> ProxyStatistics {
        let counted = userspace::counted(&self.pair.near, &self.tag.0, &self.mark).unwrap();
        assert!(!counted.lacks_proxy, "the proxy is in the path");
        counted.proxy.unwrap()
    }

    /// What it tells as soon as it tells that.
    pub(super) fn tells(&self, what: &str, is: impl Fn(&ProxyStatistics) -> bool) {
        until(&format!("{what}: {:?}", self.told()), || is(&self.told()));
    }

    pub(super) async fn clear(&self) {
        userspace::clear(&self.pair.near, &self.tag.0).await.unwrap();
        assert!(with_variable(proxy::VARIABLE, &self.tag.0).is_empty(), "its process has ended");
    }
}

impl Drop for InThePath {
    fn drop(&mut self) {
        for process in with_variable(proxy::VARIABLE, &self.tag.0) {
            let _ = process.signal(Signal::KILL);
        }
    }
}

/// Who has said what.
type Heard = Arc<Mutex<Vec<(IpAddr, Vec<u8>)>>>;

/// A server whose connections are each handled by a function, and what it has heard from whom.
pub(super) struct Server {
    heard: Heard,
}

impl Server {
    /// Answers each piece that it hears with what `reply` says, until that is nothing.
    pub(super) fn start(
        pair: &Pair,
        port: u16,
        reply: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let heard = Heard::default();
        let reply = Arc::new(reply);
        for at in [FAR, FAR6] {
            let at: IpAddr = at.parse().unwrap();
            let listener = pair.far.run(|| TcpListener::bind((at, port))).unwrap();
            let (heard, reply) = (Arc::clone(&heard), Arc::clone(&reply));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, heard, reply) = (stream.unwrap(), Arc::clone(&heard), Arc::clone(&reply));
                    std::thread::spawn(move || {
                        let from = stream.peer_addr().unwrap().ip();
                        let mut bytes = vec![0; 1 << 16];
                        while let Ok(n @ 1..) = stream.read(&mut bytes) {
                            heard.lock().unwrap().push((from, bytes[..n].to_vec()));
                            let Some(text) = reply(&bytes[..n]) else { break };
                            if stream.write_all(&text).is_err() {
                                break;
                            }
                        }
                    });
                }
            });
        }
        Self { heard }
    }

    /// One that answers each request with 200 and the request's first line.
    pub(super) fn polite(pair: &Pair, port: u16) -> Self {
        Self::start(pair, port, |request| {
            let line = String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned();
            Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len()).into_bytes())
        })
    }

    pub(super) fn heard(&self) -> String {
        self.heard.lock().unwrap().iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    pub(super) fn heard_from(&self) -> Vec<IpAddr> {
        self.heard.lock().unwrap().iter().map(|(from, _)| *from).collect()
    }
}

pub(super) fn connect(pair: &Pair, to: (&str, u16)) -> TcpStream {
    let to: SocketAddr = (to.0.parse::<IpAddr>().unwrap(), to.1).into();
    let stream = pair.near.run(|| TcpStream::connect(to)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// One request on a connection, and the answer's status and body.
pub(super) fn ask(stream: &mut TcpStream, method: &str, path: &str) -> (u16, String) {
    // At once: the server answers each piece that it hears.
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nHost: far\r\n\r\n").as_bytes()).unwrap();
    answered(stream)
}

/// An answer with a length.
fn answered(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_is_answered_in_place_of_the_server_and_nothing_else_is() {
    let matching =
        RequestMatch { methods: vec!["GET".to_owned()], paths: vec!["/fail*".to_owned()], ..RequestMatch::default() };
    let path = InThePath::with(&http(HttpFault { matching, answer: Some(answer(503)), ..nothing() })).await;
    let (server, neighbour) = (Server::polite(&path.pair, MEANT), Server::polite(&path.pair, OTHER));
    for (far, near) in [(FAR, NEAR), (FAR6, NEAR6)] {
        let mut connection = connect(&path.pair, (far, MEANT));
        assert_eq!(ask(&mut connection, "GET", "/"), (200, "GET / HTTP/1.1".to_owned()));
        assert_eq!(ask(&mut connection, "GET", "/fail/1?x"), (503, "squall".to_owned()));
        assert_eq!(ask(&mut connection, "POST", "/fail"), (200, "POST /fail HTTP/1.1".to_owned()), "by another method");
        assert_eq!(ask(&mut connect(&path.pair, (far, OTHER)), "GET", "/fail").0, 200, "a neighbour");
        assert!(server.heard_from().ends_with(&[near.parse().unwrap()]), "the server sees the client's address");
    }
    assert!(!server.heard().contains("/fail/1"), "the server has not seen it");
    assert!(neighbour.heard().contains("/fail"));
    path.tells("what was met", |told| {
        (told.connections, told.requests, told.meant, told.affected, told.open) == (2, 6, 2, 2, 0)
    });
    path.clear().await;
    assert_eq!(ask(&mut connect(&path.pair, (FAR, MEANT)), "GET", "/fail").0, 200, "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_done_and_its_answer_lost() {
    let fault = HttpFault {
        when: When::After,
        answer: Some(answer(504)),
        chosen: Chosen { first: Some(1), ..Chosen::default() },
        ..nothing()
    };
    let path = InThePath::with(&http(fault)).await;
    let server = Server::polite(&path.pair, MEANT);
    let mut connection = connect(&path.pair, (FAR, MEANT));
    assert_eq!(ask(&mut connection, "POST", "/pay").0, 504);
    assert_eq!(server.heard().matches("POST /pay").count(), 1, "the server has done it");
    assert_eq!(ask(&mut connection, "POST", "/pay").0, 200, "only the first");
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_status_that_is_meant_is_replaced() {
    let matching = RequestMatch { statuses: vec![(200, 299)], ..RequestMatch::default() };
    let path =
        InThePath::with(&http(HttpFault { matching, when: When::After, answer: Some(answer(500)), ..nothing() })).await;
    let _server = Server::start(&path.pair, MEANT, |request| {
        let status = if request.starts_with(b"GET /missing") { "404 Not Found" } else { "201 Created" };
        Some(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").into_bytes())
    });
    let mut connection = connect(&path.pair, (FAR, MEANT));
    assert_eq!(ask(&mut connection, "GET", "/missing"), (404, "ok".to_owned()));
    assert_eq!(ask(&mut connection, "GET", "/there").0, 500);
    path.tells("one of two", |told| (told.requests, told.meant, told.affected) == (2, 1, 1));
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_arrives_in_part_or_altered() {
    let body = "x".repeat(5000);
    for (fault, whole) in [
        (HttpFault { cut_after: Some(1000), ..nothing() }, false),
        (HttpFault { cut_after: Some(5000), ..nothing() }, true),
        (HttpFault { corrupt_body: true, ..nothing() }, true),
    ] {
        let path = InThePath::with(&http(fault.clone())).await;
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{body}");
        let _server = Server::start(&path.pair, MEANT, move |_| Some(text.clone().into_bytes()));
        let mut connection = connect(&path.pair, (FAR, MEANT));
        write!(connection, "GET / HTTP/1.1\r\nhost: far\r\n\r\n").unwrap();
        if whole {
            let (_, arrived) = answered(&mut connection);
            assert_eq!(arrived.len(), 5000);
            assert_eq!(arrived != body, fault.corrupt_body);
            path.tells("only what was altered", |told| told.affected == u64::from(fault.corrupt_body));
        } else {
            let mut arrived = Vec::new();
            let ended = connection.read_to_end(&mut arrived).map_err(|e| e.kind());
            assert_eq!(ended, Err(ErrorKind::ConnectionReset));
            assert!(arrived.ends_with(b"x") && arrived.len() < 1100, "{} bytes", arrived.len());
            path.tells("it was cut", |told| told.affected == 1);
        }
        path.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_meant_passes_as_it_is() {
    let chosen = Chosen { share: 0.0, ..Chosen::default() };
    let path = InThePath::with(&http(HttpFault { answer: Some(answer(503)), chosen, ..nothing() })).await;
    // What the server hears, and what it says to it in one piece.
    let large = format!("GET /large HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n";
    let conversations: Vec<(String, String)> = [
        ("GET /chunks HTTP/1.1\r\nHost:  far \r\n\r\n", chunked),
        ("HEAD / HTTP/1.1\r\nhost: far\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("DELETE / HTTP/1.1\r\nhost: far\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET /old HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        ("GET /chat HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n\u{1}\u{2}"),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"),
        ("\u{16}\u{3}\u{1}hello", "\u{16}\u{3}\u{3}server hello"),
        ("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        (large.as_str(), "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n"),
    ].map(|(asked, said)| (asked.to_owned(), said.to_owned())).into();
    for (asked, said) in conversations {
        let listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
        let mut client = connect(&path.pair, (FAR, MEANT));
        let (mut server, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), NEAR.parse::<IpAddr>().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| client.try_clone().unwrap().write_all(asked.as_bytes()).unwrap());
            let mut heard = vec![0; asked.len()];
            server.read_exact(&mut heard).unwrap();
            assert!(heard == asked.as_bytes(), "{asked:.60?} is heard as it is");
        });
        server.write_all(said.as_bytes()).unwrap();
        drop(server);
        let mut arrived = Vec::new();
        client.read_to_end(&mut arrived).unwrap();
        assert_eq!(String::from_utf8_lossy(&arrived), said, "{asked:.60?}");
    }
    path.tells("nothing was affected", |told| told.affected == 0 && told.encrypted == 1 && told.open == 0);
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let matching = RequestMatch { paths: vec!["/fail".to_owned()], ..RequestMatch::default() };
    let path = InThePath::with(&http(HttpFault { matching, answer: Some(answer(503)), ..nothing() })).await;
    let _server = Server::polite(&path.pair, MEANT);
    let mut client = connect(&path.pair, (FAR, MEANT));
    let one = |path: &str| format!("POST {path} HTTP/1.1\r\nhost: far\r\ncontent-length: 2\r\n\r\nok");
    client.write_all([one("/1"), one("/fail"), one("/2"), one("/fail")].concat().as_bytes()).unwrap();
    let statuses: Vec<u16> = (0..4).map(|_| answered(&mut client).0).collect();
    assert_eq!(statuses, [200, 503, 200, 503]);
    // One whose sender waits for a word is answered without its body, and is the last.
    write!(client, "POST /fail HTTP/1.1\r\nhost: far\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n").unwrap();
    assert_eq!(answered(&mut client).0, 503);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_heard_and_ends_are_passed_on() {
    let path = InThePath::with(&http(HttpFault { answer: Some(answer(503)), ..nothing() })).await;
    let listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
    let mut client = connect(&path.pair, (FAR, MEANT));
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"220 far ESMTP\r\n").unwrap();
    let mut greeting = [0; 15];
    client.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 far ESMTP\r\n");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0, "the client has said all");
    server.write_all(b"bye").unwrap();
    drop(server);
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye", "and hears the rest");
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_open_already_are_reset_or_left_alone() {
    for (existing, reset) in [(Existing::Reset, 1), (Existing::Leave, 0)] {
        let path = InThePath { pair: Pair::new(), tag: Tag::new(), mark: String::new() };
        let (_server, _neighbour) = (Server::polite(&path.pair, MEANT), Server::polite(&path.pair, OTHER));
        let mut open = connect(&path.pair, (FAR, MEANT));
        let mut neighbour = connect(&path.pair, (FAR, OTHER));
        assert_eq!(ask(&mut open, "GET", "/").0, 200);
        assert_eq!(ask(&mut neighbour, "GET", "/").0, 200);
        let network =
            through(ProxyFault::Http(Box::new(HttpFault { answer: Some(answer(503)), ..nothing() })), existing);
        let path = InThePath {
            mark: network.mark(),
            pair: Pair { near: path.pair.near.try_clone().unwrap(), far: path.pair.far.try_clone().unwrap() },
            tag: Tag::new(),
        };
        path.lay(&network).await;
        if existing == Existing::Reset {
            assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        } else {
            assert_eq!(ask(&mut open, "GET", "/").0, 200, "it goes on past the proxy");
        }
        assert_eq!(ask(&mut neighbour, "GET", "/").0, 200, "a neighbour goes on");
        let mut through_the_proxy = connect(&path.pair, (FAR, MEANT));
        assert_eq!(ask(&mut through_the_proxy, "GET", "/").0, 503, "the next is affected");
        path.tells("what was reset", |told| told.reset == reset);
        assert_eq!(ask(&mut through_the_proxy, "GET", "/").0, 503, "and is not reset itself");
        path.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_begun_is_never_reset_or_refused() {
    let by_proxy = http(HttpFault { answer: Some(answer(503)), ..nothing() });
    let refused = |existing| network([(Traffic::all(Direction::Egress), Treatment::Refuse(existing))]);
    let everything = |network: Network| {
        let mut network = Network { mechanism: None, ..network };
        network.flows[0].traffic.remote_ports.clear();
        network
    };
    for network in [everything(by_proxy), everything(refused(Existing::Reset))] {
        let pair = Pair::new();
        let served = pair.near.run(|| TcpListener::bind((NEAR, 9000))).unwrap();
        let mut caller = pair.far.run(|| TcpStream::connect((NEAR, 9000))).unwrap();
        let (mut answers, _) = served.accept().unwrap();
        let path = InThePath { mark: network.mark(), pair, tag: Tag::new() };
        path.lay(&network).await;
        for other in [&mut caller as &mut TcpStream].into_iter().chain([&mut path
            .pair
            .far
            .run(|| TcpStream::connect((NEAR, 9000)))
            .unwrap()])
        {
            other.write_all(b"?").unwrap();
        }
        answers.read_exact(&mut [0]).unwrap();
        answers.write_all(b"!").unwrap();
        caller.read_exact(&mut [0]).unwrap();
        if matches!(network.flows[0].treatment, Treatment::Refuse(_)) {
            let refused = path.pair.near.run(|| TcpStream::connect((FAR, MEANT)));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
        path.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_is_gone_for_the_server_and_an_early_answer_is_heard() {
    let path = InThePath::with(&http(nothing())).await;
    let listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
    let mut client = connect(&path.pair, (FAR, MEANT));
    let (mut server, _) = listener.accept().unwrap();
    write!(client, "GET /slow HTTP/1.1\r\nhost: far\r\n\r\n").unwrap();
    server.read_exact(&mut [0; 33]).unwrap();
    drop(client);
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_or(0), 0, "the server hears that it has gone, with no word of its own");

    let mut client = connect(&path.pair, (FAR, MEANT));
    let (mut server, _) = listener.accept().unwrap();
    write!(client, "PUT /large HTTP/1.1\r\nhost: far\r\ncontent-length: 100000000\r\n\r\n").unwrap();
    server.read_exact(&mut [0; 20]).unwrap();
    server.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").unwrap();
    assert_eq!(answered(&mut client), (413, "no".to_owned()));
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_arrives_whose_client_still_sends() {
    let path = InThePath::with(&http(HttpFault { answer: Some(answer(503)), ..nothing() })).await;
    let _listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
    let mut client = connect(&path.pair, (FAR, MEANT));
    write!(client, "POST / HTTP/1.0\r\ncontent-length: 6\r\n\r\n").unwrap();
    write!(client, "delays").unwrap();
    assert_eq!(answered(&mut client).0, 503);
    let mut client = connect(&path.pair, (FAR, MEANT));
    write!(client, "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\ndelays").unwrap();
    assert_eq!(answered(&mut client), (503, "squall".to_owned()));
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_while_others_are_reset_are_not() {
    const CONNECTIONS: u64 = 1500;
    let path = InThePath::with(&http(nothing())).await;
    let _server = Server::polite(&path.pair, MEANT);
    let open: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(&path.pair, (FAR, MEANT))).collect();
    path.tells("all stand", |told| told.open == CONNECTIONS);
    assert_eq!(path.told().reset, 0);
    drop(open);
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_process_is_killed_connections_pass_at_once() {
    let path = InThePath::with(&http(HttpFault { answer: Some(answer(503)), ..nothing() })).await;
    let _server = Server::polite(&path.pair, MEANT);
    let mut idle = connect(&path.pair, (FAR, MEANT));
    assert_eq!(ask(&mut idle, "GET", "/").0, 503);
    for process in with_variable(proxy::VARIABLE, &path.tag.0) {
        process.signal(Signal::KILL).unwrap();
        process.ended_within(Duration::from_secs(5)).await.unwrap();
    }
    // The rules go with the process: no lease has to lapse.
    assert_eq!(ask(&mut connect(&path.pair, (FAR, MEANT)), "GET", "/").0, 200);
    let counted = userspace::counted(&path.pair.near, &path.tag.0, &path.mark).unwrap();
    assert!(counted.lacks_proxy, "it is missed");
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "what went through it has ended");
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_held_still_leaves_the_path_by_its_lease() {
    let path = InThePath::with(&http(HttpFault { answer: Some(answer(503)), ..nothing() })).await;
    let _server = Server::polite(&path.pair, MEANT);
    for process in with_variable(proxy::VARIABLE, &path.tag.0) {
        process.signal(Signal::STOP).unwrap();
    }
    until("connections pass it by", || {
        let mut connection = connect(&path.pair, (FAR, MEANT));
        connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        write!(connection, "GET / HTTP/1.1\r\nhost: far\r\n\r\n").unwrap();
        matches!(connection.read(&mut [0; 20]), Ok(1..))
    });
    assert!(userspace::counted(&path.pair.near, &path.tag.0, &path.mark).unwrap().lacks_proxy);
    assert!(with_variable(proxy::VARIABLE, &path.tag.0).iter().all(|p| !p.is_alive()), "the next look kills it");
    path.clear().await;
}

/// What arrives of what a server sends, and how the connection ends, with how long it took.
fn received(path: &InThePath, sent: &'static [u8]) -> (Vec<u8>, Result<usize, ErrorKind>, Duration) {
    let listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
    let begin = Instant::now();
    let mut client = connect(&path.pair, (FAR, MEANT));
    let (mut server, _) = listener.accept().unwrap();
    let sender = std::thread::spawn(move || {
        let _ = server.write_all(sent);
        // Its end is the client's.
        if sent.is_empty() {
            while matches!(server.read(&mut [0; 100]), Ok(1..)) {}
        }
    });
    let mut arrived = Vec::new();
    let ended = client.read_to_end(&mut arrived).map_err(|e| e.kind());
    let took = begin.elapsed();
    drop(client);
    sender.join().unwrap();
    (arrived, ended, took)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_or_are_slow_whatever_is_spoken_on_them() {
    const TEXT: &[u8] = &[b'x'; 100_000];
    const NOTHING: &[u8] = &[];
    let ms = Duration::from_millis;
    let end = |after, reset| Some(StreamEnd { after: ms(after), reset });
    let delay = Delay { delay: ms(300), ..Delay::default() };
    // What is done, what arrives of what is sent, how it ends, and the least time that takes.
    let untouched_rows = [0, 2];
    let rows = [
        (untouched(), TEXT, TEXT.len(), None, 0_u64),
        (StreamFault { delay, ..untouched() }, TEXT, TEXT.len(), None, 300),
        (StreamFault { delay, direction: Direction::Egress, ..untouched() }, TEXT, TEXT.len(), None, 0),
        // 100 kB at 1 Mbit/s are 0.8 s.
        (StreamFault { bandwidth: Some(1_000_000), ..untouched() }, TEXT, TEXT.len(), None, 780),
        (
            StreamFault { slice: Some(Slice { size: 10_000, every: ms(50) }), ..untouched() },
            TEXT,
            TEXT.len(),
            None,
            450,
        ),
        (StreamFault { limit: Some(5000), ..untouched() }, TEXT, 5000, None, 0),
        (StreamFault { slow_close: ms(400), ..untouched() }, TEXT, TEXT.len(), None, 400),
        (StreamFault { end: end(0, true), ..untouched() }, NOTHING, 0, Some(ErrorKind::ConnectionReset), 0),
        (StreamFault { end: end(200, true), ..untouched() }, NOTHING, 0, Some(ErrorKind::ConnectionReset), 200),
        (StreamFault { end: end(200, false), ..untouched() }, NOTHING, 0, None, 200),
        (StreamFault { hang: true, end: end(300, false), ..untouched() }, TEXT, 0, None, 300),
    ];
    for (row, (fault, sent, length, error, least)) in rows.into_iter().enumerate() {
        let what = format!("{fault:?}");
        let path = InThePath::with(&stream(fault)).await;
        let (arrived, ended, took) = received(&path, sent);
        assert_eq!((arrived.len(), ended.err()), (length, error), "{what}");
        assert!(took >= ms(least), "{what}: {took:?}");
        // What leaves is late where nothing is sent: nothing was affected.
        let affected = u64::from(!untouched_rows.contains(&row));
        path.tells("one connection", |told| (told.connections, told.affected) == (1, affected));
        path.clear().await;
    }
}

/// What a command says, on both of its outputs, in the namespace of the target.
fn said(path: &InThePath, command: &[&str]) -> String {
    let run = || std::process::Command::new(command[0]).args(&command[1..]).env("PGCONNECT_TIMEOUT", "5").output();
    let output = path.pair.near.run(run).unwrap_or_else(|e| panic!("{}: {e}: its package is missing", command[0]));
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).trim().to_owned()).join("")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_postgres_is_told_why_it_is_refused() {
    let error = SqlError { code: "53300".to_owned(), message: "sorry, too many clients already".to_owned() };
    let path = InThePath::with(&through(ProxyFault::Postgres { error, share: 1.0 }, Existing::Reset)).await;
    let listener = path.pair.far.run(|| TcpListener::bind((FAR, MEANT))).unwrap();
    for mode in ["prefer", "disable"] {
        let to = format!("host={FAR} port={MEANT} user=a dbname=b sslmode={mode}");
        let told = said(&path, &["psql", "--no-psqlrc", "-v", "VERBOSITY=verbose", "-c", "select 1", &to]);
        assert!(told.contains("FATAL:  sorry, too many clients already"), "{told}");
    }
    path.tells("each connection", |told| told.affected == told.connections && told.affected >= 2);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the server has seen none");
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_redis_reads_what_it_may_and_is_told_the_rest() {
    let rows = [
        (
            RedisError::Loading,
            "LOADING Redis is loading the dataset in memory",
            "LOADING Redis is loading the dataset in memory",
        ),
        (RedisError::ReadOnly, "READONLY You can't write against a read only replica.", "old"),
        (RedisError::Oom, "OOM command not allowed when used memory > 'maxmemory'.", "old"),
    ];
    for (error, to_set, to_get) in rows {
        let path = InThePath::with(&through(ProxyFault::Redis { error, share: 1.0 }, Existing::Reset)).await;
        let server = RealRedis::start(&path.pair);
        let ask = |words: &[&str]| said(&path, &[&["redis-cli", "-h", FAR, "-p", &MEANT.to_string()], words].concat());
        server.has("key", "old");
        assert_eq!(ask(&["SET", "key", "new"]), to_set);
        assert_eq!(ask(&["GET", "key"]), to_get);
        // More than fits into one piece.
        let long = "x".repeat(100_000);
        server.has("long", &long);
        let got = ask(&["GET", "long"]);
        let want = if error == RedisError::Loading { to_get } else { &long };
        assert!(got == want, "{error}: {got:.60}");
        path.tells("the commands", |told| {
            told.requests >= 3 && told.affected == if error == RedisError::Loading { told.meant } else { 1 }
        });
        path.clear().await;
    }
}

/// A Redis server in the far namespace, gone with the value.
struct RealRedis {
    process: std::process::Child,
    far: Namespace,
}

impl RealRedis {
    fn start(pair: &Pair) -> Self {
        let port = MEANT.to_string();
        let mut command = std::process::Command::new("redis-server");
        command.args(["--port", &port, "--bind", FAR, "--save", "", "--appendonly", "no", "--protected-mode", "no"]);
        command.stdout(std::process::Stdio::null());
        let process = pair.far.run(|| command.spawn()).expect("the package redis-server is missing");
        let server = Self { process, far: pair.far.try_clone().unwrap() };
        until("it listens", || server.far.run(|| TcpStream::connect((FAR, MEANT))).is_ok());
        server
    }

    fn has(&self, key: &str, value: &str) {
        let set = || {
            std::process::Command::new("redis-cli")
                .args(["-h", FAR, "-p", &MEANT.to_string(), "SET", key, value])
                .output()
        };
        assert_eq!(self.far.run(set).unwrap().stdout, b"OK\n");
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
