//! The machine that a container believes it has: what the program in it meets while a limit is lowered, and that everything is
//! as before afterwards.

use std::time::Duration;

use bollard::models::{HostConfig, RestartPolicyNameEnum};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::TryStreamExt as _;
use squall::engine::docker::PROGRAM;
use squall::engine::{Apply as _, Execute as _, Outcome};
use squall::experiment::fault::{Context, Fault};
use squall::model::instance::{Aspect, Instance, InstanceId, Setting};
use squall::model::machine::Limit;

use crate::harness::{Sandbox, Spec};
use crate::scene::eventually;
use crate::within::{Said, parse, run};

#[test]
#[ignore = "runs inside a container that another test makes"]
fn from_within() {
    run();
}

/// A container in which `examples/machine_table/within.rs` runs.
async fn busy(sandbox: &mut Sandbox, name: &str, env: &[&str], host: HostConfig) -> InstanceId {
    let image = sandbox.docker.own_image(&sandbox.prefix).await.expect("an image of this test program");
    if !sandbox.extra_images.contains(&image) {
        sandbox.extra_images.push(image.clone());
    }
    let spec = Spec {
        image: Some(image),
        command: ["--ignored", "--exact", "machine::from_within", "--nocapture"].map(str::to_owned).to_vec(),
        env: env.iter().map(|v| (*v).to_owned()).collect(),
        host,
        ..Spec::default()
    };
    sandbox.start(name, spec).await
}

/// Listens until the program says what it should.
async fn says(sandbox: &Sandbox, id: &InstanceId, what: &str, is: impl Fn(&Said) -> bool) {
    let is = &is;
    eventually(what, || async move {
        let options = LogsOptionsBuilder::new().stdout(true).tail("1").build();
        let lines: Vec<_> = sandbox.api.logs(&id.0, Some(options)).try_collect().await.ok()?;
        is(&parse(&lines.iter().map(ToString::to_string).collect::<String>())).then_some(())
    })
    .await;
}

/// What a fault comes to for an instance as it is.
fn settings(fault: &str, instance: &Instance) -> Vec<Setting> {
    let written: serde_json::Value = serde_yaml::from_str(fault).expect("YAML");
    let fault: Fault = serde_json::from_value(written).expect("a fault");
    assert_eq!(fault.disturb().refuses(instance), None);
    fault.disturb().settings(instance, &Context { time_limit: Duration::from_hours(24), ..Context::default() })
}

async fn set(sandbox: &Sandbox, id: &InstanceId, to: &Setting) -> Outcome {
    sandbox.docker.set(&sandbox.tag(0), id, to).await.unwrap_or_else(|e| panic!("{to}: {e}"))
}

/// The fault makes the program say `ill` where it says `well` without it; and afterwards everything is as before.
async fn has_effect(
    sandbox: &Sandbox,
    id: &InstanceId,
    fault: &str,
    well: impl Fn(&Said) -> bool,
    ill: impl Fn(&Said) -> bool,
) {
    says(sandbox, id, "well before", &well).await;
    let before = sandbox.look(id).await;
    let to = settings(fault, &before);
    for to in &to {
        assert_eq!(set(sandbox, id, to).await, Outcome::Done, "{to}");
    }
    says(sandbox, id, fault, ill).await;
    let during = sandbox.look(id).await;
    assert!(during.is_up());
    for to in &to {
        assert_eq!(during.settings[&to.aspect()], *to, "it is observed");
        assert_ne!(during.sees[&to.aspect()], before.sees[&to.aspect()], "the kernel's counters show it");
        assert_eq!(set(sandbox, id, to).await, Outcome::Already, "{to} a second time");
        assert_eq!(set(sandbox, id, &before.settings[&to.aspect()]).await, Outcome::Done, "back from {to}");
    }
    says(sandbox, id, "well after", &well).await;
    assert_eq!(sandbox.look(id).await.settings, before.settings);
}

fn has(key: &'static str, value: &'static str) -> impl Fn(&Said) -> bool {
    move |said| said.get(key).is_some_and(|v| v == value)
}

