//! A scenario: a simulated world, an experiment, a disk that may be full; and what came of it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall::engine::sim::{ExternalAction, InjectedFailure, Sim, SimProber};
use squall::engine::{Lock as _, ProcessId};
use squall::experiment::Experiment;
use squall::host::clock::Clock;
use squall::model::instance::{Aspect, Instance, InstanceId, Setting};
use squall::record::event::Actor;
use squall::record::journal::{self, Recorder, Storage};
use squall::record::state::RunState;
use squall::run::abort::{Abort, AbortHandle, abort};
use squall::run::guard::NoGuard;
use squall::run::{RunContext, RunSpec, recover, run};

/// A gateway, three shops in three zones, a store.
pub(crate) const STACK: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [shop] }
  shop: { command: [x], replicas: 3, zones: [a, b, c], port: 8081, needs: [store] }
  store: { command: [x], port: 8090 }
";

/// A gateway and a store that its engine starts again when it ends.
pub(crate) const RESTARTING: &str = "
version: 1
name: shop
services:
  gateway: { command: [x], port: 8080, needs: [store] }
  store: { command: [x], port: 8090, restart: true }
";

/// An experiment on the stack; `fault` and `target` as they stand in a file.
pub(crate) fn experiment(fault: &str, target: &str) -> Experiment {
    with(&format!("target: {target}\nfault: {fault}"))
}

/// The same with several faults, each as it stands in the list.
pub(crate) fn compound(faults: &[&str]) -> Experiment {
    with(&format!("faults: [{}]", faults.join(", ")))
}

fn with(what: &str) -> Experiment {
    let text = format!(
        "
version: 1
name: test
hypothesis: it holds
steady-state:
  checkout:
    http: {{ url: 'http://127.0.0.1:8080/checkout' }}
    rate: 20/s
    timeout: 1s
    expect: {{ success: 99%, p95: 300ms }}
    during: {{ success: 95% }}
{what}
blast-radius: {{ max-instances: 2 }}
timing: {{ baseline: 1s, duration: 1500ms, recovery: 4s }}
"
    );
    let value: serde_json::Value = serde_yaml::from_str(&text).expect("it is YAML");
    serde_json::from_value(value).expect("it is an experiment")
}

/// A disk in memory that takes so many writes.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
    pub(crate) room: Arc<Mutex<Option<usize>>>,
}

impl Disk {
    /// What the journal on it says by now.
    pub(crate) fn state(&self) -> RunState {
        let bytes = self.bytes.lock().expect("nobody panics here");
        journal::fold(&bytes, Path::new("journal")).expect("it reads").0
    }
}

impl Storage for Disk {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut room = self.room.lock().expect("nobody panics here");
        if let Some(writes) = room.as_mut() {
            let Some(left) = writes.checked_sub(1) else { return Err(io::ErrorKind::StorageFull.into()) };
            *writes = left;
        }
        let offset = usize::try_from(offset).expect("a small file");
        let mut file = self.bytes.lock().expect("nobody panics here");
        let end = (offset + bytes.len()).max(file.len());
        file.resize(end, 0);
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A world and what happens in it.
pub(crate) struct Scenario {
    pub(crate) sim: Arc<Sim>,
    pub(crate) experiment: Experiment,
    pub(crate) disk: Disk,
    pub(crate) handle: AbortHandle,
    pub(crate) abort: Abort,
    pub(crate) seed: u64,
    before: Vec<(InstanceId, Vec<(Aspect, Setting)>)>,
}

/// What a run came to, as its journal tells.
pub(crate) struct RunResult {
    pub(crate) state: RunState,
}

impl RunResult {
    /// The exact reason, in a word.
    pub(crate) fn reason(&self) -> String {
        self.state.finished.as_ref().map_or_else(|| "unfinished".to_owned(), |f| f.reason.word().to_owned())
    }
    pub(crate) fn code(&self) -> u8 {
        self.state.finished.as_ref().map_or(255, |f| f.verdict.code())
    }
    pub(crate) fn text(&self) -> &str {
        self.state.finished.as_ref().map_or("", |f| &f.text)
    }
}

impl Scenario {
    pub(crate) fn new(experiment: Experiment) -> Self {
        Self::on(STACK, experiment)
    }

    pub(crate) fn on(stack: &str, experiment: Experiment) -> Self {
        Self::within(Sim::of_stack(&serde_yaml::from_str(stack).expect("the stack reads")), experiment)
    }

    pub(crate) fn within(sim: Arc<Sim>, experiment: Experiment) -> Self {
        let (handle, abort) = abort();
        let mut scenario = Self { sim, experiment, disk: Disk::default(), handle, abort, seed: 1, before: Vec::new() };
        scenario.before = scenario.settings();
        scenario
    }

