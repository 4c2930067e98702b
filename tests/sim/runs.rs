//! What runs come to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::{Meddling, SimSenses, Trouble};
use squall::event::Reason;
use squall::exit::Verdict;
use squall::instance::InstanceId;
use squall::probe::{Answer, Senses};
use squall::run::abort::Level;

use crate::harness::{Scenario, experiment};

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
        let came = s.run().await.unwrap();
        assert_eq!(came.reason(), "hypothesis-held", "{fault}: {}", came.text());
        assert_eq!(came.code(), 0);
        assert_eq!(came.state.hit.len(), 1);
        assert!(came.state.recovery.as_ref().unwrap().rto.is_some());
        s.assert_restored(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_breaks_it_at_the_first_failure_beyond_the_budget() {
    let s = Scenario::new(experiment("{ pause: {} }", STORE));
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("hypothesis-broken", 1), "{}", came.text());
    // 30 samples, 95 %: one may fail, the second breaks it. It is known when the second has been in flight for the p95
    // bound or its timeout, whichever comes first.
    let during = came.state.breach().unwrap();
    assert!(came.state.abort_latency().unwrap() <= Duration::from_millis(10), "{:?}", came.state.abort_latency());
    assert!(!during.standing.held);
    s.assert_restored("pause of the store").await;
}

#[tokio::test(start_paused = true)]
async fn observing_holds_the_fault_to_its_end() {
    let mut x = experiment("{ kill: {} }", STORE);
    x.on_breach = squall::experiment::OnBreach::Observe;
    let s = Scenario::new(x);
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-broken", "{}", came.text());
    let (from, to) = came.state.span_of(squall::event::Phase::During).unwrap();
    assert!(to.duration_since(from) >= jiff::SignedDuration::from_millis(1500), "held for its whole time");
    s.assert_restored("observe").await;
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_is_not_met_touches_nothing() {
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    s.sim.meddle(&InstanceId("store-1".into()), Meddling::Kill);
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("baseline-not-met", 3));
    assert!(came.state.changes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_that_matches_is_no_verdict() {
    let s = Scenario::new(experiment("{ kill: {} }", "{ service: nobody }"));
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("no-target", 3));
}

#[tokio::test(start_paused = true)]
async fn the_blast_radius_refuses() {
    let s = Scenario::new(experiment("{ kill: {} }", "{ service: shop, pick: all }"));
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("refused", 3));
    assert!(came.text().contains("max-instances"), "{}", came.text());
    s.assert_restored("refused").await;
}

#[tokio::test(start_paused = true)]
async fn a_healthy_neighbour_lost_during_the_baseline_refuses() {
    let mut x = experiment("{ kill: {} }", ONE_SHOP);
    x.blast_radius.min_healthy = Some(2);
    let s = Scenario::new(x);
    // Seed 1 picks one of three; whichever it is, another one goes down just before the last look.
    let mut observed = 0;
    s.sim.plague(move |_, what| {
        observed += usize::from(what == "observe");
        if what == "observe" && observed == 3 {
            Trouble::Meanwhile(InstanceId("shop-1".into()), Meddling::Kill)
        } else {
            Trouble::None
        }
    });
    let came = s.run().await.unwrap();
    assert!(["refused", "target-changed"].contains(&came.reason().as_str()), "{}: {}", came.reason(), came.text());
    assert_eq!(came.code(), 3);
}

