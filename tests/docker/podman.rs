//! Podman in place of Docker, with root and without: each of the test's own, in a room of its own, by the packages `podman`, `crun`,
//! `netavark` and `aardvark-dns`.

use std::path::Path;
use std::process::{Output, Stdio};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use squall::engine::docker::Docker;
use squall::engine::{Ability, Apply as _, Engine, Observe as _, Outcome};
use squall::model::instance::{Aspect, Instance, InstanceId, Kill, Setting, Via};
use squall::model::machine::Limit;
use squall::record::state::ChangeState;
use tokio::process::{Child, Command};

use crate::conformance::{World, conforms};
use crate::harness::{Sandbox, Spec};
use crate::room::Room;
use crate::scene::{Scene, eventually, lonely};

/// The user and group of a Podman without root: `nobody`, who has no other processes.
const NOBODY: u32 = 65534;

/// A private Podman. It ends with this value, and its containers with it.
struct PrivatePodman {
    room: Room,
    dir: tempfile::TempDir,
    user: Option<u32>,
    service: Option<Child>,
}

impl PrivatePodman {
    async fn new(user: Option<u32>) -> Self {
        let room = Room::with_network().await;
        // Its runtime takes control groups of both versions at once for a mistake.
        let _ = room.command("umount").arg("/sys/fs/cgroup/unified").stderr(Stdio::null()).status().await;
        for place in ["/run", "/dev/shm"] {
            room.mount_memory(Path::new(place), "64m").await;
        }
        let dir = tempfile::Builder::new().prefix("squall-test-podman-").tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name).display().to_string();
        // Without the right to raise limits, those of this process are all that there is.
        let containers = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n[network]\nnetwork_config_dir = \"{}\"\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"crun\"\ntmp_dir = \"{}\"\n",
            at("networks"),
            at("tmp"),
        );
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            at("storage"),
            at("run")
        );
        for (name, text) in [("containers.conf", containers), ("storage.conf", storage)] {
            std::fs::write(dir.path().join(name), text).expect("a file in the test's own directory");
        }
        let mut podman = Self { room, dir, user, service: None };
        for name in ["run", "tmp", "storage", "networks"] {
            std::fs::create_dir(podman.dir.path().join(name)).expect("a directory");
        }
        let user = podman.user.map(|user| user.to_string());
        if let Some(user) = &user {
            podman.room.does("chown", &["-R", &format!("{user}:{user}"), &podman.at("")]).await;
        }
        let log = std::fs::File::create(podman.at("log")).expect("a log");
        let host = podman.host();
        let mut service = podman.podman(&["system", "service", "--time=0", &host]);
        // Without root it is two processes.
        service.stdout(log.try_clone().expect("a log")).stderr(log).process_group(0);
        podman.service = Some(service.spawn().expect("the package podman"));
        eventually("a Podman", || async { Docker::connect(Some(&host)).await.ok() }).await;
        podman
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn host(&self) -> String {
        format!("unix://{}", self.at("socket"))
    }

    /// Its own command.
    fn podman(&self, arguments: &[&str]) -> Command {
        let user = self.user.map(|user| user.to_string());
        let mut command = match &user {
            None => self.room.command("podman"),
            Some(user) => {
                let mut command = self.room.command("setpriv");
                command.args(["--reuid", user, "--regid", user, "--clear-groups", "podman"]);
                command
            }
        };
        command.current_dir("/").args(arguments);
        command.env("CONTAINERS_CONF", self.at("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.at("storage.conf"));
        command.env("HOME", self.at("")).env("XDG_RUNTIME_DIR", self.at("run")).env("TMPDIR", self.at("run"));
        command
    }

    async fn does(&self, arguments: &[&str]) -> String {
        let output = self.podman(arguments).output().await.expect("the package podman");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A command of Squall's in its network.
    async fn squall(&self, scene: &Scene, arguments: &[&str]) -> Output {
        let mut squall = scene.squall_by(self.room.in_network("nice"), "state");
        squall.args(arguments).output().await.expect("the binary starts")
    }
}

impl Drop for PrivatePodman {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot await")]
    fn drop(&mut self) {
        // Its containers do not end with it; nor, without root, does the process that holds their namespace.
        for last in [&["rm", "--all", "--force", "--time=0"][..], &["system", "migrate"]] {
            let mut podman = self.podman(last).into_std();
            let _ = podman.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        if let Some(mut service) = self.service.take()
            && let Some(group) = service.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        {
            let _ = kill_process_group(group, Signal::TERM);
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while matches!(service.try_wait(), Ok(None)) && std::time::Instant::now() < end {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let _ = kill_process_group(group, Signal::KILL);
        }
        // The monitors of commands stay for minutes. What it has mounted goes with the room, what lies on the disk with its directory.
        let dir = self.at("");
        for pid in squall::host::process::all() {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&dir)
                && let Some(pid) = Pid::from_raw(i32::try_from(pid).expect("a PID"))
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn podman_does_what_every_engine_must() {
    let podman = PrivatePodman::new(None).await;
    let mut sandbox = Sandbox::on(Some(podman.host())).await;
    let described = sandbox.docker.describe();
    assert!(described.version.starts_with("Podman ") && described.id.is_none(), "{described:?}");
    conforms(&mut sandbox).await;
}

/// Another process's kill of a paused one: Podman then holds it for stopped, and the process is frozen still.
#[tokio::test]
async fn one_that_was_killed_while_it_was_frozen_is_thawed() {
    let podman = PrivatePodman::new(None).await;
    let sandbox = Sandbox::on(Some(podman.host())).await;
    let id = sandbox.start("target", lonely()).await;
    let (tag, thawed) = (sandbox.tag(0), Setting::Paused(false));
    assert_eq!(sandbox.docker.set(&tag, &id, &Setting::Paused(true)).await.unwrap(), Outcome::Done);
    let _ = podman.podman(&["kill", &id.0]).output().await.expect("the package podman");
    sandbox.docker.set(&tag, &id, &thawed).await.expect("it is thawed");
    sandbox.until(&id, "down", |i| !i.is_running()).await;
    assert_eq!(sandbox.docker.set(&tag, &id, &Setting::Running(true)).await.unwrap(), Outcome::Done);
    assert!(sandbox.look(&id).await.is_up());
}

/// What each came to, in their order; none where it was refused.
const EXPERIMENTS: [(&str, i32, &str); 8] = [
    ("kill-one-shop", 0, "hypothesis-held"),
    ("freeze-store", 1, "hypothesis-broken"),
    ("latency-gateway-shops", 0, "hypothesis-held"),
    ("dns-store", 1, "hypothesis-broken"),
    ("partition-zone", 0, "hypothesis-held"),
    ("disk-fill-store", 0, "hypothesis-held"),
    ("crash-and-restart", 0, "hypothesis-held"),
    ("zone-power", 3, "refused"),
];

/// The stack of the demonstration, and files of `experiments/` on it, each in less time: they come to what their first lines say.
#[tokio::test]
async fn the_demonstration_comes_up_and_its_experiments_come_to_what_they_say() {
    let podman = PrivatePodman::new(None).await;
    let scene = Scene::in_sandbox(Sandbox::on(Some(podman.host())).await, 0, Spec::default()).await;
    let up = podman.squall(&scene, &["demo", "--up"]).await;
    assert!(up.status.success(), "{}", said(&up));
    let doctor = said(&podman.squall(&scene, &["doctor"]).await);
    assert!(doctor.contains("Podman 4") && doctor.contains("5 containers seen"), "{doctor}");
    let before = all(&scene.sandbox).await;
    for (name, code, reason) in EXPERIMENTS {
        let path = format!("{}/experiments/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the experiment");
        let shorter = text.replace("baseline: 3s, duration: 8s", "baseline: 2s, duration: 5s");
        let squall = scene.squall_by(podman.room.in_network("nice"), name);
        let shorter = shorter.replace("p95: 300ms", "p95: 900ms").replace("rate: 50/s", "rate: 30/s");
        let ended = scene.start_by(squall, &shorter, scene.dir.path().join(name)).ends().await;
        ended.is(code, reason);
        if reason == "refused" {
            let why = ended.report["text"].to_string();
            assert!(why.contains("restart policy") && why.contains("5.1"), "{why}");
            assert_eq!(ended.state.changes.len(), 0);
        } else {
            assert!(
                !ended.state.changes.is_empty() && ended.state.changes.iter().all(ChangeState::is_verified),
                "{name}"
            );
        }
        assert_eq!(all(&scene.sandbox).await, before, "{name}");
    }
    let down = podman.squall(&scene, &["demo", "--down"]).await;
    assert!(down.status.success() && all(&scene.sandbox).await.is_empty(), "{}", said(&down));
    assert_eq!(podman.does(&["images", "--quiet", "squall-demo"]).await, "");
}

/// Every instance by its name, with its settings.
async fn all(sandbox: &Sandbox) -> Vec<(String, std::collections::BTreeMap<Aspect, Setting>)> {
    sandbox.docker.observe().await.expect("an answer").into_iter().map(|i| (i.name, i.settings)).collect()
}

/// The runner dies while a target is paused: the guard, which knows the engine by the journal alone, finds it again.
#[tokio::test]
async fn a_guard_rolls_back_on_podman() {
    let podman = PrivatePodman::new(None).await;
    let scene = Scene::in_sandbox(Sandbox::on(Some(podman.host())).await, 1, lonely()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment("pause: {}", "baseline: 500ms, duration: 60s, recovery: 500ms"));
    run.until_on().await;
    run.signal(Signal::KILL);
    run.ends().await.rolled_back_by("guard");
    scene.is_as(&before).await;
}

/// Something that goes on and does nothing for anybody.
const INFRA: &str = "/usr/local/bin/squall serve store --listen 127.0.0.1:9999";

#[tokio::test]
async fn what_holds_a_pod_together_is_no_instance() {
    let podman = PrivatePodman::new(None).await;
    let sandbox = Sandbox::on(Some(podman.host())).await;
    let (pod, image) = (sandbox.name("pod"), format!("localhost/{}", sandbox.image));
    podman
        .does(&[
            "pod",
            "create",
            "--name",
            &pod,
            "--infra-image",
            &image,
            "--infra-command",
            INFRA,
            "--network",
            "none",
        ])
        .await;
    for (name, listen) in [("one", "127.0.0.1:8081"), ("two", "127.0.0.1:8082")] {
        let name = sandbox.name(name);
        podman
            .does(&["run", "--detach", "--pod", &pod, "--name", &name, &image, "serve", "store", "--listen", listen])
            .await;
    }
    let all = sandbox.docker.observe().await.expect("an answer");
    let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, [sandbox.name("one"), sandbox.name("two")]);
    // They share the pod's network with each other, and that is what counts.
    let with = |i: &Instance| i.shares.iter().filter(|s| s.runs).map(|s| s.name.clone()).collect::<Vec<_>>();
    assert!(with(&all[0]).iter().all(|name| *name == names[1]) && !with(&all[0]).is_empty(), "{:?}", all[0].shares);
}

/// A sandbox whose containers have no network, for which Podman without root takes one more program.
struct Lonely(Sandbox);

#[async_trait]
impl World for Lonely {
    fn engine(&self) -> &dyn Engine {
        self.0.engine()
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        self.0.start(name, lonely()).await
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.0.remove(id).await
    }

    fn service(&self) -> String {
        self.0.service()
    }
}

/// Without root, on control groups of version 1: containers have none of their own, and are known by what is mounted for them.
#[tokio::test]
async fn without_root_what_can_be_done_is_done_and_the_rest_is_refused() {
    let podman = PrivatePodman::new(Some(NOBODY)).await;
    let sandbox = Sandbox::on(Some(podman.host())).await;
    assert!(sandbox.docker.describe().version.contains(", rootless"), "{:?}", sandbox.docker.describe());
    let id = sandbox.start("crash", lonely()).await;
    let instance = sandbox.look(&id).await;
    let pid = sandbox.pid(&id).await;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    if !groups.contains(&id.0) {
        for to in [Setting::Paused(true), Setting::Limit(Limit::Processes(Some(100)))] {
            let Ability::No(why) = sandbox.docker.ability(&instance, &to) else { panic!("{to} is refused") };
            assert!(why.contains("version 1"), "{to}: {why}");
        }
    }
    let crash = Setting::Killed(Kill { signal: squall::model::instance::Signal::SigKill, via: Via::Host });
    assert_eq!(sandbox.docker.ability(&instance, &crash), Ability::Yes);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &crash).await.unwrap(), Outcome::Done);
    sandbox.until(&id, "down", |i| !i.is_running()).await;
    conforms(&mut Lonely(sandbox)).await;
}
