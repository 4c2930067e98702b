//! What runs come to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::{ExternalAction, InjectedFailure, SimProber};
use squall::experiment::probe::{Answer, Prober};
use squall::model::exit::Verdict;
use squall::model::instance::InstanceId;
use squall::record::event::Reason;
use squall::record::state::{ChangeState, RunState};
use squall::run::abort::Level;

use crate::harness::{RESTARTING, Scenario, experiment};

const ONE_SHOP: &str = "{ service: shop }";
const STORE: &str = "{ service: store }";

#[tokio::test(start_paused = true)]
async fn losing_one_of_three_goes_unnoticed() {
    for fault in [
        "{ kill: {} }",
        "{ stop: { timeout: 1s } }",
        "{ pause: {} }",
        "{ restart: {} }",
        "{ pids: {} }",
        "{ cpu: { cores: 1 } }",
        "{ memory: { size: 64MiB } }",
        "{ disk-fill: { path: /, to: 95% } }",
    ] {
        let s = Scenario::new(experiment(fault, ONE_SHOP));
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-held", "{fault}: {}", ran.text());
        assert_eq!(ran.code(), 0);
        assert_eq!(ran.state.targeted.len(), 1);
        assert!(ran.state.recovery.as_ref().unwrap().rto.is_some());
        s.assert_restored(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_breaks_it_at_the_first_failure_beyond_the_budget() {
    let s = Scenario::new(experiment("{ pause: {} }", STORE));
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-broken", 1), "{}", ran.text());
    // 30 samples, 95 %: one may fail, the second breaks it. It is known when the second has been in flight for the p95
    // bound or its timeout, whichever comes first.
    let during = ran.state.breach().unwrap();
    assert!(ran.state.stopped_in().unwrap() <= Duration::from_millis(10), "{:?}", ran.state.stopped_in());
    assert!(!during.standing.held);
    s.assert_restored("pause of the store").await;
}

#[tokio::test(start_paused = true)]
async fn observing_holds_the_fault_to_its_end() {
    let mut x = experiment("{ kill: {} }", STORE);
    x.on_breach = squall::experiment::OnBreach::Observe;
    let s = Scenario::new(x);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
    let (from, to) = ran.state.span_of(squall::record::event::Phase::During).unwrap();
    assert!(to.duration_since(from) >= jiff::SignedDuration::from_millis(1500), "held for its whole time");
    s.assert_restored("observe").await;
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_is_not_met_touches_nothing() {
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    s.sim.act_on(&InstanceId("store-1".into()), ExternalAction::Kill);
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("baseline-not-met", 3));
    assert!(ran.state.changes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_that_matches_is_no_verdict() {
    let s = Scenario::new(experiment("{ kill: {} }", "{ service: nobody }"));
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("no-target", 3));
}

#[tokio::test(start_paused = true)]
async fn the_blast_radius_refuses() {
    let s = Scenario::new(experiment("{ kill: {} }", "{ service: shop, pick: all }"));
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("refused", 3));
    assert!(ran.text().contains("max-instances"), "{}", ran.text());
    s.assert_restored("refused").await;
}

/// Everybody is chosen and the guard stands: what comes next is the last look before the injection.
fn is_planned(state: &RunState) -> bool {
    !state.guards.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_healthy_neighbour_lost_during_the_baseline_refuses() {
    let mut x = experiment("{ kill: {} }", "{ name: shop-2 }");
    x.blast_radius.min_healthy = Some(2);
    let s = Scenario::new(x);
    s.act_when("observe", is_planned, ("shop-1", ExternalAction::Kill));
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("refused", 3), "{}", ran.text());
    assert!(ran.text().contains("just before the injection"), "{}", ran.text());
    assert!(ran.state.changes.iter().all(|c| c.injecting.is_none()), "shop-2 is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_another_one_by_then_is_not_targeted() {
    for meddling in [ExternalAction::Remove, ExternalAction::Restart, ExternalAction::Kill, ExternalAction::Pause] {
        let s = Scenario::new(experiment("{ stop: {} }", STORE));
        s.act_when("observe", is_planned, ("store-1", meddling));
        let ran = s.run().await.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("target-changed", 3), "{meddling:?}: {}", ran.text());
        assert!(ran.state.changes.iter().all(|c| c.injecting.is_none()), "{meddling:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_refuses_the_change_is_no_verdict() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.sim.fail_calls(|_, what| {
        if what.ends_with(" paused") && !what.contains("not") { InjectedFailure::Fail } else { InjectedFailure::None }
    });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("not-injected", 3), "{}", ran.text());
    s.assert_restored("refused change").await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_is_not_injected_and_still_undone() {
    let s = Scenario::new(experiment("{ exec: { run: ['false'], undo: [rm, x] } }", ONE_SHOP));
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("not-injected", 3), "{}", ran.text());
    assert!(ran.state.changes[0].rolled_back.is_some(), "the undo ran");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_undone() {
    let s = Scenario::new(experiment("{ exec: { run: [touch, x], undo: [rm, x] } }", ONE_SHOP));
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    s.assert_restored("exec").await;
}

/// Its undo can run only in a target that is up again.
#[tokio::test(start_paused = true)]
async fn a_command_is_undone_in_a_target_that_died_of_it() {
    let s = Scenario::new(experiment("{ exec: { run: [touch, x], undo: [rm, x] } }", STORE));
    let (mut set, mut looks) = (false, 0);
    s.sim.fail_calls(move |_, what| {
        set |= what.starts_with("set");
        looks += usize::from(set && what == "look");
        if looks == 1 && what == "look" {
            InjectedFailure::Meanwhile(InstanceId("store-1".into()), ExternalAction::Kill)
        } else {
            InjectedFailure::None
        }
    });
    let ran = s.run().await.unwrap();
    let change = &ran.state.changes[0];
    assert!(change.stuck.is_none() && change.rolled_back.is_some(), "{}", ran.text());
    assert!(
        ran.state.noticed.iter().any(|o| o.what.contains("a command is to be undone in it")),
        "{:?}",
        ran.state.noticed
    );
    s.assert_restored("exec").await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_vanishes_by_itself_is_no_verdict() {
    for (meddling, fault) in [
        (ExternalAction::Unpause, "{ pause: {} }"),
        (ExternalAction::Restart, "{ pause: {} }"),
        (ExternalAction::Restart, "{ kill: {} }"),
    ] {
        let mut x = experiment(fault, STORE);
        // The probes cannot see it, so that only the look at the instance can.
        x.steady_state[0].during.success = Some(squall::experiment::Percent(0.0).into());
        x.steady_state[0].during.p95 = Some(squall::experiment::Span(Duration::from_secs(3)).into());
        x.steady_state[0].expect.p95 = None;
        x.steady_state[0].during.p95 = None;
        let s = Scenario::new(x);
        s.act_when("look", |state| state.changes.iter().any(ChangeState::is_verified), ("store-1", meddling));
        let ran = s.run().await.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("fault-vanished", 3), "{fault} {meddling:?}: {}", ran.text());
        s.assert_restored("vanished").await;
    }
}

/// A prober that cannot ask every tenth time.
struct Hoarse(SimProber, std::sync::atomic::AtomicU64);

#[async_trait]
impl Prober for Hoarse {
    async fn ask(&self, check: &str) -> Answer {
        let n = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if n % 10 == 9 { Answer::NotMeasured("out of descriptors".into()) } else { self.0.ask(check).await }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_ask_is_no_verdict() {
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    let x = s.experiment.clone();
    let prober = SimProber::new(s.sim.clone(), x.steady_state.iter());
    let ran = s.run_with(Arc::new(Hoarse(prober, 0.into()))).await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("not-measured", 3), "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn a_signal_takes_everything_back_and_a_second_one_does_not_wait_for_probes() {
    for firmly in [false, true] {
        let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
        let handle = s.handle.clone();
        let (ran, ()) = tokio::join!(s.run(), async move {
            tokio::time::sleep(Duration::from_millis(1800)).await;
            handle.press(Reason::Interrupted, "SIGINT");
            if firmly {
                handle.press(Reason::Interrupted, "SIGINT");
            }
        });
        let ran = ran.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("interrupted", 3), "{}", ran.text());
        assert_eq!(ran.state.recovery.is_none(), firmly);
        s.assert_restored("signal").await;
    }
}

#[tokio::test(start_paused = true)]
async fn halted_says_so() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.handle.stop(Level::RollBack, Reason::Halted, "release freeze");
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code(), ran.text()), ("halted", 3, "release freeze"));
}

#[tokio::test(start_paused = true)]
async fn self_healing_is_measured_from_the_injection() {
    let mut x = experiment("{ kill: { via: host, heal: self } }", STORE);
    // 30 samples; 300 ms of failures are six of them.
    x.steady_state[0].during.success = Some(squall::experiment::Percent(0.7).into());
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::on(RESTARTING, x.clone());
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let rto = ran.state.recovery.as_ref().unwrap().rto.unwrap();
    assert!((250..450).contains(&rto.as_millis()), "{rto:?}");
    s.assert_restored("heal").await;

    // Without anybody to start it again, the same is a weakness; and afterwards Squall starts it.
    let s = Scenario::on(&RESTARTING.replace(", restart: true", ""), x);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.code(), 1, "{}", ran.text());
    s.assert_restored("heal, nobody").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_another_run_has_is_not_touched() {
    use squall::engine::{Claim, Lock};
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    let other = Claim {
        service: "shop".into(),
        run: "r0".into(),
        owner: "somebody".into(),
        at: "2026-01-01T00:00:00Z".into(),
        holder: None,
    };
    s.sim.claim(&other).await.unwrap();
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("claimed", 3));
    assert!(ran.text().contains("somebody"), "{}", ran.text());
    assert_eq!(s.sim.claims().await.unwrap(), [other], "another run's lock is never removed");
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_must_not_suffer_aborts_without_a_verdict() {
    let mut x = experiment("{ kill: {} }", STORE);
    let check = x.steady_state[0].clone();
    x.steady_state[0].during.success = Some(squall::experiment::Percent(0.0).into());
    x.steady_state[0].expect.p95 = None;
    x.safety.insert("billing".into(), check);
    let s = Scenario::new(x);
    let ran = s.run().await.unwrap();
    assert_eq!(
        (ran.reason().as_str(), ran.state.finished.as_ref().unwrap().verdict),
        ("safety-breached", Verdict::NoVerdict),
        "{}",
        ran.text()
    );
    s.assert_restored("safety").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rolled_back_is_left_behind() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.sim.fail_calls(|_, what| if what.contains("not paused") { InjectedFailure::Fail } else { InjectedFailure::None });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("left-behind", 4), "{}", ran.text());
    s.sim.fail_calls(|_, _| InjectedFailure::None);
    assert!(s.recover().await);
    s.assert_restored("recovered later").await;
}

