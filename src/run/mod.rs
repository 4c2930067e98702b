//! The whole run, top to bottom. It knows the engine, the senses and the guard only as traits.

pub mod abort;
mod alert;
mod amend;
mod ended;
mod faults;
pub mod guard;
mod hold;
mod inject;
pub mod recover;
mod recovery;
mod revert;
pub mod sample;
mod verdict;
mod watch;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use abort::{Abort, Level};
use ended::{Ended, stoppable};
use faults::Faults;
use guard::{Post, Sentry};
use hold::{guarded_by, stand_guard, still_on};
use recovery::{by_itself, recovery};
use revert::{What, leftover, look_once, revert, revert_one_by_one};
use sample::Sampler;
use verdict::Facts;
use watch::Watch;

use crate::engine::{Claim, Engine};
use crate::event::{Actor, Event, FORMAT, Phase, Reason, Started};
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::fault::Heal;
use crate::instance::{Change, Instance, InstanceId};
use crate::journal::{JournalError, Recorder};
use crate::plan::{Plan, plan};
use crate::probe::Senses;
use crate::target;

/// What a run needs of the world.
pub struct World {
    /// Holds the instances.
    pub engine: Arc<dyn Engine>,
    /// Asks the probes' questions.
    pub senses: Arc<dyn Senses>,
    /// Posts guards.
    pub sentry: Arc<dyn Sentry>,
    /// Who runs it: user and host.
    pub owner: String,
    /// How much longer than planned the run may hold its fault before its guard ends it.
    pub grace: Duration,
}

/// What a run is about.
pub struct Task<'a> {
    /// Its id.
    pub run: &'a str,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The file it came from.
    pub file: &'a str,
    /// The seed of every random choice.
    pub seed: u64,
}

/// Runs an experiment. Whatever happens in it, it ends with everything taken back, or with the journal saying what is not.
///
/// # Errors
/// Where the journal cannot even be begun; nothing has been touched then.
pub async fn run(task: &Task<'_>, world: &World, rec: &Recorder, abort: &Abort) -> Result<Verdict, JournalError> {
    let (x, engine) = (task.experiment, world.engine.as_ref());
    rec.commit(Event::Started(Box::new(Started {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: task.run.to_owned(),
        experiment: x.clone(),
        file: task.file.to_owned(),
        seed: task.seed,
        engine: engine.describe(),
        owner: world.owner.clone(),
    })))?;

    rec.note(Event::PhaseBegan { phase: Phase::Preflight, planned_ms: None });
    if let Err(ended) = stoppable(abort, Level::TakeBack, preflight(task, world, rec)).await {
        rec.note(Event::Stopping { why: ended.why, text: ended.text });
        return Ok(conclude(task, world, rec, Facts::default()).await);
    }

    let (sampler, answers) = Sampler::start(watch::series(x), world.senses.clone());
    let mut watch = Watch::new(x, rec, sampler.origin(), answers);
    let mut post = None;
    let mut facts = Facts::default();

    let disturbed =
        stoppable(abort, Level::TakeBack, disturb(task, world, rec, &mut watch, &mut post, &mut facts)).await;
    if let Err(ended) = disturbed {
        rec.note(Event::Stopping { why: ended.why, text: ended.text });
    }

    if !rec.read(|s| s.changes.is_empty()) {
        let whole = rec.read(|s| s.stopping.is_none());
        watch.cut(Phase::During);
        // With `heal: self` the wait for recovery is over by now; else it begins with the way back.
        if x.heal() == Heal::Squall {
            watch.await_recovery(Instant::now());
        }
        watch.begin(Phase::Revert, None);
        watch.comes_back();
        if whole {
            for (fault, _) in x.faults().iter().enumerate() {
                if let Some((instances, every)) = staged(x, rec, fault) {
                    let one_by_one =
                        revert_one_by_one(engine, rec, Some(abort), What::Fault(fault), (&instances, every));
                    watch.alongside(one_by_one).await;
                }
            }
        }
        // Nothing can cancel this: it takes no Abort, and it stands outside of every phase that does.
        watch.alongside(revert(engine, rec, Actor::Runner, What::Everything)).await;
        look_once(engine, rec).await;
        watch.settle(Phase::During).await;
        facts.unasked.extend(watch.judge(Phase::During, whole));
        facts.broken = watch.broken(Phase::During).cloned();
        if x.heal() == Heal::Squall {
            watch.fault_is_gone();
            facts.recovered =
                stoppable(abort, Level::Hurry, async { Ok(recovery(x, rec, &mut watch).await) }).await.ok();
        }
        if watch.resolving().is_some() {
            match stoppable(abort, Level::Hurry, async { Ok(watch.resolved().await) }).await {
                Ok(unasked) => facts.unasked.extend(unasked),
                Err(_) => facts.recovered = None,
            }
        }
        facts.unresolved = watch.broken(Phase::Recovery).cloned();
    }
    let failover = watch.failover();
    if !failover.is_empty() {
        rec.note(Event::Failover { checks: failover });
    }
    watch.flush();
    sampler.stop().await;
    let verdict = conclude(task, world, rec, facts).await;
    if let Some(post) = post {
        post.dismiss().await;
    }
    Ok(verdict)
}

