//! A fault that goes away while it should be on: its target dies, or another process interferes. Each is seen at that moment, is no
//! verdict, and every report says for how long the fault was really on.

use std::time::Duration;

use squall::engine::sim::{ExternalAction, InjectedFailure, Sim};
use squall::experiment::{Experiment, OnBreach, Span};
use squall::model::instance::InstanceId;
use squall::record::state::RunState;
use squall::report::{Format, render};
use tokio::time::{Instant, sleep};

use crate::harness::{RESTARTING, RunResult, Scenario, compound, experiment};

/// Every fault that is not about the life of its target.
const DISTURBANCES: [&str; 14] = [
    "{ latency: { delay: 10ms } }",
    "{ loss: { percent: 10% } }",
    "{ partition: {} }",
    "{ dns: { answer: timeout } }",
    "{ bandwidth: { rate: 1mbit } }",
    "{ cpu: { load: 20% } }",
    "{ memory: { size: 20MiB } }",
    "{ throttle: { cpu: 50% } }",
    "{ pids: { leave: 0 } }",
    "{ file-descriptors: { leave: 0 } }",
    "{ sockets: { ports: 4 } }",
    "{ disk-fill: { path: /, size: 10MiB } }",
    "{ disk-slow: { write: 1MiB/s } }",
    "{ pause: {} }",
];

/// The fault on the store, for 4 s; nothing that a customer notices ends it.
fn observed(fault: &str) -> Experiment {
    let mut x = experiment(fault, "{ name: store-1 }");
    x.on_breach = OnBreach::Observe;
    x.steady_state[0].during.success = Some(squall::experiment::Percent(0.1).into());
    x.steady_state[0].expect.p95 = None;
    x.timing.duration = Span(Duration::from_secs(4));
    x
}

/// Runs a scenario in which others do something to the store, so long after the first change.
async fn meddled(s: &Scenario, after: Duration, what: ExternalAction) -> RunResult {
    let sim = s.sim.clone();
    let (set, mut hears) = tokio::sync::mpsc::unbounded_channel();
    sim.fail_calls(move |_, call| {
        if call.starts_with("set") {
            let _ = set.send(());
        }
        InjectedFailure::None
    });
    let others = async {
        hears.recv().await;
        sleep(after).await;
        sim.act_on(&InstanceId("store-1".into()), what);
    };
    tokio::join!(s.run(), others).0.expect("its end")
}

/// When the run stopped, since its first change was made.
fn stopped_after(state: &RunState) -> Duration {
    let at = state.stopping.as_ref().expect("it stopped").at;
    Duration::try_from(at.duration_since(state.injected().expect("made"))).expect("later")
}

fn is_near(d: Duration, ms: u64) -> bool {
    d.abs_diff(Duration::from_millis(ms)) <= Duration::from_millis(300)
}

