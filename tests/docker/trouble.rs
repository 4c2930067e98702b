//! Trouble that comes from outside while a fault is on: targets that others remove or restart, servers that go away,
//! disks that are full, other runs, and a halt.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bollard::query_parameters::RestartContainerOptionsBuilder;
use rustix::process::Signal;
use squall::record::event::Phase;

use crate::room::Room;
use crate::runs::published;
use crate::scene::{Run, Scene, eventually, lonely};

/// Long enough that only what a test does can end it.
const LONG: &str = "baseline: 500ms, duration: 60s, recovery: 500ms";

#[tokio::test]
async fn a_target_that_somebody_removes_is_no_verdict_and_its_neighbour_is_as_before() {
    for fault in ["pause: {}", "kill: {}"] {
        let scene = Scene::of(2, lonely()).await;
        let mut before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, LONG));
        let change = run.until_on().await.changes[0].change.clone();
        scene.sandbox.docker.remove_container(&change.instance.0).await.unwrap();
        let ended = run.ends().await;
        ended.is(3, "fault-vanished");
        assert!(ended.state.noticed.iter().any(|o| o.instance == change.name && o.what.contains("removed")));
        before.remove(&change.name);
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_target_that_somebody_restarts_while_it_is_frozen_is_no_verdict() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment("pause: {}", LONG));
    run.until_on().await;
    let options = RestartContainerOptionsBuilder::new().t(0).build();
    scene.sandbox.api.restart_container(&scene.targeted[0].0, Some(options)).await.unwrap();
    let ended = run.ends().await;
    ended.is(3, "fault-vanished");
    let text = ended.report["text"].as_str().expect("it says why");
    // A look in the middle of the restart sees it down.
    assert!(
        ["restarted by another process", "went down while it was paused"].iter().any(|t| text.contains(t)),
        "{text}"
    );
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_server_that_goes_away_breaks_the_hypothesis() {
    let scene = Scene::of(1, lonely()).await;
    let (spec, port) = published();
    let server = scene.sandbox.start("server", spec).await;
    let mut before = scene.settings().await;
    let check = format!("stock: {{ http: 'http://127.0.0.1:{port}/stock', rate: 20/s, expect: {{ success: 90% }} }}");
    let x = scene.checked(&check, "pause: {}", "warm-up: 500ms, baseline: 1s, duration: 10s, recovery: 1s");
    let mut run = scene.start(&x);
    run.until_on().await;
    scene.sandbox.docker.remove_container(&server.0).await.unwrap();
    let ended = run.ends().await;
    ended.is(1, "hypothesis-broken").rolled_back_by("runner");
    before.remove(&scene.sandbox.name("server"));
    scene.is_as(&before).await;
}

/// A scene whose state directory is on a disk of a quarter of a mebibyte.
struct Small {
    scene: Scene,
    room: Room,
    disk: PathBuf,
}

impl Small {
    async fn new() -> Self {
        let scene = Scene::of(1, lonely()).await;
        let room = Room::new().await;
        let disk = scene.dir.path().join("disk");
        std::fs::create_dir(&disk).expect("a directory");
        room.mount_memory(&disk, "256k").await;
        Self { scene, room, disk }
    }

    fn squall(&self) -> tokio::process::Command {
        self.scene.squall_by(self.room.command("nice"), "disk")
    }

    /// An experiment that writes much, so that what is left of the disk's last page is soon full, too.
    fn start(&self) -> Run {
        let (name, service) = ("long-".repeat(180), &self.scene.service);
        let check = format!(
            "{name}: {{ engine: {{ service: {service}, count: running }}, rate: 4/s, expect: {{ value: {{ at-most: 1000 }} }} }}"
        );
        let x = self.scene.checked(&check, "pause: {}", "baseline: 3s, duration: 3s, recovery: 4s");
        self.scene.start_by(self.squall(), &x, self.room.path(&self.disk))
    }

    fn filler(&self) -> PathBuf {
        self.room.path(&self.disk.join("filler"))
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).expect("a file");
        let full = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err);
        assert_eq!(full.map(|e| e.kind()), Some(std::io::ErrorKind::StorageFull));
    }

    /// With the disk empty again, the run is closed by `recover`.
    async fn is_mended(&self, code: Option<i32>) {
        std::fs::remove_file(self.filler()).expect("it is there");
        let recovered = self.squall().arg("recover").output().await.expect("the binary starts");
        let said = String::from_utf8_lossy(&recovered.stderr).into_owned();
        assert_eq!(recovered.status.code(), code, "{said}");
        let journal = crate::scene::journal_in(&self.room.path(&self.disk)).expect("a journal");
        assert!(!squall::run::recover::needs_recovery(&journal), "{said}");
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_begun() {
    let small = Small::new().await;
    let before = small.scene.settings().await;
    small.fill();
    let (output, _) = small.start().dies().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("No space left"), "{said}");
    small.scene.is_as(&before).await;
}

