//! Removes old runs, each whole: journal, reports and row.
//!
//! A run's directory is moved out of the way in one step, then removed; its row goes when the history is next opened. A
//! process that dies in between leaves a run that is there or one that is gone, and a directory that the next one removes.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use super::{Row, Series};
use crate::host::store::{StateDir, private_dir};
use crate::record::journal;

/// Where directories wait to be removed.
const PRUNED: &str = "pruned";

/// What is kept. A run goes if it is old by all that is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// The newest so many runs of each experiment.
    pub newest: Option<usize>,
    /// Runs that are younger.
    pub younger: Option<Duration>,
}

/// Why an old run stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// It is going on, is not rolled back, or left something behind; or nobody can tell.
    Outstanding,
    /// It found a weakness that is still open.
    Evidence,
}

/// What goes, and what stays though it is old.
#[derive(Debug, Default)]
pub struct Chosen<'a> {
    /// These go, oldest first.
    pub goes: Vec<&'a Row>,
    /// These stay, and why.
    pub stays: Vec<(&'a Row, Stays)>,
}

/// Chooses, of the runs of all experiments.
#[must_use]
pub fn choose<'a>(all: &[Series<'a>], keep: Keep, now: Timestamp) -> Chosen<'a> {
    let mut chosen = Chosen::default();
    let young = |row: &Row| {
        let limit = keep.younger.and_then(|d| SignedDuration::try_from(d).ok())?;
        Some(row.began.is_none_or(|began| now.duration_since(began) < limit))
    };
    for series in all {
        let open = series.weaknesses().pop().filter(|w| w.closed.is_none()).map(|w| w.run);
        for (i, row) in series.runs.iter().enumerate() {
            let newest = keep.newest.map(|n| series.runs.len() - i <= n);
            if newest.unwrap_or(false) || young(row).unwrap_or(false) {
                continue;
            }
            if row.verdict.is_none() || row.verdict == Some(crate::model::exit::Verdict::LeftBehind) {
                chosen.stays.push((row, Stays::Outstanding));
            } else if open.as_ref() == Some(&row.run) {
                chosen.stays.push((row, Stays::Evidence));
            } else {
                chosen.goes.push(row);
            }
        }
    }
    chosen.goes.sort_by(|a, b| a.run.cmp(&b.run));
    chosen
}

/// Removes a run; whether it did. One that its journal does not show to be over with nothing outstanding stays: the row may
/// be older than the journal.
///
/// # Errors
/// Where its directory cannot be moved or removed.
pub fn remove(state: &StateDir, run: &str) -> anyhow::Result<bool> {
    let (from, to) = (state.run_dir(run), state.root().join(PRUNED).join(run));
    let path = state.journal(run);
    let Ok(journal) = File::open(&path) else { return Ok(false) };
    // Held until it is moved: no process takes it over meanwhile.
    if journal.try_lock().is_err() || !journal::replay(&path).is_ok_and(|s| s.is_settled()) {
        return Ok(false);
    }
    let moved = || {
        private_dir(&state.root().join(PRUNED))?;
        std::fs::rename(&from, &to)
    };
    moved().with_context(|| format!("cannot move {} out of the way", from.display()))?;
    gone(&to)?;
    Ok(true)
}

/// Removes what an earlier call had moved and not removed.
///
/// # Errors
/// Where it cannot.
pub fn sweep(state: &StateDir) -> anyhow::Result<()> {
    gone(&state.root().join(PRUNED))
}

fn gone(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::history::series;
    use crate::occasions::history::series::tests::rows;

    /// The days that go, and those that stay for a reason.
    fn chosen(letters: &str, newest: Option<usize>, days: Option<u64>) -> (Vec<usize>, Vec<(usize, Stays)>) {
        let rows = rows(letters);
        let keep = Keep { newest, younger: days.map(|d| Duration::from_hours(24 * d)) };
        let all = series(&rows);
        let chosen = choose(&all, keep, "2026-11-11T00:00:00Z".parse().unwrap());
        let day = |row: &Row| row.run[8..10].parse().unwrap();
        (chosen.goes.iter().map(|r| day(r)).collect(), chosen.stays.iter().map(|(r, why)| (day(r), *why)).collect())
    }

    #[test]
    fn the_old_go() {
        assert_eq!(chosen("hhhh", Some(2), None).0, [1, 2]);
        assert_eq!(chosen("hhhh", Some(9), None).0, [0_usize; 0]);
        assert_eq!(chosen("hhhhhhhh", None, Some(5)).0, [1, 2, 3, 4, 5]);
        assert_eq!(chosen("hhhhhhhh", Some(5), Some(5)).0, [1, 2, 3], "old by both");
    }

    #[test]
    fn what_is_outstanding_stays_and_so_does_what_found_an_open_weakness() {
        assert_eq!(chosen("uhnh", Some(1), None), (vec![2, 3], vec![(1, Stays::Outstanding)]));
        assert_eq!(chosen("bbbh", Some(1), None), (vec![1, 2, 3], vec![]), "closed");
        assert_eq!(chosen("hbbb", Some(1), None), (vec![1, 3], vec![(2, Stays::Evidence)]));
    }
}
