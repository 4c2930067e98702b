//! A whole experiment on real containers: the binary itself, its journal while it runs, and what it leaves behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bollard::models::HostConfig;
use rustix::process::{Pid, Signal, kill_process};
use squall::engine::{Lock as _, Observe as _};
use squall::model::instance::{Aspect, InstanceId, Setting};
use squall::record::event::GuardKind;
use squall::record::journal;
use squall::record::state::{GuardState, RunState};
use squall::run::recover;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Sandbox, Spec};

/// Nothing that is awaited here takes longer.
const LONGEST: Duration = Duration::from_mins(1);

/// Some containers of one service, and a directory for everything else.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) dir: tempfile::TempDir,
    /// The service that is targeted.
    pub(crate) service: String,
    /// Its containers.
    pub(crate) targeted: Vec<InstanceId>,
    /// How much longer than planned a runner may take.
    pub(crate) grace: &'static str,
    /// Further options of `squall run`.
    pub(crate) options: Vec<String>,
}

/// Every setting of every container, by the container's name.
pub(crate) type Settings = BTreeMap<String, BTreeMap<Aspect, Setting>>;

/// A runner that is going on.
pub(crate) struct Run {
    child: Child,
    /// Its state directory, as it is seen from here.
    state: PathBuf,
}

/// How a run came to its end.
pub(crate) struct Ended {
    pub(crate) output: Output,
    /// What its journal says.
    pub(crate) state: RunState,
    /// Its `report.json`.
    pub(crate) report: serde_json::Value,
}

/// A container without a network.
pub(crate) fn lonely() -> Spec {
    Spec { host: HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }, ..Spec::default() }
}

impl Scene {
    /// Containers of one service, all up.
    pub(crate) async fn of(containers: usize, spec: Spec) -> Self {
        Box::pin(Self::in_sandbox(Sandbox::new().await, containers, spec)).await
    }

    pub(crate) async fn in_sandbox(sandbox: Sandbox, containers: usize, spec: Spec) -> Self {
        let service = sandbox.name("targeted");
        let dir = tempfile::Builder::new().prefix("squall-test-").tempdir().expect("a directory");
        let mut scene = Self { sandbox, dir, service, targeted: Vec::new(), grace: "60s", options: Vec::new() };
        for n in 1..=containers {
            let mut spec = spec.clone();
            spec.labels.push(("squall.service", scene.service.clone()));
            scene.targeted.push(Box::pin(scene.sandbox.start(&format!("targeted-{n}"), spec)).await);
        }
        scene
    }

    /// The settings of every container that this scene has made.
    pub(crate) async fn settings(&self) -> Settings {
        let fleet = self.sandbox.docker.observe().await.expect("the engine answers");
        let ours = format!("{}-", self.sandbox.prefix);
        fleet.into_iter().filter(|i| i.name.starts_with(&ours)).map(|i| (i.name, i.settings)).collect()
    }

    /// An experiment on one instance of the service. Its check is met by anything, so that the fault alone decides.
    pub(crate) fn experiment(&self, fault: &str, timing: &str) -> String {
        let check = format!(
            "count: {{ engine: {{ service: {}, count: running }}, rate: 4/s, expect: {{ value: {{ at-most: 1000 }} }} }}",
            self.service
        );
        self.checked(&check, fault, timing)
    }

    /// The same with a check of one's own.
    pub(crate) fn checked(&self, check: &str, fault: &str, timing: &str) -> String {
        let (name, service) = (self.sandbox.name("x"), &self.service);
        format!(
            "version: 1\nname: {name}\nhypothesis: Nothing stays behind.\nsteady-state:\n  {check}\n\
             target: {{ service: {service} }}\nfault: {{ {fault} }}\nblast-radius: {{ max-instances: 1 }}\n\
             timing: {{ {timing} }}\n"
        )
    }

    /// The binary, with a state directory of its own in this scene.
    pub(crate) fn squall(&self, state: &str) -> Command {
        self.squall_by(Command::new("nice"), state)
    }

    /// The same by a command that is to start `nice`.
    pub(crate) fn squall_by(&self, mut command: Command, state: &str) -> Command {
        // Whatever else this machine is busy with, other tests for instance: a probe that asks late is no verdict.
        command.args(["-n", "-10", env!("CARGO_BIN_EXE_squall")]);
        for name in
            ["SQUALL_ENGINE", "RUST_LOG", "SQUALL_STATE", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]
        {
            command.env_remove(name);
        }
        match &self.sandbox.host {
            Some(host) => command.env("DOCKER_HOST", host),
            None => command.env_remove("DOCKER_HOST"),
        };
        // As an argument, so that every process of this scene can be told by its command line.
        command.arg("--state").arg(self.dir.path().join(state));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// A file in the scene's directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file in the test's own directory");
        path
    }

    /// Starts an experiment.
    pub(crate) fn start(&self, experiment: &str) -> Run {
        self.start_in("state", experiment)
    }

    /// The same with another state directory.
    pub(crate) fn start_in(&self, state: &str, experiment: &str) -> Run {
        self.start_by(self.squall(state), experiment, self.dir.path().join(state))
    }

    /// Starts an experiment with a command for the binary, whose state directory is seen from here at `state`.
    pub(crate) fn start_by(&self, squall: Command, experiment: &str, state: PathBuf) -> Run {
        self.start_as(squall, "experiment.yaml", experiment, state)
    }

