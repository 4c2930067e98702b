//! The runner dies at every engine call, before and after its effect and with the effect coming late; crossed with a disk
//! that is full, with a hypothesis that breaks, and with a recovery that dies, too. The world is always as it was.

use std::time::Duration;

use squall::engine::sim::InjectedFailure;

use crate::harness::{Scenario, compound, experiment};

const FAULTS: [&str; 17] = [
    "{ kill: {} }",
    "{ kill: { via: host } }",
    "{ stop: { timeout: 1s } }",
    "{ pause: {} }",
    "{ restart: { timeout: 1s } }",
    "{ latency: { delay: 20ms, jitter: 10ms } }",
    "{ partition: { how: reject } }",
    "{ reset: {} }",
    "{ pids: { leave: 1 } }",
    "{ cpu: { load: 80% } }",
    "{ memory: { to: 90%, ramp: 1s } }",
    "{ process: { name: 'worker*', act: stop } }",
    "{ disk-fill: { path: /data, to: 95% } }",
    "{ disk-readonly: { path: / } }",
    "{ throttle: { cpu: 20%, memory: 50% } }",
    "{ sockets: { ports: 2 } }",
    "{ exec: { run: [touch, x], undo: [rm, x], timeout: 2s } }",
];

/// Two shops (the hypothesis holds), or the store (it breaks).
const TARGETS: [&str; 2] = ["{ service: shop, pick: 2 }", "{ service: store }"];

fn troubles() -> [InjectedFailure; 3] {
    // Within the margin that an engine may still be busy for: a request on the wire of a dead process.
    [
        InjectedFailure::CrashBefore,
        InjectedFailure::CrashAfter,
        InjectedFailure::CrashDelayed(Duration::from_millis(300)),
    ]
}

async fn calls_of(fault: &str, target: &str) -> usize {
    let s = Scenario::new(experiment(fault, target));
    s.sim.fail_calls(|_, _| InjectedFailure::None);
    assert!(s.run().await.is_some());
    s.sim.calls()
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_engine_call_leaves_nothing() {
    let mut died = 0;
    for fault in FAULTS {
        for target in TARGETS {
            for n in 0..calls_of(fault, target).await {
                for failure in troubles() {
                    let what = format!("{fault} on {target}, {failure:?} at call {n}");
                    let s = Scenario::new(experiment(fault, target));
                    s.sim.fail_calls(move |call, _| if call == n { failure.clone() } else { InjectedFailure::None });
                    if s.run().await.is_none() {
                        died += 1;
                        s.sim.fail_calls(|_, _| InjectedFailure::None);
                        assert!(s.recover().await, "{what}");
                    }
                    s.assert_restored(&what).await;
                }
            }
        }
    }
    assert!(died > 300, "only {died} crash points: the storm does not blow");
}

/// Several faults, staggered: one that holds and is over before the others, one that meets another on the same instance, one
/// that breaks the hypothesis before the last one is due.
const COMPOUND: [[&str; 3]; 2] = [
    [
        "{ fault: { latency: { delay: 20ms } }, target: { name: shop-1 } }",
        "{ fault: { pause: {} }, target: { name: shop-1 }, after: 200ms, for: 300ms }",
        "{ fault: { stop: { timeout: 1s } }, target: { name: shop-2 }, after: 600ms, for: 400ms }",
    ],
    [
        "{ fault: { exec: { run: [touch, x], undo: [rm, x], timeout: 2s } }, target: { name: shop-3 }, for: 100ms }",
        "{ fault: { pause: {} }, target: { service: store }, after: 300ms }",
        "{ fault: { kill: {} }, target: { name: shop-1 }, after: 1s }",
    ],
];

#[tokio::test(start_paused = true)]
async fn dying_at_any_moment_of_several_faults_leaves_nothing() {
    for faults in COMPOUND {
        let mut x = compound(&faults);
        x.blast_radius.max_instances = Some(3);
        let s = Scenario::new(x.clone());
        let ran = s.run().await.expect("no process dies");
        let (calls, mut died) = (s.sim.calls(), 0);
        assert!(ran.code() <= 1, "{}: {}", ran.reason(), ran.text());
        for n in 0..calls {
            for failure in troubles() {
                let what = format!("{faults:?}, {failure:?} at call {n}");
                let s = Scenario::new(x.clone());
                s.sim.fail_calls(move |call, _| if call == n { failure.clone() } else { InjectedFailure::None });
                if s.run().await.is_none() {
                    died += 1;
                    s.sim.fail_calls(move |call, _| {
                        if call == n % 5 {
                            InjectedFailure::CrashDelayed(Duration::from_millis(200))
                        } else {
                            InjectedFailure::None
                        }
                    });
                    if !s.recover().await {
                        s.sim.fail_calls(|_, _| InjectedFailure::None);
                        assert!(s.recover().await, "{what}");
                    }
                }
                s.assert_restored(&what).await;
            }
        }
        assert!(died > 60, "only {died} crash points");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_dies_is_repeated() {
    let mut died = 0;
    for fault in FAULTS {
        let target = TARGETS[0];
        for n in 0..calls_of(fault, target).await {
            for m in 0..6 {
                let what = format!("{fault}, crash at call {n}, and in the recovery at call {m}");
                let s = Scenario::new(experiment(fault, target));
                s.sim.fail_calls(
                    move |call, _| if call == n { InjectedFailure::CrashAfter } else { InjectedFailure::None },
                );
                if s.run().await.is_none() {
                    s.sim.fail_calls(move |call, _| {
                        if call == m {
                            InjectedFailure::CrashDelayed(Duration::from_millis(200))
                        } else {
                            InjectedFailure::None
                        }
                    });
                    if !s.recover().await {
                        died += 1;
                        s.sim.fail_calls(|_, _| InjectedFailure::None);
                        assert!(s.recover().await, "{what}");
                    }
                }
                s.assert_restored(&what).await;
            }
        }
    }
    assert!(died > 100, "only {died} double crashes");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_leaves_nothing() {
    for fault in FAULTS {
        for target in TARGETS {
            for writes in 0..30 {
                let what = format!("{fault} on {target}, disk full after {writes} writes");
                let s = Scenario::new(experiment(fault, target));
                *s.disk.room.lock().unwrap() = Some(writes);
                let ran = s.run().await.expect("no process died");
                if writes < 2 {
                    assert!(ran.state.changes.is_empty(), "{what}: nothing is touched without a journal");
                }
                s.assert_restored(&what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dying_with_a_full_disk_leaves_nothing() {
    for fault in FAULTS {
        let target = TARGETS[1];
        for n in 0..calls_of(fault, target).await {
            for writes in (0..40).step_by(5) {
                let what = format!("{fault}, disk full after {writes} writes, crash at call {n}");
                let s = Scenario::new(experiment(fault, target));
                *s.disk.room.lock().unwrap() = Some(writes);
                s.sim.fail_calls(
                    move |call, _| if call == n { InjectedFailure::CrashAfter } else { InjectedFailure::None },
                );
                if s.run().await.is_none() {
                    s.sim.fail_calls(|_, _| InjectedFailure::None);
                    *s.disk.room.lock().unwrap() = None;
                    assert!(s.recover().await, "{what}");
                }
                s.assert_restored(&what).await;
            }
        }
    }
}
