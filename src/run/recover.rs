//! Finishes what a dead runner began: rolls everything back and closes its journal. Used by the guard, by
//! `squall recover`, and by every run before it begins.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::late::{Stage, WAIT, late};
use super::locks::unlock;
use super::rollback::{longest, roll_back};
use super::scope::{Part, Scope};
use crate::engine::{Engine, ProcessId};
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::model::instance::Change;
use crate::record::event::{Actor, Event, Reason, TakenOver};
use crate::record::journal::{self, JournalError, Recorder};
use crate::record::state::RunState;

/// The journals of dead runs that are not finished, or of which something is left, be it a lock; oldest first.
///
/// # Errors
/// Where the state directory cannot be read.
pub fn unfinished(state: &StateDir) -> anyhow::Result<Vec<PathBuf>> {
    Ok(unsettled(state)?.into_iter().filter(|path| !journal::is_locked(path)).collect())
}

/// The same with those that a process is at: a runner, or one that rolls back.
///
/// # Errors
/// Where the state directory cannot be read.
pub fn unsettled(state: &StateDir) -> anyhow::Result<Vec<PathBuf>> {
    let journals = state.runs()?.into_iter().map(|id| state.journal(&id));
    Ok(journals.filter(|path| needs_recovery(path)).collect())
}

/// Whether something is still to be done for a run. A journal that cannot be read counts: somebody must look at it.
#[must_use]
pub fn needs_recovery(journal: &Path) -> bool {
    // Without a first event nothing can have happened.
    journal::salvage(journal).map_or(true, |s| is_unsettled(&s))
}

/// The same of a run as it is known.
#[must_use]
pub fn is_unsettled(s: &RunState) -> bool {
    (s.started.is_some() || !s.damaged.is_empty()) && !s.is_settled()
}

/// How long a rollback of what is outstanding may take, where the engine fails for as long as that is borne.
#[must_use]
pub fn time_limit(s: &RunState) -> Duration {
    let late = if may_come_late(s) { WAIT } else { Duration::ZERO };
    longest(s.outstanding().into_iter().map(|c| &c.change)) + late
}

/// Takes the journal of a dead run over, for [`finish`].
///
/// # Errors
/// Where the journal belongs to a living run or cannot be read.
pub fn take_over(path: &Path, by: Actor, process: ProcessId) -> Result<Recorder, JournalError> {
    let rec = Recorder::resume(path)?;
    // So that a process that meets the journal's lock knows what for, and waits.
    rec.note(Event::TakenOver(TakenOver { by, process }));
    Ok(rec)
}

/// Rolls back what the journal of a dead run says is outstanding, removes its locks, and closes it.
pub async fn finish(rec: &Recorder, engine: &dyn Engine, by: Actor) {
    // A run that has come to its end and left a lock alone keeps its verdict.
    if rec.read(RunState::is_rolled_back) {
        return unlock(engine, rec).await;
    }
    // A simulated world ended with the process that dreamt it: there is nothing to roll back.
    if rec.read(|s| s.started.as_ref().is_some_and(|s| !s.engine.is_simulated())) || engine.describe().is_simulated() {
        roll_back(engine, rec, by, Scope::Everything).await;
        late(engine, rec, by, Stage::InRun, Scope::Everything).await;
    }
    let left = rec.read(RunState::incomplete);
    let damage = rec.read(RunState::damage);
    // What is left behind still counts against the service.
    if left.is_none() && damage.is_none() {
        unlock(engine, rec).await;
    }
    let (verdict, reason, text) = if let Some(left) = left {
        (Verdict::LeftBehind, Reason::LeftBehind, left)
    } else if let Some(damage) = damage {
        let text = format!("{damage}: what could be read is rolled back, and what else was changed is not known");
        (Verdict::LeftBehind, Reason::LeftBehind, text)
    } else {
        let late = rec.read(|s| s.stopping.clone()).filter(|s| s.why == Reason::DeadlinePassed);
        let (reason, how) = late
            .map_or_else(|| (Reason::RunnerDied, "the runner ended without a word".to_owned()), |s| (s.why, s.text));
        (Verdict::NoVerdict, reason, format!("{how}; the {by} rolled everything back"))
    };
    rec.note(Event::Finished { verdict, reason, text });
}

/// Whether something of a run is still to be rolled back by the node that holds its journal; `node` is what that one is called, where
/// the run has several.
#[must_use]
pub fn is_left_on_node(s: &RunState, node: Option<&str>) -> bool {
    let part = Part::new(s.started.as_ref().map(|s| &s.engine), node);
    s.outstanding().into_iter().any(|c| Scope::OfNode(part).covers(&c.change)) || differs_on(s, part)
}

/// Whether something on that node could not be restored.
fn differs_on(s: &RunState, part: Part<'_>) -> bool {
    s.differing().any(|(name, _)| part.has(name))
}

/// For the helper on a node, which hears no more of its runner: rolls back alone what is for that node. The run's locks on its engine go
/// with the last of that; the rest of the run is for others.
pub async fn alone(rec: &Recorder, engine: &dyn Engine, node: Option<&str>, process: ProcessId, why: String) {
    if rec.read(|s| s.finished.is_some() && s.is_rolled_back()) {
        return;
    }
    rec.note(Event::TakenOver(TakenOver { by: Actor::Node, process }));
    rec.note(Event::Stopping { why: Reason::RunnerDied, text: why });
    let described = rec.read(|s| s.started.as_ref().map(|s| s.engine.clone()));
    let part = Part::new(described.as_ref(), node);
    roll_back(engine, rec, Actor::Node, Scope::OfNode(part)).await;
    late(engine, rec, Actor::Node, Stage::InRun, Scope::OfNode(part)).await;
    // Also what it cannot roll back itself.
    let is_its = |c: &Change| part.has(&c.instance.0) || part.sees_to(c);
    let is_left = |s: &RunState| s.outstanding().into_iter().any(|c| is_its(&c.change)) || differs_on(s, part);
    if !rec.read(is_left) {
        unlock(engine, rec).await;
    }
}

/// Whether an injection of a run that is over may still come.
#[must_use]
pub fn may_come_late(s: &RunState) -> bool {
    s.unanswered().next().is_some()
}

/// For a guard, when the run is over: watches for a while what may still come late, and rolls it back.
pub async fn watch_on(rec: &Recorder, engine: &dyn Engine) {
    late(engine, rec, Actor::Guard, Stage::AfterRun, Scope::Everything).await;
}

/// Closes a dead run on the word of a person who has seen to what is left of it, and removes its locks, where its engine is still
/// there.
///
/// # Errors
/// Where the journal belongs to a living process or cannot be read.
pub async fn settle(
    path: &Path,
    engine: Option<&dyn Engine>,
    by: String,
    why: String,
) -> Result<Recorder, JournalError> {
    let rec = Recorder::resume(path)?;
    if rec.read(|s| s.finished.is_none()) {
        let text = "the runner ended without a word, and nothing could roll back what it left".to_owned();
        rec.note(Event::Finished { verdict: Verdict::LeftBehind, reason: Reason::LeftBehind, text });
    }
    rec.commit(Event::Settled { by, why })?;
    if let Some(engine) = engine {
        unlock(engine, &rec).await;
    }
    Ok(rec)
}
