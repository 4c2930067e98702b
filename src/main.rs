//! `squall`: parses the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use squall::command::cli::Cli;
use squall::report::follow;
use squall::text::visible;

fn main() -> ExitCode {
    let small = squall::command::shape::if_asked_to().or_else(squall::command::stressor::if_asked_to);
    if let Some(code) = small {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.kind() == ErrorKind::MissingSubcommand => return help(),
        Err(e) => {
            // What was typed stands in it, which in a pipeline may be the name of a file or of a branch.
            let text = e.render().to_string();
            if !e.use_stderr() || (visible::text(&text) == text && visible::inert(&text) == text) {
                e.exit();
            }
            follow::complain(text.trim_end());
            return ExitCode::from(squall::model::exit::INVALID);
        }
    };
    squall::host::resolver::make_static_safe();
    // For developers: `SQUALL_LOG=squall=debug`. People read the console, which is made of events.
    if let Ok(filter) = std::env::var("SQUALL_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            follow::complain(&format!("error: cannot start: {e}"));
            return ExitCode::from(squall::model::exit::INVALID);
        }
    };
    let result = runtime.block_on(squall::command::dispatch(cli));
    // A thread that waits for a name server or a lock does not hold the end back.
    runtime.shutdown_background();
    result.unwrap_or_else(|e| {
        follow::complain(&format!("error: {e:#}"));
        // What an engine does not do is no mistake of a file or of the command line.
        let of_engine = e.downcast_ref::<squall::engine::EngineError>().is_some();
        ExitCode::from(if of_engine {
            squall::model::exit::Verdict::NoVerdict.code()
        } else {
            squall::model::exit::INVALID
        })
    })
}

/// The help of the command that lacks its subcommand. clap shows it by itself only where no variable of the environment counts
/// as an argument, and else names what is hidden.
fn help() -> ExitCode {
    let mut command = Cli::command();
    command.build();
    for word in std::env::args().skip(1) {
        if let Some(sub) = command.find_subcommand(&word) {
            command = sub.clone();
        }
    }
    follow::complain(&command.render_help().to_string());
    ExitCode::from(squall::model::exit::INVALID)
}
