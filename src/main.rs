//! `squall`: parses the command line, runs the command, ends with its exit code.
#![expect(clippy::print_stderr, reason = "the last word on an error")]

use std::process::ExitCode;

use clap::Parser;
use squall::cli::Cli;

fn main() -> ExitCode {
    let small = squall::command::shape::if_asked_to().or_else(squall::command::burden::if_asked_to);
    if let Some(code) = small {
        return code;
    }
    let cli = Cli::parse();
    squall::host::resolver::make_static_safe();
    // For developers: `SQUALL_LOG=squall=debug`. People read the console, which is made of events.
    if let Ok(filter) = std::env::var("SQUALL_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start: {e}");
            return ExitCode::from(squall::exit::INVALID);
        }
    };
    let result = runtime.block_on(squall::command::dispatch(cli));
    // A thread that waits for a name server or a lock does not hold the end back.
    runtime.shutdown_background();
    result.unwrap_or_else(|e| {
        eprintln!("error: {e:#}");
        ExitCode::from(squall::exit::INVALID)
    })
}
