//! Locks on the services that a run could target: taken before the baseline, removed when nothing of the run is left.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ended::Ended;
use super::{RunContext, RunSpec, time_limit};
use crate::engine::{Claim, EngineError, Holder, Lock};
use crate::model::instance::Change;
use crate::record::event::Event;
use crate::record::journal::Recorder;

/// How much longer than planned a run may need to its end: late answers, an engine that its guard waits for, reports.
const MARGIN: Duration = Duration::from_mins(15);

/// Takes the locks. That they are about to be taken is on disk first, so that a recovery removes them.
pub(super) async fn lock(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    services: Vec<String>,
    changes: &[Change],
) -> Result<(), Ended> {
    let now = rec.clock().now();
    let holder = Holder {
        journal: rec.path().to_owned(),
        process: context.process.clone(),
        until: over_by(spec, context, changes, now),
    };
    let claim = |service| {
        let (run, owner) = (spec.run.to_owned(), context.owner.clone());
        Claim { service, run, owner, at: now.to_string(), holder: Some(holder.clone()) }
    };
    let claims: Vec<Claim> = services.into_iter().map(claim).collect();
    rec.commit(Event::Claiming { claims: claims.clone() })?;
    for claim in &claims {
        context.engine.claim(claim).await?;
    }
    Ok(())
}

/// The lock that another run has by now on a service that this one had.
///
/// # Errors
/// Where the engine does not tell.
pub(crate) async fn of_another(engine: &dyn Lock, run: &str, had: &[Claim]) -> Result<Option<Claim>, EngineError> {
    Ok(among(engine.claims().await?, run, had))
}

/// Of these locks, one that another run has by now on a service that this one had.
pub(super) fn among(all: Vec<Claim>, run: &str, had: &[Claim]) -> Option<Claim> {
    all.into_iter().find(|c| c.run != run && had.iter().any(|had| had.service == c.service))
}

/// Removes the locks. What cannot be removed is in the journal, so that `squall recover` tries again.
pub(super) async fn unlock(engine: &dyn Lock, rec: &Recorder) {
    for claim in rec.read(|s| s.claimed.clone()) {
        let released = engine.release(&claim).await;
        let service = claim.service;
        match released {
            Err(e) => rec.note(Event::UnlockFailed { service, error: e.to_string() }),
            Ok(()) if rec.read(|s| s.still_locked.contains_key(&service)) => rec.note(Event::Unlocked { service }),
            Ok(()) => {}
        }
    }
}

/// When a run that begins now is over, whatever happens.
fn over_by(spec: &RunSpec<'_>, context: &RunContext, changes: &[Change], now: Timestamp) -> Timestamp {
    let t = &spec.experiment.timing;
    let planned =
        [t.warm_up.0, t.baseline.0, time_limit(spec.experiment, changes), context.grace, t.recovery.0, MARGIN];
    let planned = planned.into_iter().fold(Duration::ZERO, Duration::saturating_add);
    now.saturating_add(SignedDuration::try_from(planned).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}
