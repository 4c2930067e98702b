//! An engine that is restarted while a fault is on: one of this test's own, in a room of its own.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bollard::models::RestartPolicyNameEnum;
use jiff::Timestamp;
use rustix::process::Signal;
use squall::engine::docker::Docker;
use squall::engine::{Apply as _, Outcome};
use squall::host::net::namespace::Namespace;
use squall::host::store::StateDir;
use squall::model::exit::Verdict;
use squall::model::instance::{Aspect, Setting};
use squall::model::network::{Bandwidth, Direction, Flow, Mechanism, Network, Shape, Traffic, Treatment};
use squall::occasions::history::Row;
use tokio::process::Child;
use tokio::time::timeout;

use crate::harness::{Sandbox, Spec};
use crate::room::Room;
use crate::scene::{Scene, eventually, lonely, send};
use crate::schedule::{self, over};
use crate::traffic::namespace;

/// Long enough for a SYN that is sent again after a second to get through where nothing stops it.
const SOON: Duration = Duration::from_millis(1500);

/// A Docker Engine that nobody else knows. It ends with this value, and its containers with it.
pub(crate) struct PrivateEngine {
    room: Room,
    dir: tempfile::TempDir,
    options: Vec<String>,
    daemon: Option<Child>,
}

impl PrivateEngine {
    pub(crate) async fn new() -> Self {
        let mut engine = Self::with(&["--bridge=none"]).await;
        engine.up().await;
        engine
    }

    /// One whose containers have users of their own: who is root there is nobody here. With a bridge in its room.
    async fn remapped() -> Self {
        let mut engine = Self::with(&["--userns-remap=nobody:nogroup"]).await;
        let ids = engine.dir.path().join("ids");
        std::fs::write(&ids, "nobody:1000000:65536\n").expect("a file in the test's own directory");
        for file in ["/etc/subuid", "/etc/subgid"] {
            engine.room.does("mount", &["--bind", &ids.display().to_string(), file]).await;
        }
        engine.up().await;
        engine
    }

    pub(crate) async fn with(options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let room = Room::with_network().await;
        let dir = tempfile::Builder::new().prefix("squall-test-engine-").tempdir().expect("a directory");
        std::fs::write(dir.path().join("none.json"), "{}").expect("a file in the test's own directory");
        Self { room, dir, options, daemon: None }
    }

    /// Its network.
    pub(crate) fn namespace(&self) -> Namespace {
        self.room.namespace()
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("engine.sock").display())
    }

    pub(crate) async fn up(&mut self) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let log = std::fs::File::options().create(true).append(true).open(path("log")).expect("a log");
        let mut daemon = self.room.command("dockerd");
        daemon.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        daemon.args(["--host", &self.host(), "--config-file", &path("none.json")]);
        // It must not touch what belongs to the machine's own engine.
        daemon.args(["--iptables=false", "--ip6tables=false"]).args(&self.options);
        daemon.stdout(log.try_clone().expect("a log")).stderr(log);
        self.daemon = Some(daemon.spawn().expect("a Docker Engine is installed"));
        let host = self.host();
        eventually("an engine", || async { Docker::connect(Some(&host)).await.ok() }).await;
    }

    async fn down(&mut self) {
        let mut daemon = self.daemon.take().expect("it is up");
        send(daemon.id().expect("it runs"), Signal::TERM);
        timeout(Duration::from_secs(30), daemon.wait()).await.expect("an end").expect("a child");
    }
}

