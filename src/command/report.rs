//! `squall report`.

use std::process::ExitCode;

use crate::cli;
use crate::store::StateDir;

pub(super) fn run(_args: &cli::Report, _state: &StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