/// A service of a Swarm: whatever ends of it is replaced by another one.
const SWARM: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [shop] }
  shop: { command: [x], replicas: 3, port: 8081, orchestrator: Docker Swarm }
";

#[tokio::test(start_paused = true)]
async fn what_is_replaced_is_gone_and_its_successor_is_the_recovery() {
    for fault in ["{ kill: { heal: self } }", "{ stop: { timeout: 1s, heal: self } }"] {
        let mut x = experiment(fault, ONE_SHOP);
        x.steady_state[0].expect.p95 = None;
        let s = Scenario::on(SWARM, x);
        let ran = s.run().await.unwrap();
        assert_eq!(ran.reason(), "hypothesis-held", "{fault}: {}", ran.text());
        let ended = &ran.state.targeted[0];
        let shops: Vec<_> = s.sim.peek().into_iter().filter(|i| i.service == "shop").collect();
        assert!(shops.iter().all(|i| i.is_up() == (i.id != ended.id)), "{fault}: {shops:?}");
        assert_eq!(shops.iter().filter(|i| i.is_up()).count(), 3, "{fault}");
        assert!(ran.state.restored.iter().all(|r| r.differences.is_empty()), "{:?}", ran.state.restored);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_replaced_has_not_recovered_and_is_not_started() {
    let mut x = experiment("{ kill: { heal: self } }", ONE_SHOP);
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::on(SWARM, x);
    // Whatever is started in its place is gone at once.
    let sim = s.sim.clone();
    s.sim.fail_calls(move |_, _| {
        let new = sim.peek().into_iter().find(|i| i.id.0.contains("life"));
        new.map_or(InjectedFailure::None, |i| InjectedFailure::Meanwhile(i.id, ExternalAction::Remove))
    });
    let ran = s.run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("recovery-too-slow", 1), "{}", ran.text());
    assert!(ran.text().contains("Docker Swarm (shop) has put no healthy instance in the place of"), "{}", ran.text());
    let ended = &ran.state.targeted[0].id;
    assert!(s.sim.peek().iter().any(|i| i.id == *ended && !i.is_running()), "it is left to what replaces it");
    assert!(ran.state.restored.iter().all(|r| r.differences.is_empty()), "{:?}", ran.state.restored);
}
