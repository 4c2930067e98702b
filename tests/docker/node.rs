//! The helper on an engine's own host: what it lets a user do who is not root, and that it rolls back alone whatever becomes of the
//! runner, of the runner's guard and of itself.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bollard::query_parameters::InspectContainerOptions;
use rustix::process::Signal;
use squall::engine::docker::Docker;
use squall::engine::node::Node;
use squall::engine::{Apply as _, Engine, EngineError, Observe as _};
use squall::experiment::Experiment;
use squall::host::{Host, process};
use squall::model::instance::{Change, Instance, InstanceId, Rollback, Setting};
use squall::record::event::{Event, FORMAT, Started};
use squall::record::journal::Recorder;
use squall::record::state::RunState;
use tokio::process::Command;

use crate::cluster::Cluster;
use crate::conformance::{self, World, conforms};
use crate::harness::{Sandbox, Spec};
use crate::scene::{Run, Scene, eventually, guard, lonely, send};

const NOBODY: u32 = 65534;
const TIMING: &str = "warm-up: 100ms, baseline: 1s, duration: 4s, recovery: 10s";
const LONG: &str = "warm-up: 100ms, baseline: 1s, duration: 60s, recovery: 10s";

/// `nice`, as a user who may use the engine and nothing else.
fn as_user(scene: &Scene) -> Command {
    let group = std::fs::metadata("/var/run/docker.sock").expect("the engine's socket").gid();
    chown(scene.dir.path(), Some(NOBODY), Some(NOBODY)).expect("a directory of the test's own");
    let mut command = Command::new("nice");
    command.env("HOME", scene.dir.path()).args(["-n", "-10", "setpriv"]);
    command.args([
        "--reuid",
        &NOBODY.to_string(),
        "--regid",
        &group.to_string(),
        "--clear-groups",
        "--inh-caps=-all",
        "nice",
    ]);
    command
}

/// One container, and helpers that are made of the sandbox's image.
async fn scene_of(spec: Spec) -> Scene {
    let mut scene = Scene::of(1, spec).await;
    scene.options = ["--helper-image", &scene.sandbox.image].map(str::to_owned).to_vec();
    scene
}

fn start_as_user(scene: &Scene, experiment: &str) -> Run {
    scene.start_by(scene.squall_by(as_user(scene), "state"), experiment, scene.dir.path().join("state"))
}

/// The session of a run's helpers.
fn session(s: &RunState) -> String {
    s.started.as_ref().and_then(|s| s.engine.helper.clone()).expect("it has a helper").session
}

/// The processes of a session's helpers.
async fn helpers(scene: &Scene, session: &str) -> Vec<u32> {
    let all = scene.sandbox.docker.observe().await.expect("the engine answers");
    let mut pids = Vec::new();
    for helper in all.into_iter().filter(|i| i.name.starts_with(session)) {
        // It may be gone by now.
        let found = scene.sandbox.api.inspect_container(&helper.id.0, None::<InspectContainerOptions>).await.ok();
        pids.extend(found.and_then(|c| u32::try_from(c.state?.pid?).ok()).filter(|pid| *pid > 0));
    }
    pids
}

/// Nothing of a session is on the engine any more.
async fn is_gone(scene: &Scene, session: &str) {
    eventually("the end of the helper and of its volume", || async {
        let is_there =
            scene.sandbox.docker.sessions().await.expect("the engine answers").iter().any(|s| s.name == session);
        (!is_there && helpers(scene, session).await.is_empty()).then_some(())
    })
    .await;
}

/// By its faults: of its life, its machine, its disk and its traffic.
#[tokio::test]
async fn a_user_of_the_engine_has_every_fault() {
    for (spec, fault) in [
        (lonely(), "kill: { via: host }"),
        (lonely(), "throttle: { cores: 0.5, idle: allowed }"),
        (lonely(), "disk-fill: { path: /, size: 8MiB }"),
        (Spec::default(), "latency: { delay: 20ms, idle: allowed }"),
        (Spec::default(), "dns: { names: '*', answer: nxdomain, idle: allowed }"),
    ] {
        let restart = fault.starts_with("kill").then_some(bollard::models::RestartPolicyNameEnum::ALWAYS);
        let scene = scene_of(Spec { restart, ..spec }).await;
        let before = scene.settings().await;
        let ended = start_as_user(&scene, &scene.experiment(fault, TIMING)).ends().await;
        let said = String::from_utf8_lossy(&ended.output.stderr);
        assert_eq!(ended.output.status.code(), Some(0), "{fault}: {said} {:#}", ended.report["text"]);
        is_gone(&scene, &session(&ended.state)).await;
        scene.is_as(&before).await;
    }
}

