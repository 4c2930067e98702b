//! `squall guard`.

use std::process::ExitCode;

use crate::cli;

pub(super) async fn run(_args: cli::Guard) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
