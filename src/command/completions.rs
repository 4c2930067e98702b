//! `squall completions`.

use std::process::ExitCode;

pub(super) fn run(_shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
