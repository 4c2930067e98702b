//! Makes the planned changes, and proves that they had their effect.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::effect::no_more_is_known;
use super::{plan, target};
use crate::engine::{Engine, EngineError, Observe, Outcome, Tag};
use crate::experiment::{BlastRadius, Injection};
use crate::model::instance::{Aspect, Change, Instance, RestartPolicy, Setting, Stage, Trait};
use crate::model::machine::Limit;
use crate::record::event::{Event, Reason, micros};
use crate::record::journal::Recorder;
use crate::record::state::ChangeStep;

/// How long the verification is awaited beyond the change's own time.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one look may take: with one machine that is cut off, the fault goes on at all others.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why the fault is not on.
#[derive(Debug)]
pub(super) struct NotOn {
    pub(super) why: Reason,
    pub(super) text: String,
}

/// Makes the changes of a fault, those of one stage at once, each after a last look at its target. `over` are the faults whose time
/// is over. The changes as they were made: earlier faults may have given their targets another life than planned.
///
/// # Errors
/// Where the blast radius does not allow it any more, a target is another one than planned, or a change fails. What was
/// done until then is in the journal.
pub(super) async fn inject(
    engine: &dyn Engine,
    rec: &Recorder,
    run: &str,
    (radius, injection): (&BlastRadius, &Injection),
    changes: &[Change],
    over: &BTreeSet<usize>,
) -> Result<Vec<Change>, NotOn> {
    let fleet = engine.observe().await.map_err(|e| NotOn { why: Reason::EngineFailed, text: e.to_string() })?;
    if let Some(text) = engine.acted_alone().or_else(|| engine.acts_alone()) {
        // What holds a rollback there would not hold that of this fault.
        return Err(NotOn { why: Reason::EngineFailed, text });
    }
    let changes = &in_new_lives(rec, changes, &fleet)?[..];
    let all: Vec<Change> = rec.read(|s| s.changes.iter().map(|c| c.change.clone()).collect());
    for change in changes {
        let frozen = all.iter().any(|c| c.instance == change.instance && c.to == Setting::Paused(true));
        let again = ended_before(rec, change);
        still_as_planned(&fleet, change, frozen, again)?;
    }
    // The limits are about everybody who is targeted, by whichever fault.
    let begun: BTreeSet<usize> =
        rec.read(|s| s.changes.iter().filter(|c| c.injecting.is_some()).map(|c| c.change.n).collect());
    let targeted: Vec<&Instance> = fleet.iter().filter(|i| all.iter().any(|c| c.instance == i.id)).collect();
    let now = |c: &&Change| changes.iter().any(|due| due.n == c.n) || begun.contains(&c.n) && !over.contains(&c.fault);
    let down: Vec<&Instance> =
        targeted.iter().copied().filter(|i| all.iter().filter(now).any(|c| c.instance == i.id)).collect();
    target::within(radius, &fleet, &targeted, &down)
        .map_err(|r| NotOn { why: r.reason, text: format!("just before the injection: {r}") })?;
    let of_it: Vec<&Instance> = fleet.iter().filter(|i| changes.iter().any(|c| c.instance == i.id)).collect();
    target::nodes::are_whole(radius, injection, &of_it, &fleet)
        .map_err(|r| NotOn { why: r.reason, text: format!("just before the injection: {r}") })?;
    plan::bystanders::none_is_targeted(changes, &all, &fleet)
        .map_err(|r| NotOn { why: r.reason, text: format!("just before the injection: {r}") })?;
    let stages: BTreeSet<Stage> = changes.iter().map(|c| c.to.stage()).collect();
    for stage in stages {
        let now: Vec<&Change> = changes.iter().filter(|c| c.to.stage() == stage).collect();
        engine.prepare(&now.iter().map(|c| (c.instance.clone(), c.to.clone())).collect::<Vec<_>>()).await;
        let results = join_all(now.into_iter().map(|change| make(engine, rec, run, change))).await;
        results.into_iter().collect::<Result<(), NotOn>>()?;
    }
    Ok(changes.to_vec())
}

/// Whether an earlier fault of this run ended a life of a change's target, or may have.
fn ended_before(rec: &Recorder, change: &Change) -> bool {
    let ends = |to: &Setting| to.aspect() == Aspect::Running || to.may_starve();
    rec.read(|s| {
        let others =
            s.changes.iter().filter(|c| c.change.fault != change.fault && c.change.instance == change.instance);
        others.filter(|c| c.injecting.is_some()).any(|c| ends(&c.change.to))
    })
}

