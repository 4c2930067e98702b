//! Whole runs: a service is killed, and monitoring is expected to notice.

use crate::monitors::Monitors;
use crate::shop::Shop;

fn experiment(monitors: &Monitors, shop: &Shop, alertname: &str, times: &str) -> String {
    format!(
        "version: 1
name: noticed
hypothesis: Monitoring tells of a service that is down, and says when it is back.
steady-state:
  one: {{ http: 'http://127.0.0.1:{one}/health' }}
  seen:
    promql: {{ url: 'http://127.0.0.1:{prometheus}', query: 'sum(up{{job=\"shop\"}})' }}
    rate: 4/s
    expect: {{ value: 2 }}
    during: {{ value: {{ at-least: 1 }} }}
alerts:
  down:
    alert:
      alertmanager: http://127.0.0.1:{alertmanager}
      labels: {{ alertname: {alertname}, severity: page }}
      headers: {{ Authorization: 'Bearer ${{TOKEN}}' }}
    {times}
    rate: 10/s
target: {{ service: two }}
fault: kill
blast-radius: {{ max-instances: 1 }}
timing: {{ baseline: 2s, duration: 15s, recovery: 20s }}
",
        one = shop.ports[0],
        prometheus = monitors.prometheus,
        alertmanager = monitors.alertmanager,
    )
}

#[test]
fn an_alert_that_fires_and_is_resolved_is_in_every_report() {
    let shop = Shop::open();
    let monitors = Monitors::of(&shop.ports);
    let (code, console, report) =
        shop.run(&experiment(&monitors, &shop, "ShopDown", "fires-within: 15s\n    resolves-within: 30s"));
    assert_eq!(code, Some(0), "{console}");
    let alert = &report["alerts"][0];
    let detected = alert["time-to-detect-ms"].as_u64().expect("it fired");
    assert!((1..15_000).contains(&detected), "{alert}");
    let resolved = alert["time-to-resolve-ms"].as_u64().expect("it was resolved");
    assert!((1..30_000).contains(&resolved), "{alert}");
    assert_eq!(alert["held"], true, "{alert}");
    assert_eq!(alert["labels"], "{alertname=\"ShopDown\", severity=\"page\"}");
    assert!(
        console.contains("alert") && console.contains("down fires") && console.contains("is resolved"),
        "{console}"
    );
    assert!(shop.report("html").contains("Time to detect"));
    assert!(shop.report("markdown").contains("| down | fires-within | ≤ 15s |"));
    let junit = shop.report("junit");
    assert!(junit.contains("name=\"alert down fires-within ≤ 15s\"") && !junit.contains("<failure"), "{junit}");
    for run in std::fs::read_dir(shop.dir().join("state/runs")).expect("runs") {
        let journal = run.expect("a run").path().join("journal.ndjson");
        assert!(!std::fs::read_to_string(journal).expect("a journal").contains("s3cret"));
    }
}

#[test]
fn an_alert_that_nobody_wrote_is_a_weakness() {
    let shop = Shop::open();
    let monitors = Monitors::of(&shop.ports);
    let (code, console, report) = shop.run(&experiment(&monitors, &shop, "ShopIsDown", "fires-within: 3s"));
    assert_eq!((code, report["reason"].as_str()), (Some(1), Some("alert-missing")), "{console}");
    assert!(console.contains("did not fire within 3s of the injection: no such alert"), "{console}");
    assert_eq!(report["left-behind"].as_array().map(Vec::len), Some(0));
}

#[test]
fn names_that_monitoring_does_not_know_are_no_verdict() {
    let shop = Shop::open();
    let monitors = Monitors::of(&shop.ports);
    let at = format!("http://127.0.0.1:{}", monitors.prometheus);
    for (probe, expect, reason, says) in [
        (
            format!("promql: {{ url: '{at}', query: 'sum(rate(oders_total[5s]))', empty: 0 }}"),
            "expect: { value: { at-most: 5 } }",
            "no-evidence",
            "`it` never had a result",
        ),
        (
            format!("alert: {{ prometheus: '{at}', labels: {{ alertname: ShopIsDown }} }}"),
            "",
            "not-measured",
            "no rule defines such an alert",
        ),
    ] {
        let text = format!(
            "version: 1\nname: mistyped\nhypothesis: It is quiet.\nsteady-state:\n  it:\n    {probe}\n    rate: 4/s\n    \
             {expect}\ntarget: {{ service: two }}\nfault: {{ kill: {{}} }}\nblast-radius: {{ max-instances: 1 }}\n\
             timing: {{ baseline: 1s, duration: 1s, recovery: 10s }}\n"
        );
        let (code, console, report) = shop.run(&text);
        assert_eq!((code, report["reason"].as_str()), (Some(3), Some(reason)), "{console}");
        assert!(console.contains(says), "{console}");
    }
}

#[test]
fn nothing_starts_while_an_alert_fires() {
    let shop = Shop::open();
    let monitors = Monitors::of(&shop.ports);
    shop.file("x.yaml", &experiment(&monitors, &shop, "ShopDown", "fires-within: 15s"));
    shop.file(
        "schedule.yaml",
        &format!(
            "version: 1\nname: staging\nentries:\n  it:\n    experiments: x.yaml\n    random: {{ mean: 200ms }}\n    \
             only-while:\n      quiet: {{ alert: {{ prometheus: 'http://127.0.0.1:{}', labels: {{ severity: page }} }} }}\n",
            monitors.prometheus
        ),
    );
    // Somebody else's trouble: the services are down before anything begins.
    assert!(shop.squall(["stack", "down", "shop.yaml"]).status.success());
    monitors.until("the alert fires", |m| {
        crate::monitors::get(m.prometheus, "/api/v1/alerts").is_some_and(|alerts| alerts.contains("\"firing\""))
    });

    let daemon = std::process::Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["schedule", "schedule.yaml", "--listen", "off", "--stack", "shop.yaml"])
        .current_dir(shop.dir())
        .env("SQUALL_STATE", shop.dir().join("state"))
        .env("TOKEN", "s3cret")
        .stdout(std::fs::File::create(shop.dir().join("log")).expect("a log"))
        .spawn();
    let mut daemon = Daemon(daemon.expect("it starts"));
    let log = || std::fs::read_to_string(shop.dir().join("log")).unwrap_or_default();
    monitors.until("it is told why nothing starts", |_| log().contains("not started: `quiet`: 2 alerts fire"));
    let daemon_pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(daemon_pid, rustix::process::Signal::TERM).expect("it is there");
    daemon.0.wait().expect("a child");
    let runs = std::fs::read_dir(shop.dir().join("state/runs")).map_or(0, Iterator::count);
    assert_eq!(runs, 0, "{}", log());
}

/// Ends with the test, also where that panics.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