/// A number before its unit, at most this.
fn at_most(key: &'static str, most: f64) -> impl Fn(&Said) -> bool {
    move |said| {
        let text = said.get(key).map_or("", String::as_str);
        text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().is_ok_and(|n| n > 0.0 && n <= most)
    }
}

#[tokio::test]
async fn what_is_used_up_is_refused_to_the_program() {
    let mut sandbox = Sandbox::new().await;
    for (name, pids_limit) in [("free", None), ("bound", Some(200))] {
        let id = busy(&mut sandbox, name, &[], HostConfig { pids_limit, ..HostConfig::default() }).await;
        has_effect(&sandbox, &id, "{ pids: { leave: 0 } }", has("threads", "ok"), has("threads", "EAGAIN")).await;
        has_effect(&sandbox, &id, "{ file-descriptors: { leave: 4 } }", has("open", "ok"), has("open", "EMFILE")).await;
        has_effect(&sandbox, &id, "{ sockets: { ports: 4 } }", has("connect", "ok"), has("connect", "EADDRNOTAVAIL"))
            .await;
    }
}

#[tokio::test]
async fn a_throttled_program_is_held_back_and_a_slow_disk_is_slow() {
    let mut sandbox = Sandbox::new().await;
    let binds = Some(vec![format!("{}:/data", sandbox.name("volume"))]);
    let host = HostConfig { nano_cpus: Some(1_500_000_000), binds, ..HostConfig::default() };
    let id = busy(&mut sandbox, "busy", &["BURN=1"], host).await;
    let some_time = |said: &Said| said.contains_key("cpu");
    has_effect(&sandbox, &id, "{ throttle: { cpu: 10% } }", some_time, at_most("cpu", 20.0)).await;
    let writes = |said: &Said| !at_most("write", 400.0)(said) && said["write"].ends_with("KiB/s");
    has_effect(&sandbox, &id, "{ disk-slow: { path: /data/x, write: 256KiB/s } }", writes, at_most("write", 300.0))
        .await;
}

#[tokio::test]
async fn what_needs_more_memory_than_that_keeps_it_or_dies_of_it_and_never_anything_between() {
    let mut sandbox = Sandbox::new().await;
    let host = HostConfig { memory: Some(256 << 20), ..HostConfig::default() };
    let id = busy(&mut sandbox, "holding", &["HOLD=60"], host).await;
    says(&sandbox, &id, "well before", has("memory", "60MiB")).await;
    let before = sandbox.look(&id).await;
    let was = before.settings[&Aspect::MemoryLimit].clone();
    assert_eq!(was, Setting::Limit(Limit::Memory(Some(256 << 20))));

    // Enough for what it holds: it lives, and sees less.
    let enough = &settings("{ throttle: { memory: 50% } }", &before)[0];
    assert_eq!(set(&sandbox, &id, enough).await, Outcome::Done);
    assert!(sandbox.look(&id).await.sees[&Aspect::MemoryLimit].contains("at most 128MiB"));
    assert_eq!(set(&sandbox, &id, &was).await, Outcome::Done);

    // Less than what it holds, and nothing that the kernel could reclaim.
    let too_little = &settings("{ throttle: { memory: 16MiB } }", &before)[0];
    match sandbox.docker.set(&sandbox.tag(0), &id, too_little).await {
        // Version 1 refuses.
        Err(e) => {
            assert!(e.to_string().contains("leave it more"), "{e}");
            assert_eq!(sandbox.look(&id).await.settings, before.settings);
        }
        // Version 2 kills; the next life begins with what is configured.
        Ok(outcome) => {
            assert_eq!(outcome, Outcome::Done);
            sandbox.until(&id, "died of it", |i| !i.is_running()).await;
            assert_eq!(set(&sandbox, &id, &was).await, Outcome::Already, "what does not run has no limit to roll back");
            assert_eq!(set(&sandbox, &id, &Setting::Running(true)).await, Outcome::Done);
        }
    }
    assert_eq!(sandbox.look(&id).await.settings, before.settings);
}