#[tokio::test(start_paused = true)]
async fn every_way_of_not_biting_is_no_verdict_with_its_own_reason() {
    let cases: [(&str, Meddling, &str); 3] = [
        ("observe", Meddling::Remove, "target-changed"),
        ("observe", Meddling::Restart, "target-changed"),
        ("observe", Meddling::Kill, "target-changed"),
    ];
    for (call, meddling, reason) in cases {
        let s = Scenario::new(experiment("{ pause: {} }", STORE));
        let mut observed = 0;
        s.sim.plague(move |_, what| {
            observed += usize::from(what == call);
            // The third look at the fleet is the one just before the injection.
            if what == call && observed == 3 {
                Trouble::Meanwhile(InstanceId("store-1".into()), meddling)
            } else {
                Trouble::None
            }
        });
        let came = s.run().await.unwrap();
        assert_eq!((came.reason().as_str(), came.code()), (reason, 3), "{meddling:?}: {}", came.text());
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_refuses_the_change_is_no_verdict() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.sim.plague(
        |_, what| if what.ends_with(" paused") && !what.contains("not") { Trouble::Fail } else { Trouble::None },
    );
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("not-injected", 3), "{}", came.text());
    s.assert_restored("refused change").await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_is_not_injected_and_still_undone() {
    let s = Scenario::new(experiment("{ exec: { run: ['false'], undo: [rm, x] } }", ONE_SHOP));
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("not-injected", 3), "{}", came.text());
    assert!(came.state.changes[0].reverted.is_some(), "the undo ran");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_undone() {
    let s = Scenario::new(experiment("{ exec: { run: [touch, x], undo: [rm, x] } }", ONE_SHOP));
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-held", "{}", came.text());
    s.assert_restored("exec").await;
}

/// Its undo can run only in a target that is up again.
#[tokio::test(start_paused = true)]
async fn a_command_is_undone_in_a_target_that_died_of_it() {
    let s = Scenario::new(experiment("{ exec: { run: [touch, x], undo: [rm, x] } }", STORE));
    let (mut set, mut looks) = (false, 0);
    s.sim.plague(move |_, what| {
        set |= what.starts_with("set");
        looks += usize::from(set && what == "look");
        if looks == 1 && what == "look" {
            Trouble::Meanwhile(InstanceId("store-1".into()), Meddling::Kill)
        } else {
            Trouble::None
        }
    });
    let came = s.run().await.unwrap();
    let change = &came.state.changes[0];
    assert!(change.stuck.is_none() && change.reverted.is_some(), "{}", came.text());
    assert!(
        came.state.noticed.iter().any(|(.., what)| what.contains("a command is to be undone in it")),
        "{:?}",
        came.state.noticed
    );
    s.assert_restored("exec").await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_vanishes_by_itself_is_no_verdict() {
    let target = InstanceId("store-1".into());
    for (meddling, fault) in [
        (Meddling::Unpause, "{ pause: {} }"),
        (Meddling::Restart, "{ pause: {} }"),
        (Meddling::Restart, "{ kill: {} }"),
    ] {
        let mut x = experiment(fault, STORE);
        // The probes cannot see it, so that only the look at the instance can.
        x.steady_state[0].during.success = Some(squall::experiment::Percent(0.0));
        x.steady_state[0].during.p95 = Some(squall::experiment::Span(Duration::from_secs(3)));
        x.steady_state[0].expect.p95 = None;
        x.steady_state[0].during.p95 = None;
        let s = Scenario::new(x);
        let (mut set, target) = (false, target.clone());
        let mut looks = 0;
        s.sim.plague(move |_, what| {
            set |= what.starts_with("set");
            looks += usize::from(set && what == "look");
            if looks == 3 { Trouble::Meanwhile(target.clone(), meddling) } else { Trouble::None }
        });
        let came = s.run().await.unwrap();
        assert_eq!(
            (came.reason().as_str(), came.code()),
            ("fault-vanished", 3),
            "{fault} {meddling:?}: {}",
            came.text()
        );
        s.assert_restored("vanished").await;
    }
}

/// Senses that cannot ask every tenth time.
struct Hoarse(SimSenses, std::sync::atomic::AtomicU64);

#[async_trait]
impl Senses for Hoarse {
    async fn ask(&self, check: &str) -> Answer {
        let n = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if n % 10 == 9 { Answer::CouldNotAsk("out of descriptors".into()) } else { self.0.ask(check).await }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_ask_is_no_verdict() {
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    let x = s.experiment.clone();
    let senses = SimSenses::new(s.sim.clone(), x.steady_state.iter());
    let rec = squall::journal::Recorder::over(
        Box::new(s.disk.clone()),
        0,
        squall::state::RunState::default(),
        squall::clock::Clock::start(None),
        std::path::Path::new("journal"),
    );
    let came = s.run_with(&rec, Arc::new(Hoarse(senses, 0.into()))).await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("could-not-ask", 3), "{}", came.text());
}

#[tokio::test(start_paused = true)]
async fn a_signal_takes_everything_back_and_a_second_one_does_not_wait_for_probes() {
    for firmly in [false, true] {
        let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
        let handle = s.handle.clone();
        let (came, ()) = tokio::join!(s.run(), async move {
            tokio::time::sleep(Duration::from_millis(1800)).await;
            handle.press(Reason::Interrupted, "SIGINT");
            if firmly {
                handle.press(Reason::Interrupted, "SIGINT");
            }
        });
        let came = came.unwrap();
        assert_eq!((came.reason().as_str(), came.code()), ("interrupted", 3), "{}", came.text());
        assert_eq!(came.state.recovery.is_none(), firmly);
        s.assert_restored("signal").await;
    }
}

#[tokio::test(start_paused = true)]
async fn halted_says_so() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.handle.stop(Level::TakeBack, Reason::Halted, "release freeze");
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code(), came.text()), ("halted", 3, "release freeze"));
}

