//! A container that is frozen while a command is being started in it blocks its engine: an engine of this test's own.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions};
use bollard::query_parameters::InspectContainerOptions;
use squall::engine::docker::PROGRAM;
use squall::engine::{Apply as _, Execute as _, Outcome};
use squall::model::instance::{Aspect, InstanceId, Setting};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::Yard;
use crate::private_engine::PrivateEngine;
use crate::scene::lonely;

/// Another client of the engine starts a command there.
fn start(yard: &Yard, id: &InstanceId) -> impl Future<Output = ()> + use<> {
    let (api, id) = (yard.api.clone(), id.0.clone());
    async move {
        let cmd = Some(vec![PROGRAM.to_owned(), "--version".to_owned()]);
        let options = CreateExecOptions { attach_stdout: Some(true), cmd, ..CreateExecOptions::default() };
        if let Ok(exec) = api.create_exec(&id, options).await {
            let _ = api.start_exec(&exec.id, None::<StartExecOptions>).await;
        }
    }
}

async fn is_blocked(yard: &Yard, id: &InstanceId) -> bool {
    timeout(Duration::from_secs(2), yard.api.inspect_container(&id.0, None::<InspectContainerOptions>)).await.is_err()
}

async fn set(yard: &Yard, id: &InstanceId, paused: bool) -> Outcome {
    yard.docker.set(&yard.tag(0), id, &Setting::Paused(paused)).await.expect("the engine does it")
}

async fn is_paused(yard: &Yard, id: &InstanceId) -> bool {
    yard.look(id).await.settings[&Aspect::Paused] == Setting::Paused(true)
}

#[tokio::test]
async fn what_blocks_the_engine_is_thawed_past_it() {
    let engine = PrivateEngine::new().await;
    let yard = Yard::on(Some(engine.host())).await;
    let id = yard.start("blocked", lonely()).await;
    // A race between two others: most often it is lost within a few rounds.
    let mut seen = 0;
    for _ in 0..60 {
        let mut others = JoinSet::new();
        (0..2).for_each(|_| drop(others.spawn(start(&yard, &id))));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = timeout(Duration::from_secs(2), yard.api.pause_container(&id.0)).await;
        let blocked = is_blocked(&yard, &id).await;
        seen += usize::from(blocked);
        if blocked {
            assert_eq!(set(&yard, &id, false).await, Outcome::Done);
        } else {
            let _ = yard.api.unpause_container(&id.0).await;
        }
        assert!(!is_paused(&yard, &id).await, "blocked: {blocked}");
        if seen == 2 {
            return;
        }
    }
    panic!("the engine was blocked {seen} times in 60: nothing was tried");
}

#[tokio::test]
async fn commands_of_ours_never_block_it() {
    let engine = PrivateEngine::new().await;
    let yard = Yard::on(Some(engine.host())).await;
    let id = yard.start("open", lonely()).await;
    let version = [PROGRAM.to_owned(), "--version".to_owned()];
    let mut ran = 0;
    for n in 0..30 {
        let ask = || yard.docker.exec(&id.0, &version, Duration::from_secs(10));
        let pause = async {
            tokio::time::sleep(Duration::from_millis(n * 3)).await;
            assert_eq!(set(&yard, &id, true).await, Outcome::Done, "round {n}");
            assert!(!is_blocked(&yard, &id).await, "round {n}");
            assert_eq!(set(&yard, &id, false).await, Outcome::Done, "round {n}");
        };
        // What is not started by then is refused by the engine, or ends when it is thawed.
        let (one, other, ()) = tokio::join!(ask(), ask(), pause);
        ran += [one, other].iter().filter(|ran| ran.as_ref().is_ok_and(|ran| ran.status == 0)).count();
    }
    assert!(ran > 0, "no command was ever started");
}