impl Drop for PrivateEngine {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot await")]
    fn drop(&mut self) {
        // Asked politely it ends its containers, too.
        if let Some(mut daemon) = self.daemon.take()
            && let Some(pid) = daemon.id()
        {
            send(pid, Signal::TERM);
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while matches!(daemon.try_wait(), Ok(None)) && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_restarted_is_no_verdict_and_everything_is_as_before() {
    let mut engine = PrivateEngine::new().await;
    let scene = Scene::in_sandbox(Sandbox::on(Some(engine.host())).await, 1, lonely()).await;
    let before = scene.settings().await;

    // At once: the engine ends a frozen container and does not start it again.
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 60s, recovery: 1s");
    let mut run = scene.start(&x);
    run.until_on().await;
    engine.down().await;
    engine.up().await;
    let ended = run.ends().await;
    ended.is(3, "fault-vanished").rolled_back_by("runner");
    scene.is_as(&before).await;

    // After a while: the run gives up and goes on trying to roll everything back until the engine is there again.
    let mut run = scene.start_in("second", &x);
    run.until_on().await;
    engine.down().await;
    run.until("a failed attempt to roll it back", |s| s.changes.iter().any(|c| !c.rollback_errors.is_empty())).await;
    engine.up().await;
    let ended = run.ends().await;
    ended.is(3, "engine-failed").rolled_back_by("runner");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_daemon_whose_engine_is_restarted_goes_on() {
    let mut engine = PrivateEngine::new().await;
    let revived = Spec { restart: Some(RestartPolicyNameEnum::ALWAYS), ..lonely() };
    let scene = Scene::in_sandbox(Sandbox::on(Some(engine.host())).await, 1, revived).await;
    let before = scene.settings().await;
    scene.file("pause.yaml", &scene.experiment("pause: {}", "baseline: 500ms, duration: 1s, recovery: 3s"));
    let schedule = scene.file(
        "schedule.yaml",
        "version: 1\nname: on\nentries:\n  it: { experiments: pause.yaml, random: { mean: 500ms } }\n",
    );
    let log = scene.dir.path().join("log");
    let state = &StateDir::find(Some(scene.dir.path().join("state"))).expect("a directory");
    let held_since = |moment: Timestamp| async move {
        let held = |row: &Row| row.verdict == Some(Verdict::Held) && row.began.is_some_and(|began| began > moment);
        over(state).iter().any(held).then_some(())
    };
    let mut daemon = schedule::daemon(&scene, &schedule, &log);
    eventually("a run that holds", || held_since(Timestamp::UNIX_EPOCH)).await;

    engine.down().await;
    engine.up().await;
    let up = Timestamp::now();
    eventually("a run that holds afterwards", || held_since(up)).await;
    assert_eq!(daemon.try_wait().expect("a child"), None, "{}", schedule::read(&log));

    send(daemon.id().expect("it is there"), Signal::TERM);
    assert!(daemon.wait().await.expect("a child").success(), "{}", schedule::read(&log));
    scene.is_as(&before).await;
}

/// How long a connection from the engine's room takes; nothing where it is not made in time.
async fn connects(engine: &PrivateEngine, to: SocketAddr, within: Duration) -> Option<Duration> {
    let room = engine.room.namespace();
    let connect = move || {
        room.run(|| {
            let begin = Instant::now();
            TcpStream::connect_timeout(&to, within).map(|_| begin.elapsed())
        })
    };
    tokio::task::spawn_blocking(connect).await.expect("no panic").ok()
}

#[tokio::test]
async fn where_users_are_remapped_traffic_is_disturbed_all_the_same() {
    let engine = PrivateEngine::remapped().await;
    let sandbox = Sandbox::on(Some(engine.host())).await;
    let id = sandbox.start("target", Spec::default()).await;
    let users = std::fs::read_to_string(format!("/proc/{}/uid_map", sandbox.pid(&id).await)).expect("it runs");
    assert_eq!(users.split_whitespace().collect::<Vec<_>>(), ["0", "1000000", "65536"]);
    let to = SocketAddr::new(sandbox.look(&id).await.addresses.first().expect("an address").ip, 8080);
    eventually("an answer", || connects(&engine, to, SOON)).await;
    let before = namespace(&sandbox, &id).await;

    let late = Shape { delay: Duration::from_millis(150), ..Shape::default() };
    let rate = Shape { bandwidth: Some(Bandwidth { rate: 1_000_000, burst: 0 }), ..Shape::default() };
    for (mechanism, treatment) in [
        (Some(Mechanism::Userspace), Treatment::Shape(Box::new(late))),
        (None, Treatment::Drop),
        (None, Treatment::Shape(Box::new(rate))),
    ] {
        let flow = Flow { traffic: Traffic::all(Direction::Egress), treatment: treatment.clone() };
        let network = Network { flows: vec![flow], mechanism, seed: 1 };
        let mark = Setting::Mark(Aspect::Network, Some(network.mark()));
        let to_set = Setting::Network(Box::new(network));
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to_set).await.unwrap(), Outcome::Done, "{treatment}");
        let felt = connects(&engine, to, SOON).await;
        match treatment {
            Treatment::Drop => assert_eq!(felt, None),
            _ if mechanism.is_some() => assert!(felt.expect("it answers") >= Duration::from_millis(150), "{felt:?}"),
            _ => assert!(felt.is_some()),
        }
        let seen = sandbox.look(&id).await;
        assert_eq!(seen.settings.get(&Aspect::Network), Some(&mark), "{treatment}");
        assert!(seen.counted.expect("it is counted").packets > 0, "{treatment}");
        let nothing = Setting::Mark(Aspect::Network, None);
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &nothing).await.unwrap(), Outcome::Done, "{treatment}");
        assert_eq!(namespace(&sandbox, &id).await, before, "{treatment}");
    }
    connects(&engine, to, SOON).await.expect("it answers again");
}
