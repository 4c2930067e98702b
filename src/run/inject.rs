//! Makes the planned changes, and proves that they had their effect.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, Outcome, Tag};
use crate::event::{Event, Reason, micros};
use crate::experiment::BlastRadius;
use crate::instance::{Change, Instance, RestartPolicy, Setting, Trait, Via};
use crate::journal::Recorder;
use crate::machine::Limit;
use crate::target;

/// How long the proof of a bite is awaited beyond the change's own time.
const PROOF: Duration = Duration::from_secs(2);

/// How long nobody sends a packet before we send one.
const SILENCE: Duration = Duration::from_millis(500);

/// How often it is looked for: within that time, and afterwards.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(250);

/// Why the fault is not on.
#[derive(Debug)]
pub(super) struct NotOn {
    pub(super) why: Reason,
    pub(super) text: String,
}

/// Makes the changes of a fault, those of one stage at once, each after a last look at its target.
///
/// # Errors
/// Where the blast radius does not allow it any more, a target is another one than planned, or a change fails. What was
/// done until then is in the journal.
pub(super) async fn inject(
    engine: &dyn Engine,
    rec: &Recorder,
    run: &str,
    radius: &BlastRadius,
    changes: &[Change],
) -> Result<(), NotOn> {
    let fleet = engine.observe().await.map_err(|e| NotOn { why: Reason::EngineFailed, text: e.to_string() })?;
    let all: Vec<Change> = rec.read(|s| s.changes.iter().map(|c| c.change.clone()).collect());
    for change in changes {
        let frozen = all.iter().any(|c| c.instance == change.instance && c.to == Setting::Paused(true));
        still_as_planned(&fleet, change, frozen)?;
    }
    // The limits are about everybody who is hit, by whichever fault.
    let hit: Vec<&Instance> = fleet.iter().filter(|i| all.iter().any(|c| c.instance == i.id)).collect();
    target::within(radius, &fleet, &hit)
        .map_err(|r| NotOn { why: r.reason, text: format!("just before the injection: {r}") })?;
    let stages: BTreeSet<u8> = changes.iter().map(|c| c.to.stage()).collect();
    for stage in stages {
        let now: Vec<&Change> = changes.iter().filter(|c| c.to.stage() == stage).collect();
        engine.prepare(&now.iter().map(|c| (c.instance.clone(), c.to.clone())).collect::<Vec<_>>()).await;
        let results = join_all(now.into_iter().map(|change| make(engine, rec, run, change))).await;
        results.into_iter().collect::<Result<(), NotOn>>()?;
    }
    Ok(())
}

/// `frozen`: this run has a fault that freezes it, so that it may be.
fn still_as_planned(fleet: &[Instance], change: &Change, frozen: bool) -> Result<(), NotOn> {
    let changed =
        |what: &str| NotOn { why: Reason::TargetChanged, text: format!("{} {what} before it was hit", change.name) };
    let now = fleet.iter().find(|i| i.id == change.instance).ok_or_else(|| changed("was removed"))?;
    if now.epoch != change.epoch {
        return Err(changed("was restarted by somebody else"));
    }
    if !(now.is_up() || frozen && now.is_running()) {
        return Err(changed("went down by itself"));
    }
    Ok(())
}

pub(super) async fn make(engine: &dyn Engine, rec: &Recorder, run: &str, change: &Change) -> Result<(), NotOn> {
    let n = change.n;
    let tag = Tag { run: run.to_owned(), change: n };
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
                    text: format!("{} was removed before it was hit", change.name),
                }),
            }
        }
        Err(e) => {
            rec.note(Event::InjectFailed { n, error: e.to_string() });
            Err(NotOn { why: Reason::NotInjected, text: e.to_string() })
        }
    }
}

/// Proves that every change had its effect, by what can be observed of the instances themselves. A disturbance of
/// traffic is proven by the first packet that meets it, for which `until` may be waited.
///
/// # Errors
/// Where a change shows none in time.
pub(super) async fn prove(
    engine: &dyn Engine,
    rec: &Recorder,
    changes: &[Change],
    until: Instant,
) -> Result<(), NotOn> {
    join_all(changes.iter().map(|change| prove_one(engine, rec, change, until))).await.into_iter().collect()
}

async fn prove_one(engine: &dyn Engine, rec: &Recorder, change: &Change, until: Instant) -> Result<(), NotOn> {
    let begin = Instant::now();
    let end = begin + PROOF;
    let traffic = matches!(change.to, Setting::Network(_));
    let end = if traffic { end.max(until) } else { end };
    let mut knocked = false;
    loop {
        if traffic && !knocked && Instant::now() >= begin + SILENCE {
            knocked = true;
            if let Err(why) = engine.knock(&change.instance, &change.to).await {
                tracing::warn!(%why, "no packet of our own can be sent");
            }
        }
        let seen = match engine.look(&change.instance).await {
            Ok(now) => bitten(change, now.as_ref()),
            Err(e) => Err(e.to_string()),
        };
        match seen {
            Ok(mut proof) => {
                if knocked {
                    proof += ", one of our own among them, for nobody else sent any";
                }
                rec.note(Event::Bite { n: change.n, proven: true, proof });
                return Ok(());
            }
            Err(why) if Instant::now() >= end => {
                rec.note(Event::Bite { n: change.n, proven: false, proof: why.clone() });
                return Err(NotOn {
                    why: Reason::NoBite,
                    text: format!("the fault did not bite: {}: {why}", change.name),
                });
            }
            Err(_) => sleep(if Instant::now() < begin + PROOF { OFTEN } else { SELDOM }).await,
        }
    }
}