/// What of a run's operator dies, or hangs.
async fn rolls_back_alone(signal: Signal) {
    for (spec, fault) in [(lonely(), "pause: {}"), (Spec::default(), "latency: { delay: 20ms, idle: allowed }")] {
        let scene = scene_of(spec).await;
        let before = scene.settings().await;
        let mut run = start_as_user(&scene, &scene.experiment(fault, LONG));
        let on = run.until_on().await;
        let operator = [run.pid(), guard(&on)];
        for pid in operator {
            send(pid, signal);
        }
        // No process of Squall's is left here to do anything.
        eventually("all is as before", || async { (scene.settings().await == before).then_some(()) }).await;
        eventually("the end of the helper", || async { helpers(&scene, &session(&on)).await.is_empty().then_some(()) })
            .await;
        if signal == Signal::STOP {
            for pid in operator {
                send(pid, Signal::KILL);
            }
        }
        drop(run.dies().await);
        let recovered =
            scene.squall_by(as_user(&scene), "state").arg("recover").output().await.expect("the binary runs");
        let said = String::from_utf8_lossy(&recovered.stdout).into_owned();
        assert!(recovered.status.success() && said.contains("nothing is left"), "{said}");
        is_gone(&scene, &session(&on)).await;
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_node_rolls_back_alone_when_runner_and_guard_are_killed() {
    Box::pin(rolls_back_alone(Signal::KILL)).await;
}

#[tokio::test]
async fn a_node_rolls_back_alone_when_it_hears_nothing() {
    Box::pin(rolls_back_alone(Signal::STOP)).await;
}

/// The next helper holds what the last one held, and the fault is on all the time: also one that the kernel would end by itself.
#[tokio::test]
async fn a_helper_that_dies_is_replaced() {
    for (spec, fault) in [(lonely(), "pause: {}"), (Spec::default(), "partition: { idle: allowed }")] {
        let scene = scene_of(spec).await;
        let before = scene.settings().await;
        let mut run = start_as_user(&scene, &scene.experiment(fault, TIMING));
        let on = run.until_on().await;
        let first = helpers(&scene, &session(&on)).await;
        for pid in &first {
            send(*pid, Signal::KILL);
        }
        eventually("another helper", || async {
            let now = helpers(&scene, &session(&on)).await;
            now.iter().any(|pid| !first.contains(pid)).then_some(())
        })
        .await;
        let ended = run.ends().await;
        let reason = if fault.starts_with("pause") { "hypothesis-held" } else { "held-without-effect" };
        ended.is(0, reason).rolled_back_by("runner");
        is_gone(&scene, &session(&ended.state)).await;
        scene.is_as(&before).await;
    }
}

/// Of a run whose every process is dead, another machine that reaches the engine finds what is left, without its journal.
#[tokio::test]
async fn what_all_have_left_is_rolled_back_from_any_machine() {
    let scene = scene_of(lonely()).await;
    let before = scene.settings().await;
    let mut run = start_as_user(&scene, &scene.experiment("pause: {}", LONG));
    let on = run.until_on().await;
    let helpers = helpers(&scene, &session(&on)).await;
    let operator = [run.pid(), guard(&on)];
    // It must not see the others die.
    for pid in &helpers {
        send(*pid, Signal::STOP);
    }
    for pid in operator.iter().chain(&helpers) {
        send(*pid, Signal::KILL);
    }
    drop(run.dies().await);
    assert_ne!(scene.settings().await, before, "no process was there to roll it back");
    // Any run and any recovery on this engine does it, those of other tests too.
    eventually("all is as before", || async {
        let recovered = scene
            .squall_by(as_user(&scene), "elsewhere")
            .args(["recover", "--helper-image", &scene.sandbox.image])
            .output()
            .await
            .expect("it runs");
        assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stdout));
        (scene.settings().await == before).then_some(())
    })
    .await;
    is_gone(&scene, &session(&on)).await;
    assert_eq!(scene.settings().await, before);
    // And the machine that it was started from has nothing more to do.
    let recovered = scene.squall_by(as_user(&scene), "state").arg("recover").output().await.expect("the binary runs");
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stdout));
    scene.is_as(&before).await;
    is_gone(&scene, &session(&on)).await;
}

/// The kernel's own value of a control group, of the only container of a scene.
fn in_its_group(scene: &Scene, controller: &str, file: &str) -> Option<String> {
    let id = &scene.targeted[0].0;
    let process = process::of_container(id).into_iter().next()?;
    let group = Host::default().cgroups().of(&process, id).ok()?;
    if controller == "freezer" { group.freezer()? } else { group.controller(controller)? }.read(file).ok()?
}

