//! Locks on services: removed where the run that holds them is proven dead, never where another process holds it.
//!
//! The run is this process, which has its journal; `squall recover` is another one, with a state directory of its own.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::path::Path;
use std::process::Output;

use jiff::{SignedDuration, Timestamp};
use squall::engine::local::Local;
use squall::engine::{Claim, Description, Engine as _, Holder, Kind, Lock as _, ProcessId};
use squall::host::store::StateDir;
use squall::model::instance::{Change, Epoch, InstanceId, Rollback, Setting};
use squall::record::event::{Event, FORMAT, Started};
use squall::record::journal::Recorder;

use crate::harness::Squall;

const STACK: &str = "version: 1\nname: s\nservices:\n  shop: { command: [sleep, '83'] }\n";
const RUN: &str = "20260101T000000Z-test-0001";

struct Scene {
    dir: tempfile::TempDir,
    local: Local,
}

/// A lock of a run on a service.
pub(crate) fn claim(service: &str, run: &str, holder: Option<Holder>) -> Claim {
    let (service, run, owner) = (service.to_owned(), run.to_owned(), "ada@lab".to_owned());
    Claim { service, run, owner, at: "2026-01-01T00:00:00Z".to_owned(), holder }
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.yaml"), STACK).unwrap();
        let state = StateDir::find(Some(dir.path().join("state"))).unwrap();
        let local = Local::open(&state, &dir.path().join("s.yaml")).unwrap();
        let local = local.with_binary(env!("CARGO_BIN_EXE_squall").into());
        local.up().await.unwrap();
        Self { dir, local }
    }

    /// The journal of a run in another state directory, held by this process.
    fn running(&self, run: &str) -> Recorder {
        let rec = Recorder::create(&self.elsewhere(run)).unwrap();
        let address = self.local.describe().address;
        rec.commit(Event::Started(Box::new(Started {
            format: FORMAT,
            version: "0".into(),
            run: run.into(),
            experiment: serde_json::from_value(serde_yaml::from_str(EXPERIMENT).unwrap()).unwrap(),
            file: "x.yaml".into(),
            seed: 1,
            engine: Description::of(Kind::Local, address, ""),
            owner: "ada@lab".into(),
            process: None,
        })))
        .unwrap();
        rec
    }

    fn elsewhere(&self, run: &str) -> std::path::PathBuf {
        self.dir.path().join("elsewhere/runs").join(run).join("journal.ndjson")
    }

    async fn lock(&self, run: &str, journal: &Path, process: ProcessId, minutes: i64) {
        let until = Timestamp::now() + SignedDuration::from_mins(minutes);
        let holder = Some(Holder { journal: journal.into(), process, until });
        self.local.claim(&claim("shop", run, holder)).await.unwrap();
    }

    fn recover(&self, args: &[&str]) -> (Option<i32>, String) {
        let (mut command, _dir) = Squall::new(["recover", "--stack"]).command();
        let state = self.dir.path().join("state");
        let command = command.arg(self.dir.path().join("s.yaml")).args(args).env("SQUALL_STATE", state);
        let Output { status, stdout, stderr } = command.current_dir(self.dir.path()).output().unwrap();
        (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    async fn is_locked(&self) -> bool {
        !self.local.claims().await.unwrap().is_empty()
    }
}

pub(crate) const EXPERIMENT: &str = "
version: 1
name: test
hypothesis: h
steady-state: { here: { tcp: { address: '127.0.0.1:1' } } }
target: { service: shop }
fault: { pause: {} }
blast-radius: { max-instances: 1 }
";

fn paused() -> Change {
    Change {
        n: 0,
        fault: 0,
        instance: InstanceId("shop-1".into()),
        name: "shop-1".into(),
        epoch: Epoch(String::new()),
        before: None,
        to: Setting::Paused(true),
        back: Rollback::To(Setting::Paused(false)),
    }
}

#[tokio::test]
async fn the_lock_of_a_run_that_another_process_holds_is_never_removed() {
    let scene = Scene::new().await;
    let rec = scene.running(RUN);
    // Neither another machine's process nor a time that is over says anything where the journal is held.
    scene.lock(RUN, &scene.elsewhere(RUN), ProcessId::default(), -60).await;
    for (args, code) in [(&["--unlock"][..], 0), (&["--force-unlock", RUN], 3)] {
        let (came, said) = scene.recover(args);
        assert!(came == Some(code) && said.contains("is going on"), "{args:?}: {came:?} {said}");
        assert!(scene.is_locked().await, "{args:?}: {said}");
    }

    drop(rec);
    let (code, said) = scene.recover(&["--unlock"]);
    assert!(code == Some(0) && said.contains("is removed: that run is over"), "{code:?} {said}");
    assert!(!scene.is_locked().await, "{said}");
    scene.local.down().await.unwrap();
}

#[tokio::test]
async fn the_lock_of_a_dead_run_that_is_not_rolled_back_stays_until_it_is() {
    let scene = Scene::new().await;
    let rec = scene.running(RUN);
    rec.commit(Event::Claiming { claims: vec![claim("shop", RUN, None)] }).unwrap();
    scene.lock(RUN, &scene.elsewhere(RUN), ProcessId::default(), -60).await;
    rec.commit(Event::Planned { changes: vec![paused()], deadline: Timestamp::now() }).unwrap();
    drop(rec);

    let (code, said) = scene.recover(&["--unlock"]);
    assert!(code == Some(4) && said.contains("is dead and not rolled back"), "{code:?} {said}");
    assert!(scene.is_locked().await, "{said}");

    let said_to = said.split("`squall recover ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
    let (code, said) = scene.recover(&said_to.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{said}");
    assert!(!scene.is_locked().await, "{said}");
    scene.local.down().await.unwrap();
}

#[tokio::test]
async fn the_lock_of_a_run_elsewhere_is_removed_when_its_time_is_over_or_by_name() {
    let scene = Scene::new().await;
    let elsewhere = ProcessId { boot: "another".into(), namespace: "pid:[1]".into(), pid: 1, start_ticks: 1 };
    let nowhere = Path::new("/no/such/runs/r/journal.ndjson");
    let unlocked = || scene.recover(&["--unlock"]);

    scene.lock(RUN, nowhere, elsewhere.clone(), 10).await;
    let (code, said) = unlocked();
    assert!(code == Some(0) && said.contains(&format!("--force-unlock {RUN}")), "{code:?} {said}");
    assert!(scene.is_locked().await);
    let (code, said) = scene.recover(&["--force-unlock", "another"]);
    assert!(code == Some(0) && said.contains("there is no lock of run another"), "{code:?} {said}");
    assert!(scene.is_locked().await);
    let (code, said) = scene.recover(&["--force-unlock", RUN]);
    assert!(code == Some(0) && !scene.is_locked().await, "{code:?} {said}");

    scene.lock(RUN, nowhere, elsewhere, -10).await;
    let (code, said) = unlocked();
    assert!(code == Some(0) && !scene.is_locked().await, "{code:?} {said}");
    scene.local.down().await.unwrap();
}

#[tokio::test]
async fn a_holder_on_this_machine_whose_journal_is_hidden_is_alive_while_its_process_is() {
    let scene = Scene::new().await;
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let pid = std::process::id();
    let start_ticks = squall::host::process::start_ticks(pid).unwrap();
    let this = ProcessId { boot: read("/proc/sys/kernel/random/boot_id"), namespace, pid, start_ticks };
    let another_life = ProcessId { start_ticks: start_ticks + 1, ..this.clone() };
    let nowhere = Path::new("/no/such/runs/r/journal.ndjson");

    scene.lock(RUN, nowhere, this, -10).await;
    for args in [&["--unlock"][..], &["--force-unlock", RUN]] {
        let (_, said) = scene.recover(args);
        assert!(said.contains("is going on") && scene.is_locked().await, "{args:?}: {said}");
    }
    scene.local.release(&claim("shop", RUN, None)).await.unwrap();

    scene.lock(RUN, nowhere, another_life, -10).await;
    let (_, said) = scene.recover(&["--unlock"]);
    assert!(said.contains("is removed") && !scene.is_locked().await, "{said}");
    scene.local.down().await.unwrap();
}
