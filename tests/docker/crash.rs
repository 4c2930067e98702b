//! A kill by the engine and a crash, under a restart policy; and that no stranger is targeted.

use std::time::Duration;

use bollard::models::RestartPolicyNameEnum;
use squall::engine::{Apply as _, Outcome};
use squall::host::process::{Process, start_ticks};
use squall::model::instance::{Kill, Setting, Signal, Trait, Via};

use crate::harness::{Sandbox, Spec};
use crate::scene::{Scene, lonely};

fn killed(via: Via) -> Setting {
    Setting::Killed(Kill { signal: Signal::SigKill, via })
}

fn always() -> Spec {
    Spec { restart: Some(RestartPolicyNameEnum::ALWAYS), ..Spec::default() }
}

#[tokio::test]
async fn a_crash_lets_the_restart_policy_act() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("crash", always()).await;
    let before = sandbox.look(&id).await;
    assert!(before.traits.contains(&Trait::Restarts));
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &killed(Via::Host)).await.unwrap(), Outcome::Done);
    let after = sandbox.until(&id, "running again", |i| i.is_running() && i.epoch != before.epoch).await;
    assert_eq!((after.restarts, after.settings), (before.restarts + 1, before.settings));
}

/// A main process that ends after three seconds.
#[test]
#[ignore = "runs inside a container that another test makes"]
#[expect(clippy::disallowed_methods, reason = "a process without a runtime")]
fn ends() {
    std::thread::sleep(Duration::from_secs(3));
}

#[tokio::test]
async fn who_is_in_a_crash_loop_is_neither_healthy_nor_a_target() {
    let mut scene = Scene::of(1, lonely()).await;
    let image = scene.sandbox.docker.own_image(&scene.sandbox.prefix).await.expect("an image of this test program");
    scene.sandbox.extra_images.push(image.clone());
    let command = ["--ignored", "--exact", "crash::ends"].map(str::to_owned).to_vec();
    let labels = vec![("squall.service", scene.service.clone())];
    let spec = Spec { image: Some(image), command, labels, restart: always().restart, ..lonely() };
    let id = scene.sandbox.start("loops", spec).await;
    let loops = scene.sandbox.name("loops");
    for (target, limits, reason) in [
        ("name: NAME-targeted-1", "max-instances: 1, min-healthy: 1", "refused"),
        ("name: NAME-loops", "max-instances: 1", "no-target"),
    ] {
        // Its engine waits for longer and longer before it starts it again: it shall be up when it is looked.
        let restarts = scene.sandbox.look(&id).await.restarts;
        let now = scene.sandbox.until(&id, "restarted", |i| i.is_running() && i.restarts > restarts).await;
        assert_eq!(now.health, None);
        let text = scene.experiment("pause", "baseline: 500ms, duration: 1s, recovery: 1s");
        let text = text
            .replace(
                &format!("target: {{ service: {} }}", scene.service),
                &format!("target: {{ {} }}", target.replace("NAME", &scene.sandbox.prefix)),
            )
            .replace("max-instances: 1", limits);
        let ended = scene.start_in(reason, &text).ends().await;
        ended.is(3, reason);
        let said = ended.report["text"].as_str().unwrap_or_default().to_owned();
        if reason == "refused" {
            assert!(said.contains(&format!("{loops} does not count: its engine restarted it")), "{said}");
        } else {
            assert!(said.contains("restarted in the baseline"), "{said}");
        }
        assert!(ended.state.changes.is_empty());
    }
}

#[tokio::test]
async fn a_kill_by_the_engine_stays_and_its_undo_arms_the_policy_again() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("kill", always()).await;
    let before = sandbox.look(&id).await;
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &killed(Via::Engine)).await.unwrap(), Outcome::Done);
    // A control that is restarted by its policy meanwhile shows that there was time enough.
    let control = sandbox.start("control", always()).await;
    let control_epoch = sandbox.look(&control).await.epoch;
    sandbox.docker.set(&sandbox.tag(1), &control, &killed(Via::Host)).await.unwrap();
    sandbox.until(&control, "running again", |i| i.is_running() && i.epoch != control_epoch).await;
    let during = sandbox.look(&id).await;
    assert!(!during.is_running() && during.restarts == 0, "{during:?}");

    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap(), Outcome::Done);
    let back = sandbox.look(&id).await;
    assert_eq!(back.settings, before.settings);
    sandbox.docker.set(&sandbox.tag(2), &id, &killed(Via::Host)).await.unwrap();
    sandbox.until(&id, "restarted by its policy", |i| i.is_running() && i.restarts == 1).await;
}

#[tokio::test]
async fn a_crash_without_a_policy_stays_and_happens_once() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("once", Spec::default()).await;
    let before = sandbox.look(&id).await;
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &killed(Via::Host)).await.unwrap(), Outcome::Done);
    assert!(!sandbox.look(&id).await.is_running(), "the engine has noticed when the call returns");
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &killed(Via::Host)).await.unwrap(), Outcome::Already);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.look(&id).await.settings, before.settings);
    sandbox.docker.remove_container(&id.0).await.unwrap();
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &killed(Via::Host)).await.unwrap(), Outcome::Gone);
}

#[tokio::test]
async fn what_is_frozen_crashes_too() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("frozen", Spec::default()).await;
    sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Paused(true)).await.unwrap();
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &killed(Via::Host)).await.unwrap(), Outcome::Done);
    let after = sandbox.look(&id).await;
    assert!(!after.is_running() && after.settings[&squall::model::instance::Aspect::Paused] == Setting::Paused(false));
}

#[tokio::test]
async fn a_trapped_signal_arrives_and_the_container_stops_by_itself() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("term", Spec::default()).await;
    for via in [Via::Engine, Via::Host] {
        sandbox.until(&id, "running", squall::model::instance::Instance::is_running).await;
        let term = Setting::Killed(Kill { signal: Signal::SigTerm, via });
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &term).await.unwrap(), Outcome::Done);
        // PID 1 ignores a signal that it has not asked for yet, so it may need another one.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while sandbox.look(&id).await.is_running() {
            assert!(tokio::time::Instant::now() < deadline, "SIGTERM {via} never arrived");
            sandbox.docker.set(&sandbox.tag(0), &id, &term).await.unwrap();
        }
        sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap();
    }
}

/// Containers die and come back at a high rate while they are crashed. Neighbours in the same PID space, which get the
/// numbers that become free, all live on.
#[tokio::test]
async fn no_stranger_is_ever_targeted() {
    let sandbox = Sandbox::new().await;
    let neighbour = sandbox.start("neighbour", Spec::default()).await;
    let neighbour_pid = sandbox.pid(&neighbour).await;
    let loops = sandbox.start("looping", Spec { command: vec!["no-such-command".to_owned()], ..always() }).await;
    let crashing = sandbox.start("crashing", always()).await;
    let mut strangers: Vec<std::process::Child> = Vec::new();
    for _ in 0..12 {
        for id in [&loops, &crashing] {
            // It may be between two lives, which is `Already`; nothing else is an error either.
            sandbox.docker.set(&sandbox.tag(0), id, &killed(Via::Host)).await.unwrap();
            strangers.push(std::process::Command::new("sleep").arg("300").spawn().unwrap());
        }
    }
    let alive = |pid| Process::open(pid).unwrap().is_some_and(|p| p.is_alive());
    let living = strangers.iter().filter(|s| alive(s.id())).count();
    for stranger in &mut strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    assert_eq!(living, strangers.len());
    assert!(alive(neighbour_pid) && start_ticks(neighbour_pid).is_some());
    assert_eq!(sandbox.pid(&neighbour).await, neighbour_pid);
}
