//! Outages of zones in the sim's world: what the others and customers meet meanwhile, who returns when, and that a crash in
//! the middle of it is rolled back whole.

use std::time::Duration;

use squall::engine::sim::InjectedFailure;
use squall::experiment::{Experiment, OnBreach, Pick};
use squall::model::instance::{RestartPolicy, Setting};
use squall::record::event::Reason;
use squall::report::{Format, render};
use squall::run::abort::Level;

use crate::harness::{RunResult, Scenario, experiment};

/// A gateway in no zone before shops in three zones, each restarted by its engine; callers notice in a quarter of a second.
const ZONED: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [shop], failover: 250ms }
  shop: { command: [x], replicas: 6, zones: [a, b, c], port: 8081, failover: 250ms, restart: true, needs: [store] }
  store: { command: [x], replicas: 4, zones: [a, b, c], port: 8090, failover: 250ms }
";

const MODES: [&str; 4] = [
    "{ mode: power }",
    "{ mode: isolate }",
    "{ mode: freeze }",
    "{ mode: degrade, delay: 20ms, loss: { percent: '5%' } }",
];

/// One zone goes out while customers ask who serves them.
fn outage(of: &str, target: &str) -> Experiment {
    let mut x = experiment(&format!("{{ zone-outage: {of} }}"), target);
    let checkout: serde_json::Value = serde_yaml::from_str(
        "{ http: { url: 'http://127.0.0.1:8080/checkout', answered-by: { header: x-served-by } }, rate: 40/s, timeout: 100ms,
           expect: { success: 99%, p95: 300ms }, during: { success: 80%, max-outage: 600ms } }",
    )
    .expect("a check");
    x.steady_state.insert("checkout".to_owned(), serde_json::from_value(checkout).expect("a check"));
    x.blast_radius.max_instances = None;
    x.blast_radius.max_zones = Some(1);
    x.blast_radius.min_healthy = Some(2);
    x.timing.duration = squall::experiment::Span(Duration::from_secs(4));
    x.timing.recovery = squall::experiment::Span(Duration::from_secs(8));
    x
}

async fn run(scenario: &Scenario) -> RunResult {
    scenario.run().await.expect("no process dies")
}

