//! `squall`: parses the command line, runs the command, ends with its exit code.
#![expect(clippy::print_stderr, reason = "the last word on an error")]

use std::process::ExitCode;

use clap::Parser;
use squall::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start: {e}");
            return ExitCode::from(squall::exit::INVALID);
        }
    };
    match runtime.block_on(squall::command::dispatch(cli)) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(squall::exit::INVALID)
        }
    }
}
