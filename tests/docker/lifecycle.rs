//! What only Docker does: containers that the engine restarts, states of all kinds, traits, commands that stay.

use std::time::{Duration, Instant};

use bollard::models::{HostConfig, PortBinding, RestartPolicyNameEnum};
use bollard::query_parameters::KillContainerOptions;
use squall::engine::docker::PROGRAM;
use squall::engine::here::MARK;
use squall::engine::{Apply as _, EngineError, Execute as _, Observe as _, Outcome};
use squall::host::process;
use squall::model::instance::{Aspect, Command, CommandLocation, Setting, Trait};
use squall::model::zones::Zones;

use crate::harness::{Sandbox, Spec};

#[tokio::test]
async fn starting_waits_for_the_restart_that_is_due() {
    let sandbox = Sandbox::new().await;
    let policy = Some(RestartPolicyNameEnum::ON_FAILURE);
    let id = sandbox.start("due", Spec { restart: policy, ..Spec::default() }).await;
    // Each crash doubles the engine's pause before it restarts, until there is a pause to be seen.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let host = squall::model::instance::Kill {
            signal: squall::model::instance::Signal::SigKill,
            via: squall::model::instance::Via::Host,
        };
        sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Killed(host)).await.unwrap();
        if !sandbox.look(&id).await.is_running() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it was never seen between two lives");
    }
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap(), Outcome::Already);
    assert!(sandbox.look(&id).await.is_running());
}

#[tokio::test]
async fn a_start_thaws_what_is_frozen() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("frozen", Spec::default()).await;
    let before = sandbox.look(&id).await.settings;
    sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Paused(true)).await.unwrap();
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.look(&id).await.settings, before);
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let sandbox = Sandbox::new().await;
    let entrypoint = Some(vec!["/no/such/program".to_owned()]);
    let id = sandbox.create("broken", Spec { entrypoint, ..Spec::default() }).await;
    let error = sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Running(true)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(text.contains(&sandbox.name("broken")) && text.contains("/no/such/program"), "{text}");
}

#[tokio::test]
async fn containers_are_seen_in_every_state_with_their_traits() {
    let sandbox = Sandbox::new().await;
    let labels = vec![("com.docker.compose.service", "shop".to_owned()), ("rack", "r7".to_owned())];
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    let ports = [("8080/tcp".to_owned(), Some(vec![binding]))].into();
    let host = HostConfig { port_bindings: Some(ports), auto_remove: Some(true), ..HostConfig::default() };
    let up = sandbox.start("b-up", Spec { labels, host, ..Spec::default() }).await;
    let new = sandbox.create("a-new", Spec::default()).await;
    let down = sandbox.start("c-down", Spec::default()).await;
    sandbox.api.kill_container(&down.0, None::<KillContainerOptions>).await.unwrap();
    let ours = sandbox.create("d-ours", Spec { labels: vec![("squall.run", "x".to_owned())], ..Spec::default() }).await;

    let docker = sandbox.docker.clone().with_zones(Zones::Label("rack".to_owned())).await.unwrap();
    let all = docker.observe().await.unwrap();
    let mine: Vec<_> = all.iter().filter(|i| i.name.starts_with(&sandbox.prefix)).collect();
    assert_eq!(mine.iter().map(|i| &i.id).collect::<Vec<_>>(), [&new, &up, &down, &ours], "ordered by name");
    assert_eq!(mine.iter().map(|i| i.is_up()).collect::<Vec<_>>(), [false, true, false, false]);
    let shop = mine[1];
    assert_eq!((shop.service.as_str(), shop.zone.as_deref()), ("shop", Some("r7")));
    assert_eq!(shop.image.as_ref(), Some(&sandbox.image));
    assert_eq!(shop.traits, [Trait::AutoRemove, Trait::RandomPorts].into());
    assert_eq!(mine[0].service, mine[0].name);
    assert_eq!(mine[3].traits, [Trait::Ours].into());
    assert!(mine.iter().all(|i| i.settings.contains_key(&Aspect::Running)));
}

