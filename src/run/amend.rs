//! While the fault is on, it follows what it is about: a target that restarts is disturbed again, and a setting that is about
//! peers keeps up with those who come and go. Each is a change like those of the plan: on disk before it is made, inside
//! the blast radius, taken back with the others.

use futures_util::future::join_all;

use super::ended::Ended;
use super::inject::{bitten, make};
use super::{Task, World};
use crate::event::{Event, Reason};
use crate::instance::{Change, Instance};
use crate::journal::Recorder;
use crate::{plan, target};

/// Makes the further changes that the fleet as it is now asks for, if it asks for any.
///
/// # Errors
/// Where the blast radius does not allow them, they cannot be recorded, or one of them fails. The fault is to be taken
/// back then; an engine that is out of reach for the moment is none of these.
pub(super) async fn amend(task: &Task<'_>, world: &World, rec: &Recorder, hit: &[Instance]) -> Result<(), Ended> {
    let (x, engine) = (task.experiment, world.engine.as_ref());
    let (current, next) = rec.read(|s| (s.on().map(|c| c.change.clone()).collect::<Vec<Change>>(), s.changes.len()));
    if !current.iter().any(|c| c.to.ends_with_life()) {
        return Ok(());
    }
    let Ok(fleet) = engine.observe().await else { return Ok(()) };
    let further = plan::further(x, &fleet, &current, next, |i, to| engine.can(i, to))?;
    if further.is_empty() {
        return Ok(());
    }
    let struck: Vec<&Instance> = fleet.iter().filter(|i| hit.iter().any(|h| h.id == i.id)).collect();
    target::within(&x.blast_radius, &fleet, &struck)
        .map_err(|r| Ended { why: r.reason, text: format!("before a further change: {r}") })?;
    for change in &further {
        let again = current.iter().any(|c| c.instance == change.instance && c.epoch != change.epoch);
        let what = if again {
            "was restarted, and is disturbed again"
        } else {
            "is disturbed anew, since its peers are others now"
        };
        rec.note(Event::Noticed { instance: change.name.clone(), what: what.to_owned() });
    }
    rec.commit(Event::Amended { changes: further.clone() })
        .map_err(|e| Ended { why: Reason::JournalFailed, text: format!("a further change cannot be recorded: {e}") })?;
    let made = join_all(further.iter().map(|change| make(engine, rec, task.run, change))).await;
    made.into_iter().collect::<Result<(), _>>().map_err(Ended::from)
}

/// Records the bite of further changes that have one by now: those that were not among the `planned`, whose proof is
/// awaited by whoever made them.
pub(super) async fn witness(world: &World, rec: &Recorder, planned: &[Change]) {
    let further = |n: usize| planned.iter().all(|p| p.n != n);
    let unproven = rec.read(|s| {
        let unproven = s.on().filter(|c| c.bite.is_none() && further(c.change.n));
        unproven.map(|c| c.change.clone()).collect::<Vec<Change>>()
    });
    for change in unproven.iter().filter(|c| c.to.ends_with_life()) {
        let Ok(now) = world.engine.look(&change.instance).await else { continue };
        if let Ok(proof) = bitten(change, now.as_ref()) {
            rec.note(Event::Bite { n: change.n, proven: true, proof });
        } else if let Err(why) = world.engine.knock(&change.instance, &change.to).await {
            tracing::warn!(%why, "no packet of our own can be sent");
        }
    }
}
