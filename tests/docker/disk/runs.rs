//! Whole runs that fill a disk: a runner that dies meanwhile, a target that restarts, and a volume of two.

use std::time::Duration;

use rustix::process::Signal;
use squall::engine::{Apply as _, Outcome};
use squall::model::instance::Setting;

use super::{DATA, Loop, MIB, bound, in_memory, is_clean, on_volume, space};
use crate::harness::Sandbox;
use crate::scene::{Scene, eventually};

/// The runner dies while it fills: nothing more is written, and the guard takes away what there is.
#[tokio::test]
async fn a_runner_that_dies_while_it_fills_leaves_nothing() {
    let own = Loop::new(128 * MIB);
    let scene = Scene::of(1, bound(&own.top())).await;
    let before = scene.settings().await;
    let available = || rustix::fs::statvfs(own.top()).map(|s| s.f_bavail * s.f_frsize).expect("a file system");
    let free = available();
    let x = scene.experiment(
        &format!("disk-fill: {{ path: {DATA}, to: 95%, rate: 8MiB/s }}"),
        "warm-up: 100ms, baseline: 500ms, duration: 30s, recovery: 10s",
    );
    let mut run = scene.start(&x);
    run.until_on().await;
    eventually("more of it", || async { (available() < free - 12 * MIB).then_some(()) }).await;
    crate::scene::send(run.pid(), Signal::KILL);
    let ended = run.ends().await;
    assert!(ended.state.changes[0].rolled_back.is_some());
    ended.rolled_back_by("guard");
    assert!(available().abs_diff(free) < 64 << 10, "{} of {free}", available());
    assert!(is_clean(own.top().to_str().unwrap()));
    scene.is_as(&before).await;
}

/// A whole run, with a target that restarts meanwhile: memory is filled again in its next life.
#[tokio::test]
async fn a_run_fills_again_what_ended_with_a_life() {
    let scene = Scene::of(1, in_memory("size=32m")).await;
    let before = scene.settings().await;
    let x = scene.experiment(
        &format!("disk-fill: {{ path: {DATA}, to: 90% }}"),
        "warm-up: 100ms, baseline: 500ms, duration: 6s, recovery: 10s",
    );
    let mut run = scene.start(&x);
    run.until_on().await;
    let restarted = Setting::Restarted { timeout: Duration::from_secs(1) };
    assert_eq!(
        scene.sandbox.docker.set(&scene.sandbox.tag(99), &scene.targeted[0], &restarted).await.unwrap(),
        Outcome::Done
    );
    run.until("it is filled again", |s| s.changes.len() == 2 && s.changes[1].injected.is_some()).await;
    let used = space(&scene.sandbox, &scene.targeted[0], DATA).await.used_share();
    assert!((used - 0.9).abs() < 0.01, "{used}");
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    let squall::record::state::Verification { verified: proven, proof, .. } =
        ended.state.changes[0].verification.clone().expect("a proof");
    assert!(proven && proof.contains("used 0% → 90"), "{proof}");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_volume_of_two_is_not_filled_for_one_of_them() {
    let sandbox = Sandbox::new().await;
    let shared = sandbox.name("shared");
    let scene = Scene::in_sandbox(sandbox, 1, on_volume(shared.clone(), false)).await;
    scene.sandbox.start("other", on_volume(shared, false)).await;
    let before = scene.settings().await;
    let timing = "warm-up: 100ms, baseline: 500ms, duration: 1s, recovery: 5s";
    let x = scene.experiment(&format!("disk-fill: {{ path: {DATA}, size: 1MiB }}"), timing);
    let ended = scene.run(&x).await;
    ended.is(3, "refused");
    let text = ended.report["text"].as_str().expect("a text");
    assert!(text.contains(&format!("with {}", scene.sandbox.name("other"))), "{text}");
    scene.is_as(&before).await;
}