#[tokio::test]
async fn an_undo_ends_what_the_command_left_running_in_the_container() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("exec", Spec::default()).await;
    let tag = sandbox.tag(7);
    let command = |words: &[&str], timeout| {
        let run = [PROGRAM].iter().chain(words).map(|w| (*w).to_owned()).collect();
        Setting::Ran(Command {
            run,
            place: CommandLocation::Target,
            timeout: Duration::from_millis(timeout),
            variables: [].into(),
            directory: None,
        })
    };
    let lasting = command(&["serve", "store", "--listen", "127.0.0.1:9998"], 60_000);
    let undo = command(&["--version"], 10_000);
    let docker = sandbox.docker.clone();
    let runner = async {
        // As if the runner died: the call is dropped, the command goes on.
        let call = docker.set(&tag, &id, &lasting);
        let seen = async {
            while process::with_variable(MARK, &tag.to_string()).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = call => panic!("it should last: {ended:?}"),
            seen = tokio::time::timeout(Duration::from_secs(20), seen) => seen.expect("the command is running"),
        }
    };
    runner.await;
    assert_eq!(process::with_variable(MARK, &tag.to_string()).len(), 1, "it goes on without its runner");
    assert_eq!(sandbox.docker.set(&tag, &id, &undo).await.unwrap(), Outcome::Done);
    assert!(process::with_variable(MARK, &tag.to_string()).is_empty());
    assert!(sandbox.look(&id).await.is_up(), "only the command was ended");

    let slow = command(&["serve", "store", "--listen", "127.0.0.1:9998"], 500);
    let error = sandbox.docker.set(&tag, &id, &slow).await.unwrap_err();
    assert!(matches!(error, EngineError::TimedOut { .. }), "{error}");
    assert!(process::with_variable(MARK, &tag.to_string()).is_empty(), "what took too long is ended");
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_any_more_is_ended() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("asked", Spec::default()).await;
    let name = sandbox.look(&id).await.name;
    let processes = async || sandbox.api.top_processes(&name, None).await.unwrap().processes.unwrap_or_default().len();
    let until = async |n| {
        let seen = async {
            while processes().await != n {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("in the end it is so");
    };
    let lasting = [PROGRAM, "serve", "store", "--listen", "127.0.0.1:0"].map(str::to_owned);
    // As at the end of a run: the call is dropped, and the engine's command goes on.
    tokio::select! {
        ended = sandbox.docker.exec(&name, &lasting, Duration::from_mins(1)) => panic!("it should last: {ended:?}"),
        () = until(2) => {}
    }
    assert_eq!(processes().await, 2);
    sandbox.docker.end_abandoned().await;
    until(1).await;
    assert!(sandbox.look(&id).await.is_up(), "only the command was ended");

    // Or at any earlier moment: the engine says that a command runs before it has a process.
    let started = Instant::now();
    tokio::select! {
        ended = sandbox.docker.exec(&name, &lasting, Duration::from_mins(1)) => panic!("it should last: {ended:?}"),
        () = until(2) => {}
    }
    let whole = started.elapsed();
    for moment in 1..20 {
        let call = sandbox.docker.exec(&name, &lasting, Duration::from_mins(1));
        tokio::time::timeout(whole * moment / 20, call).await.expect_err("it should last");
    }
    sandbox.docker.end_abandoned().await;
    until(1).await;
    assert!(sandbox.look(&id).await.is_up(), "only the commands were ended");
}

#[tokio::test]
async fn a_command_here_knows_whom_it_is_for() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("here", Spec { labels: vec![("squall.zone", "z9".to_owned())], ..Spec::default() }).await;
    let script = format!("test \"$SQUALL_NAME $SQUALL_ZONE $SQUALL_INSTANCE\" = '{} z9 {id}'", sandbox.name("here"));
    let run = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let variables = sandbox.look(&id).await.variables();
    let told = Setting::Ran(Command {
        run,
        place: CommandLocation::Here,
        timeout: Duration::from_secs(10),
        variables,
        directory: None,
    });
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &told).await.unwrap(), Outcome::Done);
}
