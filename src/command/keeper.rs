//! A keeper: a process in a session of its own that takes a stack away when its master is gone, however he went.
//!
//! The master holds the other end of the keeper's standard input; the kernel closes it even on SIGKILL.

use std::ffi::OsString;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::host::worker::Worker;

/// What the master says when there is nothing to take away, or it shall stay.
const LEAVE: &str = "leave\n";

/// A keeper that stands by.
#[derive(Debug)]
pub(super) struct Keeper(Worker);

impl Keeper {
    /// Starts one: this program with the arguments of `squall stack keep`.
    pub(super) async fn start(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let start = async { Worker::start(Command::new(std::env::current_exe()?).args(arguments)).await };
        let keeper =
            start.await.context("cannot start the keeper, which takes the stack away if this process is killed")?;
        Ok(Self(keeper))
    }

    /// Lets it go: there is nothing to take away any more, or it shall stay.
    pub(super) async fn shutdown(self) {
        self.0.shutdown(LEAVE).await;
    }
}

/// The keeper's side: the line to its master, in a session that nothing which hits the master's hits.
pub(super) struct Master {
    line: pipe::Receiver,
    terminate: Signal,
}

impl Master {
    pub(super) fn hold() -> anyhow::Result<Self> {
        rustix::process::setsid().context("cannot begin a session")?;
        let terminate = signal(SignalKind::terminate())?;
        let line = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)
            .context("standard input is no pipe")?;
        Ok(Self { line, terminate })
    }

    /// Waits for the master's end. Whether to take the stack away.
    pub(super) async fn is_gone(&mut self) -> bool {
        let mut said = String::new();
        tokio::select! {
            _ = self.line.read_to_string(&mut said) => said != LEAVE,
            _ = self.terminate.recv() => true,
        }
    }
}
