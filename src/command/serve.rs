//! `squall serve`.

use std::process::ExitCode;

use crate::cli;

pub(super) async fn run(_args: cli::Serve) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
