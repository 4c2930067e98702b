//! One file per subcommand: the only place where things are wired together.

pub mod burden;
mod compare;
mod completions;
mod compose;
mod connect;
mod demo;
mod doctor;
mod gameday;
mod gate;
mod guard;
mod halt;
mod history;
mod keeper;
mod list;
pub mod load;
mod plan;
mod recover;
mod report;
mod run;
mod run_stack;
mod schedule;
mod schema;
mod serve;
pub mod shape;
mod stack;
mod stop;
mod table;
mod validate;
mod weaknesses;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::store::StateDir;

/// Prints what was asked for. A reader that has seen enough (`| head`) is no mistake.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Does what the command line says; the exit code says what came of it.
///
/// # Errors
/// What stopped it, for people. Nothing was touched, or everything was taken back.
pub async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let state = StateDir::find(cli.state);
    match cli.command {
        Command::Run(args) => gate::run(args, state?).await,
        Command::Plan(args) => plan::run(args, state?).await,
        Command::Validate(args) => Ok(validate::run(&args)),
        Command::Schema { of } => schema::run(of),
        Command::Recover(args) => recover::run(args, state?).await,
        Command::Halt { reason } => halt::halt(&reason, &state?),
        Command::Resume => halt::resume(&state?),
        Command::Report(args) => report::run(&args, &state?),
        Command::Compare(args) => compare::run(&args, &state?),
        Command::List { json } => list::run(json, &state?),
        Command::Schedule(args) => schedule::run(args, state?).await,
        Command::Gameday(what) => gameday::run(what, state?).await,
        Command::History(args) => history::run(&args, &state?),
        Command::Weaknesses(args) => weaknesses::run(args, &state?),
        Command::Doctor(args) => doctor::run(args, state?).await,
        Command::Demo(args) => demo::run(args, state?).await,
        Command::Stack(args) => stack::run(args, state?).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Guard(args) => guard::run(args).await,
        Command::Serve(args) => serve::run(args).await,
    }
}
