//! A stack of local processes that is up for one run, and taken away when the run is over, however it ends.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use tokio::process::{Child, Command};

use super::connect::Reached;
use crate::engine::local::Local;
use crate::store::StateDir;

pub(super) struct RunStack {
    local: Arc<Local>,
    /// Takes the stack away when the pipe to it closes, which the kernel does even for a process that is killed.
    _keeper: Child,
}

impl RunStack {
    /// Starts the stack, unless it is up already: then it belongs to somebody else and stays.
    ///
    /// # Errors
    /// Where it does not come up; then nothing of it is left.
    pub(super) async fn up(reached: &Reached, file: Option<&Path>, state: &StateDir) -> anyhow::Result<Option<Self>> {
        let (Reached::Local(local), Some(file)) = (reached, file) else { return Ok(None) };
        if !local.status()?.is_empty() {
            return Ok(None);
        }
        let keeper = Command::new(std::env::current_exe()?)
            .arg("--state")
            .arg(state.root())
            .args(["stack", "keep"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the keeper of the stack")?;
        local.up().await?;
        Ok(Some(Self { local: local.clone(), _keeper: keeper }))
    }

    /// Takes it away.
    ///
    /// # Errors
    /// Where a process cannot be ended.
    pub(super) async fn down(self) -> anyhow::Result<()> {
        self.local.down().await?;
        Ok(())
    }
}
