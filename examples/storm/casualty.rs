//! Who is hurt in a round, when, and what is waited for afterwards.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use rustix::process::{Pid, Signal, kill_process};
use squall::host::process;
use squall::record::journal;
use squall::record::state::{Finished, RunState};
use squall::run::recover;
use tokio::time::{Instant, sleep, timeout};

use crate::field::{Field, Order};

/// Who is hurt in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Casualty {
    Runner,
    Guard,
    Both,
    RunnerStopped,
    Processes,
    TargetRestarted,
    TargetRemoved,
    Disk,
    DiskAndRunner,
    Helper,
    Operator,
    OperatorSilent,
    All,
}

impl Casualty {
    pub(crate) const ALL: [Self; 9] = [
        Self::Runner,
        Self::Guard,
        Self::Both,
        Self::RunnerStopped,
        Self::Processes,
        Self::TargetRestarted,
        Self::TargetRemoved,
        Self::Disk,
        Self::DiskAndRunner,
    ];

    /// Those that there are, with a helper or without.
    pub(crate) fn all(helper: bool) -> Vec<Self> {
        let further = [Self::Helper, Self::Operator, Self::OperatorSilent, Self::All];
        Self::ALL.into_iter().chain(further.into_iter().filter(|_| helper)).collect()
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Runner => "SIGKILL of the runner",
            Self::Guard => "SIGKILL of the guard",
            Self::Both => "SIGKILL of both, then `recover`",
            Self::RunnerStopped => "SIGSTOP of the runner past its deadline",
            Self::Processes => "SIGKILL of the processes that hold packets, or load",
            Self::TargetRestarted => "a target restarted by another process",
            Self::TargetRemoved => "a target removed by another process",
            Self::Disk => "the disk of the state directory full, later `recover`",
            Self::DiskAndRunner => "that disk full and SIGKILL of the runner, later `recover`",
            Self::Helper => "SIGKILL of the helper",
            Self::Operator => "SIGKILL of runner and guard: the helper alone",
            Self::OperatorSilent => "SIGSTOP of runner and guard: the helper alone, after its lease",
            Self::All => "SIGKILL of runner, guard and helper, then `recover`",
        }
    }

    /// Whether it takes a helper.
    fn is_of_helper(self) -> bool {
        matches!(self, Self::Helper | Self::Operator | Self::OperatorSilent | Self::All)
    }

    /// Whether the run's state directory is on a small disk of its own.
    pub(crate) fn is_of_disk(self) -> bool {
        matches!(self, Self::Disk | Self::DiskAndRunner)
    }
}

/// When they are hurt: so long after something has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    OfTheRun(Duration),
    OfTheFault(Duration),
}

/// What came of it.
pub(crate) struct Blow {
    /// How long it took until everything was rolled back and the journal closed.
    pub(crate) took: Duration,
    /// Whether a fault was in place at that moment.
    pub(crate) was_on: bool,
    /// The container that is gone.
    pub(crate) removed: Option<String>,
}