/// The changes, each about the life that its target has now, where an earlier fault of this run explains that it is another one.
fn in_new_lives(rec: &Recorder, changes: &[Change], fleet: &[Instance]) -> Result<Vec<Change>, NotOn> {
    let mut as_made = changes.to_vec();
    for change in &mut as_made {
        let now = fleet.iter().find(|i| i.id == change.instance && i.epoch != change.epoch);
        let Some(now) = now.filter(|_| ended_before(rec, change)) else { continue };
        change.epoch = now.epoch.clone();
        rec.commit(Event::NewLife { n: change.n, epoch: now.epoch.clone() }).map_err(|e| NotOn {
            why: Reason::JournalFailed,
            text: format!("the new life of {} cannot be recorded: {e}", change.name),
        })?;
    }
    Ok(as_made)
}

/// `frozen`: this run has a fault that freezes it, so that it may be. `again`: an earlier one has ended it.
fn still_as_planned(fleet: &[Instance], change: &Change, frozen: bool, again: bool) -> Result<(), NotOn> {
    let changed = |what: &str| NotOn {
        why: Reason::TargetChanged,
        text: format!("{} {what} before it was targeted", change.name),
    };
    let now = fleet.iter().find(|i| i.id == change.instance).ok_or_else(|| changed("was removed"))?;
    if now.epoch != change.epoch {
        return Err(changed("was restarted by another process"));
    }
    if !(now.is_up() || frozen && now.is_running()) {
        let what = if again { "was not up again after the fault before" } else { "went down by itself" };
        return Err(changed(what));
    }
    Ok(())
}

pub(super) async fn make(engine: &dyn Engine, rec: &Recorder, run: &str, change: &Change) -> Result<(), NotOn> {
    let n = change.n;
    let tag = Tag { run: run.to_owned(), change: n };
    if rec.read(|s| s.changes.get(n).is_none_or(|c| c.status.after(ChangeStep::Inject).is_none())) {
        let text = format!("{} was not targeted: its rollback has begun", change.name);
        return Err(NotOn { why: Reason::NotInjected, text });
    }
    rec.note(Event::Injecting { n });
    let begin = Instant::now();
    tracing::debug!(change = %tag, %change, "inject");
    match engine.set(&tag, &change.instance, &change.to).await {
        Ok(outcome) => {
            rec.note(Event::Injected { n, outcome, took_us: micros(begin.elapsed()) });
            match outcome {
                Outcome::Done => Ok(()),
                Outcome::Already => Err(NotOn {
                    why: Reason::NotInjected,
                    text: format!("{} was {} already: nothing was injected", change.name, change.to),
                }),
                Outcome::Gone => Err(NotOn {
                    why: Reason::TargetChanged,
                    text: format!("{} was removed before it was targeted", change.name),
                }),
            }
        }
        Err(e) => {
            let never_began = matches!(e, EngineError::NotBegun { .. });
            let unanswered = match e {
                EngineError::TimedOut { .. } => true,
                // A connection that broke may have carried it.
                EngineError::Unreachable { .. } => engine.describe().is_remote(),
                _ => false,
            };
            rec.note(Event::InjectFailed { n, error: e.to_string(), never_began, unanswered });
            Err(NotOn { why: Reason::NotInjected, text: e.to_string() })
        }
    }
}

/// Verifies that every change is in place, by what can be observed of the instances themselves. Whether it also has an effect
/// on what goes on there is shown until it is rolled back: see [`super::effect`].
///
/// # Errors
/// Where a change shows none in time.
pub(super) async fn prove(engine: &dyn Observe, rec: &Recorder, changes: &[Change]) -> Result<(), NotOn> {
    join_all(changes.iter().map(|change| prove_one(engine, rec, change))).await.into_iter().collect()
}