/// Whether a change had its effect, judged by its instance as it is now: the proof, or what was seen instead. Pure.
///
/// # Errors
/// What was seen instead.
pub(super) fn bitten(change: &Change, now: Option<&Instance>) -> Result<String, String> {
    let Some(now) = now else {
        return match change.to {
            Setting::Killed(_) | Setting::Stopped { .. } => Ok("it does not exist any more".to_owned()),
            _ => Err("it does not exist any more".to_owned()),
        };
    };
    let new_life = (now.epoch != change.epoch).then(|| format!("it has a new life, since {}", now.epoch.0));
    match &change.to {
        Setting::Killed(_) | Setting::Stopped { .. } if !now.is_running() => Ok("its main process is gone".to_owned()),
        Setting::Killed(_) | Setting::Stopped { .. } => new_life.ok_or_else(|| "its main process runs on".to_owned()),
        Setting::Restarted { .. } => new_life.ok_or_else(|| "its main process is the same as before".to_owned()),
        Setting::Network(_) => match now.counted {
            _ if now.epoch != change.epoch => Err("it has a new life".to_owned()),
            _ if !is_so(&change.to, now) => Err("its traffic is not disturbed".to_owned()),
            Some(counted) if counted.packets > 0 => Ok(counted.to_string()),
            _ => Err("no packet has met it".to_owned()),
        },
        Setting::Limit(Limit::Memory(_)) if now.epoch != change.epoch || !now.is_running() => {
            Ok("it died of it: it needs more memory than the limit".to_owned())
        }
        to @ (Setting::Limit(_) | Setting::Burden(_)) if is_so(to, now) => Ok(match now.sees.get(&to.aspect()) {
            Some(sees) => format!("it is {to}, and sees {sees}"),
            None => format!("it is {to}"),
        }),
        Setting::Filled(_) if is_so(&change.to, now) => Ok(match now.sees.get(&change.to.aspect()) {
            Some(sees) => format!("it sees {sees}"),
            None => format!("it is {}", change.to),
        }),
        to @ Setting::Burden(_) if to.may_end_life() && !now.is_running() => Ok("its main process is gone".to_owned()),
        to @ Setting::Burden(_) => match (new_life, now.sees.get(&to.aspect())) {
            (Some(new_life), _) if to.may_end_life() => Ok(new_life),
            (_, Some(sees)) => Err(format!("it is not {to}, and sees {sees}")),
            (_, None) => Err(format!("it is not {to}")),
        },
        Setting::Signalled(signalled) => {
            Ok(format!("its processes `{}` have got {}", signalled.name, signalled.signal))
        }
        to @ (Setting::Paused(_)
        | Setting::Running(_)
        | Setting::Limit(_)
        | Setting::Filled(_)
        | Setting::ReadOnly(_)
        | Setting::Freed(_)
        | Setting::Mark(..)
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
fn is_so(to: &Setting, now: &Instance) -> bool {
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

/// Whether a change stays in effect until it is taken back; momentary ones do not, nor does a crash that a restart policy
/// makes good. Pure.
pub(super) fn lasts(change: &Change, traits: &BTreeSet<Trait>) -> bool {
    match &change.to {
        Setting::Paused(_)
        | Setting::Running(_)
        | Setting::Stopped { .. }
        | Setting::Network(_)
        | Setting::Limit(_)
        | Setting::RestartPolicy(_)
        | Setting::Filled(_)
        | Setting::Freed(_)
        | Setting::ReadOnly(_)
        | Setting::Burden(_)
        | Setting::Mark(..) => true,
        Setting::Killed(kill) => !(kill.via == Via::Host && traits.contains(&Trait::Restarts)),
        Setting::Restarted { .. } | Setting::ConnectionsReset(_) | Setting::Signalled(_) | Setting::Ran(_) => false,
    }
}

/// What is wrong with a change that should still be in effect, if anything is. Pure.
pub(super) fn vanished(change: &Change, traits: &BTreeSet<Trait>, now: Option<&Instance>) -> Option<String> {
    if !lasts(change, traits) {
        return None;
    }
    let Some(now) = now else { return Some("was removed by somebody else".to_owned()) };
    match &change.to {
        Setting::Killed(_) | Setting::Stopped { .. } => {
            now.is_running().then(|| "runs again although nobody here started it".to_owned())
        }
        Setting::Paused(true) if now.epoch != change.epoch => {
            Some("was restarted by somebody else, which ended its pause".to_owned())
        }
        Setting::Paused(true) if !now.is_running() => Some("went down while it was paused".to_owned()),
        // It ends with the life that it was made for, and is made again for the next one: see `amend`.
        to if to.ends_with_life() && (now.epoch != change.epoch || !now.is_running()) => None,
        Setting::Network(_) => (!is_so(&change.to, now))
            .then(|| "is no longer disturbed in its traffic: somebody else changed it".to_owned()),
        // The kernel ends it where memory runs out; nobody else should.
        to @ Setting::Burden(_) => (!is_so(to, now)).then(|| {
            format!("is no longer {to}: the process of ours has been ended, for want of memory or by somebody else")
        }),
        to => (!is_so(to, now)).then(|| format!("is no longer {to}: somebody else changed it")),
    }
}
