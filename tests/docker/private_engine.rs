//! An engine that is restarted while a fault is on: one of this test's own, in a room of its own.

use std::time::Duration;

use rustix::process::Signal;
use squall::engine::docker::Docker;
use tokio::process::Child;
use tokio::time::timeout;

use crate::harness::Yard;
use crate::room::Room;
use crate::scene::{Scene, eventually, lonely, send};

/// A Docker Engine that nobody else knows. It ends with this value, and its containers with it.
struct PrivateEngine {
    room: Room,
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl PrivateEngine {
    async fn new() -> Self {
        let room = Room::with_network().await;
        let dir = tempfile::Builder::new().prefix("squall-test-engine-").tempdir().expect("a directory");
        std::fs::write(dir.path().join("none.json"), "{}").expect("a file in the test's own directory");
        let mut engine = Self { room, dir, daemon: None };
        engine.up().await;
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("engine.sock").display())
    }

    async fn up(&mut self) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let log = std::fs::File::options().create(true).append(true).open(path("log")).expect("a log");
        let mut daemon = self.room.command("dockerd");
        daemon.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        daemon.args(["--host", &self.host(), "--config-file", &path("none.json")]);
        // It must not touch what belongs to the machine's own engine.
        daemon.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
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
    let scene = Scene::in_yard(Yard::on(Some(engine.host())).await, 1, lonely()).await;
    let before = scene.settings().await;

    // At once: the engine ends a frozen container and does not start it again.
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 60s, recovery: 1s");
    let mut run = scene.start(&x);
    run.until_on().await;
    engine.down().await;
    engine.up().await;
    let ended = run.ends().await;
    ended.is(3, "fault-vanished").taken_back_by("runner");
    scene.is_as(&before).await;

    // After a while: the run gives up and goes on trying to take everything back until the engine is there again.
    let mut run = scene.start_in("second", &x);
    run.until_on().await;
    engine.down().await;
    run.until("a failed attempt to take it back", |s| s.changes.iter().any(|c| !c.revert_errors.is_empty())).await;
    engine.up().await;
    let ended = run.ends().await;
    ended.is(3, "engine-failed").taken_back_by("runner");
    scene.is_as(&before).await;
}