#[tokio::test]
async fn a_disk_that_is_full_before_the_injection_is_a_refusal() {
    let small = Small::new().await;
    let before = small.scene.settings().await;
    let mut run = small.start();
    run.until("the baseline", |s| s.reached(Phase::Baseline)).await;
    small.fill();
    let (output, _) = run.dies().await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("No space left"), "{said}");
    small.scene.is_as(&before).await;
    small.is_mended(Some(0)).await;
    small.scene.is_as(&before).await;
}

#[tokio::test]
async fn a_disk_that_is_full_while_the_fault_is_on_does_not_keep_anybody_from_taking_it_back() {
    let small = Small::new().await;
    let before = small.scene.settings().await;
    let mut run = small.start();
    run.until_on().await;
    small.fill();
    let (output, _) = run.dies().await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    small.scene.is_as(&before).await;
    small.is_mended(Some(0)).await;
    small.scene.is_as(&before).await;
}

#[tokio::test]
async fn nor_the_guard() {
    let small = Small::new().await;
    let before = small.scene.settings().await;
    let mut run = small.start();
    run.until_on().await;
    small.fill();
    run.signal(Signal::KILL);
    run.dies().await;
    eventually("everything as before", || async { (small.scene.settings().await == before).then_some(()) }).await;
    small.scene.is_as(&before).await;
    small.is_mended(Some(0)).await;
}

#[tokio::test]
async fn a_second_run_on_the_same_service_is_refused_and_the_first_goes_on() {
    let scene = Scene::of(2, lonely()).await;
    let before = scene.settings().await;
    let mut first = scene.start(&scene.experiment("pause: {}", LONG));
    let owner = first.until_on().await.started.expect("it has begun").run;

    let second = scene.start_in("other", &scene.experiment("kill: {}", LONG)).ends().await;
    second.is(3, "claimed");
    assert!(second.report["text"].as_str().is_some_and(|t| t.contains(&owner)), "{}", second.report["text"]);
    assert!(second.state.changes.is_empty() && second.state.guards.is_empty());

    assert!(!first.is_over() && first.so_far().stopping.is_none());
    let claims = squall::engine::Lock::claims(&scene.sandbox.docker).await.unwrap();
    assert!(claims.iter().any(|c| c.service == scene.service && c.run == owner), "the marker is still the first's");
    // Nor does another process take it from a run that lives.
    for args in [&["recover", "--unlock"][..], &["recover", "--force-unlock", &owner]] {
        let tried = scene.squall("elsewhere").args(args).output().await.unwrap();
        let said = String::from_utf8_lossy(&tried.stdout).into_owned() + &String::from_utf8_lossy(&tried.stderr);
        assert!(said.contains(&owner) && said.contains("is going on"), "{args:?}: {said}");
        scene.start_in("third", &scene.experiment("kill: {}", LONG)).ends().await.is(3, "claimed");
    }
    first.signal(Signal::INT);
    first.ends().await.is(3, "interrupted").rolled_back_by("runner");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn a_halt_stops_every_run_of_the_machine_and_refuses_new_ones_until_resume() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    // The note is for the whole machine, so it gets a machine of its own.
    let room = Room::new().await;
    room.mount_memory(Path::new("/var/lib"), "1m").await;
    let squall = |state: &str| scene.squall_by(room.command("nice"), state);
    let start =
        |state: &str| scene.start_by(squall(state), &scene.experiment("pause: {}", LONG), scene.dir.path().join(state));
    let mut run = start("state");
    run.until_on().await;
    let halted = squall("elsewhere").args(["halt", "fire drill"]).output().await.unwrap();
    assert_eq!(halted.status.code(), Some(0));
    let ended = run.ends().await;
    ended.is(3, "halted").rolled_back_by("runner");
    assert!(ended.report["text"].as_str().is_some_and(|t| t.contains("fire drill")));
    scene.is_as(&before).await;

    let (refused, _) = start("refused").dies().await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("fire drill") && said.contains("squall resume"), "{said}");

    let resumed = squall("elsewhere").arg("resume").output().await.unwrap();
    assert_eq!(resumed.status.code(), Some(0));
    let mut allowed = start("allowed");
    allowed.until_on().await;
    allowed.signal(Signal::TERM);
    allowed.ends().await.is(3, "interrupted");
    scene.is_as(&before).await;
}