/// On a machine of its own, whose processes are not seen from here: with the engine, everything is dead that could tell the helper to.
#[tokio::test]
async fn when_the_engine_dies_too_a_node_rolls_back_by_the_kernel() {
    for (fault, controller, file, before) in [
        ("pause: {}", "freezer", "freezer.state", "THAWED"),
        ("throttle: { cores: 0.5 }", "cpu", "cpu.cfs_quota_us", "-1"),
    ] {
        let cluster = Cluster::of(1).await;
        let sandbox = Sandbox::on(Some(cluster.host("n1"))).await;
        let mut scene = Box::pin(Scene::in_sandbox(sandbox, 1, lonely())).await;
        scene.options = ["--helper-image", &scene.sandbox.image].map(str::to_owned).to_vec();
        let mut run = scene.start(&scene.experiment(fault, LONG));
        let on = run.until("the fault is in place", |s| s.changes.first().is_some_and(|c| c.injected.is_some())).await;
        assert_ne!(in_its_group(&scene, controller, file).as_deref(), Some(before), "{fault} is in effect");
        let named = |i: &Instance| i.name.starts_with(&session(&on));
        let all = scene.sandbox.docker.observe().await.expect("the engine answers");
        let containers: Vec<String> = all.into_iter().filter(named).map(|i| i.id.0).collect();
        for pid in [run.pid(), guard(&on)] {
            send(pid, Signal::STOP);
        }
        cluster.does(&["kill", "n1"]).await;
        eventually("the kernel's value of before", || async {
            (in_its_group(&scene, controller, file).as_deref() == Some(before)).then_some(())
        })
        .await;
        for pid in [run.pid(), guard(&on)] {
            send(pid, Signal::KILL);
        }
        drop(run.dies().await);
        // An engine waits for the end of what is left of before.
        for helper in containers.iter().flat_map(|id| process::of_container(id)) {
            helper.signal(Signal::KILL).expect("it may be signalled");
        }
        cluster.does(&["start", "n1"]).await;
    }
}

#[tokio::test]
async fn a_helper_that_is_another_program_is_refused_and_gone() {
    let mut scene = Scene::of(1, lonely()).await;
    let image = scene.sandbox.docker.own_image(&scene.sandbox.prefix).await.expect("an image of this test program");
    scene.sandbox.extra_images.push(image.clone());
    let mut squall = scene.squall("state");
    let x = scene.file("x.yaml", &scene.experiment("pause: {}", TIMING));
    squall.arg("plan").arg(x).args(["--helper", "always", "--helper-image", &image]);
    let refused = squall.output().await.expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("the helper on its host") && said.contains("--helper never"), "{said}");
}

/// An engine by way of a helper, in a sandbox.
struct Helped {
    sandbox: Sandbox,
    node: Arc<Node>,
    run: Recorder,
    _dir: tempfile::TempDir,
}

impl Helped {
    async fn new() -> Self {
        let sandbox = Sandbox::new().await;
        let docker =
            Docker::connect(None).await.expect("the engine answers").with_binary(env!("CARGO_BIN_EXE_squall").into());
        let node = Arc::new(Node::begin(Arc::new(docker), Some(&sandbox.image)).await.expect("a helper"));
        let dir = tempfile::tempdir().expect("a directory");
        let id = conformance::tag().run;
        let run = Recorder::create(&PathBuf::from(dir.path()).join(&id).join("journal.ndjson")).expect("a journal");
        let keeper = Arc::clone(&node);
        run.mirror(Box::new(move |line| keeper.tell(&id, line)));
        Self { sandbox, node, run, _dir: dir }
    }

    /// Tells the node of one change, as a runner does before it makes it.
    fn plan(&self) {
        let x = Path::new("experiments/freeze-store.yaml");
        let x: Experiment = squall::command::load::experiment(x).unwrap_or_else(|e| panic!("{e}")).value;
        let started = Started {
            format: FORMAT,
            version: String::new(),
            run: conformance::tag().run,
            experiment: x,
            file: String::new(),
            seed: 0,
            engine: self.node.describe(),
            owner: String::new(),
            process: None,
        };
        self.run.commit(Event::Started(Box::new(started))).expect("a journal");
        let change = Change {
            n: 0,
            fault: 0,
            instance: InstanceId("x".to_owned()),
            name: "x".to_owned(),
            epoch: squall::model::instance::Epoch::default(),
            before: None,
            to: Setting::Paused(true),
            back: Rollback::Nothing,
        };
        let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        self.run.commit(Event::Planned { changes: vec![change], deadline }).expect("a journal");
    }
}

#[async_trait]
impl World for Helped {
    fn engine(&self) -> &dyn Engine {
        self.node.as_ref()
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        self.sandbox.instance(name).await
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.sandbox.remove(id).await
    }

    fn service(&self) -> String {
        World::service(&self.sandbox)
    }
}

#[tokio::test]
async fn by_a_helper_docker_does_what_every_engine_must() {
    let mut helped = Helped::new().await;
    helped.plan();
    conforms(&mut helped).await;
    helped.node.end().await;
}

/// What could not be rolled back there is not made so there.
#[tokio::test]
async fn a_node_makes_nothing_so_that_it_was_not_told_of() {
    let helped = Helped::new().await;
    let id = helped.sandbox.start("target", lonely()).await;
    let refused = helped.node.set(&conformance::tag(), &id, &Setting::Paused(true)).await;
    let Err(EngineError::Refused { why, .. }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("holds no run") || why.contains("not been told"), "{why}");
    assert!(helped.sandbox.look(&id).await.is_up());
    helped.plan();
    helped.node.set(&conformance::tag(), &id, &Setting::Paused(true)).await.expect("it is told of it");
    assert!(!helped.sandbox.look(&id).await.is_up());
    helped.node.set(&conformance::tag(), &id, &Setting::Paused(false)).await.expect("and of its rollback");
    helped.node.end().await;
}
