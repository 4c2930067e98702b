//! A stack of local processes that is up for one run, and taken away when the run is over, however it ends.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::connect::Reached;
use super::keeper::Keeper;
use crate::engine::local::Local;
use crate::store::StateDir;

pub(super) struct RunStack {
    local: Arc<Local>,
    keeper: Keeper,
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
        let words: [OsString; 5] = ["--state".into(), state.root().into(), "stack".into(), "keep".into(), file.into()];
        let keeper = Keeper::start(words).await?;
        if let Err(e) = local.up().await {
            keeper.dismiss().await;
            return Err(e);
        }
        Ok(Some(Self { local: local.clone(), keeper }))
    }

    /// Takes it away.
    ///
    /// # Errors
    /// Where a process cannot be ended.
    pub(super) async fn down(self) -> anyhow::Result<()> {
        self.local.down().await?;
        // Before anybody can start the same stack again: a keeper that comes late would take that one away.
        self.keeper.dismiss().await;
        Ok(())
    }
}
