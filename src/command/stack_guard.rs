//! A stack's guard: a process in a session of its own that takes a stack away when its starter is gone, however he went.
//!
//! The starter holds the other end of the guard's standard input; the kernel closes it even on SIGKILL.

use std::ffi::OsString;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::Engine;
use crate::host::worker::Worker;

/// The engine that a stack is on, as an argument of `squall stack keep`.
pub(super) fn engine(engine: &dyn Engine) -> String {
    serde_json::to_string(&engine.describe()).expect("texts only")
}

/// What the starter says when there is nothing to take away, or it shall stay.
const LEAVE: &str = "leave\n";

/// A guard that stands by.
#[derive(Debug)]
pub(super) struct StackGuard(Worker);

impl StackGuard {
    /// Starts one: this program with the arguments of `squall stack keep`.
    pub(super) async fn start(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Self> {
        let start = async { Worker::start(Command::new(std::env::current_exe()?).args(arguments)).await };
        let guard = start
            .await
            .context("cannot start the stack's guard, which takes the stack away if this process is killed")?;
        Ok(Self(guard))
    }

    /// Lets it go: there is nothing to take away any more, or it shall stay.
    pub(super) async fn shutdown(self) {
        self.0.shutdown(LEAVE).await;
    }
}

/// The guard's side: the line to its starter, in a session that no signal to its starter reaches.
pub(super) struct Starter {
    line: pipe::Receiver,
    terminate: Signal,
}

impl Starter {
    pub(super) fn hold() -> anyhow::Result<Self> {
        rustix::process::setsid().context("cannot begin a session")?;
        let terminate = signal(SignalKind::terminate())?;
        let line = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)
            .context("standard input is no pipe")?;
        Ok(Self { line, terminate })
    }

    /// Waits for the starter's end. Whether to take the stack away.
    pub(super) async fn is_gone(&mut self) -> bool {
        let mut said = String::new();
        tokio::select! {
            _ = self.line.read_to_string(&mut said) => said != LEAVE,
            _ = self.terminate.recv() => true,
        }
    }
}
