//! A container that is frozen while a command is being started in it blocks its engine: an engine of this test's own.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions};
use bollard::query_parameters::InspectContainerOptions;
use squall::engine::docker::PROGRAM;
use squall::engine::{Apply as _, Execute as _, Outcome};
use squall::model::instance::{Aspect, InstanceId, Setting};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::Sandbox;
use crate::private_engine::PrivateEngine;
use crate::scene::lonely;

/// Another client of the engine starts a command there.
fn start(sandbox: &Sandbox, id: &InstanceId) -> impl Future<Output = ()> + use<> {
    let (api, id) = (sandbox.api.clone(), id.0.clone());
    async move {
        let cmd = Some(vec![PROGRAM.to_owned(), "--version".to_owned()]);
        let options = CreateExecOptions { attach_stdout: Some(true), cmd, ..CreateExecOptions::default() };
        if let Ok(exec) = api.create_exec(&id, options).await {
            let _ = api.start_exec(&exec.id, None::<StartExecOptions>).await;
        }
    }
}

async fn is_blocked(sandbox: &Sandbox, id: &InstanceId) -> bool {
    timeout(Duration::from_secs(2), sandbox.api.inspect_container(&id.0, None::<InspectContainerOptions>))
        .await
        .is_err()
}

async fn set(sandbox: &Sandbox, id: &InstanceId, paused: bool) -> Outcome {
    sandbox.docker.set(&sandbox.tag(0), id, &Setting::Paused(paused)).await.expect("the engine does it")
}

async fn is_paused(sandbox: &Sandbox, id: &InstanceId) -> bool {
    sandbox.look(id).await.settings[&Aspect::Paused] == Setting::Paused(true)
}

#[tokio::test]
async fn what_blocks_the_engine_is_thawed_past_it() {
    let engine = PrivateEngine::new().await;
    let sandbox = Sandbox::on(Some(engine.host())).await;
    let id = sandbox.start("blocked", lonely()).await;
    // A race between two others: most often it is lost within a few rounds.
    let mut seen = 0;
    for _ in 0..60 {
        let mut others = JoinSet::new();
        (0..2).for_each(|_| drop(others.spawn(start(&sandbox, &id))));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = timeout(Duration::from_secs(2), sandbox.api.pause_container(&id.0)).await;
        let blocked = is_blocked(&sandbox, &id).await;
        seen += usize::from(blocked);
        if blocked {
            assert_eq!(set(&sandbox, &id, false).await, Outcome::Done);
        } else {
            let _ = sandbox.api.unpause_container(&id.0).await;
        }
        assert!(!is_paused(&sandbox, &id).await, "blocked: {blocked}");
        if seen == 2 {
            return;
        }
    }
    panic!("the engine was blocked {seen} times in 60: nothing was tried");
}

#[tokio::test]
async fn commands_of_ours_never_block_it() {
    let engine = PrivateEngine::new().await;
    let sandbox = Sandbox::on(Some(engine.host())).await;
    let id = sandbox.start("open", lonely()).await;
    let version = [PROGRAM.to_owned(), "--version".to_owned()];
    let mut ran = 0;
    for n in 0..30 {
        let ask = || sandbox.docker.exec(&id.0, &version, Duration::from_secs(10));
        let pause = async {
            tokio::time::sleep(Duration::from_millis(n * 3)).await;
            assert_eq!(set(&sandbox, &id, true).await, Outcome::Done, "round {n}");
            assert!(!is_blocked(&sandbox, &id).await, "round {n}");
            assert_eq!(set(&sandbox, &id, false).await, Outcome::Done, "round {n}");
        };
        // What is not started by then is refused by the engine, or ends when it is thawed.
        let (one, other, ()) = tokio::join!(ask(), ask(), pause);
        ran += [one, other].iter().filter(|ran| ran.as_ref().is_ok_and(|ran| ran.status == 0)).count();
    }
    assert!(ran > 0, "no command was ever started");
}
