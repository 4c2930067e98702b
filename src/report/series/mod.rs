//! The reports of several experiments that were run in one call: for a terminal, a pull request, a pipeline that reads
//! `JUnit` XML, and one that shows remarks beside the lines of a file. All of them are read from [`crate::occasions::gate`]. Pure.

mod annotations;
mod comparison;
mod console;
mod junit;
mod markdown;

pub use annotations::annotations;
pub use comparison::comparison;
pub use console::table;
pub use junit::junit;
pub use markdown::markdown;

use crate::model::exit::Verdict;
use crate::occasions::gate::{Attempt, Entry, Standing};

/// A mark for a standing that needs no colour.
fn mark(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "✓",
        Standing::Rehearsed | Standing::RehearsedBroken => "~",
        Standing::Flaky | Standing::KnownWeakness | Standing::UnexpectedlyHeld => "!",
        Standing::NotRun | Standing::NoVerdict | Standing::Undecided => "–",
        Standing::Broken | Standing::Regressed | Standing::LeftBehind => "✗",
    }
}

/// What all of them come to, in a line: `2 of 5 experiments held …`.
fn headline(entries: &[Entry]) -> String {
    let mut counts: Vec<(Standing, usize)> = Vec::new();
    for standing in entries.iter().map(Entry::standing) {
        match counts.iter_mut().find(|(s, _)| *s == standing) {
            Some((_, n)) => *n += 1,
            None => counts.push((standing, 1)),
        }
    }
    counts.sort_by_key(|(standing, _)| std::cmp::Reverse(*standing));
    let parts: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {}", s.words())).collect();
    format!("{}: {}", super::words::count(entries.len(), "experiment"), parts.join(", "))
}

/// How long the system took to recover in a run.
fn recovery(attempt: Option<&Attempt>) -> Option<String> {
    Some(attempt?.run.as_ref()?.recovery.as_ref()?.comeback().to_string())
}

/// The id of a run.
fn run_id(attempt: Option<&Attempt>) -> Option<&str> {
    Some(attempt?.run.as_ref()?.started.as_ref()?.run.as_str())
}

/// What all of them come to, in capitals.
fn shout(verdict: Verdict) -> String {
    verdict.words().to_uppercase()
}

#[cfg(test)]
mod fixture;
