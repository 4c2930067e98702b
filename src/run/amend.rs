//! While the fault is on, it follows what it is about: a target that restarts is disturbed again, and a setting that is about
//! peers keeps up with those who come and go. Each is a change like those of the plan: on disk before it is made, inside
//! the blast radius, rolled back with the others.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::abilities::with_abilities;
use super::alone::unless_alone;
use super::effect::first_effect;
use super::ended::Ended;
use super::inject::{LOOK_TIMEOUT, make, verified_by};
use super::{RunContext, RunSpec};
use super::{plan, target};
use crate::engine::Engine;
use crate::model::instance::{Change, Instance};
use crate::record::event::{Event, Reason};
use crate::record::journal::Recorder;

/// How long the fleet is not looked at as a whole, if nothing shows that it has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a look at the whole fleet may take, and how long it may fail: what it follows is not known then.
const FLEET_TIMEOUT: Duration = Duration::from_secs(10);

/// What was seen of the fleet when it was last looked at as a whole.
#[derive(Default)]
pub(super) struct LastLook {
    /// The fleet at a glance, just before.
    seen: Option<(Instant, Vec<Instance>)>,
    /// Since when it cannot be looked at.
    failing: Option<Instant>,
}

impl LastLook {
    /// The next look is at the whole fleet.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// The fleet as a whole, unless it looks from afar as it did then and so asks for nothing new.
    ///
    /// # Errors
    /// Where it could not be looked at for too long.
    async fn fleet(&mut self, engine: &dyn Engine) -> Result<Option<Vec<Instance>>, Ended> {
        let seen = unless_alone(engine, timeout(FLEET_TIMEOUT, engine.glance())).await?;
        let glance = seen.ok().and_then(Result::ok);
        if let (Some((at, then)), Some(now)) = (&self.seen, &glance)
            && at.elapsed() < LOOK_INTERVAL
            && then == now
        {
            return Ok(None);
        }
        self.seen = glance.map(|glance| (Instant::now(), glance));
        let why = match unless_alone(engine, timeout(FLEET_TIMEOUT, engine.observe())).await? {
            Ok(Ok(fleet)) => {
                self.failing = None;
                return Ok(Some(fleet));
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("no answer within {}", humantime::format_duration(FLEET_TIMEOUT)),
        };
        self.seen = None;
        if self.failing.get_or_insert_with(Instant::now).elapsed() < FLEET_TIMEOUT {
            return Ok(None);
        }
        let text = format!("what the fault follows cannot be looked at any more: {why}");
        Err(Ended { why: Reason::EngineFailed, text })
    }
}

/// Makes the further changes that the fleet as it is now asks for, if it asks for any.
///
/// # Errors
/// Where the blast radius does not allow them, they cannot be recorded, or one of them fails. The fault is to be
/// rolled back then; an engine that is out of reach for the moment is none of these.
pub(super) async fn amend(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    targeted: &[Instance],
    last: &mut LastLook,
) -> Result<(), Ended> {
    let (x, engine) = (spec.experiment, context.engine.as_ref());
    let (current, next) = rec.read(|s| (s.on().map(|c| c.change.clone()).collect::<Vec<Change>>(), s.changes.len()));
    if !current.iter().any(|c| c.to.ends_with_life()) {
        return Ok(());
    }
    let Some(fleet) = last.fleet(engine).await? else { return Ok(()) };
    let asked = with_abilities(engine, |can| plan::further(x, &fleet, &current, next, can));
    let Ok(further) = unless_alone(engine, asked).await? else {
        last.forget();
        return Ok(());
    };
    let further = further?;
    if further.is_empty() {
        // One whose new life could not be looked at yet looks the same from afar.
        let has_another = |c: &Change| fleet.iter().any(|i| i.id == c.instance && i.is_up() && i.epoch != c.epoch);
        if current.iter().any(|c| c.to.ends_with_life() && has_another(c)) {
            last.forget();
        }
        return Ok(());
    }
    // What has met a disturbance is counted anew from the next one on.
    for change in &current {
        first_effect(rec, change, fleet.iter().find(|i| i.id == change.instance));
    }
    let targeted: Vec<&Instance> = fleet.iter().filter(|i| targeted.iter().any(|h| h.id == i.id)).collect();
    let still = rec.read(|s| {
        let begun = s.changes.iter().filter(|c| c.injecting.is_some() && c.rolled_back.is_none());
        begun.map(|c| c.change.instance.clone()).collect::<Vec<_>>()
    });
    let down: Vec<&Instance> = targeted.iter().copied().filter(|i| still.contains(&i.id)).collect();
    target::within(&x.blast_radius, &fleet, &targeted, &down)
        .map_err(|r| Ended { why: r.reason, text: format!("before a further change: {r}") })?;
    let all: Vec<Change> = rec.read(|s| s.changes.iter().map(|c| c.change.clone()).collect());
    plan::bystanders::none_is_targeted(&further, &all, &fleet)
        .map_err(|r| Ended { why: r.reason, text: format!("before a further change: {r}") })?;
    for change in &further {
        let ended: Vec<&Change> =
            current.iter().filter(|c| c.instance == change.instance && c.epoch != change.epoch).collect();
        for over in &ended {
            if rec.read(|s| s.changes.get(over.n).is_some_and(|c| !c.is_off())) {
                rec.note(Event::Off { n: over.n, what: "was restarted".to_owned() });
            }
        }
        let what = if ended.is_empty() {
            "is disturbed anew, since its peers are others now"
        } else {
            "was restarted, and is disturbed again"
        };
        rec.note(Event::Noticed { instance: change.name.clone(), what: what.to_owned() });
    }
    rec.commit(Event::Amended { changes: further.clone() })
        .map_err(|e| Ended { why: Reason::JournalFailed, text: format!("a further change cannot be recorded: {e}") })?;
    let made = join_all(further.iter().map(|change| make(engine, rec, spec.run, change))).await;
    made.into_iter().collect::<Result<(), _>>().map_err(Ended::from)
}

/// Records the verification of further changes that have one by now: those that were not among the `planned`, whose proof is
/// awaited where they are made.
pub(super) async fn confirm(context: &RunContext, rec: &Recorder, planned: &[Change]) {
    let further = |n: usize| planned.iter().all(|p| p.n != n);
    let unproven = rec.read(|s| {
        let unproven = s.on().filter(|c| c.verification.is_none() && further(c.change.n));
        unproven.map(|c| c.change.clone()).collect::<Vec<Change>>()
    });
    let looks = unproven.iter().filter(|c| c.to.ends_with_life()).map(async |change| {
        let Ok(Ok(now)) = timeout(LOOK_TIMEOUT, context.engine.look(&change.instance)).await else { return };
        if let Ok(proof) = verified_by(change, now.as_ref()) {
            let counters = now.and_then(|now| now.counters);
            rec.note(Event::Verified { n: change.n, verified: true, proof, counters });
        }
    });
    join_all(looks).await;
}