/// Looks before anything costs time: is there a target, do the limits allow it, can the engine do it, is it free?
async fn preflight(task: &Task<'_>, world: &World, rec: &Recorder) -> Result<(), Ended> {
    let x = task.experiment;
    let fleet = observe(world).await?;
    let (_, plan) = aim(task, world, &fleet)?;
    for text in plan.warnings {
        rec.note(Event::Warned { text });
    }
    let services: Vec<String> = target::services(x, &fleet).iter().map(|s| world.engine.marked_as(s)).collect();
    rec.commit(Event::Claiming { services: services.clone() })?;
    for service in services {
        let claim =
            Claim { service, run: task.run.to_owned(), owner: world.owner.clone(), at: rec.clock().now().to_string() };
        world.engine.claim(&claim).await?;
    }
    Ok(())
}

/// Everything that may be stopped: from the baseline to the end of the fault.
async fn disturb(
    task: &Task<'_>,
    world: &World,
    rec: &Recorder,
    watch: &mut Watch<'_>,
    post: &mut Option<Box<dyn Post>>,
    facts: &mut Facts,
) -> Result<(), Ended> {
    let (x, engine) = (task.experiment, world.engine.as_ref());
    baseline(x, watch).await?;

    let fleet = watch.alongside(observe(world)).await?;
    let (targets, Plan { changes, .. }) = aim(task, world, &fleet)?;
    let zones = target::zones_hit(&x.faults(), &targets);
    rec.note(Event::Targeted { hit: targets.hit.clone(), spared: targets.spared });

    let deadline =
        rec.clock().now() + SignedDuration::try_from(time_limit(x, &changes) + world.grace).unwrap_or_default();
    *post = Some(watch.alongside(stand_guard(world, rec, deadline)).await?);
    // The one durable write: from here on, whoever comes after us knows what to take back.
    rec.commit(Event::Planned { changes: changes.clone(), deadline })?;

    let faults = Faults::new(task, world, rec, &changes, &targets.hit);
    watch.begin(Phase::During, Some(x.timing.duration.0));
    let last = Instant::now() + last_due(x);
    if x.heal() == Heal::Itself {
        watch.await_recovery(last);
    }
    if let Some(called) = &zones {
        watch.await_failover(called);
    }
    let mut in_their_time = pin!(faults.in_their_time());
    let hold = async {
        tokio::select! {
            ended = faults.lasting() => Err(ended),
            ended = guarded_by(world, rec, deadline, post) => Err(ended),
            held = in_their_time.as_mut() => held,
        }
    };
    match watch.guarded(hold).await {
        Ok(ended) => ended?,
        Err(broken) => {
            watch.alongside(faults.settle(in_their_time)).await;
            return Err(broken.into());
        }
    }
    watch.alongside(still_on(engine, rec, &targets.hit, What::Everything)).await?;
    if x.heal() == Heal::Itself {
        watch.cut(Phase::During);
        facts.recovered = Some(by_itself(x, engine, rec, watch, last, &targets.hit).await);
    }
    Ok(())
}

