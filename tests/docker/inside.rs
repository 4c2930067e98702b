//! Squall in a container itself: it knows which one it is, and whether it could crash others from there.
//!
//! This test program goes into a container as an image of itself, and runs one of its tests there.

use bollard::models::HostConfig;
use bollard::query_parameters::WaitContainerOptions;
use futures_util::TryStreamExt as _;
use squall::engine::docker::Docker;
use squall::engine::{Ability, Apply as _, EngineError, Observe as _, Outcome, Tag};
use squall::model::instance::{InstanceId, Kill, Setting, Signal, Trait, Via};

use crate::harness::{Sandbox, Spec};

const CRASH: Setting = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });

/// Runs `inside::from_within` in a container of its own; its exit status says whether it passed.
async fn passes_within(pid_mode: Option<&str>) {
    let mut sandbox = Sandbox::new().await;
    let image = sandbox.docker.own_image(&sandbox.prefix).await.expect("an image of this test program");
    sandbox.extra_images.push(image.clone());
    let target = sandbox.start("target", Spec::default()).await;
    let spec = Spec {
        image: Some(image),
        command: ["--ignored", "--exact", "inside::from_within", "--nocapture"].map(str::to_owned).to_vec(),
        env: vec![format!("TARGET={target}"), format!("CAN_CRASH={}", pid_mode.is_some())],
        host: HostConfig {
            binds: Some(vec!["/var/run/docker.sock:/var/run/docker.sock".to_owned()]),
            pid_mode: pid_mode.map(str::to_owned),
            ..HostConfig::default()
        },
        ..Spec::default()
    };
    let runner = sandbox.start("runner", spec).await;
    let ended = sandbox.api.wait_container(&runner.0, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await;
    if let Err(e) = ended {
        let options = bollard::query_parameters::LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let log: Vec<_> = sandbox.api.logs(&runner.0, Some(options)).try_collect().await.expect("a log");
        panic!("{e}: {}", log.iter().map(ToString::to_string).collect::<String>());
    }
    assert_eq!(
        sandbox.look(&target).await.is_running(),
        pid_mode.is_none(),
        "crashed where that is possible, else left"
    );
}

#[tokio::test]
async fn in_a_container_of_its_own_it_knows_itself_and_refuses_to_crash_others() {
    passes_within(None).await;
}

#[tokio::test]
async fn in_the_hosts_pid_namespace_it_can_crash_others() {
    passes_within(Some("host")).await;
}

#[tokio::test]
#[ignore = "runs inside a container that another test makes"]
async fn from_within() {
    let variable = |name| std::env::var(name).expect("set by the test outside");
    let target = InstanceId(variable("TARGET"));
    let docker = Docker::connect(None).await.unwrap();
    let own = docker.own_container().expect("it runs in a container of this engine").to_owned();
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap();
    assert!(own.len() == 64 && own.starts_with(hostname.trim()), "{own} {hostname}");
    let all = docker.observe().await.unwrap();
    let traits = |id: &str| &all.iter().find(|i| i.id.0 == id).expect("it is observed").traits;
    assert!(traits(&own).contains(&Trait::Ours));
    assert!(!traits(&target.0).contains(&Trait::Ours));

    let targeted = all.iter().find(|i| i.id == target).expect("it is observed");
    let crashed = docker.set(&Tag { run: "within".to_owned(), change: 0 }, &target, &CRASH).await;
    if variable("CAN_CRASH") == "true" {
        assert_eq!(docker.ability(targeted, &CRASH), Ability::Yes);
        assert_eq!(crashed.unwrap(), Outcome::Done);
    } else {
        assert!(matches!(docker.ability(targeted, &CRASH), Ability::No(why) if why.contains("--pid=host")));
        assert!(matches!(crashed, Err(EngineError::Refused { .. })));
    }
}