fn targeted(ran: &RunResult) -> Vec<&str> {
    ran.state.targeted.iter().map(|i| i.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn in_every_mode_the_other_zones_serve_and_the_zone_comes_back() {
    for mode in MODES {
        let s = Scenario::on(ZONED, outage(mode, "{ zone: b }"));
        let ran = run(&s).await;
        assert_eq!(ran.reason(), "hypothesis-held", "{mode}: {}", ran.text());
        assert_eq!(targeted(&ran), ["shop-2", "shop-5", "store-2"], "{mode}: everything in the zone, and nothing else");
        let clock = ran.state.failover["checkout"];
        assert!(clock.told && clock.served_ms.is_some_and(|ms| ms < 1000), "{mode}: {clock:?}");
        if mode != MODES[3] {
            // It was out, and serves again.
            let during = answers(&ran, squall::record::event::Phase::During);
            assert!(during.iter().all(|(who, _)| !["shop-2", "shop-5"].contains(&who.as_str())), "{mode}: {during:?}");
            assert!(clock.returned_ms.is_some_and(|ms| ms < 500), "{mode}: {clock:?}");
        }
        s.assert_restored(mode).await;
    }
}

/// Who answered in a phase but for its first second, and how often.
fn answers(ran: &RunResult, phase: squall::record::event::Phase) -> Vec<(String, u64)> {
    let windows = &ran.state.checks["checkout"].windows;
    let begin = windows.iter().find(|w| w.phase == phase).expect("the phase").from;
    let settled = windows.iter().filter(|w| w.phase == phase && w.from >= begin + Duration::from_secs(1));
    settled.flat_map(|w| w.by.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn with_the_only_store_in_the_zone_it_breaks_is_aborted_and_restored() {
    let alone = ZONED.replace("replicas: 4, zones: [a, b, c], port: 8090", "zones: [b], port: 8090");
    for mode in &MODES[..3] {
        let mut x = outage(mode, "{ zone: b }");
        x.blast_radius.min_healthy = None;
        let s = Scenario::on(&alone, x);
        let ran = run(&s).await;
        assert_eq!(ran.reason(), "hypothesis-broken", "{mode}: {}", ran.text());
        assert!(ran.state.stopped_in().is_some_and(|d| d < Duration::from_secs(1)), "{mode}");
        let clock = ran.state.failover["checkout"];
        assert_eq!(clock.served_ms, None, "{mode}: {clock:?}");
        assert!(clock.returned_ms.is_some(), "{mode}: {clock:?}");
        s.assert_restored(mode).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_power_nobody_restarts_it_and_its_policies_are_as_before() {
    let s = Scenario::on(ZONED, outage("{ mode: power }", "{ zone: b }"));
    let ran = run(&s).await;
    let aside = Setting::RestartPolicy(RestartPolicy::Never);
    let policies = ran.state.changes.iter().filter(|c| c.change.to == aside).collect::<Vec<_>>();
    assert_eq!(policies.len(), 2, "both shops have one, and the store has none");
    let last = policies.iter().filter_map(|c| c.injected.as_ref()).map(|i| i.at).max().expect("they are set aside");
    let killed = ran.state.changes.iter().filter(|c| matches!(c.change.to, Setting::Killed(_)));
    assert!(
        killed.into_iter().all(|c| c.injecting.is_some_and(|at| at >= last)),
        "all policies before the first death"
    );
    assert!(ran.state.targeted.iter().all(|i| i.restarts == 0));
    assert!(s.sim.peek().iter().all(|i| i.restarts == 0), "none was restarted by its engine");
}

#[tokio::test(start_paused = true)]
async fn zones_are_picked_whole_and_inside_the_limits() {
    let mut x = outage("{ mode: freeze }", "{ pick: { zones: 1 } }");
    assert_eq!(x.faults()[0].pick(), Pick::Zones(1));
    let ran = run(&Scenario::on(ZONED, x.clone())).await;
    let zones: std::collections::BTreeSet<_> = ran.state.targeted.iter().map(|i| i.zone.clone()).collect();
    assert_eq!(zones.len(), 1);
    assert!(
        ran.state.targeted.len() >= 3 && !targeted(&ran).contains(&"gateway-1"),
        "the gateway is in no zone: {:?}",
        targeted(&ran)
    );

    // The default, among what the target means; what it does not mean goes on, and people are told.
    let ran = run(&Scenario::on(ZONED, outage("{ mode: freeze }", "{ service: shop }"))).await;
    assert_eq!(ran.state.targeted.len(), 2, "{:?}", targeted(&ran));
    assert!(
        ran.state.warnings.iter().any(|w| w.contains("store-") && w.contains("not targeted")),
        "{:?}",
        ran.state.warnings
    );

    x.blast_radius.min_healthy = Some(5);
    let ran = run(&Scenario::on(ZONED, x.clone())).await;
    assert_eq!(ran.reason(), "refused", "{}", ran.text());
    assert!(ran.text().contains("min-healthy"), "{}", ran.text());

    let x = outage("{ mode: freeze }", "{ pick: { zones: 2 } }");
    let ran = run(&Scenario::on(ZONED, x)).await;
    assert!(ran.text().contains("max-zones") || ran.text().contains("min-healthy"), "{}", ran.text());
}

const STAGED: &str = "{ mode: power, return: { every: 1s } }";

/// When the instances were started again, in seconds from the first.
fn returned(ran: &RunResult) -> Vec<(String, u128)> {
    let mut back: Vec<_> = ran
        .state
        .changes
        .iter()
        .filter(|c| matches!(c.change.to, Setting::Killed(_)))
        .map(|c| (c.rolling_back.expect("it is rolled back"), c.change.name.clone()))
        .collect();
    back.sort();
    let first = back[0].0;
    let since = |at: jiff::Timestamp| Duration::try_from(at.duration_since(first)).unwrap_or_default();
    back.into_iter().map(|(at, name)| (name, (since(at).as_millis() + 500) / 1000)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_zone_comes_back_one_by_one_where_its_time_is_over() {
    let s = Scenario::on(ZONED, outage(STAGED, "{ zone: b }"));
    let ran = run(&s).await;
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let want = [("shop-2", 0), ("shop-5", 1), ("store-2", 2)].map(|(name, at)| (name.to_owned(), at));
    assert_eq!(returned(&ran), want);
    s.assert_restored("staged").await;

    // Recovery counts from the first of them, in every report.
    let report: serde_json::Value = serde_json::from_str(&render(&ran.state, Format::Json)).expect("JSON");
    let moment =
        |value: &serde_json::Value| value.as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let phases = report["phases"].as_array().expect("a list");
    let back = phases.iter().find(|p| p["phase"] == "rollback").expect("a rollback");
    let rto = ran.state.recovery.as_ref().and_then(|r| r.rto).expect("it came back");
    let took = moment(&report["recovery"]["recovered"]).duration_since(moment(&back["began"]));
    assert_eq!(Duration::try_from(took).expect("it is later"), rto);
    assert_eq!(report["recovery"]["rto-ms"], u64::try_from(rto.as_millis()).expect("it is short"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stopped_comes_back_at_once() {
    // While the fault is on, and in the middle of a staged return.
    for after in [2500, 5500] {
        let s = Scenario::on(ZONED, outage(STAGED, "{ zone: b }"));
        let handle = s.handle.clone();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(after)).await;
            handle.stop(Level::RollBack, Reason::Interrupted, "SIGINT");
        };
        let (ran, ()) = tokio::join!(run(&s), stop);
        let last = returned(&ran).last().expect("somebody").1;
        assert!(last <= 1, "after {after} ms: {:?}", returned(&ran));
        s.assert_restored("stopped").await;
    }
}

/// The runner dies at every call of the engine in the middle of a staged return; whoever comes next takes all of it back.
#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_in_an_outage_is_rolled_back_whole() {
    for mode in [STAGED, "{ mode: isolate, return: { every: 300ms } }", "{ mode: freeze, return: { every: 300ms } }"] {
        let mut x = outage(mode, "{ zone: b }");
        x.timing.duration = squall::experiment::Span(Duration::from_millis(1500));
        x.on_breach = OnBreach::Observe;
        let calls = {
            let s = Scenario::on(ZONED, x.clone());
            s.sim.fail_calls(|_, _| InjectedFailure::None);
            let ran = run(&s).await;
            assert!(ran.state.stopping.is_none(), "{mode}: it comes back by plan: {}", ran.text());
            s.sim.calls()
        };
        for at in 0..calls {
            for after in [false, true] {
                let s = Scenario::on(ZONED, x.clone());
                s.sim.fail_calls(move |n, _| match (n == at, after) {
                    (true, true) => InjectedFailure::CrashAfter,
                    (true, false) => InjectedFailure::CrashBefore,
                    _ => InjectedFailure::None,
                });
                if s.run().await.is_none() {
                    s.sim.fail_calls(|_, _| InjectedFailure::None);
                    assert!(s.recover().await, "{mode}: nobody dies twice");
                }
                s.assert_restored(&format!("{mode}, call {at}")).await;
            }
        }
    }
}