    /// The same with a name for the experiment's file.
    pub(crate) fn start_as(&self, mut squall: Command, file: &str, experiment: &str, state: PathBuf) -> Run {
        squall.arg("run").arg(self.file(file, experiment)).args(["--quiet", "--grace", self.grace]);
        squall.args(&self.options);
        Run { child: squall.spawn().expect("the binary starts"), state }
    }

    /// Runs an experiment to its end.
    pub(crate) async fn run(&self, experiment: &str) -> Ended {
        self.start(experiment).ends().await
    }

    /// Everything is as it was, and nothing of the run is left: no marker, no process.
    pub(crate) async fn is_as(&self, before: &Settings) {
        assert_eq!(&self.settings().await, before, "settings are not as before");
        self.is_clear().await;
    }

    /// Nothing of any run is left: no marker, no process.
    pub(crate) async fn is_clear(&self) {
        // A guard lets the markers go after it has rolled everything back: its end is the moment to look.
        let dir = self.dir.path();
        eventually("the end of every process", || async { processes(dir).is_empty().then_some(()) }).await;
        let claims = self.sandbox.docker.claims().await.expect("the engine answers");
        let left: Vec<_> = claims.into_iter().filter(|c| c.service.starts_with(&self.service)).collect();
        assert!(left.is_empty(), "markers are left: {left:?}");
    }
}

impl Run {
    /// Waits until the journal says something.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(&RunState) -> bool) -> RunState {
        let end = Instant::now() + LONGEST;
        loop {
            let state = self.so_far();
            if is(&state) {
                return state;
            }
            if self.is_over() {
                let mut said = String::new();
                let stderr = self.child.stderr.as_mut().expect("a pipe");
                stderr.read_to_string(&mut said).await.expect("text");
                panic!("the run ended before {what}: {said}{:?} {:?}", state.stopping, state.finished);
            }
            assert!(Instant::now() < end, "never {what}: {:?}", state.phases);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the fault is on and proven.
    pub(crate) async fn until_on(&mut self) -> RunState {
        self.until("the fault is on", |s| !s.changes.is_empty() && s.changes.iter().all(|c| c.verification.is_some()))
            .await
    }

    /// What the journal says by now.
    pub(crate) fn so_far(&self) -> RunState {
        journal_in(&self.state).and_then(|path| journal::replay(&path).ok()).unwrap_or_default()
    }

    /// The runner's PID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends the runner a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // Between its end and its being asked for, a signal meets nobody.
        if let Some(pid) = self.child.id() {
            send(pid, signal);
        }
    }

    /// Whether the runner has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for the end of the runner, and for that of the run, should somebody else finish it.
    pub(crate) async fn ends(self) -> Ended {
        let (output, state) = self.dies().await;
        let Some(journal) = journal_in(&state) else {
            return Ended { output, state: RunState::default(), report: serde_json::Value::Null };
        };
        eventually("an end of the run", || async {
            (!recover::needs_recovery(&journal) && !journal::is_locked(&journal)).then_some(())
        })
        .await;
        let state = journal::replay(&journal).expect("a journal");
        let report = std::fs::read(journal.with_file_name("report.json")).expect("report.json");
        for file in ["report.html", "report.md", "junit.xml"] {
            assert!(journal.with_file_name(file).exists(), "{file} is missing");
        }
        Ended { output, state, report: serde_json::from_slice(&report).expect("JSON") }
    }

    /// Waits so long for the end of the runner alone.
    pub(crate) async fn ends_within(self, longest: Duration) -> Output {
        timeout(longest, self.child.wait_with_output()).await.expect("an end").expect("its output")
    }

    /// Waits for the end of the runner alone. Also tells its state directory.
    pub(crate) async fn dies(self) -> (Output, PathBuf) {
        let state = self.state.clone();
        (self.ends_within(LONGEST).await, state)
    }
}

impl Ended {
    /// The run ended with this exit code and reason.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, reason: &str) -> &Self {
        let said = String::from_utf8_lossy(&self.output.stderr);
        let found = (self.output.status.code(), self.report["reason"].as_str());
        assert_eq!(found, (Some(code), Some(reason)), "{said}\n{:#}", self.report["text"]);
        self
    }

    /// Every change was rolled back by this one: `runner`, `guard` or `recover`.
    #[track_caller]
    pub(crate) fn rolled_back_by(&self, who: &str) -> &Self {
        let by: Vec<String> = self
            .state
            .changes
            .iter()
            .map(|c| c.rolled_back.as_ref().map_or_else(|| "nobody".to_owned(), |r| r.by.to_string()))
            .collect();
        assert!(!by.is_empty() && by.iter().all(|b| b == who), "taken back by {by:?}");
        self
    }
}

/// Sends a process a signal.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a PID")).expect("a PID");
    kill_process(pid, signal).expect("it may be signalled");
}

/// The PID of a run's newest guard.
pub(crate) fn guard(state: &RunState) -> u32 {
    let GuardState { kind, id } = state.guards.last().expect("a guard");
    assert_eq!(*kind, GuardKind::Process);
    id.parse().expect("a PID")
}

/// The journal of the only run in a state directory.
pub(crate) fn journal_in(state: &Path) -> Option<PathBuf> {
    let journal = std::fs::read_dir(state.join("runs")).ok()?.next()?.ok()?.path().join("journal.ndjson");
    journal::replay(&journal).is_ok_and(|s| s.started.is_some()).then_some(journal)
}

/// The processes whose command line names a directory.
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let all = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let lines = all.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.map(|l| String::from_utf8_lossy(&l).replace('\0', " ")).filter(|l| l.contains(&*dir)).collect()
}

/// Tries until there is something; panics where that takes too long.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, attempt: impl Fn() -> F) -> T {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < end, "never {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
