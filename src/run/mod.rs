//! The whole run, top to bottom. It knows the engine, the senses and the guard only as traits.

pub mod abort;
mod amend;
mod ended;
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
use tokio::time::{Instant, sleep, sleep_until};

use abort::{Abort, Level};
use ended::{Ended, stoppable};
use guard::{Post, Sentry};
use hold::{guarded_by, lasting, stand_guard, still_on};
use inject::{inject, prove};
use recovery::{by_itself, recovery};
use revert::{leftover, look_once, revert};
use sample::Sampler;
use verdict::Facts;
use watch::Watch;

use crate::engine::{Claim, Engine};
use crate::event::{Actor, Event, FORMAT, Phase, Reason, Started};
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::fault::Heal;
use crate::instance::{Change, Instance};
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
        if x.fault.heal() == Heal::Squall {
            watch.await_recovery(Instant::now());
        }
        watch.begin(Phase::Revert, None);
        // Nothing can cancel this: it takes no Abort, and it stands outside of every phase that does.
        watch.alongside(revert(engine, rec, Actor::Runner)).await;
        look_once(engine, rec).await;
        watch.settle(Phase::During).await;
        facts.unasked.extend(watch.judge(Phase::During, whole));
        facts.broken = watch.broken(Phase::During).cloned();
        if x.fault.heal() == Heal::Squall {
            facts.recovered =
                stoppable(abort, Level::Hurry, async { Ok(recovery(x, rec, &mut watch).await) }).await.ok();
        }
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
    let services = target::services(x, &fleet);
    rec.commit(Event::Claiming { services: services.clone() })?;
    for service in services {
        let claim =
            Claim { service, run: task.run.to_owned(), owner: world.owner.clone(), at: rec.clock().now().to_string() };
        world.engine.claim(&claim).await?;
    }
    Ok(())
}

/// How long a change that is being made when the hypothesis breaks is waited for.
const SETTLE: Duration = Duration::from_millis(500);

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
    rec.note(Event::Targeted { hit: targets.hit.clone(), spared: targets.spared });

    let deadline =
        rec.clock().now() + SignedDuration::try_from(time_limit(x, &changes) + world.grace).unwrap_or_default();
    *post = Some(watch.alongside(stand_guard(world, rec, deadline)).await?);
    // The one durable write: from here on, whoever comes after us knows what to take back.
    rec.commit(Event::Planned { changes: changes.clone(), deadline })?;

    let begin = Instant::now();
    watch.begin(Phase::During, Some(x.timing.duration.0));
    if x.fault.heal() == Heal::Itself {
        watch.await_recovery(begin);
    }
    let mut injecting = pin!(inject(engine, rec, task.run, &x.blast_radius, &changes));
    match watch.guarded(injecting.as_mut()).await {
        Ok(injected) => injected?,
        Err(broken) => {
            // The fault broke it before the engine was done. A call on its way cannot be stopped: the way back is certain
            // when it ends, or when its effect is seen.
            let settled = async {
                tokio::select! {
                    _ = injecting => {}
                    _ = prove(engine, rec, &changes, begin) => {}
                    () = sleep(SETTLE) => {}
                }
            };
            watch.alongside(settled).await;
            return Err(broken.into());
        }
    }
    let hold = async {
        tokio::select! {
            ended = lasting(task, world, rec, &targets.hit) => Err(ended),
            ended = guarded_by(world, rec, deadline, post) => Err(ended),
            proven = async {
                let end = begin + x.timing.duration.0;
                prove(engine, rec, &changes, end).await?;
                sleep_until(end).await;
                Ok(())
            } => proven,
        }
    };
    watch.guarded(hold).await??;
    watch.alongside(still_on(engine, rec, &targets.hit)).await?;
    if x.fault.heal() == Heal::Itself {
        watch.cut(Phase::During);
        facts.recovered = Some(by_itself(x, engine, rec, watch, begin, &targets.hit).await);
    }
    Ok(())
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
    let plan = plan(task.experiment, &targets, fleet, task.seed, |to| world.engine.can(to))?;
    Ok((targets, plan))
}

/// How long the fault may be on by plan: the longest change, the hold, and the wait for self-healing.
fn time_limit(x: &Experiment, changes: &[Change]) -> Duration {
    let longest = changes.iter().map(|c| c.to.longest()).max().unwrap_or_default();
    let hold = x.timing.duration.0;
    longest + if x.fault.heal() == Heal::Itself { hold.max(x.timing.recovery.0) } else { hold }
}