#[tokio::test(start_paused = true)]
async fn a_target_that_dies_midway_is_seen_at_that_moment() {
    for fault in DISTURBANCES {
        for what in [ExternalAction::Kill, ExternalAction::Remove] {
            let s = Scenario::new(observed(fault));
            let ran = meddled(&s, Duration::from_millis(1500), what).await;
            assert_eq!((ran.reason().as_str(), ran.code()), ("fault-vanished", 3), "{fault} {what:?}: {}", ran.text());
            // One that is down may be restarting: that is given a second, and the time that the fault was on is known anyway.
            let restart = if what == ExternalAction::Kill { 1000 } else { 0 };
            let stopped = stopped_after(&ran.state);
            assert!(is_near(stopped, 1500) || is_near(stopped, 1500 + restart), "{fault}: {stopped:?}");
            let on = ran.state.fault_on(0).expect("it was on");
            assert!(is_near(on, 1500), "{fault}: {on:?}");
            for format in [Format::Json, Format::Markdown, Format::Html, Format::Junit] {
                let told = render(&ran.state, format);
                assert!(told.contains("store-1") && told.contains("of 4s"), "{fault}, {format:?}: {told}");
            }
            if what == ExternalAction::Kill {
                s.assert_restored(fault).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_do_to_it_is_seen_and_said() {
    for (fault, what, said) in [
        ("{ latency: { delay: 10ms } }", ExternalAction::Pause, "was paused by another process"),
        ("{ cpu: { load: 20% } }", ExternalAction::Pause, "was paused by another process"),
        ("{ pause: {} }", ExternalAction::Unpause, "is no longer paused"),
        ("{ pause: {} }", ExternalAction::Restart, "was restarted by another process"),
        ("{ latency: { delay: 10ms } }", ExternalAction::Rename, "was renamed to store-1-renamed"),
        ("{ throttle: { cpu: 50% } }", ExternalAction::Rename, "was renamed to store-1-renamed"),
        ("{ partition: {} }", ExternalAction::Disconnect, "was disconnected from the network simulated"),
        ("{ pause: {} }", ExternalAction::Disconnect, "was disconnected from the network simulated"),
        ("{ latency: { delay: 10ms } }", ExternalAction::Flush, "is no longer disturbed in its traffic"),
        ("{ partition: {} }", ExternalAction::Flush, "is no longer disturbed in its traffic"),
        ("{ throttle: { cpu: 50% } }", ExternalAction::ResetLimits, "is no longer limited"),
        ("{ pids: { leave: 0 } }", ExternalAction::ResetLimits, "is no longer limited"),
        ("{ cpu: { load: 20% } }", ExternalAction::ResetLimits, "is no longer"),
        ("{ exec: { run: [a], undo: [b] } }", ExternalAction::Restart, "was restarted after the command had run in it"),
        ("{ exec: { run: [a], undo: [b] } }", ExternalAction::Remove, "was removed by another process"),
    ] {
        let s = Scenario::new(observed(fault));
        let ran = meddled(&s, Duration::from_secs(2), what).await;
        assert_eq!((ran.reason().as_str(), ran.code()), ("fault-vanished", 3), "{fault} {what:?}: {}", ran.text());
        assert!(ran.text().contains(said), "{fault} {what:?}: {}", ran.text());
        assert!(is_near(stopped_after(&ran.state), 2000), "{fault} {what:?}: {:?}", stopped_after(&ran.state));
        assert!(ran.state.noticed.iter().any(|o| o.what.contains(said)), "{:?}", ran.state.noticed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_restarted_is_disturbed_again_and_the_gap_counts_as_off() {
    for fault in ["{ latency: { delay: 10ms } }", "{ throttle: { cpu: 50% } }", "{ cpu: { load: 20% } }"] {
        let s = Scenario::on(RESTARTING, observed(fault));
        let (sim, id) = (s.sim.clone(), InstanceId("store-1".into()));
        let others = async {
            sleep(Duration::from_secs(2)).await;
            sim.act_on(&id, ExternalAction::Kill);
            sleep(Duration::from_secs(1)).await;
            sim.act_on(&id, ExternalAction::Restart);
        };
        let ran = tokio::join!(s.run(), others).0.expect("its end");
        assert_eq!(ran.reason(), "hypothesis-held", "{fault}: {}", ran.text());
        let on = ran.state.fault_on(0).expect("it was on");
        assert!(is_near(on, 3000), "{fault}: {on:?}");
        s.assert_restored(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_restarted_too_late_to_be_disturbed_again_is_no_pass() {
    let mut too_late = 0;
    for after in (3500..4000).step_by(50) {
        let s = Scenario::new(observed("{ latency: { delay: 10ms } }"));
        let ran = meddled(&s, Duration::from_millis(after), ExternalAction::Restart).await;
        let again = ran.state.changes.len() > 1 && ran.state.current().all(|c| c.injected.is_some());
        match (ran.code(), ran.reason().as_str()) {
            (0, _) => assert!(again, "{after} ms: {}", ran.text()),
            (3, "fault-vanished") => too_late += 1,
            other => panic!("{after} ms: {other:?}: {}", ran.text()),
        }
        s.assert_restored("latency").await;
    }
    assert!(too_late > 0, "no moment was too late");
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_down_is_not_waited_for_for_ever() {
    let mut x = observed("{ latency: { delay: 10ms } }");
    for (duration, stopped) in [(20, 6000), (3, 3000)] {
        x.timing.duration = Span(Duration::from_secs(duration));
        let s = Scenario::on(RESTARTING, x.clone());
        let ran = meddled(&s, Duration::from_secs(1), ExternalAction::Kill).await;
        assert_eq!(ran.reason(), "fault-vanished", "{}", ran.text());
        assert!(is_near(stopped_after(&ran.state), stopped), "{:?}", stopped_after(&ran.state));
        assert!(is_near(ran.state.fault_on(0).expect("it was on"), 1000));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_end_a_life_by_its_very_effect_is_no_interference() {
    for fault in ["{ memory: { size: 20MiB, oom: allow } }", "{ throttle: { memory: 80% } }"] {
        let s = Scenario::new(observed(fault));
        let ran = meddled(&s, Duration::from_millis(1500), ExternalAction::Kill).await;
        assert_ne!(ran.reason(), "fault-vanished", "{fault}: {}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_run_does_to_a_target_itself_is_no_interference() {
    // A fault of traffic on what another fault freezes.
    let slow = "{ fault: { latency: { delay: 10ms } }, target: { name: shop-1 } }";
    let frozen = "{ fault: { pause: {} }, target: { name: shop-1 }, after: 500ms, for: 500ms }";
    let s = Scenario::new(compound(&[slow, frozen]));
    let ran = s.run().await.expect("its end");
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let on = |fault| ran.state.fault_on(fault).expect("it was on");
    assert!(is_near(on(0), 1500) && is_near(on(1), 500), "{:?}", (on(0), on(1)));
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_lifecycle_fault_was_on_is_from_its_injection_to_its_rollback() {
    for fault in ["{ kill: {} }", "{ stop: { timeout: 1s } }", "{ pause: {} }"] {
        let begin = Instant::now();
        let s = Scenario::within(Sim::of_stack(&serde_yaml::from_str(crate::harness::STACK).unwrap()), observed(fault));
        let ran = s.run().await.expect("its end");
        assert!(begin.elapsed() > Duration::from_secs(4));
        assert!(is_near(ran.state.fault_on(0).expect("it was on"), 4000), "{fault}: {:?}", ran.state.fault_on(0));
    }
}

/// What died with the fault and cannot be started again is named, with what the engine answers and what to type.
#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_started_again_is_named() {
    let s = Scenario::new(observed("{ latency: { delay: 10ms } }"));
    let begin = tokio::time::Instant::now();
    let mut is_dead = false;
    s.sim.fail_calls(move |_, what| {
        let dies = !is_dead && what == "look" && begin.elapsed() >= Duration::from_secs(4);
        is_dead |= dies;
        match what {
            _ if dies => InjectedFailure::Meanwhile(InstanceId("store-1".into()), ExternalAction::Kill),
            "set store-1 running" => InjectedFailure::Fail,
            _ => InjectedFailure::None,
        }
    });
    let ran = s.run().await.expect("it ends");
    assert_eq!((ran.reason().as_str(), ran.code()), ("left-behind", 4), "{}", ran.text());
    let said = "store-1 could not be restored: it was running, and is not running (";
    assert!(ran.text().contains(said) && ran.text().contains("the sim was told to refuse"), "{}", ran.text());
    for format in [Format::Json, Format::Markdown, Format::Html, Format::Junit] {
        let told = render(&ran.state, format);
        assert!(
            told.contains("store-1: it was running") || told.contains("\"what\": \"it was running"),
            "{format:?}: {told}"
        );
    }
}
