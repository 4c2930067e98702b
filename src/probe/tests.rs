//! Every probe against something real on this machine's loopback.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::engine::Engine;
use crate::engine::sim::Sim;
use crate::experiment::{Check, Expect, Text};
use crate::stack::{Service, Stack};

/// Serves canned bytes on a port of its own, and counts connections. It ends when it is dropped.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers each request on a connection with the same bytes. `close`: and then closes.
    async fn answering(answer: &str, close: bool) -> Self {
        let answer: Arc<str> = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                open.spawn(async move {
                    let mut request = [0; 4096];
                    while let Ok(1..) = stream.read(&mut request).await {
                        if stream.write_all(answer.as_bytes()).await.is_err() || close {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, connections, _tasks: tasks }
    }

    async fn status(line: &str, body: &str) -> Self {
        Self::answering(&format!("HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{body}", body.len()), false).await
    }
}

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn world(replicas: usize) -> Arc<dyn Engine> {
    let shop: Service =
        serde_json::from_value(serde_json::json!({ "command": ["shop"], "replicas": replicas })).unwrap();
    Sim::of_stack(&Stack {
        version: 1,
        name: "test".into(),
        network: None,
        services: IndexMap::from([("shop".to_owned(), shop)]),
    })
}

fn check(probe: Probe, timeout: u64) -> Check {
    Check {
        rate: probe.default_rate(),
        timeout: crate::experiment::Span(Duration::from_millis(timeout)),
        probe,
        expect: Expect::default(),
        during: Expect::default(),
    }
}

fn live(probe: Probe, timeout: u64) -> anyhow::Result<Live> {
    let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    Live::new([("it", &check(probe, timeout))], world(2), lookup)
}

async fn ask(probe: Probe) -> Answer {
    live(probe, 5000).unwrap().ask("it").await
}

fn http(url: &str) -> Http {
    serde_json::from_value(serde_json::json!({ "url": url })).unwrap()
}

fn good(value: &str) -> Answer {
    Answer::Good { value: Some(value.to_owned()), by: None }
}

const GOOD: Answer = Answer::Good { value: None, by: None };

#[tokio::test]
async fn http_any_2xx_is_good_unless_a_status_is_expected() {
    let ok = Server::status("204 No Content", "").await;
    let url = format!("http://127.0.0.1:{}/", ok.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, GOOD);
    let exact = Http { status: Some(200), ..http(&url) };
    assert_eq!(ask(Probe::Http(exact)).await, failure::failed("status 204"));
    let down = Server::status("503 Service Unavailable", "").await;
    let url = format!("http://localhost:{}/", down.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("status 503"));
    assert_eq!(ask(Probe::Http(Http { status: Some(503), ..http(&url) })).await, GOOD);
}

#[tokio::test]
async fn http_reads_the_body() {
    let server = Server::status("200 OK", "orders: 42 open, s3cret").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let contains = |text: &str| Probe::Http(Http { contains: Some(Text(text.into())), ..http(&url) });
    assert_eq!(ask(contains("${TOKEN}")).await, GOOD);
    assert_eq!(ask(contains("x${TOKEN}")).await, failure::failed("body lacks \"x${TOKEN}\""), "as the file says it");
    let matches = |pattern: &str| Probe::Http(Http { matches: Some(pattern.into()), ..http(&url) });
    assert_eq!(ask(matches(r"orders: (\d+)")).await, good("42"));
    assert_eq!(ask(matches("open")).await, good("open"));
    assert_eq!(ask(matches("shut")).await, failure::failed("body does not match"));
}

#[tokio::test]
async fn http_is_told_who_has_answered() {
    let body = r#"{ "shop": { "name": "shop-2" }, "stock": 42 }"#;
    let server = Server::status("200 OK\r\nx-served-by: shop-1 ", body).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    for (told, by) in [
        (AnsweredBy::Header("X-Served-By".into()), Some("shop-1")),
        (AnsweredBy::Header("via".into()), None),
        (AnsweredBy::Json("/shop/name".into()), Some("shop-2")),
        (AnsweredBy::Json("/stock".into()), Some("42")),
        (AnsweredBy::Json("/store".into()), None),
        (AnsweredBy::Matches("shop-[0-9]".into()), Some("shop-2")),
        (AnsweredBy::Matches("stock\": ([0-9])".into()), Some("4")),
        (AnsweredBy::Matches("gateway".into()), None),
    ] {
        let answer = ask(Probe::Http(Http { answered_by: Some(told.clone()), ..http(&url) })).await;
        assert_eq!(answer, Answer::Good { value: None, by: by.map(str::to_owned) }, "{told:?}");
    }
    for wrong in [AnsweredBy::Header("served by".into()), AnsweredBy::Matches("(".into())] {
        assert!(live(Probe::Http(Http { answered_by: Some(wrong), ..http(&url) }), 100).is_err());
    }
}

#[tokio::test]
async fn http_says_how_the_system_failed() {
    let refused = format!("http://user:hunter2@127.0.0.1:{}/?key=hunter2", closed_port().await);
    assert_eq!(ask(Probe::Http(http(&refused))).await, failure::failed("connection refused"));
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfew", "HTTP/1.1 200"] {
        let server = Server::answering(bytes, true).await;
        let url = format!("http://127.0.0.1:{}/", server.port);
        assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("closed early"), "{bytes:?}");
    }
    let server = Server::answering("SSH-2.0-OpenSSH\r\n\r\n", true).await;
    let url = format!("http://user:hunter2@127.0.0.1:{}/?key=hunter2", server.port);
    let Answer::Failed(Failure(words)) = ask(Probe::Http(http(&url))).await else { panic!("it is no HTTP") };
    assert!(words.contains("HTTP") && !words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn http_gives_up_at_the_timeout_even_within_the_body() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfew", false).await;
    let began = Instant::now();
    let live = live(Probe::Http(http(&format!("http://127.0.0.1:{}/", server.port))), 200).unwrap();
    assert_eq!(live.ask("it").await, failure::timeout());
    assert!((200..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn http_follows_redirects_and_keeps_connections_only_when_told() {
    let server = Server::status("302 Found\r\nlocation: /", "").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("status 302"));
    assert_eq!(ask(Probe::Http(Http { follow: true, ..http(&url) })).await, failure::failed("too many redirects"));

    let server = Server::status("200 OK", "hello").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    for (keep_alive, connections) in [(false, 3), (true, 4)] {
        let live = live(Probe::Http(Http { keep_alive, ..http(&url) }), 5000).unwrap();
        for _ in 0..3 {
            assert_eq!(live.ask("it").await, GOOD);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), connections, "keep-alive: {keep_alive}");
    }
}

/// Serves one TLS connection after the other on a thread that ends with the tests.
fn tls_server() -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter("tests/data/tls/server.pem").unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file("tests/data/tls/server.key").unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream.unwrap());
            let mut request = [0; 4096];
            // A client that trusts nobody hangs up within the handshake.
            if tls.read(&mut request).is_ok() {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    });
    port
}

