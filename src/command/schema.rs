//! `squall schema`.

use std::process::ExitCode;

use crate::cli;

pub(super) fn run(_of: cli::SchemaOf) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
