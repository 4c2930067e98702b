//! Squall in a container: its guard is another one, because a process would end with the runner's container.

use std::path::PathBuf;

use bollard::models::HostConfig;
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use futures_util::TryStreamExt as _;
use squall::model::instance::{InstanceId, Kill, Setting, Via};
use squall::record::event::{Actor, GuardKind, Reason};
use squall::record::journal;
use squall::run::recover;

use crate::harness::Spec;
use crate::scene::{Scene, eventually, journal_in, lonely};

/// Starts a runner in a container that sees the processes of the engine's host, with what it needs and these mounts beside.
async fn runner(scene: &Scene, experiment: &str, mounts: &[String]) -> InstanceId {
    runner_seeing(scene, experiment, mounts, (Some("host"), "never")).await
}

/// The same; `sees` is whose processes it sees, if not its own alone, and `helper` whether it has one.
async fn runner_seeing(
    scene: &Scene,
    experiment: &str,
    mounts: &[String],
    (sees, helper): (Option<&str>, &str),
) -> InstanceId {
    let file = scene.file("experiment.yaml", experiment);
    let mut binds =
        vec!["/var/run/docker.sock:/var/run/docker.sock".to_owned(), format!("{}:/experiment.yaml:ro", file.display())];
    binds.extend_from_slice(mounts);
    let spec = Spec {
        command: [
            "run",
            "/experiment.yaml",
            "--format",
            "json",
            "--helper",
            helper,
            "--helper-image",
            &scene.sandbox.image,
        ]
        .map(str::to_owned)
        .to_vec(),
        host: HostConfig { binds: Some(binds), pid_mode: sees.map(str::to_owned), ..HostConfig::default() },
        ..Spec::default()
    };
    scene.sandbox.start("runner", spec).await
}

/// The containers whose names tell that they guard a run of this scene.
async fn guards(scene: &Scene) -> Vec<String> {
    let name = format!("squall-guard-.*{}-", scene.sandbox.prefix);
    let filters = std::collections::HashMap::from([("name", vec![name])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = scene.sandbox.api.list_containers(Some(options)).await.expect("the engine answers");
    found.into_iter().filter_map(|c| c.id).collect()
}

#[tokio::test]
async fn when_the_runners_container_is_killed_the_guards_takes_everything_back_and_goes() {
    for fault in ["kill: { via: host }", "pause: {}"] {
        let scene = Scene::of(1, lonely()).await;
        let before = scene.settings().await;
        let volume = scene.sandbox.name("state");
        let x = scene.experiment(fault, "baseline: 500ms, duration: 60s, recovery: 1s");
        let runner = runner(&scene, &x, &[format!("{volume}:/var/lib/squall")]).await;
        let state = PathBuf::from(scene.sandbox.api.inspect_volume(&volume).await.unwrap().mountpoint);
        let so_far = || journal_in(&state).and_then(|j| journal::replay(&j).ok()).unwrap_or_default();
        let on = eventually("the fault is on", || async {
            let state = so_far();
            (!state.changes.is_empty() && state.changes.iter().all(|c| c.verification.is_some())).then_some(state)
        })
        .await;
        let squall::record::state::GuardState { kind, id } = on.guards.last().expect("a guard");
        assert_eq!(*kind, GuardKind::Container);
        let standing = guards(&scene).await;
        assert!(standing.len() == 1 && standing[0].starts_with(id.as_str()), "{standing:?} {id}");

        scene.sandbox.docker.kill_container(&runner.0).await.unwrap();
        let journal = journal_in(&state).expect("a journal");
        eventually("the guard is gone", || async { guards(&scene).await.is_empty().then_some(()) }).await;
        assert!(!recover::needs_recovery(&journal), "the guard has finished the run");
        let after = so_far();
        assert!(after.changes.iter().all(|c| c.rolled_back.as_ref().is_some_and(|r| r.by == Actor::Guard)));
        let report = std::fs::read(journal.with_file_name("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["reason"], "runner-died");
        assert!(!journal.with_file_name("guard.ready").exists());
        scene.sandbox.docker.remove_container(&runner.0).await.unwrap();
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn without_a_volume_for_its_state_nothing_is_touched() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let epoch = scene.sandbox.look(&scene.targeted[0]).await.epoch;
    let x = scene.experiment("kill: {}", "baseline: 500ms, duration: 60s, recovery: 1s");
    let runner = runner(&scene, &x, &[]).await;
    eventually("an end", || async { (!scene.sandbox.docker.is_alive(&runner.0).await.unwrap()).then_some(()) }).await;

    let found = scene.sandbox.api.inspect_container(&runner.0, None).await.unwrap();
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
    let log: Vec<_> = scene.sandbox.api.logs(&runner.0, Some(options)).try_collect().await.unwrap();
    let log = log.iter().map(ToString::to_string).collect::<String>();
    assert_eq!(found.state.and_then(|s| s.exit_code), Some(3), "{log}");
    assert!(log.contains("guard-missing") && log.contains("volume"), "{log}");
    assert_eq!(scene.sandbox.look(&scene.targeted[0]).await.epoch, epoch, "it was never touched");
    assert!(guards(&scene).await.is_empty());
    scene.sandbox.docker.remove_container(&runner.0).await.unwrap();
    scene.is_as(&before).await;
}

#[tokio::test]
async fn where_the_hosts_processes_cannot_be_seen_the_engine_kills_a_zone() {
    a_zone_without_power(Via::Engine).await;
}

#[tokio::test]
async fn where_they_cannot_be_seen_a_helper_does_it_as_power_would() {
    a_zone_without_power(Via::Host).await;
}

async fn a_zone_without_power(via: Via) {
    let zoned = Spec { labels: vec![("squall.zone", "z".to_owned())], ..lonely() };
    let scene = Scene::of(2, zoned).await;
    let before = scene.settings().await;
    let volume = scene.sandbox.name("state");
    let helper = if via == Via::Host { "always" } else { "never" };
    let x = scene.experiment("zone-outage: { mode: power }", "baseline: 500ms, duration: 1s, recovery: 5s");
    let x = x.replace("max-instances: 1", "max-instances: 2, max-zones: 1");
    let runner = runner_seeing(&scene, &x, &[format!("{volume}:/var/lib/squall")], (None, helper)).await;
    let state = PathBuf::from(scene.sandbox.api.inspect_volume(&volume).await.expect("the engine answers").mountpoint);
    let journal = eventually("an end", || async {
        journal_in(&state).filter(|j| journal::replay(j).is_ok_and(|s| s.finished.is_some()))
    })
    .await;
    eventually("the runner is gone", || async {
        (!scene.sandbox.docker.is_alive(&runner.0).await.expect("the engine answers")).then_some(())
    })
    .await;
    let after = journal::replay(&journal).expect("a journal");
    assert_eq!(after.finished.as_ref().map(|f| f.reason), Some(Reason::HypothesisHeld), "{:?}", after.finished);
    let killed =
        after.changes.iter().filter(|c| matches!(c.change.to, Setting::Killed(Kill { via: by, .. }) if by == via));
    assert_eq!(killed.count(), 2, "{:?}", after.changes);
    assert!(after.changes.iter().all(squall::record::state::ChangeState::is_verified), "{:?}", after.changes);
    let says_why = after.warnings.iter().any(|w| w.contains("--pid=host"));
    assert_eq!(says_why, via == Via::Engine, "{:?}", after.warnings);
    scene.sandbox.docker.remove_container(&runner.0).await.expect("the engine answers");
    scene.is_as(&before).await;
}
