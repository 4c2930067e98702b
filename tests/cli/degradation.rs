//! Contracts of degradation, against a small server that degrades as a file tells it to: a fault writes that file.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Ended, Squall};

/// Answers by the word in the file `mode`: where there is none, that it is ready.
struct Server {
    port: u16,
    dir: tempfile::TempDir,
}

/// How long `late` takes to turn, and `lame` to come back.
const LATE: Duration = Duration::from_millis(600);

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its port").port();
        let mode = dir.path().join("mode");
        // It ends with the test's process; what it knows is when it last saw another mode.
        let since = Arc::new(Mutex::new((String::new(), Instant::now())));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let mut request = [0; 4096];
                let asked = stream.read(&mut request).unwrap_or(0) > 0;
                let answer = Self::answer(&mode, &since);
                if asked && !answer.is_empty() {
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        Self { port, dir }
    }

    fn answer(mode: &Path, since: &Mutex<(String, Instant)>) -> String {
        let now = std::fs::read_to_string(mode).unwrap_or_default();
        let mut since = since.lock().expect("no panic before");
        let before = since.0.clone();
        if before != now && (now != "late" || !before.starts_with("late")) {
            // Back from `lame` it stays so for a while.
            if !(now.is_empty() && before == "lame" && since.1.elapsed() < LATE) {
                *since = (now.clone(), Instant::now());
            }
        }
        if now == "lame" {
            *since = (now.clone(), Instant::now());
        }
        let answer = |head: &str, body: &str| {
            format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        };
        let ready = answer("200 OK", r#"{"ready": true}"#);
        let shut = answer("503 Service Unavailable\r\nretry-after: 30", r#"{"ready": false, "x": 12}"#);
        match since.0.as_str() {
            "shed" | "lame" => shut,
            "late" if since.1.elapsed() >= LATE => shut,
            "dead" => String::new(),
            _ => ready,
        }
    }

    /// Runs an experiment whose fault makes it degrade so, with what is promised of it.
    fn run(&self, mode: &str, during: &str) -> Ended {
        let at = self.dir.path().display();
        std::fs::write(self.dir.path().join("next"), mode).expect("a file of the test's own");
        let port = self.port;
        let experiment = format!(
            "\
version: 1
name: degrades
hypothesis: It degrades as it was promised.
steady-state:
  shop:
    http: {{ url: 'http://127.0.0.1:{port}/', json: {{ /ready: true }} }}
    rate: 20/s
    expect: {{ success: 100% }}
    during: {during}
target: {{ service: idle }}
fault:
  exec: {{ run: [cp, {at}/next, {at}/mode], undo: [rm, -f, {at}/mode], place: here }}
blast-radius: {{ max-instances: 1 }}
timing: {{ baseline: 500ms, duration: 2s, recovery: 5s }}
"
        );
        Squall::new(["run", "x.yaml", "--stack", "idle.yaml", "--junit", "out.xml", "--summary", "out.md"])
            .file("x.yaml", experiment)
            .file("idle.yaml", "version: 1\nname: idle\nservices:\n  idle: { command: [sleep, '85'] }\n")
            .run()
    }
}

/// The only run's report of that form.
fn report(ended: &Ended, name: &str) -> String {
    let runs = ended.dir.path().join("state/runs");
    let files: Vec<PathBuf> = walk(&runs).into_iter().filter(|p| p.file_name().is_some_and(|n| n == name)).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    std::fs::read_to_string(file).expect("it reads")
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

const SHED: &str =
    "{ status: 503, within: 500ms, header: { retry-after: exists }, body: { contains: false }, json: { /x: 12 } }";

#[test]
fn what_was_promised_and_what_was_answered_stand_in_every_report() {
    let server = Server::start();
    let ended = server.run("shed", SHED).exits(0).says("HELD (hypothesis-held)");
    let promised = "status 503, header retry-after exists, body contains \"false\", /x = 12, within 500ms";
    let ended = ended.says("answered: status 503").says("shop: status 503, header");
    let json: serde_json::Value = serde_json::from_str(&report(&ended, "report.json")).expect("it is JSON");
    let shop = &json["checks"][0];
    assert_eq!(shop["contract"], promised);
    let during = shop["phases"].as_array().expect("phases").iter().find(|p| p["phase"] == "during").expect("during");
    assert!(during["answers"]["status 503"].as_u64().expect("a number") > 20, "{during}");
    assert_eq!((during["failed"].as_u64(), &during["failures"]), (Some(0), &serde_json::json!({})));
    let markdown = report(&ended, "report.md");
    assert!(
        markdown.contains("during the fault: status 503") && markdown.contains("answered: status 503"),
        "{markdown}"
    );
    let html = report(&ended, "report.html");
    assert!(html.contains("during the fault: status 503") && html.contains("answered: status 503"));
}

#[test]
fn health_breaks_a_promise_to_fail() {
    let server = Server::start();
    let ended = server.run("well", "{ must-fail: true }").exits(1).says("did not fail, budget 0 (must-fail ≥ 100%)");
    let junit = ended.written("out.xml");
    assert!(junit.contains("shop must-fail ≥ 100%") && junit.contains("answered with status 200"), "{junit}");
    server.run("well", SHED).exits(1).says("status 200");
    server.run("well", "{ 5xx: at least 90%, success: off }").exits(1).says("were not 5xx");
}

#[test]
fn failures_keep_a_promise_to_fail() {
    let server = Server::start();
    for mode in ["shed", "dead"] {
        server.run(mode, "{ must-fail: true }").exits(0).says("must-fail 100%").says("HELD (hypothesis-held)");
    }
    server.run("dead", SHED).exits(1).says("closed early");
    server.run("dead", "{ status: [200, 503], no-answer: at most 50% }").exits(1);
    server.run("dead", "{ no-answer: at least 90%, success: off }").exits(0).says("no-answer");
}

#[test]
fn readiness_turns_and_comes_back_in_time_or_not() {
    let server = Server::start();
    let json = |turns: &str, back: &str| {
        format!("{{ status: 503, json: {{ /ready: false }}, turns-within: {turns}, back-within: {back} }}")
    };
    server.run("late", &json("1s", "3s")).exits(0).says("HELD (hypothesis-held)");
    server.run("late", &json("100ms", "3s")).exits(1).says("status 200");
    server.run("lame", &json("500ms", "200ms")).exits(1).says("was back to steady state after");
    server.run("lame", &json("500ms", "4s")).exits(0);
}

#[test]
fn a_whole_contract_is_a_good_file_also_to_an_editor() {
    let contract = "{ status: [200, 503], within: 200ms, header: { retry-after: exists, x: '1' }, body: { matches: '^s' }, \
                    json: { /ready: false, /n: 3 }, 5xx: at most 5%, no-answer: at most 1%, turns-within: 2s, back-within: 5s }";
    for during in
        [contract, "{ must-fail: true, within: 200ms, turns-within: 1s, back-within: 4s }", "{ must-fail: 95% }"]
    {
        let file = format!(
            "version: 1\nname: x\nhypothesis: h\nsteady-state:\n  a:\n    http:\n      url: http://127.0.0.1/\n      \
             json: {{ /ready: true }}\n      assert: {{ open: {{ json: {{ /open: true }}, header: {{ x: absent }} }} }}\n    \
             rate: 50/s\n    during: {during}\n\
             target: {{ service: s }}\nfault: pause\nblast-radius: {{ max-instances: 1 }}\n"
        );
        Squall::new(["validate", "a.yaml"]).file("a.yaml", file).run().exits(0).says("ok     a.yaml");
    }
}