/// One experiment and what happens to it; nothing where the run was over before.
pub(crate) async fn disturb(
    field: &Field,
    (fault, helper): (&str, bool),
    casualty: Casualty,
    moment: Moment,
    (dir, disk): (&Path, Option<&Disk>),
) -> anyhow::Result<Option<Blow>> {
    // Whoever is stopped is awaited no longer than needed; a slow machine is no reason to be killed otherwise.
    let grace = if casualty == Casualty::RunnerStopped { "1s" } else { "30s" };
    let mut runner = field.start(&Order { fault, duration: "2s", grace, seed: None, engine: None, helper }, dir)?;
    let pid = Pid::from_raw(i32::try_from(runner.id().context("the runner ended at once")?)?).context("no PID")?;
    let awaited = async {
        match moment {
            Moment::OfTheRun(after) => sleep(after).await,
            Moment::OfTheFault(after) => {
                let begun = |path: PathBuf| {
                    journal::replay(&path).is_ok_and(|s| s.changes.iter().any(|c| c.injecting.is_some()))
                };
                while !journal_in(dir).is_some_and(begun) {
                    sleep(Duration::from_millis(2)).await;
                }
                sleep(after).await;
            }
        }
    };
    // A run that is over before its moment comes has to have rolled back everything, like any other.
    let over = tokio::select! {
        ended = runner.wait() => Some(ended?),
        () = awaited => None,
    };
    if let Some(ended) = over {
        ensure!(ended.code() != Some(2), "the experiment is wrong: {}", field.said());
        restored(dir, false).await?;
        let state = journal_in(dir).and_then(|path| journal::replay(&path).ok()).unwrap_or_default();
        if let Some(Finished { reason, text: why, .. }) =
            state.finished.filter(|_| state.changes.iter().all(|c| c.injected.is_none()))
        {
            eprintln!("{fault} was not injected ({reason:?}): {why}");
        }
        return Ok(None);
    }
    let state = journal_in(dir).and_then(|path| journal::replay(&path).ok()).unwrap_or_default();
    let was_on = state.changes.iter().any(|c| c.injected.is_some() && c.rolled_back.is_none());
    let guard = state.guards.last().and_then(|g| g.id.parse().ok()).and_then(Pid::from_raw);
    let from = Instant::now();
    let mut removed = None;
    // The guard first: a runner that is killed first would give it a head start.
    let helpers = if casualty.is_of_helper() { field.helpers(&state).await? } else { Vec::new() };
    if casualty == Casualty::All {
        // It must not see the others die.
        send(&helpers, Signal::STOP);
    }
    if let Some(guard) = guard {
        let _ = match casualty {
            Casualty::Guard | Casualty::Both | Casualty::Operator | Casualty::All => kill_process(guard, Signal::KILL),
            Casualty::OperatorSilent => kill_process(guard, Signal::STOP),
            _ => Ok(()),
        };
    }
    if let Some(disk) = disk {
        disk.fill()?;
    }
    match casualty {
        Casualty::Runner | Casualty::Both | Casualty::DiskAndRunner => kill_process(pid, Signal::KILL)?,
        Casualty::RunnerStopped => kill_process(pid, Signal::STOP)?,
        Casualty::Helper => send(&helpers, Signal::KILL),
        Casualty::All => {
            kill_process(pid, Signal::KILL)?;
            send(&helpers, Signal::KILL);
        }
        Casualty::Operator => {
            kill_process(pid, Signal::KILL)?;
            alone(field, &state).await?;
        }
        Casualty::OperatorSilent => {
            kill_process(pid, Signal::STOP)?;
            alone(field, &state).await?;
            for process in guard.into_iter().chain([pid]) {
                kill_process(process, Signal::KILL)?;
            }
        }
        Casualty::Guard | Casualty::Disk => {}
        Casualty::Processes => {
            let run = state.started.as_ref().map(|s| s.run.clone()).unwrap_or_default();
            for change in &state.changes {
                let tag = format!("{run}.{}", change.change.n);
                process::with_variable("SQUALL_CHANGE", &tag).iter().try_for_each(|p| p.signal(Signal::KILL))?;
            }
        }
        Casualty::TargetRestarted => {
            if let Some(name) = target(&state) {
                field.restart(&name).await.context("restart a target")?;
            }
        }
        Casualty::TargetRemoved => {
            if let Some(name) = target(&state) {
                field.remove(&name).await.context("remove a target")?;
                removed = Some(name);
            }
        }
    }
    if casualty == Casualty::RunnerStopped && guard.is_none() {
        // Stopped before there was a guard, and so before there was a fault: nothing needs to be done.
        kill_process(pid, Signal::KILL)?;
    }
    timeout(Duration::from_mins(1), runner.wait()).await.context("the runner goes on and on")??;
    if let Some(disk) = disk {
        // A guard that has taken over lets go of the journal when it is through.
        let journal = || journal_in(dir).filter(|journal| journal::is_locked(journal));
        while journal().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        disk.empty()?;
    }
    let took = matches!(casualty, Casualty::Operator | Casualty::OperatorSilent).then(|| from.elapsed());
    let orphaned = matches!(casualty, Casualty::Both | Casualty::Operator | Casualty::OperatorSilent | Casualty::All);
    restored(dir, orphaned || guard.is_none() || disk.is_some()).await?;
    Ok(Some(Blow { took: took.unwrap_or_else(|| from.elapsed()), was_on, removed }))
}

/// Sends processes a signal; one that is gone by now needs none.
fn send(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// Waits until the helper of a run has done what it does alone, and is gone.
async fn alone(field: &Field, state: &RunState) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_mins(1);
    while !field.helpers(state).await?.is_empty() {
        ensure!(Instant::now() < end, "the helper goes on and on");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The first container that is targeted, where it is known by now.
fn target(state: &RunState) -> Option<String> {
    state.changes.first().map(|c| c.change.name.clone())
}

/// Returns when nothing of a run is to be rolled back any more.
pub(crate) async fn restored(dir: &Path, is_orphaned: bool) -> anyhow::Result<()> {
    let Some(journal) = journal_in(dir) else { return Ok(()) };
    if is_orphaned {
        let recovered = Field::squall(dir).arg("recover").stdout(Stdio::null()).status().await?;
        ensure!(recovered.success(), "recover ended with {recovered}");
    }
    // A guard watches for two minutes for what an engine was asked for and never said to have done.
    let end = Instant::now() + Duration::from_mins(4);
    while recover::needs_recovery(&journal) || journal::is_locked(&journal) {
        if Instant::now() >= end {
            bail!("no process finished {}", end_of(&journal));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The last of a journal's lines but for samples, for people.
pub(crate) fn end_of(journal: &Path) -> String {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let mut last: Vec<&str> = text.lines().rev().filter(|line| !line.contains("\"sample")).take(20).collect();
    last.reverse();
    format!("{}, which ends with:\n{}", journal.display(), last.join("\n"))
}

/// The journal of the only run in a state directory, once it says something.
pub(crate) fn journal_in(dir: &Path) -> Option<PathBuf> {
    let run = std::fs::read_dir(dir.join("runs")).ok()?.next()?.ok()?;
    let journal = run.path().join("journal.ndjson");
    journal::replay(&journal).is_ok_and(|s| s.started.is_some()).then_some(journal)
}

/// A small disk in memory that is mounted nowhere: it is gone with this value, or with this process.
pub(crate) struct Disk {
    /// Its top.
    top: OwnedFd,
}

impl Disk {
    /// One that is found at a path.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        let made = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&made, "size", "1m")?;
        fsconfig_create(&made)?;
        let top = fsmount(&made, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        std::os::unix::fs::symlink(format!("/proc/{}/fd/{}", std::process::id(), top.as_raw_fd()), path)?;
        Ok(Self { top })
    }

    /// To the last byte.
    fn fill(&self) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(self.filler())?;
        let full = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err);
        ensure!(full.is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull), "the disk is not full");
        Ok(())
    }

    fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/filler", self.top.as_raw_fd()))
    }
}
