//! Ends that no plan foresees: a bug in a phase, a journal that takes no more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::{InjectedFailure, SimProber};
use squall::experiment::probe::{Answer, Prober};

use crate::harness::{Disk, Scenario, compound, experiment};

/// A prober with a bug: it panics once a change is made.
struct Bug {
    prober: SimProber,
    disk: Disk,
}

#[async_trait]
impl Prober for Bug {
    async fn ask(&self, check: &str) -> Answer {
        let is_made = self.disk.state().changes.iter().any(|c| c.injected.is_some());
        assert!(!is_made, "a bug of this prober");
        self.prober.ask(check).await
    }
}

/// A bug in Squall breaks no hypothesis.
#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_could_not_ask() {
    let s = Scenario::new(experiment("{ pause: {} }", "{ service: store }"));
    let prober = SimProber::new(s.sim.clone(), s.experiment.all_checks().iter());
    let ran = s.run_with(Arc::new(Bug { prober, disk: s.disk.clone() })).await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("not-measured", 3), "{}", ran.text());
    assert!(ran.text().contains("a bug in Squall"), "{}", ran.text());
    s.assert_restored("the probe panicked").await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_fault_is_on_is_rolled_back_and_told() {
    for fault in ["{ pause: {} }", "{ kill: {} }", "{ latency: { delay: 50ms } }"] {
        let s = Scenario::new(experiment(fault, "{ service: store }"));
        let disk = s.disk.clone();
        let mut is_done = false;
        s.sim.fail_calls(move |_, what| {
            let is_on = what == "look" && disk.state().changes.iter().any(|c| c.injected.is_some());
            assert!(is_done || !is_on, "{}", {
                is_done = true;
                "a bug of this engine"
            });
            InjectedFailure::None
        });
        let ran = s.run().await.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("panicked", 3), "{fault}: {}", ran.text());
        assert!(ran.text().contains("a bug of this engine"), "{fault}: {}", ran.text());
        assert!(ran.state.changes.iter().all(|c| c.rolled_back.is_some()), "{fault}");
        s.assert_restored(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_recorded_is_not_carried_out() {
    let mut failed = 0;
    for writes in 1..60 {
        let s = Scenario::new(experiment("{ pause: {} }", "{ service: store }"));
        *s.disk.room.lock().unwrap() = Some(writes);
        let ran = s.run().await.unwrap();
        if ran.reason() == "journal-failed" && ran.state.changes.is_empty() {
            failed += 1;
            assert_eq!(ran.code(), 3, "{}", ran.text());
            assert!(ran.text().contains("nothing was touched"), "{}", ran.text());
        }
        let is_begun = ran.state.changes.iter().any(|c| c.injecting.is_some());
        assert!(
            !is_begun || !s.written().changes.is_empty(),
            "{writes}: a change is made, and its plan is not on disk"
        );
        s.assert_restored("full").await;
    }
    assert!(failed > 0, "the plan is the write that fails, for one number of writes at least");
}

/// The engine takes its time to say that it has made a change, which has broken the system meanwhile.
#[tokio::test(start_paused = true)]
async fn a_breach_before_the_engine_has_answered_is_recorded_and_rolled_back() {
    for (fault, set) in [
        ("{ pause: {} }", "set store-1 paused"),
        ("{ kill: {} }", "set store-1 killed"),
        ("{ stop: {} }", "set store-1 stopped"),
    ] {
        let s = Scenario::new(experiment(fault, "{ service: store }"));
        s.sim.fail_calls(move |_, what| {
            if what.starts_with(set) {
                InjectedFailure::SlowAnswer(Duration::from_secs(3))
            } else {
                InjectedFailure::None
            }
        });
        let ran = s.run().await.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-broken", 1), "{fault}: {}", ran.text());
        assert!(ran.state.changes[0].injected.is_none(), "{fault}: the engine has not answered by then");
        assert!(ran.state.changes[0].is_verified(), "{fault}: its target shows it");
        s.assert_restored(fault).await;
        assert!(s.written().damaged.is_empty(), "{fault}: {:?}", s.written().damaged);
    }
}

/// One machine of several may be cut off: what is looked at there must not keep the fault on everywhere else.
#[tokio::test(start_paused = true)]
async fn a_look_that_is_not_answered_ends_the_run() {
    let s = Scenario::new(experiment("{ pause: {} }", "{ service: shop, pick: 1 }"));
    let disk = s.disk.clone();
    s.sim.fail_calls(move |_, what| {
        let is_on = || disk.state().changes.iter().any(|c| c.is_verified() && c.rolling_back.is_none());
        if what == "look" && is_on() { InjectedFailure::Slow(Duration::from_mins(5)) } else { InjectedFailure::None }
    });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("engine-failed", 3), "{}", ran.text());
    assert!(ran.text().contains("no answer within 5s"), "{}", ran.text());
    let change = &ran.state.changes[0];
    let on = change.rolling_back.unwrap().duration_since(change.injected.as_ref().unwrap().at);
    assert!(on.as_secs() < 10, "it was on for {on:?}");
    s.assert_restored("a look was not answered").await;
}

/// What only an answer tells is not said before it.
#[tokio::test(start_paused = true)]
async fn a_command_that_still_runs_at_a_breach_has_not_ended_with_status_0() {
    let frozen = "{ fault: { pause: {} }, target: { service: store } }";
    let slow = "{ fault: { exec: { run: [touch, x], undo: [rm, x], timeout: 10s } }, target: { name: shop-1 } }";
    let s = Scenario::new(compound(&[frozen, slow]));
    s.sim.fail_calls(|_, what| {
        if what.contains("`touch x`") {
            InjectedFailure::SlowAnswer(Duration::from_secs(5))
        } else {
            InjectedFailure::None
        }
    });
    let ran = s.run().await.unwrap();
    let command = ran.state.changes.iter().find(|c| c.change.name == "shop-1").unwrap();
    assert!(command.verification.is_none() && command.injected.is_none(), "{command:?}");
    assert!(command.rolled_back.is_some(), "its undo ran");
    assert!(ran.state.breach().is_some() && ran.code() != 0, "{}", ran.text());
    s.assert_restored("a command on its way").await;
    assert!(s.written().damaged.is_empty(), "{:?}", s.written().damaged);
}
