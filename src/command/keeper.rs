//! A keeper: a process in a session of its own that takes a stack away when its master is gone, however he went.
//!
//! The master holds the other end of the keeper's standard input; the kernel closes it even on SIGKILL.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::report::follow;

/// What the master says when there is nothing to take away, or it shall stay.
const LEAVE: &str = "leave\n";
/// What the keeper says when nothing that hits the master's session hits it.
const READY: &str = "ready";
/// How long it may take for that.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A keeper that stands by.
#[derive(Debug)]
pub(super) struct Keeper {
    child: Child,
    stdin: ChildStdin,
}

impl Keeper {
    /// Starts one: this program with the arguments of `squall stack keep`.
    pub(super) async fn start(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let start = async {
            let mut child = Command::new(std::env::current_exe()?)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let stdin = child.stdin.take().context("it has no standard input")?;
            let mut said = String::new();
            let stdout = child.stdout.take().context("it has no standard output")?;
            timeout(READY_TIMEOUT, BufReader::new(stdout).read_line(&mut said)).await??;
            anyhow::ensure!(said.trim() == READY, "it ended at once");
            anyhow::Ok(Self { child, stdin })
        };
        start.await.context("cannot start the keeper, which takes the stack away if this process is killed")
    }

    /// Lets it go: there is nothing to take away any more, or it shall stay.
    pub(super) async fn shutdown(mut self) {
        // One that is gone already needs no word.
        let _ = self.stdin.write_all(LEAVE.as_bytes()).await;
        drop(self.stdin);
        let _ = timeout(READY_TIMEOUT, self.child.wait()).await;
    }
}

/// The keeper's side: waits for the master's end. Whether to take the stack away.
pub(super) async fn master_is_gone() -> anyhow::Result<bool> {
    rustix::process::setsid().context("cannot begin a session")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut master = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)
        .context("standard input is no pipe")?;
    follow::say(READY);
    let mut said = String::new();
    tokio::select! {
        _ = master.read_to_string(&mut said) => Ok(said != LEAVE),
        _ = terminate.recv() => Ok(true),
    }
}