async fn prove_one(engine: &dyn Observe, rec: &Recorder, change: &Change) -> Result<(), NotOn> {
    let end = Instant::now() + VERIFY_TIMEOUT;
    loop {
        let seen = match timeout(LOOK_TIMEOUT, engine.look(&change.instance)).await {
            Ok(Ok(now)) => verified_by(change, now.as_ref()).map(|proof| (proof, now.and_then(|now| now.counters))),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err("its engine does not answer".to_owned()),
        };
        match seen {
            Ok((proof, counters)) => {
                rec.note(Event::Verified { n: change.n, verified: true, proof, counters });
                no_more_is_known(rec, change);
                return Ok(());
            }
            Err(why) if Instant::now() >= end => {
                rec.note(Event::Verified { n: change.n, verified: false, proof: why.clone(), counters: None });
                return Err(NotOn {
                    why: Reason::NotVerified,
                    text: format!("the fault had no effect: {}: {why}", change.name),
                });
            }
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Whether a change had its effect, judged by its instance as it is now: the proof, or what was seen instead. Pure.
///
/// # Errors
/// What was seen instead.
pub(super) fn verified_by(change: &Change, now: Option<&Instance>) -> Result<String, String> {
    let Some(now) = now else {
        return match change.to {
            // Its orchestrator has cleared it away.
            Setting::Availability(_) | Setting::Killed(_) | Setting::Stopped { .. } => {
                Ok("it does not exist any more".to_owned())
            }
            _ => Err("it does not exist any more".to_owned()),
        };
    };
    let new_life = (now.epoch != change.epoch).then(|| format!("it has a new life, since {}", now.epoch.0));
    match &change.to {
        Setting::Killed(_) | Setting::Stopped { .. } if !now.is_running() => Ok("its main process is gone".to_owned()),
        Setting::Killed(_) | Setting::Stopped { .. } => new_life.ok_or_else(|| "its main process runs on".to_owned()),
        Setting::Restarted { .. } => new_life.ok_or_else(|| "its main process is the same as before".to_owned()),
        Setting::Network(_) if now.epoch != change.epoch => Err("it has a new life".to_owned()),
        Setting::Network(_) if !is_so(&change.to, now) => Err("its traffic is not disturbed".to_owned()),
        Setting::Network(_) => Ok("it is in place on its traffic".to_owned()),
        Setting::Limit(Limit::Memory(_)) if now.epoch != change.epoch || !now.is_running() => {
            Ok("it died of it: it needs more memory than the limit".to_owned())
        }
        to @ (Setting::Limit(_) | Setting::Stressor(_) | Setting::Isolated(_)) if is_so(to, now) => {
            Ok(match now.sees.get(&to.aspect()) {
                Some(sees) => format!("it is {to}, and sees {sees}"),
                None => format!("it is {to}"),
            })
        }
        Setting::Filled(_) if is_so(&change.to, now) => Ok(match now.sees.get(&change.to.aspect()) {
            Some(sees) => format!("it sees {sees}"),
            None => format!("it is {}", change.to),
        }),
        to @ Setting::Stressor(_) if to.may_end_life() && !now.is_running() => {
            Ok("its main process is gone".to_owned())
        }
        to @ Setting::Stressor(_) => match (new_life, now.sees.get(&to.aspect())) {
            (Some(new_life), _) if to.may_end_life() => Ok(new_life),
            (_, Some(sees)) => Err(format!("it is not {to}, and sees {sees}")),
            (_, None) => Err(format!("it is not {to}")),
        },
        Setting::Signalled(signalled) => Ok(format!("its processes {} have got {}", signalled.which, signalled.signal)),
        to @ (Setting::Paused(_)
        | Setting::Running(_)
        | Setting::Limit(_)
        | Setting::Filled(_)
        | Setting::ReadOnly(_)
        | Setting::Freed(_)
        | Setting::Mark(..)
        | Setting::Isolated(_)
        | Setting::Availability(_)
        | Setting::RestartPolicy(_)) => {
            if is_so(to, now) {
                Ok(format!("it is {to}"))
            } else {
                Err(format!("it is not {to}"))
            }
        }
        Setting::ConnectionsReset(_) => Ok("established connections were torn down".to_owned()),
        Setting::Ran(_) => Ok("the command ended with exit status 0".to_owned()),
    }
}

/// Whether what can be observed of a setting is there.
pub(super) fn is_so(to: &Setting, now: &Instance) -> bool {
    to.observed_as().is_some_and(|value| now.settings.get(&to.aspect()) == Some(&value))
}

/// What is special about an instance while these changes are in effect: a restart policy that they set aside does not act.
pub(super) fn traits_during<'a>(before: &Instance, changes: impl Iterator<Item = &'a Change>) -> BTreeSet<Trait> {
    let aside = Setting::RestartPolicy(RestartPolicy::Never);
    let mut traits = before.traits.clone();
    for _ in changes.filter(|c| c.instance == before.id && c.to == aside) {
        traits.remove(&Trait::Restarts);
    }
    traits
}

/// Whether a change stays in effect until it is rolled back; momentary ones do not, nor does a crash that a restart policy
/// makes good. Pure.
pub(super) fn stays_applied(change: &Change, traits: &BTreeSet<Trait>) -> bool {
    change.to.stays_applied(traits.contains(&Trait::Restarts))
}
