//! `squall history prune`: removes old runs.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::cli::history::Prune;
use crate::history::prune::{self, Keep, Stays};
use crate::history::{Filter, History, series};
use crate::store::StateDir;

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
            super::super::print(&format!("would remove {}\n", row.run))?;
        } else if prune::remove(state, &row.run)? {
            removed += 1;
        } else {
            stayed += 1;
        }
    }
    if !how.dry_run {
        history.refresh()?;
        super::super::print(&format!("removed {}\n", count(removed)))?;
    }
    let why = |which| chosen.stays.iter().filter(|(_, why)| *why == which).count();
    for (n, text) in [
        (why(Stays::Outstanding) + stayed, "not over, or not taken back"),
        (why(Stays::Evidence), "found a weakness that is still open"),
    ] {
        if n > 0 {
            super::super::print(&format!("kept {} though old: {text}\n", count(n)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn count(n: usize) -> String {
    if n == 1 { "1 run".to_owned() } else { format!("{n} runs") }
}
