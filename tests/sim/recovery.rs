//! When steady state is back, and whether it was ever lost.

use std::time::Duration;

use squall::engine::sim::InjectedFailure;
use squall::experiment::{Experiment, OnBreach, Percent, Span};
use squall::record::event::Phase;
use squall::record::state::Comeback;

use crate::harness::{RESTARTING, RunResult, Scenario, compound, experiment};

fn comeback(ran: &RunResult) -> Comeback {
    ran.state.recovery.as_ref().expect("it was awaited").comeback()
}

/// How long after the begin of the rollback its last change was back.
fn rolled_back_after(ran: &RunResult) -> Duration {
    let (begin, _) = ran.state.span_of(Phase::Rollback).expect("it was rolled back");
    let last = ran.state.changes.iter().filter_map(|c| c.rolled_back.as_ref().map(|r| r.at)).max().expect("all of it");
    Duration::try_from(last.duration_since(begin)).expect("it goes forward")
}

/// Whatever happens while the fault is on, it is held to its end.
fn observed(mut x: Experiment) -> Experiment {
    x.on_breach = OnBreach::Observe;
    x
}

#[tokio::test(start_paused = true)]
async fn what_goes_unnoticed_was_never_lost() {
    for fault in ["{ kill: {} }", "{ pause: {} }", "{ kill: { via: host, heal: self } }"] {
        let stack = crate::harness::STACK.replace("zones: [a, b, c]", "restart: true");
        let s = Scenario::on(&stack, experiment(fault, "{ service: shop }"));
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-held", "{fault}: {}", ran.text());
        let recovery = ran.state.recovery.as_ref().unwrap();
        assert_eq!(recovery.of("checkout"), Some(Comeback::NeverLost), "{fault}");
        assert_eq!((comeback(&ran), recovery.rto), (Comeback::NeverLost, Some(Duration::ZERO)), "{fault}");
        assert!(ran.text().ends_with("steady state was never lost"), "{fault}: {}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_only_for_a_while_was_lost() {
    let s = Scenario::new(observed(experiment("{ pause: {} }", "{ service: store }")));
    let ran = s.run().await.unwrap();
    let Comeback::After(rto) = comeback(&ran) else { panic!("it was lost: {}", ran.text()) };
    assert!(rto >= rolled_back_after(&ran) && !rto.is_zero(), "{rto:?}");

    // Some failures in the beginning, within the budget of the whole: long over by the time the other fault is rolled back.
    let store = "{ fault: { pause: {} }, target: { name: store-1 }, for: 300ms }";
    let mut x = compound(&[store, "{ fault: { pause: {} }, target: { name: shop-1 } }"]);
    x.timing.duration = Span(Duration::from_secs(4));
    x.steady_state[0].during.success = Some(Percent(0.5).into());
    x.steady_state[0].expect.p95 = None;
    let ran = Scenario::new(x).run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    assert!(matches!(comeback(&ran), Comeback::After(_)), "{}", ran.text());
}

/// The expectation of the baseline forgives what that of the fault does not.
#[tokio::test(start_paused = true)]
async fn what_broke_its_budget_was_lost_by_any_other() {
    for on_breach in [OnBreach::Abort, OnBreach::Observe] {
        let mut x = experiment("{ kill: { via: host, heal: self } }", "{ service: store }");
        x.steady_state[0].expect.success = Some(Percent(0.1));
        x.steady_state[0].expect.p95 = None;
        x.steady_state[0].during.success = Some(Percent(1.0).into());
        x.on_breach = on_breach;
        let ran = Scenario::on(RESTARTING, x).run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
        assert!(ran.state.recovery.as_ref().is_none_or(|r| r.comeback() != Comeback::NeverLost), "{on_breach:?}");
    }
}

/// The store is back at once, and one of three shops only when its neighbour has served for long.
#[tokio::test(start_paused = true)]
async fn nothing_has_recovered_before_the_last_change_is_rolled_back() {
    let faults =
        ["store-1", "shop-1"].map(|name| format!("{{ fault: {{ pause: {{}} }}, target: {{ name: {name} }} }}"));
    let s = Scenario::new(observed(compound(&faults.each_ref().map(String::as_str))));
    s.sim.fail_calls(|_, what| match what {
        "set shop-1 not paused" => InjectedFailure::Slow(Duration::from_millis(2500)),
        _ => InjectedFailure::None,
    });
    let ran = s.run().await.unwrap();
    let last = rolled_back_after(&ran);
    assert!(last >= Duration::from_millis(2500), "{last:?}");
    let Comeback::After(rto) = comeback(&ran) else { panic!("it was lost: {}", ran.text()) };
    assert!(rto >= last && rto < last + Duration::from_millis(200), "{rto:?} where the last was back after {last:?}");
    s.assert_restored("slow rollback").await;
}

/// The engine pauses the store when steady state seems to be back.
#[tokio::test(start_paused = true)]
async fn what_came_late_has_to_be_recovered_from_as_well() {
    let s = Scenario::new(experiment("{ pause: {} }", "{ service: store }"));
    s.sim.fail_calls(|_, what| match what {
        "set store-1 paused" => InjectedFailure::Unanswered(Duration::from_millis(7550)),
        _ => InjectedFailure::None,
    });
    let ran = s.run().await.unwrap();
    assert!(ran.state.noticed.iter().any(|o| o.what.contains("late")), "{:?}", ran.state.noticed);
    let last = rolled_back_after(&ran);
    assert!(last > Duration::from_secs(5), "{last:?}");
    let Comeback::After(rto) = comeback(&ran) else { panic!("it was lost: {}", ran.text()) };
    assert!(rto >= last && rto < last + Duration::from_secs(1), "{rto:?} where the last was back after {last:?}");
    s.assert_restored("late").await;
}
