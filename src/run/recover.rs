//! Finishes what a dead runner began: takes everything back and closes its journal. Used by the guard, by
//! `squall recover`, and by every run before it begins.

use std::path::{Path, PathBuf};

use super::revert::{What, leftover, revert};
use crate::engine::{Engine, Kind};
use crate::event::{Actor, Event, Reason};
use crate::exit::Verdict;
use crate::journal::{self, JournalError, Recorder};
use crate::store::StateDir;

/// The journals of dead runs that are not finished, or finished with something left behind; oldest first.
///
/// # Errors
/// Where the state directory cannot be read.
pub fn unfinished(state: &StateDir) -> anyhow::Result<Vec<PathBuf>> {
    let journals = state.runs()?.into_iter().map(|id| state.journal(&id));
    Ok(journals.filter(|path| !journal::is_locked(path) && needs_recovery(path)).collect())
}

/// Whether something is still to be done for a run. A journal that cannot be read counts: somebody must look at it.
#[must_use]
pub fn needs_recovery(journal: &Path) -> bool {
    journal::replay(journal).map_or(true, |s| {
        // Without a first event nothing can have happened.
        s.started.is_some()
            && (s.finished.as_ref().is_none_or(|(_, verdict, ..)| *verdict == Verdict::LeftBehind)
                || !s.outstanding().is_empty())
    })
}

/// Takes back what the journal of a dead run says is outstanding, lets its markers go, and closes it.
///
/// # Errors
/// Where the journal belongs to a living run or cannot be read.
pub async fn recover(path: &Path, engine: &dyn Engine, by: Actor) -> Result<Recorder, JournalError> {
    let rec = Recorder::resume(path)?;
    finish(&rec, engine, by).await;
    Ok(rec)
}

/// The same behind a journal that is held already.
pub async fn finish(rec: &Recorder, engine: &dyn Engine, by: Actor) {
    // A simulated world ended with the process that dreamt it: there is nothing to take back.
    if rec.read(|s| s.started.as_ref().is_some_and(|s| s.engine.kind != Kind::Sim))
        || engine.describe().kind == Kind::Sim
    {
        revert(engine, rec, by, What::Everything).await;
    }
    let (run, claimed) =
        rec.read(|s| (s.started.as_ref().map(|s| s.run.clone()).unwrap_or_default(), s.claimed.clone()));
    for service in claimed {
        if let Err(e) = engine.release(&service, &run).await {
            rec.note(Event::Warned { text: format!("the marker of service `{service}` could not be removed: {e}") });
        }
    }
    let left = leftover(rec);
    let (verdict, reason, text) = if left > 0 {
        (Verdict::LeftBehind, Reason::LeftBehind, format!("{left} changes could not be taken back"))
    } else {
        let text = format!("the runner ended without a word; the {by} took everything back");
        (Verdict::NoVerdict, Reason::RunnerDied, text)
    };
    rec.note(Event::Finished { verdict, reason, text });
}
