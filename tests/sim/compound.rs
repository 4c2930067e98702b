//! Several faults in one run: each in its own time, what does not go together, and the limits on all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use squall::engine::sim::{ExternalAction, InjectedFailure};
use squall::experiment::{OnBreach, Percent, Span};
use squall::model::instance::InstanceId;
use squall::record::event::Restored;
use squall::record::event::{Phase, Reason};
use squall::record::state::{RunState, Stopping};

use crate::harness::{RunResult, Scenario, compound};

const SLOW: &str = "{ fault: { latency: { delay: 20ms, to: { service: shop } } }, target: { service: gateway } }";
const FROZEN: &str = "{ fault: { pause: {} }, target: { service: shop }, after: 500ms, for: 400ms }";

/// From when to when each change was on, since the beginning of the fault phase (ms).
fn times(ran: &RunResult) -> Vec<(i128, i128)> {
    let (began, _) = ran.state.span_of(Phase::During).expect("the fault phase");
    let since = |at: jiff::Timestamp| at.duration_since(began).as_millis();
    let changes = ran.state.changes.iter();
    changes.map(|c| (since(c.injected.expect("made").at), since(c.rolled_back.expect("rolled back").at))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_own_time() {
    let s = Scenario::new(compound(&[SLOW, FROZEN]));
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let [slow, frozen] = times(&ran)[..] else { panic!("{:?}", ran.state.changes) };
    assert!(slow.0 < 50 && (1500..1600).contains(&slow.1), "{slow:?}");
    assert!((500..550).contains(&frozen.0) && (900..950).contains(&frozen.1), "{frozen:?}");
    assert_eq!(ran.state.changes.iter().map(|c| c.change.fault).collect::<Vec<_>>(), [0, 1]);
    assert!(ran.state.changes.iter().all(squall::record::state::ChangeState::is_verified), "both are proven");
    assert_eq!(ran.state.targeted.len(), 2);
    s.assert_restored("compound").await;
}

#[tokio::test(start_paused = true)]
async fn what_one_fault_has_changed_another_one_does_not_take_back() {
    let slow = "{ fault: { latency: { delay: 20ms } }, target: { name: shop-1 } }";
    let frozen = "{ fault: { pause: {} }, target: { name: shop-1 }, after: 600ms, for: 300ms }";
    for faults in [[slow, frozen], [frozen, slow]] {
        let s = Scenario::new(compound(&faults));
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
        let mut times = times(&ran);
        times.sort_unstable();
        assert!(times[0].1 >= 1500 && times[1].1 < 1000, "the traffic is disturbed to the end: {times:?}");
        let restored = Restored::as_before("shop-1");
        assert_eq!(ran.state.restored, [restored]);
        s.assert_restored("both on one").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_together_is_refused_at_the_same_time_and_done_one_after_the_other() {
    for (one, other, want) in [
        ("pause: {}", "pause: {}", "its freezer"),
        ("latency: { delay: 10ms }", "bandwidth: { rate: 1mbit }", "its traffic"),
        ("kill: {}", "pause: {}", "ends a life"),
        ("kill: {}", "kill: {}", "its main process"),
        ("restart: {}", "latency: { delay: 10ms }", "ends a life"),
        ("latency: { delay: 10ms }", "restart: {}", "ends a life"),
        ("restart: {}", "restart: {}", "its main process"),
        ("pause: {}", "exec: { run: [a], undo: [b] }", "while it is frozen"),
    ] {
        let first = format!("{{ fault: {{ {one} }}, target: {{ name: shop-1 }}, for: 700ms }}");
        let second = |after: &str| format!("{{ fault: {{ {other} }}, target: {{ name: shop-1 }}, after: {after} }}");
        let s = Scenario::new(compound(&[&first, &second("700ms")]));
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-held", "{one} and {other}: {}", ran.text());
        assert!(
            ran.state.changes.len() == 2
                && ran.state.changes.iter().all(squall::record::state::ChangeState::is_verified),
            "{one}, then {other}"
        );
        s.assert_restored("one after the other").await;
        // What is over at once overlaps with nothing.
        if one == "restart: {}" {
            continue;
        }
        let second = second("300ms");
        let s = Scenario::new(compound(&[&first, &second]));
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "refused", "{one} and {other}: {}", ran.text());
        assert!(ran.text().contains(want) && ran.text().contains("shop-1"), "{}", ran.text());
        assert!(ran.state.changes.is_empty(), "nothing was planned");
        s.assert_restored("refused").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_comes_again_and_again_each_time_on_the_life_of_then() {
    let again = "{ fault: { kill: {} }, target: { service: shop }, for: 100ms, every: 500ms }";
    let mut x = compound(&[again]);
    x.blast_radius.max_instances = Some(1);
    x.steady_state[0].during.success = Some(Percent(0.5).into());
    let s = Scenario::new(x);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let began: Vec<i128> = times(&ran).iter().map(|(from, _)| from / 500).collect();
    assert_eq!(began, [0, 1, 2], "{:?}", times(&ran));
    assert!(ran.state.changes.iter().all(|c| c.is_verified() && !ran.state.on_time(c).is_zero()));
    let lives: BTreeSet<&str> = ran.state.changes.iter().map(|c| c.change.epoch.0.as_str()).collect();
    assert_eq!(lives.len(), 3, "each targeted another life: {lives:?}");
    assert_eq!(ran.state.targeted.len(), 1);
    s.assert_restored("again and again").await;
}

#[tokio::test(start_paused = true)]
async fn what_dies_in_the_second_fault_is_seen_although_the_first_ended_a_life_of_it() {
    let restart = "{ fault: { restart: {} }, target: { name: store-1 } }";
    let slow = "{ fault: { latency: { delay: 10ms } }, target: { name: store-1 }, after: 1s }";
    let mut x = compound(&[restart, slow]);
    x.on_breach = OnBreach::Observe;
    x.steady_state[0].during.success = Some(Percent(0.1).into());
    x.steady_state[0].expect.p95 = None;
    x.timing.duration = Span(Duration::from_secs(6));
    let s = Scenario::new(x);
    let begin = tokio::time::Instant::now();
    let mut done = false;
    s.sim.fail_calls(move |_, what| {
        let now = !done && what == "look" && begin.elapsed() >= Duration::from_secs(4);
        done |= now;
        if now {
            InjectedFailure::Meanwhile(InstanceId("store-1".into()), ExternalAction::Kill)
        } else {
            InjectedFailure::None
        }
    });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("fault-vanished", 3), "{}", ran.text());
    assert!(ran.text().contains("store-1 went down"), "{}", ran.text());
    s.assert_restored("dead midway").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_up_again_is_not_targeted_again() {
    // What should start it again does not.
    let again = "{ fault: { kill: { heal: self } }, target: { name: shop-1 }, every: 700ms }";
    let mut x = compound(&[again]);
    x.steady_state[0].during.success = Some(Percent(0.3).into());
    let s = Scenario::new(x);
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("target-changed", 3), "{}", ran.text());
    assert!(ran.text().contains("was not up again after the fault before"), "{}", ran.text());
    s.assert_restored("not up again").await;
}

#[tokio::test(start_paused = true)]
async fn the_limits_are_on_everybody_who_is_targeted_by_any_fault() {
    let hits = |name: &str, times: &str| format!("{{ fault: {{ pause: {{}} }}, target: {{ name: {name} }}{times} }}");
    let [one, other] = [hits("shop-1", ", for: 100ms"), hits("shop-2", ", after: 1s")];
    let mut x = compound(&[&one, &other]);
    x.blast_radius.max_instances = Some(1);
    let ran = Scenario::new(x.clone()).run().await.unwrap();
    assert_eq!(ran.reason(), "refused", "{}", ran.text());
    assert!(ran.text().contains("2 instances"), "{}", ran.text());
    x.blast_radius.max_instances = None;
    // One at a time: those that are targeted earlier or later are among the healthy.
    x.blast_radius.min_healthy = Some(2);
    let s = Scenario::new(x.clone());
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    x.blast_radius.min_healthy = Some(3);
    let ran = Scenario::new(x.clone()).run().await.unwrap();
    assert!(ran.text().contains("only 2 healthy"), "{}", ran.text());
    // At the same time, for a moment.
    let mut both = compound(&[&one.replace("100ms", "1001ms"), &other]);
    both.blast_radius = x.blast_radius.clone();
    both.blast_radius.min_healthy = Some(2);
    let ran = Scenario::new(both).run().await.unwrap();
    assert!(ran.text().contains("only 1 healthy"), "{}", ran.text());
    x.blast_radius.min_healthy = Some(2);

    // One of those that are left goes down while the first fault is on: the second one is not made any more.
    let s = Scenario::new(x);
    let is_on = |state: &RunState| state.changes.first().is_some_and(|c| c.injected.is_some());
    s.act_when("observe", is_on, ("shop-3", ExternalAction::Kill));
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "refused", "{}", ran.text());
    assert!(ran.text().contains("just before the injection"), "{}", ran.text());
    assert!(ran.state.changes[1].injecting.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_early_makes_nothing_more() {
    let late = "{ fault: { stop: { timeout: 10s } }, target: { name: shop-1 }, after: 1400ms }";
    let s = Scenario::new(compound(&["{ fault: { pause: {} }, target: { service: store } }", late]));
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
    assert!(ran.state.changes[1].injecting.is_none(), "it was not begun");
    let abort = ran.state.stopped_in().unwrap();
    assert!(abort < Duration::from_millis(200), "what was never begun is not waited for: {abort:?}");
    s.assert_restored("broken early").await;

    let s = Scenario::new(compound(&[SLOW, late]));
    let handle = s.handle.clone();
    let (ran, ()) = tokio::join!(s.run(), async move {
        tokio::time::sleep(Duration::from_millis(1800)).await;
        handle.press(Reason::Interrupted, "SIGINT");
    });
    let ran = ran.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("interrupted", 3), "{}", ran.text());
    assert!(ran.state.changes[1].injecting.is_none());
    s.assert_restored("interrupted").await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_lasts_in_its_own_time_and_no_longer() {
    let meddled = async |at: Duration| {
        let s = Scenario::new(compound(&[SLOW, FROZEN]));
        let begin = tokio::time::Instant::now();
        let mut done = false;
        s.sim.fail_calls(move |_, what| {
            let now = !done && what == "look" && begin.elapsed() >= at;
            done |= now;
            // Whoever it is, all shops are let go.
            if now {
                InjectedFailure::Meanwhile(InstanceId("shop-1".into()), ExternalAction::Unpause)
            } else {
                InjectedFailure::None
            }
        });
        s
    };
    let mut target = Scenario::new(compound(&[SLOW, FROZEN]));
    // The seed whose target is the one that is meddled with.
    for seed in 0.. {
        target = Scenario::new(compound(&[SLOW, FROZEN]));
        target.seed = seed;
        let ran = target.run().await.unwrap();
        if ran.state.changes[1].change.name == "shop-1" {
            break;
        }
    }
    for (at, want) in [(1600, "fault-vanished"), (2000, "hypothesis-held")] {
        let mut s = meddled(Duration::from_millis(at)).await;
        s.seed = target.seed;
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), want, "{at} ms: {}", ran.text());
        s.assert_restored(want).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_cannot_be_rolled_back_in_its_time_ends_the_run() {
    let s = Scenario::new(compound(&[SLOW, FROZEN]));
    s.sim.fail_calls(|_, what| if what.contains("not paused") { InjectedFailure::Fail } else { InjectedFailure::None });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("left-behind", 4), "{}", ran.text());
    let Stopping { why, text, .. } = ran.state.stopping.clone().expect("it stopped");
    assert!(why == Reason::EngineFailed && text.contains("fault 2"), "{text}");
    s.sim.fail_calls(|_, _| InjectedFailure::None);
    assert!(s.recover().await);
    s.assert_restored("recovered later").await;
}

const RESTARTING: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [store] }
  store: { command: [x], port: 8090, replicas: 2, restart: true }
";

#[tokio::test(start_paused = true)]
async fn self_healing_is_measured_from_the_last_injection() {
    let crash = |name: &str, times: &str| {
        format!("{{ fault: {{ kill: {{ via: host, heal: self }} }}, target: {{ name: {name} }}{times} }}")
    };
    let mut x = compound(&[&crash("store-1", ""), &crash("store-2", ", after: 1s")]);
    x.steady_state[0].during.success = Some(Percent(0.3).into());
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::on(RESTARTING, x);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let rto = ran.state.recovery.as_ref().unwrap().rto.unwrap();
    assert!(rto < Duration::from_millis(450), "{rto:?}");
    s.assert_restored("heal").await;
}
