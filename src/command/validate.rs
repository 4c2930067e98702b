//! `squall validate`.

use std::process::ExitCode;

use crate::cli;

pub(super) fn run(_args: &cli::Validate) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
