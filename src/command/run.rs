//! `squall run`.

use std::process::ExitCode;

use crate::cli;
use crate::store::StateDir;

pub(super) async fn run(_args: cli::Run, _state: StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