#[tokio::test]
async fn https_trusts_its_own_ca_and_nobody_else() {
    let port = tls_server();
    let url = format!("https://localhost:{port}/");
    let ca = || Some("tests/data/tls/ca.pem".to_owned());
    assert_eq!(ask(Probe::Http(Http { ca: ca(), ..http(&url) })).await, GOOD);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("tls: unknown issuer"));
    let other = format!("https://127.0.0.1:{port}/");
    assert_eq!(
        ask(Probe::Http(Http { ca: ca(), ..http(&other) })).await,
        failure::failed("tls: certificate for another name")
    );
    let plain = Server::status("200 OK", "").await;
    let url = format!("https://localhost:{}/", plain.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("tls: not TLS"));
}

#[tokio::test]
async fn what_cannot_be_prepared_is_said_before_anything_is_asked() {
    let says = |probe: Probe, words: &[&str]| {
        let error = format!("{:#}", live(probe, 1000).err().expect("it cannot be prepared"));
        for word in words.iter().chain(&["`it`"]) {
            assert!(error.contains(word), "{error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    };
    says(Probe::Http(http("http://shop/${NOT_SET}")), &["${NOT_SET}", "not set"]);
    says(Probe::Http(http("http://[${TOKEN}/")), &["http://[${TOKEN}/", "not a URL"]);
    says(Probe::Http(http("ftp://shop/")), &["ftp://shop/", "http://"]);
    says(Probe::Http(Http { ca: Some("/no/such.pem".into()), ..http("https://shop/") }), &["/no/such.pem"]);
    says(Probe::Http(Http { method: Some("GE T".into()), ..http("http://shop/") }), &["GE T"]);
    let headers = [("x-token".to_owned(), Text("${TOKEN}\n".into()))].into();
    says(Probe::Http(Http { headers, ..http("http://shop/") }), &["x-token"]);
    says(Probe::Tcp(Tcp { address: Text("shop".into()) }), &["shop", "host:port"]);
}

#[tokio::test]
async fn tcp_connects_or_does_not() {
    let server = Server::answering("", false).await;
    for host in ["127.0.0.1", "localhost"] {
        let tcp = |port| Probe::Tcp(Tcp { address: Text(format!("{host}:{port}")) });
        assert_eq!(ask(tcp(server.port)).await, GOOD);
        assert_eq!(ask(tcp(closed_port().await)).await, failure::failed("connection refused"));
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_could_not_be_asked() {
    // Too long for a name: no resolver needs to ask anybody.
    let host = "x".repeat(64);
    let answer = ask(Probe::Tcp(Tcp { address: Text(format!("{host}:80")) })).await;
    assert_eq!(answer, Answer::CouldNotAsk("cannot resolve the name".into()));
    let answer = ask(Probe::Http(http(&format!("http://{host}/")))).await;
    assert_eq!(answer, Answer::CouldNotAsk("cannot resolve the name".into()));
}

fn exec(run: &[&str]) -> Exec {
    serde_json::from_value(serde_json::json!({ "run": run })).unwrap()
}

#[tokio::test]
async fn exec_compares_the_status_and_reads_a_value() {
    assert_eq!(ask(Probe::Exec(exec(&["echo", " 42 "]))).await, good("42"));
    assert_eq!(ask(Probe::Exec(exec(&["false"]))).await, failure::failed("exit status 1"));
    assert_eq!(ask(Probe::Exec(Exec { status: 1, ..exec(&["false"]) })).await, good(""));
    let env = [("GREETING".to_owned(), Text("${TOKEN}".into()))].into();
    assert_eq!(ask(Probe::Exec(Exec { env, ..exec(&["printenv", "GREETING"]) })).await, good("s3cret"));
    let missing = ask(Probe::Exec(exec(&["/no/such/program"]))).await;
    assert_eq!(missing, Answer::CouldNotAsk("no such program".into()));
    let slow = live(Probe::Exec(exec(&["sleep", "30"])), 200).unwrap();
    assert_eq!(slow.ask("it").await, failure::timeout());
}

#[tokio::test]
async fn engine_counts_a_service() {
    let engine = |service: &str| Probe::Engine(EngineProbe { service: service.into(), count: engine::Count::Running });
    assert_eq!(ask(engine("shop")).await, good("2"));
    assert_eq!(ask(engine("elsewhere")).await, good("0"));
}
