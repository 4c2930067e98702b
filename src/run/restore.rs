//! The proof that all is gone: every instance that was targeted is compared with what it was before, and what differs is restored. As
//! safe to repeat as the rollback that it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::scope::Scope;
use crate::engine::{Engine, Observe, Tag};
use crate::experiment::fault::Heal;
use crate::model::addresses::moves;
use crate::model::instance::{Address, Aspect, Change, Instance};
use crate::record::event::{Difference, Event, Readdressed, Restored};
use crate::record::journal::Recorder;

/// How long the instances are watched for being as they were.
pub(super) const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Compares every instance that was targeted with what it was before, and sets back what differs: a target may have died as a
/// consequence of the fault. What other faults have changed meanwhile is theirs.
pub(super) async fn prove(engine: &dyn Engine, rec: &Recorder, run: &str, what: Scope<'_>) {
    let (targeted, heal) = rec.read(|s| (s.targeted.clone(), s.started.as_ref().map(|s| s.experiment.heal())));
    let planned: Vec<(Change, bool)> = rec.read(|s| {
        s.changes.iter().map(|c| (c.change.clone(), c.injecting.is_none() || c.rolled_back.is_some())).collect()
    });
    join_all(targeted.iter().map(|before| async {
        let of_it = || planned.iter().filter(|(c, _)| c.instance == before.id);
        let changes: Vec<&Change> = of_it().map(|(c, _)| c).filter(|c| what.covers(c)).collect();
        if changes.is_empty() && what != Scope::Everything || !what.sees(before) {
            return;
        }
        let theirs: BTreeSet<Aspect> =
            of_it().filter(|(c, not_on)| !what.covers(c) && !not_on).map(|(c, _)| c.to.aspect()).collect();
        let before = &without(before, &theirs);
        let differences = as_before(engine, rec, run, before, &changes, heal == Some(Heal::Itself)).await;
        // Only who is as before in everything is restored.
        if theirs.is_empty() || !differences.is_empty() {
            rec.note(Event::Restored(Restored { instance: before.name.clone(), differences }));
        }
    }))
    .await;
}

/// An instance as it was, but for these aspects.
fn without(before: &Instance, aspects: &BTreeSet<Aspect>) -> Instance {
    let mut rest = before.clone();
    rest.settings.retain(|aspect, _| !aspects.contains(aspect));
    rest
}

async fn as_before(
    engine: &dyn Engine,
    rec: &Recorder,
    run: &str,
    before: &Instance,
    changes: &[&Change],
    itself: bool,
) -> Vec<Difference> {
    let end = Instant::now() + RESTORE_TIMEOUT;
    let mut told = false;
    let mut errors: BTreeMap<Aspect, String> = BTreeMap::new();
    loop {
        let differing = match timeout(RESTORE_TIMEOUT, engine.look(&before.id)).await {
            Ok(Ok(Some(now))) if now.is_over() => {
                let by = now.replaced_by().unwrap_or_default();
                let what = format!("it has ended, and is left to {by}, which replaces it");
                rec.note(Event::Noticed { instance: before.name.clone(), what });
                return Vec::new();
            }
            Ok(Ok(Some(now))) => {
                let differing = differences(before, &now, changes);
                if differing.is_empty() {
                    for change in changes {
                        saw(rec, change.n, change.to.aspect(), Some(&now));
                    }
                    readdressed(engine, rec, before, &now).await;
                }
                differing
            }
            // This run did not remove it: there is nothing to restore.
            Ok(Ok(None)) => {
                let what = match before.replaced_by() {
                    Some(by) => format!("it has ended, and was cleared away by {by}, which replaces it"),
                    None => "it was removed by another process".to_owned(),
                };
                rec.note(Event::Noticed { instance: before.name.clone(), what });
                return Vec::new();
            }
            Ok(Err(e)) => vec![(Aspect::Running, e.to_string())],
            Err(_) => vec![(Aspect::Running, "the engine does not answer".to_owned())],
        };
        if differing.is_empty() {
            return Vec::new();
        }
        if Instant::now() >= end {
            let left = |(aspect, text): (Aspect, String)| Difference {
                aspect,
                what: errors.get(&aspect).map_or_else(|| text.clone(), |error| format!("{text} ({error})")),
                by_hand: before.settings.get(&aspect).map(|was| {
                    let change = Change::restoring(before, was.clone());
                    engine.by_hand(&change, &change.to)
                }),
            };
            return differing.into_iter().map(left).collect();
        }
        for (aspect, text) in &differing {
            let Some(value) = before.settings.get(aspect) else { continue };
            if !told && !itself {
                rec.note(Event::Noticed {
                    instance: before.name.clone(),
                    what: format!("after the rollback: {text}; it is restored"),
                });
                told = true;
            }
            let n = changes.first().map_or(0, |c| c.n);
            let tag = Tag { run: run.to_owned(), change: n };
            let error = match timeout(RESTORE_TIMEOUT, engine.set(&tag, &before.id, value)).await {
                Ok(Ok(_)) => None,
                Ok(Err(e)) => Some(e.to_string()),
                Err(_) => Some("the engine does not answer".to_owned()),
            };
            errors.remove(aspect);
            errors.extend(error.map(|error| (*aspect, error)));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Records where an instance has other addresses than before, and who may not know of it: who runs on that network since then.
async fn readdressed(engine: &dyn Observe, rec: &Recorder, before: &Instance, now: &Instance) {
    let moves = moves(before, now);
    if rec.read(|s| s.readdressed.get(&before.name).map_or(moves.is_empty(), |known| known.moves == moves)) {
        return;
    }
    let fleet = timeout(RESTORE_TIMEOUT, engine.observe()).await.ok().and_then(Result::ok).unwrap_or_default();
    let targeted = rec.read(|s| s.targeted.iter().map(|i| i.id.clone()).collect::<BTreeSet<_>>());
    let has_another = |a: &&Address| moves.iter().any(|m| m.network == a.network);
    let own: Vec<&Address> = before.addresses.iter().filter(has_another).collect();
    let on_it = |i: &&Instance| i.addresses.iter().any(|a| own.iter().any(|own| own.is_beside(a)));
    let neighbors = fleet.iter().filter(|i| i.is_running() && !targeted.contains(&i.id)).filter(on_it);
    let neighbors = neighbors.map(|i| i.name.clone()).collect();
    rec.note(Event::Readdressed(Readdressed { instance: before.name.clone(), moves, neighbors }));
}

/// Records what an instance sees itself of what was changed.
pub(super) fn saw(rec: &Recorder, n: usize, aspect: Aspect, now: Option<&Instance>) {
    if let Some(what) = now.and_then(|i| i.sees.get(&aspect)) {
        rec.note(Event::Seen { n, what: what.clone() });
    }
}

/// What differs from before, by aspect: of what was changed, and of what may follow from it. Identity, address and epoch may
/// differ: they are not settings. Pure.
fn differences(before: &Instance, now: &Instance, changes: &[&Change]) -> Vec<(Aspect, String)> {
    let ours = |aspect: Aspect| aspect.may_follow() || changes.iter().any(|c| c.to.aspect() == aspect);
    before
        .settings
        .iter()
        .filter(|(aspect, _)| ours(**aspect))
        .filter(|(aspect, value)| now.settings.get(*aspect) != Some(*value))
        .map(|(aspect, value)| {
            let have = now.settings.get(aspect).map_or_else(|| "unknown".to_owned(), ToString::to_string);
            (*aspect, format!("it was {value}, and is {have}"))
        })
        .collect()
}
