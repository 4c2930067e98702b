//! Worse than before? On journals as they lie on disk, and on real processes that become slower.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::fmt::Write as _;
use std::path::Path;

use crate::harness::{Ended, Squall};
use crate::junit_schema::suites;

/// A run's journal: so many answers at each of these latencies (µs), and for each second samples and failures.
fn journal(run: &str, experiment: &str, distribution: &[(u64, u64)], seconds: &[(u64, u64)]) -> String {
    let x = format!(
        r#"{{"version":1,"name":"{experiment}","hypothesis":"It goes on.","steady-state":{{"checkout":{{"http":{{"url":"http://x/"}},"rate":"50/s","timeout":"1s","expect":{{"success":"90%"}}}}}},"target":{{"service":"store"}},"fault":{{"pause":{{}}}},"blast-radius":{{"max-instances":1}},"timing":{{"warm-up":"0s","baseline":"5s","duration":"20s","recovery":"30s"}},"on-breach":"abort"}}"#
    );
    let good: u64 = distribution.iter().map(|(_, n)| n).sum();
    let all: u64 = seconds.iter().map(|(_, failed)| failed).sum();
    let mut lines = vec![
        format!(
            r#""at":"2026-11-20T09:30:00Z","event":"started","format":1,"version":"0.1.0","run":"{run}","experiment":{x},"file":"x.yaml","seed":7,"engine":{{"kind":"docker","address":"unix:///x","version":"1"}},"owner":"ana@staging""#
        ),
        r#""at":"2026-11-20T09:30:05Z","event":"phase-began","phase":"during""#.to_owned(),
    ];
    for (second, (samples, failed)) in seconds.iter().enumerate() {
        lines.push(format!(
            r#""at":"2026-11-20T09:30:{:02}Z","event":"sampled","check":"checkout","phase":"during","from":"2026-11-20T09:30:05Z","length-ms":1000,"samples":{samples},"failed":{failed},"unmeasured":0"#,
            6 + second
        ));
    }
    let distribution = serde_json::to_string(distribution).unwrap();
    lines.push(format!(
        r#""at":"2026-11-20T09:30:25Z","event":"judged","check":"checkout","phase":"during","samples":{},"failed":{all},"unmeasured":0,"distribution":{distribution},"standings":[]"#,
        good + all
    ));
    lines.push(r#""at":"2026-11-20T09:30:25Z","event":"phase-began","phase":"rollback""#.to_owned());
    lines.push(
        r#""at":"2026-11-20T09:30:26Z","event":"finished","verdict":"held","reason":"hypothesis-held","text":"it held""#
            .to_owned(),
    );
    lines.iter().enumerate().fold(String::new(), |mut text, (seq, line)| {
        writeln!(text, r#"{{"seq":{seq},{line}}}"#).unwrap();
        text
    })
}

/// The files of two runs, called `base` and `new`, and a call on them.
fn two(args: &[&str], base: &str, new: &str) -> Squall {
    Squall::new(["compare", "20261120T093000Z-x-base", "20261120T093100Z-x-new0"])
        .args(args)
        .file("state/runs/20261120T093000Z-x-base/journal.ndjson", base)
        .file("state/runs/20261120T093100Z-x-new0/journal.ndjson", new)
}

/// A thousand answers around so many µs.
fn around(us: u64) -> Vec<(u64, u64)> {
    (80..120).map(|percent| (us * percent / 100, 25)).collect()
}

fn run(us: u64, seconds: &[(u64, u64)]) -> String {
    journal("r", "x", &around(us), seconds)
}

#[test]
fn the_exit_code_says_whether_it_is_worse() {
    two(&[], &run(20_000, &[]), &run(20_000, &[])).run().exits(0).says("✓").says("no worse than");
    let worse = two(&[], &run(20_000, &[]), &run(26_000, &[])).run().exits(1);
    worse.says("✗ │ checkout p95").says("+30.0 %");
    two(&["--no-worse-than", "50%"], &run(20_000, &[]), &run(26_000, &[])).run().exits(0);
    two(&[], &run(20_000, &[]), &run(22_000, &[]))
        .run()
        .exits(3)
        .says("? │ checkout latency")
        .says("too few samples to tell");
    two(&[], &run(26_000, &[]), &run(20_000, &[])).run().exits(0).says("-23.");
}

#[test]
fn more_failures_are_worse() {
    let more = [(50, 3); 20];
    two(&[], &run(20_000, &[]), &run(20_000, &more)).run().exits(1).says("✗ │ checkout failures");
    two(&["--failures", "20%", "--no-worse-than", "50%"], &run(20_000, &[]), &run(20_000, &more)).run().exits(3);
    // More than one in twenty never came, on both sides: there is no 95th percentile to speak of.
    let same = two(&["--failures", "3%"], &run(20_000, &more), &run(20_000, &more)).run().exits(0);
    assert!(!same.stdout.contains("p95"), "{}", same.stdout);
}

#[test]
fn what_is_not_about_the_same_thing_is_not_compared() {
    let other = run(20_000, &[]).replace("\"service\":\"store\"", "\"service\":\"shop\"");
    two(&[], &run(20_000, &[]), &other).run().exits(3).says("or with whom, is not the same");
    let none = run(20_000, &[]).replace("\"held\"", "\"no-verdict\"").replace("hypothesis-held", "no-target");
    two(&[], &none, &run(20_000, &[])).run().exits(3).complains("it has no figures under the fault");
    Squall::new(["compare", "nosuch", "last"]).run().exits(2).complains("there is no run");
}

#[test]
fn reports_are_as_good_as_journals() {
    let rendered = Squall::new(["report", "base", "--format", "json"])
        .file("state/runs/20261120T093000Z-x-base/journal.ndjson", run(20_000, &[(50, 2); 20]))
        .run()
        .exits(0);
    let of = |base: &str| {
        let squall = Squall::new(["compare", base, "new0", "--json"])
            .file("main/report.json", &rendered.stdout)
            .file("journal.ndjson", run(20_000, &[(50, 2); 20]))
            .file("state/runs/20261120T093100Z-x-new0/journal.ndjson", run(26_000, &[(50, 2); 20]));
        serde_json::from_str::<serde_json::Value>(&squall.run().exits(1).stdout).unwrap()
    };
    assert_eq!(of("main/report.json")["figures"], of("journal.ndjson")["figures"]);
    assert_eq!(of("main")["verdict"], "broken");
    let nonsense = Squall::new(["compare", "x.json", "x.json"]).file("x.json", "{}").run().exits(3);
    nonsense.complains("x.json: it is no report of a run");
}

/// A run on real processes, in a directory that several runs share. Under the fault each answer takes `seconds`.
fn slowed(dir: &Path, seconds: &str, args: &[&str]) -> Ended {
    std::fs::write(dir.join("next"), seconds).unwrap();
    let at = dir.display();
    let experiment = format!(
        "
version: 1
name: slowed
hypothesis: It answers.
no-worse-than: {{ latency: 50%, failures: 20% }}
steady-state:
  answer:
    exec: [sh, -c, 'sleep $(cat {at}/delay || echo 0.01)']
    rate: 25/s
    expect: {{ success: 90%, p50: 4s }}
target: {{ service: idle }}
fault:
  exec: {{ run: [cp, {at}/next, {at}/delay], undo: [rm, -f, {at}/delay], place: here }}
blast-radius: {{ max-instances: 1 }}
timing: {{ baseline: 300ms, duration: 3s, recovery: 10s }}
"
    );
    Squall::new(["run", "x.yaml", "--stack", "idle.yaml", "--junit", "out.xml", "--summary", "out.md"])
        .args(args)
        .file("x.yaml", experiment)
        .file("idle.yaml", "version: 1\nname: idle\nservices:\n  idle: { command: [sleep, '84'] }\n")
        .env("SQUALL_STATE", dir.join("state"))
        .run()
}

#[test]
fn a_regression_fails_the_gate_and_is_not_the_next_measure() {
    let dir = tempfile::tempdir().unwrap();
    let first = slowed(dir.path(), "0.1", &["--baseline", "last"]).exits(0).complains("no earlier run that held");
    assert!(!first.stdout.contains("exit 0"), "{}", first.stdout);
    for _ in 0..2 {
        let worse = slowed(dir.path(), "0.3", &["--baseline", "last"]).exits(1);
        let suites = suites(&worse.written("out.xml"));
        let latency = suites["slowed"].iter().find(|(name, _)| name == "answer latency no worse than before").unwrap();
        assert_eq!(latency.1, "failure");
        assert!(worse.written("out.md").contains("❌ regression"), "{}", worse.written("out.md"));
        worse.says("✗ regression").says("BROKEN (exit 1)");
    }
    slowed(dir.path(), "0.1", &["--baseline", "last"]).exits(0).says("no worse than").says("HELD (exit 0)");
}

#[test]
fn a_baseline_that_means_nothing_is_a_mistake_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    slowed(dir.path(), "0.1", &["--baseline", "nosuch"]).exits(2).complains("there is no run `nosuch`");
    std::fs::write(dir.path().join("r.ndjson"), run(20_000, &[])).unwrap();
    let stray = dir.path().join("r.ndjson").display().to_string();
    slowed(dir.path(), "0.1", &["--baseline", &stray]).exits(2).complains("a run of `x`, which is not run here");
    assert!(!dir.path().join("state/runs").exists());
}