#[tokio::test]
async fn every_process_with_the_same_limit_is_meant_and_no_other() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("several", Spec::default()).await;
    let serve = ["serve", "store", "--listen", "127.0.0.1:9997"].map(str::to_owned);
    let command: Vec<String> = [PROGRAM.to_owned()].into_iter().chain(serve).collect();
    let soft = |pid: u32| squall::host::descriptors::limit(pid).expect("it runs").soft;
    let main = sandbox.pid(&id).await;
    let before = sandbox.look(&id).await;
    let second = async {
        let cgroup = squall::host::process::Process::open(main).unwrap().unwrap();
        let cgroup = squall::host::Host::default().cgroups().of(&cgroup, &id.0).unwrap();
        let other = eventually("a second process", || async {
            cgroup.processes().ok()?.into_iter().find(|pid| *pid != main && soft(*pid) == soft(main))
        })
        .await;
        let was = soft(main);
        let to = Setting::Limit(Limit::Descriptors(40));
        assert_eq!(set(&sandbox, &id, &to).await, Outcome::Done);
        assert_eq!((soft(main), soft(other)), (40, 40));
        // As if the process that lowered it died between the two: the rollback finds it by the main process.
        let held = squall::host::process::Process::open(other).unwrap().unwrap();
        squall::host::descriptors::set_soft(&held, 41).unwrap();
        let back = &before.settings[&Aspect::DescriptorLimit];
        assert_eq!(set(&sandbox, &id, back).await, Outcome::Done);
        assert_eq!((soft(main), soft(other)), (was, 41), "a limit of its own is left alone");
        let error =
            sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Limit(Limit::Descriptors(41))).await.unwrap_err();
        assert!(error.to_string().contains("choose another number"), "{error}");
        assert_eq!(soft(main), was);
    };
    let lasting = sandbox.docker.exec(&before.name, &command, Duration::from_mins(1));
    tokio::select! {
        ended = lasting => panic!("it should last: {ended:?}"),
        () = second => {}
    }
}

#[tokio::test]
async fn a_host_network_has_no_ports_of_its_own() {
    let sandbox = Sandbox::new().await;
    let host = HostConfig { network_mode: Some("host".to_owned()), ..HostConfig::default() };
    let command = ["serve", "store", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    let id = sandbox.start("host", Spec { command, host, ..Spec::default() }).await;
    let to = Setting::Limit(Limit::Ports { first: 40_000, last: 40_001 });
    assert!(!sandbox.look(&id).await.settings.contains_key(&Aspect::PortRange));
    let error = sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap_err();
    assert!(error.to_string().contains("network of its host"), "{error}");
}

#[tokio::test]
async fn a_target_that_restarts_is_limited_again_and_free_in_the_end() {
    let spec = Spec { restart: Some(RestartPolicyNameEnum::ALWAYS), ..Spec::default() };
    let scene = crate::scene::Scene::of(1, spec).await;
    let before = scene.settings().await;
    let target = scene.targeted[0].clone();
    let mut run = scene.start(&scene.experiment("pids: { limit: 60 }", "baseline: 1s, duration: 6s, recovery: 5s"));
    run.until_on().await;
    let pid = scene.sandbox.pid(&target).await;
    crate::scene::send(pid, rustix::process::Signal::KILL);
    let limited = Setting::Limit(Limit::Processes(Some(60)));
    let again = |i: &Instance| i.restarts > 0 && i.settings.get(&Aspect::ProcessLimit) == Some(&limited);
    scene.sandbox.until(&target, "limited again", again).await;
    let ended = run.ends().await;
    assert_eq!(ended.state.changes.len(), 2, "an amendment");
    assert!(ended.state.changes.iter().all(|c| c.rolled_back.is_some()));
    assert!(ended.state.changes[1].sees.during.is_some() && ended.state.changes[1].sees.after.is_some());
    scene.is_as(&before).await;
}
