//! The guard, seen from the runner: a process that rolls everything back if this one ends in any way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::process::Command;
use tokio::time::timeout;

use crate::host::clock::since_boot;
use crate::host::worker::Worker;
use crate::record::event::GuardKind;

/// Starts guards.
#[async_trait]
pub trait GuardLauncher: Send + Sync {
    /// A guard for the run with this journal, which rolls everything back in `left` from now, whatever the runner does. When this
    /// returns, it stands.
    async fn launch(&self, journal: &Path, left: Duration) -> anyhow::Result<Box<dyn GuardHandle>>;
}

/// A guard that is running.
#[async_trait]
pub trait GuardHandle: Send {
    /// What kind of guard.
    fn kind(&self) -> GuardKind;
    /// Its PID or container id.
    fn id(&self) -> String;
    /// Returns when it has exited.
    async fn has_exited(&mut self);
    /// The run is over and everything rolled back: it may go.
    async fn shutdown(self: Box<Self>);
}

/// A guard's deadline as its command line has it: by the clock that counts from the machine's boot. Processes share that one, and
/// it cannot be set; the wall clock may step while a fault is on.
#[must_use]
pub fn deadline(left: Duration) -> String {
    humantime::format_duration(since_boot().saturating_add(left)).to_string()
}

/// No guard: the engine is simulated and ends with this process.
pub struct NoGuard;

#[async_trait]
impl GuardLauncher for NoGuard {
    async fn launch(&self, _: &Path, _: Duration) -> anyhow::Result<Box<dyn GuardHandle>> {
        Ok(Box::new(NoGuard))
    }
}

#[async_trait]
impl GuardHandle for NoGuard {
    fn kind(&self) -> GuardKind {
        GuardKind::None
    }
    fn id(&self) -> String {
        "none".to_owned()
    }
    async fn has_exited(&mut self) {
        std::future::pending::<()>().await;
    }
    async fn shutdown(self: Box<Self>) {}
}

/// Starts guards as processes in sessions of their own, from this very program.
pub struct ProcessLauncher {
    /// The program.
    pub exe: PathBuf,
}

#[async_trait]
impl GuardLauncher for ProcessLauncher {
    async fn launch(&self, journal: &Path, left: Duration) -> anyhow::Result<Box<dyn GuardHandle>> {
        let mut command = Command::new(&self.exe);
        command.arg("guard").arg("--journal").arg(journal).arg("--deadline").arg(deadline(left));
        command.arg("--runner").arg(std::process::id().to_string());
        // Where it has to finish the run, it complains of what came of it: the runner cannot any more.
        let guard = Worker::start_apart(&mut command).await;
        let guard = guard.with_context(|| format!("cannot start a guard from {}", self.exe.display()))?;
        Ok(Box::new(GuardProcess(guard)))
    }
}

/// How often it is looked whether a guard has been stopped by a signal.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Whether a child has been stopped by a signal since this was last asked.
fn is_stopped(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let stopped = |pid| waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG).ok().flatten();
    pid.and_then(stopped).is_some_and(|status| status.stopped())
}

struct GuardProcess(Worker);

#[async_trait]
impl GuardHandle for GuardProcess {
    fn kind(&self) -> GuardKind {
        GuardKind::Process
    }

    fn id(&self) -> String {
        self.0.pid().to_string()
    }

    async fn has_exited(&mut self) {
        while timeout(LOOK_INTERVAL, self.0.exited()).await.is_err() {
            // One that is held still guards nothing; should it wake, it would be one too many.
            if is_stopped(self.0.pid()) {
                self.0.kill();
            }
        }
    }

    async fn shutdown(mut self: Box<Self>) {
        // The run is finished in the journal, so it has nothing to do; but it need not find that out by itself.
        self.0.kill();
        let _ = self.0.exited().await;
    }
}
