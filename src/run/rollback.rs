//! Rolls everything back: sets the old values, newest first, and has it proven.
//!
//! [`rollback`] takes no `Abort`, so that nothing can cancel it, and no experiment: all it needs is in the journal. The runner, its
//! guard and `squall recover` all call it, perhaps one after the other; it is safe to repeat.

mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::abort::{Abort, Level};
use super::effect::{last_effect, no_more_is_known};
use super::inject::verified_by;
use super::order::{in_turn, longest_wait, queues};
use super::restore::{RESTORE_TIMEOUT, prove, saw};
use super::scope::Scope;
use crate::engine::{Apply, Engine, EngineError, Observe, Outcome, Tag};
use crate::model::instance::{Aspect, Change, CommandLocation, Instance, InstanceId, Rollback, Setting};
use crate::record::event::{Actor, Event, micros};
use crate::record::journal::Recorder;
use crate::record::state::{ChangeState, RunState};

/// How long one change is tried to be rolled back: longer than an engine takes to restart.
pub(super) const ROLLBACK_TIMEOUT: Duration = Duration::from_mins(1);

/// The most that is waited between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Rolls back what is outstanding; what could not be, is in the journal as stuck.
pub(super) async fn roll_back(engine: &dyn Engine, rec: &Recorder, by: Actor, what: Scope<'_>) {
    let run = rec.run();
    let mut per_instance: BTreeMap<InstanceId, Vec<Outstanding>> = BTreeMap::new();
    for change in outstanding(rec, by).into_iter().filter(|o| what.covers(&o.change)) {
        per_instance.entry(change.change.instance.clone()).or_default().push(change);
    }
    if !rec.read(|s| s.changes.is_empty()) {
        let starts = |o: &Outstanding| o.to == Setting::Running(true);
        let starting =
            per_instance.iter().filter(|(_, all)| all.iter().any(starts)).map(|(id, _)| id.clone()).collect();
        let queues = rec.read(|s| queues(&s.targeted, per_instance.keys().cloned().collect(), &starting));
        let mut changes_of = |queue: Vec<InstanceId>| {
            queue.into_iter().filter_map(|id| per_instance.remove(&id)).collect::<Vec<Vec<Outstanding>>>()
        };
        let queues: Vec<_> = queues.into_iter().map(&mut changes_of).collect();
        let run = &run;
        // The changes of an instance are rolled back newest first.
        let one = |changes: Vec<Outstanding>| async move {
            for change in changes {
                wake(engine, rec, run, &change).await;
                roll_back_change(engine, rec, run, by, change).await;
            }
        };
        join_all(queues.into_iter().map(|queue| in_turn(queue.into_iter().map(one)))).await;
        prove(engine, rec, run, what).await;
    }
}

/// Rolls a fault back from these instances, one after the other, so far apart; a stop that is asked for ends the waiting, never
/// the rollback. What is left then, or fails, is [`rollback`]'s.
pub(super) async fn roll_back_one_by_one(
    engine: &dyn Engine,
    rec: &Recorder,
    abort: Option<&Abort>,
    what: Scope<'_>,
    (instances, every): (&[InstanceId], Duration),
) {
    let run = rec.run();
    for (at, instance) in instances.iter().enumerate() {
        if at > 0 {
            match abort {
                Some(abort) if abort.or(Level::RollBack, sleep(every)).await.is_err() => return,
                Some(_) => {}
                None => sleep(every).await,
            }
        }
        let of = |o: &Outstanding| o.change.instance == *instance && what.covers(&o.change);
        for change in outstanding(rec, Actor::Runner).into_iter().filter(of) {
            roll_back_change(engine, rec, &run, Actor::Runner, change).await;
        }
    }
}

/// How long a last look before the rollback may take.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(1);

struct Outstanding {
    change: Change,
    to: Setting,
    /// Until when the engine may still be busy with the injection, if its end is not known.
    unsettled: Option<Duration>,
    /// Whether the effect is yet to be proven.
    unproven: bool,
}

fn outstanding(rec: &Recorder, by: Actor) -> Vec<Outstanding> {
    let now = rec.clock().now();
    rec.read(|s| {
        s.outstanding()
            .into_iter()
            .filter_map(|c| {
                let Rollback::To(to) = &c.change.back else { return None };
                // Its end is known from the engine's answer, or from its effect.
                let known = c.injected.is_some() || c.is_verified();
                // The runner knows what it never began; after it, the record may be lost.
                let never = c.injecting.is_none() && by == Actor::Runner;
                let unsettled = (!known && !never).then(|| {
                    let since = c
                        .injecting
                        .map_or(Duration::ZERO, |at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
                    c.change.to.longest().saturating_sub(since)
                });
                Some(Outstanding {
                    change: c.change.clone(),
                    to: to.clone(),
                    unsettled,
                    unproven: c.injecting.is_some() && c.verification.is_none(),
                })
            })
            .collect()
    })
}

/// How long the rollback of these changes may take, where the engine fails for as long as that is borne.
pub(super) fn longest<'a>(changes: impl Iterator<Item = &'a Change>) -> Duration {
    let mut per_instance: BTreeMap<&InstanceId, Duration> = BTreeMap::new();
    for change in changes {
        let Rollback::To(to) = &change.back else { continue };
        let tries = ROLLBACK_TIMEOUT + call_limit(to);
        let each = LAST_LOOK + tries + change.to.longest() + tries;
        let all = per_instance.entry(&change.instance).or_default();
        *all = all.saturating_add(each);
    }
    let turns = longest_wait(per_instance.len());
    per_instance.into_values().max().unwrap_or_default() + turns + 3 * RESTORE_TIMEOUT
}

