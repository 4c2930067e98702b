//! `squall demo`.

use std::process::ExitCode;

use crate::cli;
use crate::store::StateDir;

pub(super) async fn run(_args: cli::Demo, _state: StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