/// When the last fault of the list is due, from the beginning of the fault phase on.
fn last_due(x: &Experiment) -> Duration {
    x.faults().iter().map(|fault| fault.span(x.timing.duration).start).max().unwrap_or_default()
}

/// Proves steady state before anything is touched.
async fn baseline(x: &Experiment, watch: &mut Watch<'_>) -> Result<(), Ended> {
    let t = &x.timing;
    if !t.warm_up.0.is_zero() {
        watch.begin(Phase::WarmUp, Some(t.warm_up.0));
        watch.alongside(sleep(t.warm_up.0)).await;
    }
    watch.begin(Phase::Baseline, Some(t.baseline.0));
    let met = watch.guarded(sleep(t.baseline.0)).await;
    if met.is_ok() {
        watch.settle(Phase::Baseline).await;
    }
    let unasked = watch.judge(Phase::Baseline, met.is_ok());
    if let Some(b) = watch.broken(Phase::Baseline) {
        return Err(Ended {
            why: Reason::BaselineNotMet,
            text: format!("steady state was not met before anything was touched: {}", verdict::sentence(b)),
        });
    }
    match unasked.first() {
        Some(text) => Err(Ended { why: Reason::CouldNotAsk, text: text.clone() }),
        None => Ok(()),
    }
}

/// The end: the markers go, and the verdict is spoken.
async fn conclude(task: &Task<'_>, world: &World, rec: &Recorder, mut facts: Facts) -> Verdict {
    for service in rec.read(|s| s.claimed.clone()) {
        if let Err(e) = world.engine.release(&service, task.run).await {
            rec.note(Event::Warned {
                text: format!("the marker of service `{service}` could not be removed ({e}); `squall recover` does it"),
            });
        }
    }
    facts.leftover = leftover(rec);
    let (reason, text) = rec.read(|s| verdict::decide(s, &facts));
    rec.note(Event::Finished { verdict: reason.verdict(), reason, text });
    reason.verdict()
}

async fn observe(world: &World) -> Result<Vec<Instance>, Ended> {
    Ok(world.engine.observe().await?)
}

fn aim(task: &Task<'_>, world: &World, fleet: &[Instance]) -> Result<(target::Targets, Plan), Ended> {
    let targets = target::choose(task.experiment, fleet, task.seed)?;
    let plan = plan(task.experiment, &targets, fleet, task.seed, |i, to| world.engine.can(i, to))?;
    Ok((targets, plan))
}

/// Who comes back one after the other from a fault that says so, by name, and how far apart.
fn staged(x: &Experiment, rec: &Recorder, fault: usize) -> Option<(Vec<InstanceId>, Duration)> {
    let every = x.faults().get(fault)?.fault.disturb().returns_every()?.0;
    let instances = rec.read(|s| {
        let of = s.changes.iter().map(|c| &c.change).filter(|c| c.fault == fault);
        let mut all: Vec<(&String, &InstanceId)> = of.map(|c| (&c.name, &c.instance)).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(|(_, id)| id.clone()).collect()
    });
    Some((instances, every))
}

/// How long the fault may be on by plan: the longest change, the hold, and the wait for self-healing.
fn time_limit(x: &Experiment, changes: &[Change]) -> Duration {
    let longest = changes.iter().map(|c| c.to.longest()).max().unwrap_or_default();
    let hold = x.timing.duration.0;
    let faults = x.faults();
    let apart = |c: &Change| faults.get(c.fault).and_then(|i| i.fault.disturb().returns_every()).unwrap_or_default().0;
    let coming_back: Duration = changes.iter().map(apart).sum();
    longest + coming_back + if x.heal() == Heal::Itself { hold.max(last_due(x) + x.timing.recovery.0) } else { hold }
}
