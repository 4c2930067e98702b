//! Several faults in one run: each in its own time, what does not go together, and the limits on all of them.

use std::time::Duration;

use squall::engine::sim::{Meddling, Trouble};
use squall::event::{Phase, Reason};
use squall::experiment::Percent;
use squall::instance::InstanceId;

use crate::harness::{Came, Scenario, compound};

const SLOW: &str = "{ fault: { latency: { delay: 20ms, to: { service: shop } } }, target: { service: gateway } }";
const FROZEN: &str = "{ fault: { pause: {} }, target: { service: shop }, after: 500ms, for: 400ms }";

/// From when to when each change was on, since the beginning of the fault phase (ms).
fn times(came: &Came) -> Vec<(i128, i128)> {
    let (began, _) = came.state.span_of(Phase::During).expect("the fault phase");
    let since = |at: jiff::Timestamp| at.duration_since(began).as_millis();
    let changes = came.state.changes.iter();
    changes.map(|c| (since(c.injected.expect("made").0), since(c.reverted.expect("taken back").0))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_own_time() {
    let s = Scenario::new(compound(&[SLOW, FROZEN]));
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-held", "{}", came.text());
    let [slow, frozen] = times(&came)[..] else { panic!("{:?}", came.state.changes) };
    assert!(slow.0 < 50 && (1500..1600).contains(&slow.1), "{slow:?}");
    assert!((500..550).contains(&frozen.0) && (900..950).contains(&frozen.1), "{frozen:?}");
    assert_eq!(came.state.changes.iter().map(|c| c.change.fault).collect::<Vec<_>>(), [0, 1]);
    assert!(came.state.changes.iter().all(|c| c.bite.as_ref().is_some_and(|b| b.1)), "both are proven");
    assert_eq!(came.state.hit.len(), 2);
    s.assert_restored("compound").await;
}

#[tokio::test(start_paused = true)]
async fn what_one_fault_has_changed_another_one_does_not_take_back() {
    let slow = "{ fault: { latency: { delay: 20ms } }, target: { name: shop-1 } }";
    let frozen = "{ fault: { pause: {} }, target: { name: shop-1 }, after: 600ms, for: 300ms }";
    for faults in [[slow, frozen], [frozen, slow]] {
        let s = Scenario::new(compound(&faults));
        let came = s.run().await.unwrap();
        assert_eq!(came.reason(), "hypothesis-held", "{}", came.text());
        let mut times = times(&came);
        times.sort_unstable();
        assert!(times[0].1 >= 1500 && times[1].1 < 1000, "the traffic is disturbed to the end: {times:?}");
        assert_eq!(came.state.restored, [("shop-1".to_owned(), Vec::new())]);
        s.assert_restored("both on one").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_together_is_refused_at_whatever_times() {
    for (one, other, want) in [
        ("pause: {}", "pause: {}", "its freezer"),
        ("latency: { delay: 10ms }", "loss: { percent: 1% }", "its traffic"),
        ("kill: {}", "pause: {}", "ends a life"),
        ("latency: { delay: 10ms }", "restart: {}", "ends a life"),
        ("pause: {}", "exec: { run: [a], undo: [b] }", "while it is frozen"),
    ] {
        let first = format!("{{ fault: {{ {one} }}, target: {{ name: shop-1 }}, for: 200ms }}");
        let second = format!("{{ fault: {{ {other} }}, target: {{ name: shop-1 }}, after: 700ms }}");
        let s = Scenario::new(compound(&[&first, &second]));
        let came = s.run().await.unwrap();
        assert_eq!(came.reason(), "refused", "{one} and {other}: {}", came.text());
        assert!(came.text().contains(want) && came.text().contains("shop-1"), "{}", came.text());
        assert!(came.state.changes.is_empty(), "nothing was planned");
        s.assert_restored("refused").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limits_are_on_everybody_who_is_hit_by_any_fault() {
    let hits = |name: &str, times: &str| format!("{{ fault: {{ pause: {{}} }}, target: {{ name: {name} }}{times} }}");
    let [one, other] = [hits("shop-1", ", for: 100ms"), hits("shop-2", ", after: 1s")];
    let mut x = compound(&[&one, &other]);
    x.blast_radius.max_instances = Some(1);
    let came = Scenario::new(x.clone()).run().await.unwrap();
    assert_eq!(came.reason(), "refused", "{}", came.text());
    assert!(came.text().contains("2 instances"), "{}", came.text());
    x.blast_radius.max_instances = None;
    x.blast_radius.min_healthy = Some(2);
    let came = Scenario::new(x.clone()).run().await.unwrap();
    assert!(came.text().contains("only 1 healthy"), "{}", came.text());
    x.blast_radius.min_healthy = Some(1);
    let s = Scenario::new(x.clone());
    assert_eq!(s.run().await.unwrap().reason(), "hypothesis-held");

    // One of those that are left goes down while the first fault is on: the second one is not made any more.
    let s = Scenario::new(x);
    let mut observed = 0;
    s.sim.plague(move |_, what| {
        observed += usize::from(what == "observe");
        if what == "observe" && observed == 4 {
            Trouble::Meanwhile(InstanceId("shop-3".into()), Meddling::Kill)
        } else {
            Trouble::None
        }
    });
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "refused", "{}", came.text());
    assert!(came.text().contains("just before the injection"), "{}", came.text());
    assert!(came.state.changes[1].injecting.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_early_makes_nothing_more() {
    let late = "{ fault: { stop: { timeout: 10s } }, target: { name: shop-1 }, after: 1400ms }";
    let s = Scenario::new(compound(&["{ fault: { pause: {} }, target: { service: store } }", late]));
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-broken", "{}", came.text());
    assert!(came.state.changes[1].injecting.is_none(), "it was not begun");
    let abort = came.state.abort_latency().unwrap();
    assert!(abort < Duration::from_millis(200), "what was never begun is not waited for: {abort:?}");
    s.assert_restored("broken early").await;

    let s = Scenario::new(compound(&[SLOW, late]));
    let handle = s.handle.clone();
    let (came, ()) = tokio::join!(s.run(), async move {
        tokio::time::sleep(Duration::from_millis(1800)).await;
        handle.press(Reason::Interrupted, "SIGINT");
    });
    let came = came.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("interrupted", 3), "{}", came.text());
    assert!(came.state.changes[1].injecting.is_none());
    s.assert_restored("interrupted").await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_lasts_in_its_own_time_and_no_longer() {
    let meddled = async |at: Duration| {
        let s = Scenario::new(compound(&[SLOW, FROZEN]));
        let begin = tokio::time::Instant::now();
        let mut done = false;
        s.sim.plague(move |_, what| {
            let now = !done && what == "look" && begin.elapsed() >= at;
            done |= now;
            // Whoever it is, all shops are let go.
            if now { Trouble::Meanwhile(InstanceId("shop-1".into()), Meddling::Unpause) } else { Trouble::None }
        });
        s
    };
    let mut victim = Scenario::new(compound(&[SLOW, FROZEN]));
    // The seed whose victim is the one that is meddled with.
    for seed in 0.. {
        victim = Scenario::new(compound(&[SLOW, FROZEN]));
        victim.seed = seed;
        let came = victim.run().await.unwrap();
        if came.state.changes[1].change.name == "shop-1" {
            break;
        }
    }
    for (at, want) in [(1600, "fault-vanished"), (2000, "hypothesis-held")] {
        let mut s = meddled(Duration::from_millis(at)).await;
        s.seed = victim.seed;
        let came = s.run().await.unwrap();
        assert_eq!(came.reason(), want, "{at} ms: {}", came.text());
        s.assert_restored(want).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_cannot_be_taken_back_in_its_time_ends_the_run() {
    let s = Scenario::new(compound(&[SLOW, FROZEN]));
    s.sim.plague(|_, what| if what.contains("not paused") { Trouble::Fail } else { Trouble::None });
    let came = s.run().await.unwrap();
    assert_eq!((came.reason().as_str(), came.code()), ("left-behind", 4), "{}", came.text());
    let (_, why, text) = came.state.stopping.clone().expect("it stopped");
    assert!(why == Reason::EngineFailed && text.contains("fault 2"), "{text}");
    s.sim.plague(|_, _| Trouble::None);
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
    x.steady_state[0].during.success = Some(Percent(0.3));
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::on(RESTARTING, x);
    let came = s.run().await.unwrap();
    assert_eq!(came.reason(), "hypothesis-held", "{}", came.text());
    let rto = came.state.recovery.as_ref().unwrap().rto.unwrap();
    assert!(rto < Duration::from_millis(450), "{rto:?}");
    s.assert_restored("heal").await;
}
