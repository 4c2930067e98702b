//! One file per subcommand: the only place where things are wired together.

/// [`crate::report::follow::complain`] with a format.
macro_rules! complain {
    ($($text:tt)*) => { $crate::report::follow::complain(&format!($($text)*)) };
}
/// [`crate::report::follow::say`] with a format.
macro_rules! say {
    ($($text:tt)*) => { $crate::report::follow::say(&format!($($text)*)) };
}

mod brought_up;
pub mod cli;
mod compare;
mod completions;
mod compose;
mod connect;
mod demo;
mod doctor;
mod gameday;
mod guard;
mod halt;
mod history;
mod list;
pub mod load;
mod node;
mod one_run;
mod orphans;
mod plan;
mod recover;
mod rehearsed;
mod report;
mod run;
mod run_stack;
mod schedule;
mod schema;
mod serve;
mod sessions;
pub mod shape;
pub mod shop;
mod stack;
mod stack_guard;
mod stop;
pub mod stressor;
mod suite;
mod table;
mod unlock;
mod validate;
mod weaknesses;

use std::process::ExitCode;

use crate::command::cli::{Cli, Command};
use crate::host::store::StateDir;
use crate::text::visible;

/// Prints what people asked for.
fn show(text: &str) -> std::io::Result<()> {
    print(&visible::inert(&visible::text(text)))
}

/// Prints what programs read, or what is fit to be seen already and has colours. A reader that has seen enough (`| head`) is no mistake.
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
/// What stopped it, for people. Nothing was touched, or everything was rolled back.
pub async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let state = StateDir::find(cli.state);
    match cli.command {
        Command::Run(args) => Box::pin(run::run(args, state?)).await,
        Command::Plan(args) => Box::pin(plan::run(args, state?)).await,
        Command::Validate(args) => Ok(validate::run(&args)),
        Command::Schema { of } => schema::run(of),
        Command::Recover(args) => Box::pin(recover::run(args, state?)).await,
        Command::Halt { reason } => halt::halt(reason.as_deref(), &state?),
        Command::Resume => halt::resume(&state?),
        Command::Report(args) => report::run(&args, &state?),
        Command::Compare(args) => compare::run(&args, &state?),
        Command::List(args) => list::run(&args, &state?),
        Command::Schedule(args) => Box::pin(schedule::run(args, state?)).await,
        Command::Gameday(what) => Box::pin(gameday::run(what, state?)).await,
        Command::History(args) => history::run(&args, &state?),
        Command::Weaknesses(args) => weaknesses::run(args, &state?),
        Command::Doctor(args) => Box::pin(doctor::run(args, state?)).await,
        Command::Demo(args) => demo::run(args, state?).await,
        Command::Stack(args) => stack::run(args, state?).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Guard(args) => Box::pin(guard::run(args)).await,
        Command::Node(args) => Box::pin(node::run(args)).await,
        Command::Serve(args) => serve::run(args).await,
    }
}
