//! What `promql` and `alert` probes answer.

use serde_json::json;
use squall::engine::sim::Sim;
use squall::experiment::Check;
use squall::experiment::probe::{Answer, Failure, Live, Prober as _};
use squall::model::quantity::Absent;

use crate::monitors::Monitors;
use crate::ports::free_port;

async fn ask(probe: serde_json::Value) -> Answer {
    live(probe).ask("it").await
}

fn live(probe: serde_json::Value) -> Live {
    let check: Check = serde_json::from_value(probe).expect("a check");
    let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned()).ok_or(Absent::Unset);
    Live::new([("it", &check)], Sim::nowhere(), lookup).expect("it can be asked")
}

fn good(value: &str) -> Answer {
    Answer::Good { value: Some(value.to_owned()), by: None }
}

fn failed(words: &str) -> Answer {
    Answer::Failed(Failure(words.to_owned()))
}

#[tokio::test]
async fn promql_comes_to_one_number_or_says_why_not() {
    let gone = free_port();
    let monitors = Monitors::of(&[]);
    let at = format!("http://127.0.0.1:{}", monitors.prometheus);
    let query = |text: &str| json!({ "promql": { "url": at, "query": text } });
    assert_eq!(ask(query("1 + 1")).await, good("2"));
    assert_eq!(ask(query("vector(0.25)")).await, good("0.25"));
    assert_eq!(ask(query("up{job=\"none\"}")).await, failed("the query has no result"));
    assert_eq!(ask(query("vector(0) / 0")).await, failed("the result is NaN"));
    for text in ["up{job=\"none\"}", "vector(0) / 0"] {
        let probe = json!({ "promql": { "url": at, "query": text, "empty": 3 } });
        let live = live(probe);
        assert_eq!(live.without_evidence("it"), None, "nothing was asked yet");
        assert_eq!(live.ask("it").await, good("3"), "{text}");
        assert!(live.without_evidence("it").is_some_and(|why| why.starts_with("never had a result")), "{text}");
    }
    let live = live(json!({ "promql": { "url": at, "query": "1", "empty": 3 } }));
    assert_eq!((live.ask("it").await, live.without_evidence("it")), (good("1"), None));
    let unmeasured = async |probe: serde_json::Value, word: &str| match ask(probe).await {
        Answer::NotMeasured(why) => assert!(why.contains(word) && !why.contains("s3cret"), "{why}"),
        other => panic!("{word}: {other:?}"),
    };
    unmeasured(query("label_replace(vector(1), \"a\", \"b\", \"\", \"\") or vector(1)"), "2 series").await;
    unmeasured(query("up[1m]"), "a range").await;
    unmeasured(query("sum("), "status 400: 1:5: parse error").await;
    unmeasured(query("sum(${TOKEN}"), "status 400").await;
    unmeasured(json!({ "promql": { "url": format!("{at}/nowhere"), "query": "1" } }), "status 404").await;
    unmeasured(json!({ "promql": { "url": format!("http://127.0.0.1:{gone}"), "query": "1" } }), "connection refused")
        .await;
    let alert = |labels: serde_json::Value| json!({ "alert": { "prometheus": at, "labels": labels } });
    unmeasured(alert(json!({ "alertname": "ShopIsDown" })), "no rule defines such an alert").await;
    unmeasured(alert(json!({ "alertname": "ShopDown", "severity": "ticket" })), "no rule defines such an alert").await;
    let quiet = Answer::Good { value: None, by: None };
    assert_eq!(ask(alert(json!({ "alertname": "Shop*", "zone": "a" }))).await, quiet, "a label may come from a series");
    unmeasured(json!({ "alert": { "prometheus": at.clone() + "/no", "labels": { "a": "b" } } }), "status 404").await;
}

#[tokio::test]
async fn an_alert_fires_is_silenced_and_is_resolved() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let figures = std::thread::spawn(move || serve_figures(&listener));
    let monitors = Monitors::of(&[port]);
    let alert = |source: &str, of: u16, firing: bool| {
        json!({ "alert": {
            source: format!("http://127.0.0.1:{of}"),
            "labels": { "alertname": "ShopDown", "severity": "p*", "instance": format!("127.0.0.1:{port}") },
            "firing": firing,
        } })
    };
    let sources = [("prometheus", monitors.prometheus), ("alertmanager", monitors.alertmanager)];
    let quiet = Answer::Good { value: None, by: None };
    for (source, of) in sources {
        assert_eq!(ask(alert(source, of, false)).await, quiet, "{source}");
        assert_eq!(ask(alert(source, of, true)).await, failed("no such alert"), "{source}");
    }

    // A last answer ends whoever gives the figures.
    crate::monitors::get(port, "/end");
    figures.join().expect("it ends");
    for (source, of) in sources {
        while ask(alert(source, of, true)).await != quiet {
            monitors.until("it fires", |m| crate::monitors::get(m.prometheus, "/-/ready").is_some());
        }
        assert_eq!(ask(alert(source, of, false)).await, failed("an alert fires"), "{source}");
    }
    monitors.silence();
    let silenced = failed("the alert is silenced");
    while ask(alert("alertmanager", monitors.alertmanager, true)).await != silenced {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(alert("alertmanager", monitors.alertmanager, false)).await, quiet, "it tells nobody");
    assert_eq!(ask(alert("prometheus", monitors.prometheus, true)).await, quiet, "who knows of no silences");
}

/// Gives figures until it is asked for `/end`.
fn serve_figures(listener: &std::net::TcpListener) {
    use std::io::{Read as _, Write as _};
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap_or(0);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nanswers 1\n");
        if request[..read].starts_with(b"GET /end") {
            return;
        }
    }
}
