//! The guard, seen from the runner: somebody who takes everything back if this process ends in any way.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::event::GuardKind;

/// Posts guards.
#[async_trait]
pub trait Sentry: Send + Sync {
    /// A guard for the run with this journal. When this returns, it stands.
    async fn post(&self, journal: &Path, deadline: Timestamp) -> anyhow::Result<Box<dyn Post>>;
}

/// A guard that stands.
#[async_trait]
pub trait Post: Send {
    /// What kind of guard.
    fn kind(&self) -> GuardKind;
    /// Its PID or container id.
    fn id(&self) -> String;
    /// Returns when it has fallen.
    async fn fallen(&mut self);
    /// The run is over and everything taken back: it may go.
    async fn dismiss(self: Box<Self>);
}

/// No guard: the world is simulated and ends with this process.
pub struct NoSentry;

#[async_trait]
impl Sentry for NoSentry {
    async fn post(&self, _: &Path, _: Timestamp) -> anyhow::Result<Box<dyn Post>> {
        Ok(Box::new(NoSentry))
    }
}

#[async_trait]
impl Post for NoSentry {
    fn kind(&self) -> GuardKind {
        GuardKind::None
    }
    fn id(&self) -> String {
        "none".to_owned()
    }
    async fn fallen(&mut self) {
        std::future::pending::<()>().await;
    }
    async fn dismiss(self: Box<Self>) {}
}

/// Posts processes in sessions of their own, from this very program.
pub struct ProcessSentry {
    /// The program.
    pub exe: PathBuf,
}

/// How long a guard may take to stand.
const STAND: Duration = Duration::from_secs(5);

#[async_trait]
impl Sentry for ProcessSentry {
    async fn post(&self, journal: &Path, deadline: Timestamp) -> anyhow::Result<Box<dyn Post>> {
        let mut child = Command::new(&self.exe)
            .arg("guard")
            .arg("--journal")
            .arg(journal)
            .arg("--deadline")
            .arg(deadline.to_string())
            .arg("--runner")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start a guard from {}", self.exe.display()))?;
        let pid = child.id().context("the guard ended at once")?;
        let stdout = child.stdout.take().context("the guard has no standard output")?;
        let mut line = String::new();
        match timeout(STAND, BufReader::new(stdout).read_line(&mut line)).await {
            Ok(Ok(_)) if line.trim() == "ready" => {}
            Ok(Ok(_)) => bail!("the guard ended at once"),
            Ok(Err(e)) => return Err(e).context("cannot hear the guard"),
            Err(_) => {
                let _ = child.start_kill();
                bail!("the guard did not stand within {}", humantime::format_duration(STAND));
            }
        }
        Ok(Box::new(ProcessPost { pid, child }))
    }
}

struct ProcessPost {
    /// Kept, because a child that has ended has none any more.
    pid: u32,
    child: Child,
}

#[async_trait]
impl Post for ProcessPost {
    fn kind(&self) -> GuardKind {
        GuardKind::Process
    }

    fn id(&self) -> String {
        self.pid.to_string()
    }

    async fn fallen(&mut self) {
        let _ = self.child.wait().await;
    }

    async fn dismiss(mut self: Box<Self>) {
        // The run is finished in the journal, so it has nothing to do; but it need not find that out by itself.
        let _ = self.child.kill().await;
    }
}