    /// Something happens to an instance just before the first call of this kind that comes when the run is so far.
    pub(crate) fn act_when(
        &self,
        call: &'static str,
        is_so_far: impl Fn(&RunState) -> bool + Send + 'static,
        (name, meddling): (&'static str, ExternalAction),
    ) {
        let disk = self.disk.clone();
        let mut is_done = false;
        self.sim.fail_calls(move |_, what| {
            if is_done || what != call || !is_so_far(&disk.state()) {
                return InjectedFailure::None;
            }
            is_done = true;
            InjectedFailure::Meanwhile(InstanceId(name.into()), meddling)
        });
    }

    fn recorder(&self) -> Recorder {
        let state = RunState::default();
        Recorder::over(Box::new(self.disk.clone()), 0, state, Clock::start(None), Path::new("journal"))
    }

    /// Runs the experiment; nothing, where the runner died at an engine call.
    pub(crate) async fn run(&self) -> Option<RunResult> {
        let prober = Arc::new(SimProber::new(self.sim.clone(), self.experiment.all_checks().iter()));
        self.run_with(prober).await
    }

    /// The same, with another prober.
    pub(crate) async fn run_with(&self, prober: Arc<dyn squall::experiment::probe::Prober>) -> Option<RunResult> {
        let rec = self.recorder();
        let context = RunContext {
            engine: self.sim.clone(),
            prober,
            launcher: Arc::new(NoGuard),
            owner: "test".to_owned(),
            process: ProcessId::default(),
            grace: Duration::from_secs(10),
        };
        let spec = RunSpec { run: "r1", experiment: &self.experiment, file: "test.yaml", seed: self.seed };
        tokio::select! {
            biased;
            () = self.sim.crashed() => None,
            result = run(&spec, &context, &rec, &self.abort) => {
                if let Err(e) = result {
                    assert!(rec.read(|s| s.changes.is_empty()), "nothing is planned without a journal: {e}");
                }
                Some(RunResult { state: rec.read(Clone::clone) })
            }
        }
    }

    /// Recovers from what is on the disk, as `squall recover` would; false where that died, too.
    pub(crate) async fn recover(&self) -> bool {
        let bytes = self.disk.bytes.lock().expect("nobody panics here").clone();
        let (state, good) = journal::fold(&bytes, Path::new("journal")).expect("the journal of a dead run can be read");
        if !recover::is_unsettled(&state) {
            return true;
        }
        let clock = Clock::start(state.last);
        let rec = Recorder::over(Box::new(self.disk.clone()), good, state, clock, Path::new("runs/r1/journal"));
        tokio::select! {
            biased;
            () = self.sim.crashed() => false,
            () = recover::finish(&rec, self.sim.as_ref(), Actor::Recover) => true,
        }
    }

    /// What the journal on the disk says.
    pub(crate) fn written(&self) -> RunState {
        self.disk.state()
    }

    pub(crate) fn settings(&self) -> Vec<(InstanceId, Vec<(Aspect, Setting)>)> {
        self.sim.peek().into_iter().map(|i| (i.id, i.settings.into_iter().collect())).collect()
    }

    /// Whether the world is as it was, also after whatever may still be on its way.
    pub(crate) async fn is_restored(&self) -> bool {
        tokio::time::sleep(Duration::from_secs(30)).await;
        self.settings() == self.before && self.sim.marks().is_empty()
    }

    /// Asserts that the world is as it was, also after whatever may still be on its way.
    pub(crate) async fn assert_restored(&self, what: &str) {
        tokio::time::sleep(Duration::from_secs(30)).await;
        self.sim.fail_calls(|_, _| InjectedFailure::None);
        // What an orchestrator has replaced is over, and what it has started in its place is its own.
        let over: Vec<InstanceId> = self.sim.peek().into_iter().filter(Instance::is_over).map(|i| i.id).collect();
        let was_there = |id: &InstanceId| self.before.iter().any(|(before, _)| before == id);
        let stays = |id: &InstanceId| over.is_empty() || was_there(id) && !over.contains(id);
        let of = |all: Vec<(InstanceId, Vec<(Aspect, Setting)>)>| {
            all.into_iter().filter(|(id, _)| stays(id)).collect::<Vec<_>>()
        };
        assert_eq!(of(self.settings()), of(self.before.clone()), "{what}: the settings are not as before");
        assert_eq!(self.sim.marks(), Vec::<String>::new(), "{what}: a mark was left");
        assert_eq!(self.sim.claims().await.expect("the sim answers"), Vec::new(), "{what}: a lock was left");
    }
}
