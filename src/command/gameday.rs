//! `squall gameday`: an exercise of several experiments, with the people and lists around it.
//!
//! One process walks through it; whoever notes something from another terminal adds to the same timeline.

mod ask;
mod list;
mod place;
mod reports;
mod say;
mod status;
mod tell;
mod walk;

use std::process::ExitCode;

use jiff::Timestamp;

use crate::command::cli::gameday::Gameday;
use crate::experiment::Due;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;

pub(super) async fn run(what: Gameday, state: StateDir) -> anyhow::Result<ExitCode> {
    match what {
        Gameday::Run(args) => Box::pin(walk::run(*args, state)).await,
        Gameday::Note { text, by } => say::note(text, by, &state),
        Gameday::Mark { mark, by } => say::mark(mark, by, &state),
        Gameday::Action(action) => say::action(action, &state),
        Gameday::Status { json } => status::run(json, &state),
        Gameday::Report { gameday, format } => reports::run(&gameday, format, &state),
        Gameday::List { json } => list::run(json, &state),
    }
}

/// A game day that was held, by its name.
pub(super) struct Held {
    pub(super) name: String,
    /// How often it is to be held, as its file said last.
    pub(super) due: Option<Due>,
    /// When the last one began that came to something; a rehearsal does not.
    pub(super) last: Option<Timestamp>,
}

/// The game days that were held, one for each name.
///
/// # Errors
/// Where a timeline cannot be read.
pub(super) fn held(state: &StateDir) -> anyhow::Result<Vec<Held>> {
    let mut all: Vec<Held> = Vec::new();
    for day in place::all(state)? {
        let Some(gameday) = &day.state.gameday else { continue };
        let counts =
            day.state.scenarios.values().any(|s| {
                s.ended.as_ref().is_some_and(|ended| matches!(ended.verdict, Verdict::Held | Verdict::Broken))
            });
        let last = day.state.began.filter(|_| counts && !day.state.rehearsal && day.standing == place::Standing::Over);
        match all.iter_mut().find(|held| held.name == gameday.name) {
            Some(held) => (held.due, held.last) = (gameday.due, last.or(held.last)),
            None => all.push(Held { name: gameday.name.clone(), due: gameday.due, last }),
        }
    }
    Ok(all)
}
