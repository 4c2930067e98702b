//! `squall history prune`: removes old runs.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::command::cli::history::Prune;
use crate::host::store::StateDir;
use crate::occasions::history::prune::{self, Keep, Stays};
use crate::occasions::history::{Filter, History, series};
use crate::text::units::count;

pub(super) fn run(how: &Prune, state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut history = History::open(state)?;
    let rows = history.rows(&Filter::default())?;
    let all = series(&rows);
    let keep = Keep { newest: how.keep, younger: how.older_than };
    let chosen = prune::choose(&all, keep, Timestamp::now());
    let mut removed = 0;
    let mut stayed = 0;
    if !how.dry_run {
        prune::sweep(state)?;
    }
    for row in &chosen.goes {
        if how.dry_run {
            super::super::show(&format!("would remove {}\n", row.run))?;
        } else if prune::remove(state, &row.run)? {
            removed += 1;
        } else {
            stayed += 1;
        }
    }
    if !how.dry_run {
        history.refresh()?;
        super::super::show(&format!("removed {}\n", count(removed, "run")))?;
    }
    let why = |which| chosen.stays.iter().filter(|(_, why)| *why == which).count();
    for (n, text) in [
        (why(Stays::Outstanding) + stayed, "not over, or not rolled back"),
        (why(Stays::Evidence), "found a weakness that is still open"),
    ] {
        if n > 0 {
            super::super::show(&format!("kept {} though old: {text}\n", count(n, "run")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
