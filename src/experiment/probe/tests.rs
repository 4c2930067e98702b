//! Every probe against something real on this machine's loopback.

mod over_http;

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
use crate::experiment::stack::{Service, Stack};
use crate::experiment::{Check, During, Expect, Text};
use crate::model::quantity::Absent;

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

/// A port that is taken, so that nothing else takes it, and on which nothing listens.
fn closed_port() -> (u16, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().port(), socket)
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
        rate: probe.kind().pace().rate,
        timeout: crate::experiment::Span(Duration::from_millis(timeout)),
        probe,
        expect: Expect::default(),
        during: During::default(),
    }
}

fn live(probe: Probe, timeout: u64) -> anyhow::Result<Live> {
    let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned()).ok_or(Absent::Unset);
    Live::new([("it", &check(probe, timeout))], world(2), lookup)
}

async fn ask(probe: Probe) -> Answer {
    live(probe, 5000).unwrap().ask("it").await
}

fn http(url: &str) -> Http {
    serde_json::from_value(serde_json::json!({ "url": url })).unwrap()
}

fn tcp(address: &str) -> Tcp {
    Tcp { address: Some(Text(address.to_owned())), socket: None }
}

fn good(value: &str) -> Answer {
    Answer::Good { value: Some(value.to_owned()), by: None }
}

const GOOD: Answer = Answer::Good { value: None, by: None };

#[tokio::test]
async fn tcp_connects_or_does_not() {
    let server = Server::answering("", false).await;
    for host in ["127.0.0.1", "localhost"] {
        let tcp = |port| Probe::Tcp(tcp(&format!("{host}:{port}")));
        assert_eq!(ask(tcp(server.port)).await, GOOD);
        let (port, _closed) = closed_port();
        assert_eq!(ask(tcp(port)).await, failure::failed("connection refused"));
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_could_not_be_asked() {
    // Too long for a name: no resolver needs to ask anybody.
    let host = "x".repeat(64);
    let answer = ask(Probe::Tcp(tcp(&format!("{host}:80")))).await;
    assert_eq!(answer, Answer::NotMeasured("cannot resolve the name".into()));
    let answer = ask(Probe::Http(http(&format!("http://{host}/")))).await;
    assert_eq!(answer, Answer::NotMeasured("cannot resolve the name".into()));
}

#[tokio::test]
async fn an_answer_with_a_warning_is_no_measurement() {
    let number = r#""data": { "resultType": "scalar", "result": [1.5, "42"] }"#;
    // What serves both the alerts and the rules.
    let no_alerts = r#""data": { "alerts": [], "groups": [{ "rules": [{ "type": "alerting", "name": "X" }] }] }"#;
    for (more, said) in [
        (r#", "infos": ["the metric may not be a counter"]"#, None),
        (r#", "warnings": ["a store did not answer"]"#, Some("the answer has a warning: a store did not answer")),
        (r#", "isPartial": true"#, Some("the answer is partial")),
    ] {
        let could_not = said.map(|said| Answer::NotMeasured(said.to_owned()));
        let server = Server::status("200 OK", &format!("{{ \"status\": \"success\", {number}{more} }}")).await;
        let url = format!("http://127.0.0.1:{}", server.port);
        let promql = serde_json::from_value(serde_json::json!({ "url": url, "query": "42" })).unwrap();
        assert_eq!(ask(Probe::Promql(promql)).await, could_not.clone().unwrap_or(good("42")), "{more}");

        let server = Server::status("200 OK", &format!("{{ \"status\": \"success\", {no_alerts}{more} }}")).await;
        let url = format!("http://127.0.0.1:{}", server.port);
        let alert = serde_json::json!({ "prometheus": url, "labels": { "alertname": "X" } });
        let alert = serde_json::from_value(alert).unwrap();
        assert_eq!(ask(Probe::Alert(alert)).await, could_not.unwrap_or(GOOD), "{more}");
    }
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
    assert_eq!(missing, Answer::NotMeasured("no such program".into()));
    let slow = live(Probe::Exec(exec(&["sleep", "30"])), 200).unwrap();
    assert_eq!(slow.ask("it").await, failure::timeout());
}

#[tokio::test]
async fn engine_counts_a_service() {
    let engine = |service: &str| {
        Probe::Engine(EngineProbe { project: Vec::new(), service: service.into(), count: engine::Count::Running })
    };
    assert_eq!(ask(engine("shop")).await, good("2"));
    assert_eq!(ask(engine("elsewhere")).await, good("0"));
    for (service, hollow) in [("shop", false), ("elsewhere", true)] {
        let live = live(engine(service), 5000).unwrap();
        assert_eq!(live.without_evidence("it"), None, "nothing was asked yet");
        live.ask("it").await;
        assert_eq!(live.without_evidence("it").is_some(), hollow, "{service}");
    }
}
