//! `squall completions`: a script that a shell reads.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::Cli;

pub(super) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    // Rendered first, then written: clap_complete panics where a pipe is closed, and that is no error.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "squall", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write the completions to standard output: {e}"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