const RESTARTING: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [store] }
  store: { command: [x], port: 8090, restart: true }
";

#[tokio::test(start_paused = true)]
async fn self_healing_is_measured_from_the_injection() {
    let mut x = experiment("{ kill: { via: host, heal: self } }", STORE);
    // 30 samples; 300 ms of failures are six of them.
    x.steady_state[0].during.success = Some(squall::experiment::Percent(0.7));
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::on(RESTARTING, x.clone());
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-held", "{}", came.text());
    let rto = came.state.recovery.as_ref().unwrap().rto.unwrap();
    assert!((250..450).contains(&rto.as_millis()), "{rto:?}");
    s.assert_restored("heal").await;

    // Without anybody to start it again, the same is a weakness; and afterwards Squall starts it.
    let s = Scenario::on(&RESTARTING.replace(", restart: true", ""), x);
    let came = s.run().await.unwrap();
    assert_eq!(came.code(), 1, "{}", came.text());
    s.assert_restored("heal, nobody").await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_another_run_has_is_not_touched() {
    use squall::engine::{Claim, Engine};
    let s = Scenario::new(experiment("{ kill: {} }", ONE_SHOP));
    let other =
        Claim { service: "shop".into(), run: "r0".into(), owner: "somebody".into(), at: "2026-01-01T00:00:00Z".into() };
    s.sim.claim(&other).await.unwrap();
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("claimed", 3));
    assert!(came.text().contains("somebody"), "{}", came.text());
    assert_eq!(s.sim.claims().await.unwrap(), [other], "a foreign marker is never taken away");
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_must_not_suffer_aborts_without_a_verdict() {
    let mut x = experiment("{ kill: {} }", STORE);
    let check = x.steady_state[0].clone();
    x.steady_state[0].during.success = Some(squall::experiment::Percent(0.0));
    x.steady_state[0].expect.p95 = None;
    x.safety.insert("billing".into(), check);
    let s = Scenario::new(x);
    let came = s.run().await.unwrap();
    assert_eq!(
        (came.reason().as_str(), came.state.finished.as_ref().unwrap().1),
        ("safety-breached", Verdict::NoVerdict),
        "{}",
        came.text()
    );
    s.assert_restored("safety").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_back_is_left_behind() {
    let s = Scenario::new(experiment("{ pause: {} }", ONE_SHOP));
    s.sim.plague(|_, what| if what.contains("not paused") { Trouble::Fail } else { Trouble::None });
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("left-behind", 4), "{}", came.text());
    s.sim.plague(|_, _| Trouble::None);
    assert!(s.recover().await);
    s.assert_restored("recovered later").await;
}
