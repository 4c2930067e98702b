//! What fills a disk is taken away whatever became of its container, and only from the file system that it was written to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bollard::models::HostConfig;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use squall::engine::docker::Docker;
use squall::engine::{Apply as _, Observe as _, Outcome};
use squall::model::disk::Goal;
use squall::model::instance::{Aspect, Setting};

use super::{DATA, Loop, MIB, able, back, bound, does, fill, in_memory, is_clean, with};
use crate::harness::Sandbox;

/// Another process rolls back, which knows no more than the journal does.
#[tokio::test]
async fn it_is_rolled_back_whatever_became_of_the_container() {
    let own = Loop::new(32 * MIB);
    let sandbox = Sandbox::new().await;
    let other = Docker::connect(None).await.expect("a Docker Engine is there");
    let top = own.top();
    let full = || rustix::fs::statvfs(&top).expect("a file system").f_bavail == 0;
    for (n, fate) in ["running", "restarted", "killed", "removed"].into_iter().enumerate() {
        let id = sandbox.start(fate, bound(&top)).await;
        let before = sandbox.look(&id).await;
        let to = able(&sandbox.docker, &before, &fill(&before, DATA, Goal::To(1.0)));
        assert_eq!(sandbox.docker.set(&sandbox.tag(n), &id, &to).await.unwrap(), Outcome::Done, "{fate}");
        assert!(full(), "{fate}");
        let mut gone = false;
        match fate {
            "restarted" => {
                let restarted = Setting::Restarted { timeout: Duration::from_secs(5) };
                assert_eq!(other.set(&sandbox.tag(n), &id, &restarted).await.unwrap(), Outcome::Done);
            }
            "killed" => {
                assert_eq!(other.set(&sandbox.tag(n), &id, &Setting::Running(false)).await.unwrap(), Outcome::Done);
            }
            "removed" => {
                let options = RemoveContainerOptionsBuilder::new().force(true).build();
                sandbox.api.remove_container(&id.0, Some(options)).await.expect("it is removed");
                gone = true;
            }
            _ => {}
        }
        if !gone {
            let now = other.look(&id).await.unwrap().expect("it exists");
            assert_eq!(Some(&now.settings[&Aspect::Disk]), to.observed_as().as_ref(), "{fate}: it is still there");
        }
        assert!(full(), "{fate}: it stays");
        assert_eq!(other.set(&sandbox.tag(n), &id, &back(&to)).await.unwrap(), Outcome::Done, "{fate}");
        assert!(!full() && is_clean(top.to_str().unwrap()), "{fate}");
        let again = other.set(&sandbox.tag(n), &id, &back(&to)).await.unwrap();
        assert_eq!(again, if gone { Outcome::Gone } else { Outcome::Already }, "{fate}");
        if !gone {
            assert_eq!(sandbox.look(&id).await.settings[&Aspect::Disk], before.settings[&Aspect::Disk], "{fate}");
        }
    }
    // Its root goes with the container, and so does what filled it; memory goes with the life.
    let id = sandbox.start("root", with(HostConfig::default())).await;
    let before = sandbox.look(&id).await;
    let to = able(&sandbox.docker, &before, &fill(&before, "/", Goal::Size(8 * MIB)));
    assert_eq!(sandbox.docker.set(&sandbox.tag(8), &id, &to).await.unwrap(), Outcome::Done);
    assert_eq!(other.set(&sandbox.tag(8), &id, &Setting::Running(false)).await.unwrap(), Outcome::Done);
    assert_eq!(other.set(&sandbox.tag(8), &id, &back(&to)).await.unwrap(), Outcome::Done, "of one that is stopped");
    assert_eq!(other.set(&sandbox.tag(8), &id, &Setting::Running(true)).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.docker.set(&sandbox.tag(9), &id, &to).await.unwrap(), Outcome::Done);
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    sandbox.api.remove_container(&id.0, Some(options)).await.expect("it is removed");
    assert_eq!(other.set(&sandbox.tag(9), &id, &back(&to)).await.unwrap(), Outcome::Gone);
    let source = before.mounts[0].source.clone().expect("an upper directory");
    assert!(!Path::new(&source).parent().expect("a directory").exists(), "the engine has removed all of it");

    let id = sandbox.start("memory", in_memory("size=16m")).await;
    let before = sandbox.look(&id).await;
    let to = able(&sandbox.docker, &before, &fill(&before, DATA, Goal::To(1.0)));
    assert_eq!(sandbox.docker.set(&sandbox.tag(10), &id, &to).await.unwrap(), Outcome::Done);
    let restarted = Setting::Restarted { timeout: Duration::from_secs(5) };
    assert_eq!(other.set(&sandbox.tag(10), &id, &restarted).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.look(&id).await.settings, before.settings, "it ends with the life");
    assert_eq!(other.set(&sandbox.tag(10), &id, &back(&to)).await.unwrap(), Outcome::Already);
}

#[tokio::test]
async fn another_file_system_at_the_same_place_is_not_taken_for_success() {
    let own = Loop::new(16 * MIB);
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("moved", bound(&own.top())).await;
    let before = sandbox.look(&id).await;
    let to = able(&sandbox.docker, &before, &fill(&before, DATA, Goal::Size(MIB)));
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(false)).await.unwrap(), Outcome::Done);
    does(Command::new("umount").arg(own.top()));
    let error = sandbox.docker.set(&sandbox.tag(0), &id, &back(&to)).await.unwrap_err().to_string();
    assert!(error.contains("another file system is at"), "{error}");
    does(Command::new("mount").args(["-o", "loop"]).arg(own.dir.path().join("image")).arg(own.top()));
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &back(&to)).await.unwrap(), Outcome::Done);
    assert!(is_clean(own.top().to_str().unwrap()));
}
