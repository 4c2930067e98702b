//! The fault phase: turn after turn, and between them time, watched by the checks and by the looks whether faults and guard
//! are still there. How long it takes depends on the engine; for how long each fault is on does not.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::ended::Ended;
use super::faults::{Faults, turns};
use super::guard::GuardHandle;
use super::hold::guarded_by;
use super::watch::Watch;
use super::{RunContext, RunSpec};
use crate::experiment::fault::Heal;
use crate::model::instance::Change;
use crate::record::journal::Recorder;
use crate::run::target::{Targets, zones_targeted};

/// Holds all faults, each in its own time. When the last of them was due.
///
/// # Errors
/// Why it ended before its time.
pub(super) async fn fault_phase(
    spec: &RunSpec<'_>,
    context: &RunContext,
    (rec, watch): (&Recorder, &mut Watch<'_>),
    guard: &mut Option<Box<dyn GuardHandle>>,
    (changes, targets, deadline): (&[Change], &Targets, Timestamp),
) -> Result<Instant, Ended> {
    let (x, length) = (spec.experiment, spec.experiment.timing.duration);
    let injections = x.faults();
    let turns = turns(&injections, length);
    let due = || turns.iter().filter(|turn| !turn.due.is_empty()).map(|turn| turn.at);
    let [first, last] = [due().min(), due().max()].map(Option::unwrap_or_default);
    let mut zones = zones_targeted(&injections, targets);
    let faults = Faults::new(spec, context, rec, changes, &targets.targeted);
    let mut lasting = pin!(async {
        tokio::select! {
            ended = faults.lasting() => ended,
            ended = guarded_by(context, rec, deadline, guard) => ended,
        }
    });
    watch.begin_during(length.0, first);
    let mut last_due = Instant::now();
    let mut at = Duration::ZERO;
    let mut now = Instant::now();
    for turn in &turns {
        held(watch, &faults, lasting.as_mut(), until(now + turn.at.saturating_sub(at))).await?;
        watch.stop_time();
        if turn.at == first {
            watch.may_lose();
        }
        if turn.at == last {
            last_due = Instant::now();
            if x.heal() == Heal::Itself {
                // It has to heal with the fault on.
                watch.await_recovery(last_due);
                watch.may_recover(Duration::ZERO);
            }
        }
        if turn.due.iter().any(|fault| injections[*fault].fault.disturb().targets_zones())
            && let Some(called) = zones.take()
        {
            watch.await_failover(&called);
        }
        held(watch, &faults, lasting.as_mut(), faults.turn(turn)).await?;
        watch.go_on();
        (at, now) = (turn.at, Instant::now());
    }
    held(watch, &faults, lasting.as_mut(), until(now + length.0.saturating_sub(at))).await?;
    Ok(last_due)
}

async fn until(at: Instant) -> Result<(), Ended> {
    sleep_until(at).await;
    Ok(())
}

/// The result of a part of the phase, unless something ends it first.
async fn held(
    watch: &mut Watch<'_>,
    faults: &Faults<'_>,
    lasting: Pin<&mut impl Future<Output = Ended>>,
    part: impl Future<Output = Result<(), Ended>>,
) -> Result<(), Ended> {
    let mut part = pin!(part);
    let first = async {
        tokio::select! {
            ended = lasting => Err(ended),
            done = part.as_mut() => done,
        }
    };
    match watch.guarded(first).await {
        Ok(done) => done,
        Err(broken) => {
            watch.alongside(faults.settle(part)).await;
            Err(broken.into())
        }
    }
}