/// An engine call has its own time limit; this one is for an engine that forgets it.
fn call_limit(to: &Setting) -> Duration {
    to.longest() + Duration::from_secs(20)
}

async fn roll_back_change(engine: &dyn Engine, rec: &Recorder, run: &str, by: Actor, o: Outstanding) {
    let n = o.change.n;
    let tag = Tag { run: run.to_owned(), change: n };
    rec.note(Event::RollingBack { n });
    let begin = Instant::now();
    // What has met it is told by what is about to be removed.
    if o.change.to.is_met()
        && let Ok(Ok(now)) = timeout(LAST_LOOK, engine.look(&o.change.instance)).await
    {
        if let Some(counted) = now.as_ref().and_then(|i| i.counted) {
            rec.note(Event::Measured { n, counted });
        }
        last_effect(rec, &o.change, now.as_ref());
        saw(rec, n, o.change.to.aspect(), now.as_ref());
        if o.unproven {
            note_verification(rec, &o.change, now.as_ref());
        }
    }
    let Some(mut outcome) = persist(engine, rec, &tag, &o.change, &o.to, ROLLBACK_TIMEOUT).await else { return };
    if let Some(rest) = o.unsettled.filter(|rest| !rest.is_zero()) {
        // The engine may still be executing an injection whose end was not seen: only after its longest time is the
        // rollback proven.
        sleep(rest).await;
        match persist(engine, rec, &tag, &o.change, &o.to, ROLLBACK_TIMEOUT).await {
            Some(Outcome::Already) => {}
            Some(later) => outcome = later,
            None => return,
        }
    }
    if o.unproven && outcome == Outcome::Done && told::by_rollback(&o.to) {
        // That there was something to roll back is a verification, and the only one where a breach came first.
        rec.note(Event::Verified {
            n,
            verified: true,
            proof: format!("it had to be restored to {}", o.to),
            counters: None,
        });
    }
    rec.note(Event::RolledBack { n, outcome, by, took_us: micros(begin.elapsed()) });
}

/// An undo that runs in its target needs it up: one that the fault has ended is started for it.
async fn wake(engine: &dyn Engine, rec: &Recorder, run: &str, o: &Outstanding) {
    let id = &o.change.instance;
    let needs = matches!(&o.to, Setting::Ran(command) if command.place == CommandLocation::Target);
    let ran = |s: &RunState| s.targeted.iter().any(|i| i.id == *id && i.is_running());
    // Another fault of the run may have it down on purpose.
    let downed = |s: &RunState| {
        let others = |c: &&ChangeState| c.change.instance == *id && c.change.fault != o.change.fault;
        s.outstanding().into_iter().filter(others).any(|c| c.change.to.aspect() == Aspect::Running)
    };
    if !needs || !rec.read(|s| ran(s) && !downed(s)) {
        return;
    }
    if let Ok(Ok(Some(now))) = timeout(LAST_LOOK, engine.look(id)).await
        && !now.is_running()
        && !now.is_over()
    {
        let what = "it was down, and is started: a command is to be undone in it".to_owned();
        rec.note(Event::Noticed { instance: o.change.name.clone(), what });
        let tag = Tag { run: run.to_owned(), change: o.change.n };
        // Where this fails, so does the command, which says why.
        let _ = timeout(RESTORE_TIMEOUT, engine.set(&tag, id, &Setting::Running(true))).await;
    }
}

/// Tries until it works or the time is over.
pub(super) async fn persist(
    engine: &dyn Apply,
    rec: &Recorder,
    tag: &Tag,
    change: &Change,
    to: &Setting,
    within: Duration,
) -> Option<Outcome> {
    let end = Instant::now() + within;
    let mut pause = Duration::from_millis(50);
    for attempt in 1.. {
        let limit = call_limit(to);
        let result = timeout(limit, engine.set(tag, &change.instance, to)).await.unwrap_or_else(|_| {
            Err(EngineError::TimedOut { attempt: format!("set {} back to {to}", change.name), after: limit })
        });
        tracing::debug!(change = %tag, attempt, ?result, "take back");
        match result {
            Ok(outcome) => return Some(outcome),
            Err(e) => rec.note(Event::RollbackFailed { n: change.n, attempt, error: e.to_string() }),
        }
        if Instant::now() + pause >= end {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    rec.note(Event::Stuck { n: change.n, by_hand: engine.by_hand(change, to) });
    None
}

/// Whether a change shows now, for the record: this was the last look.
fn note_verification(rec: &Recorder, change: &Change, now: Option<&Instance>) {
    let (verified, proof) = verified_by(change, now).map_or_else(|why| (false, why), |proof| (true, proof));
    rec.note(Event::Verified { n: change.n, verified, proof, counters: None });
}

/// A last look at changes whose effect is not proven yet, where rolling back could not tell. Without waiting.
pub(super) async fn look_once(engine: &dyn Observe, rec: &Recorder) {
    let unproven: Vec<Change> = rec.read(|s| {
        s.changes
            .iter()
            .filter(|c| c.injected.is_some() && c.verification.is_none())
            .map(|c| c.change.clone())
            .collect()
    });
    for change in unproven {
        if told::by_a_look(&change.to)
            && let Ok(Ok(now)) = timeout(Duration::from_secs(1), engine.look(&change.instance)).await
        {
            note_verification(rec, &change, now.as_ref());
            no_more_is_known(rec, &change);
        }
    }
}
