//! The whole run, top to bottom. It knows the engine, the prober and the guard only as traits.

pub(crate) mod abilities;
pub mod abort;
mod alert;
mod alone;
mod amend;
mod broken;
mod during;
mod effect;
mod ended;
mod faults;
pub mod guard;
mod hold;
pub(crate) mod hosts;
mod inject;
mod judging;
mod late;
pub(crate) mod locks;
mod off;
mod order;
mod phase_judge;
pub mod plan;
pub(crate) mod programs;
pub mod recover;
mod recovery;
mod restore;
mod rollback;
pub mod sample;
mod scope;
pub mod steady;
mod stranger;
pub mod target;
mod verdict;
mod watch;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use abilities::with_abilities;
use abort::{Abort, Level};
use during::fault_phase;
use ended::{Ended, stoppable};
use guard::{GuardHandle, GuardLauncher};
use hold::{stand_guard, still_on};
use late::{Stage, late};
use recovery::{by_itself, recovered, recovery};
use rollback::{look_once, roll_back, roll_back_one_by_one};
use sample::Sampler;
use scope::Scope;
use verdict::Facts;
use watch::Watch;

use crate::engine::{Ability, Engine, INVENTED, ProcessId};
use crate::experiment::Experiment;
use crate::experiment::fault::Heal;
use crate::experiment::probe::Prober;
use crate::model::exit::Verdict;
use crate::model::instance::{Instance, InstanceId, Setting};
use crate::record::event::{Actor, Event, FORMAT, Phase, Reason, Started};
use crate::record::journal::{JournalError, Recorder};
use crate::record::state::RunState;
use crate::run::plan::{Plan, plan, time_limit};
use crate::text::units::count;

/// What a run needs of the world.
pub struct RunContext {
    /// Holds the instances.
    pub engine: Arc<dyn Engine>,
    /// Asks the probes' samples.
    pub prober: Arc<dyn Prober>,
    /// Starts guards.
    pub launcher: Arc<dyn GuardLauncher>,
    /// Who runs it: user and host.
    pub owner: String,
    /// The process that runs it.
    pub process: ProcessId,
    /// How much longer than planned the run may hold its fault before its guard ends it.
    pub grace: Duration,
}

/// What a run is about.
pub struct RunSpec<'a> {
    /// Its id.
    pub run: &'a str,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The file it came from.
    pub file: &'a str,
    /// The seed of every random choice.
    pub seed: u64,
}

/// Runs an experiment. Whatever happens in it, it ends with everything rolled back, or with the journal saying what is not.
///
/// # Errors
/// Where the journal cannot even be begun; nothing has been touched then.
pub async fn run(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    abort: &Abort,
) -> Result<Verdict, JournalError> {
    let (x, engine) = (spec.experiment, context.engine.as_ref());
    rec.commit(Event::Started(Box::new(Started {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: spec.run.to_owned(),
        experiment: x.clone(),
        file: spec.file.to_owned(),
        seed: spec.seed,
        engine: engine.describe(),
        owner: context.owner.clone(),
        process: Some(context.process.clone()),
    })))?;

    rec.note(Event::PhaseBegan { phase: Phase::Preflight, planned_ms: None });
    let earlier = match stoppable(abort, Level::RollBack, preflight(spec, context, rec)).await {
        Ok(fleet) => fleet,
        Err(ended) => {
            rec.note(Event::Stopping { why: ended.why, text: ended.text });
            return Ok(conclude(context, rec, Facts::default()).await);
        }
    };

    let (sampler, answers) = Sampler::start(watch::series(x), context.prober.clone());
    let mut watch = Watch::new(x, rec, sampler.origin(), answers);
    let mut guard = None;
    let mut facts = Facts::default();

    let disturbed = stoppable(
        abort,
        Level::RollBack,
        Box::pin(disturb(spec, context, rec, &earlier, &mut watch, &mut guard, &mut facts)),
    )
    .await;
    if let Err(ended) = disturbed {
        rec.note(Event::Stopping { why: ended.why, text: ended.text });
    }

    if !rec.read(|s| s.changes.is_empty()) {
        let whole = rec.read(|s| s.stopping.is_none());
        watch.cut(Phase::During);
        // With `heal: self` the wait for recovery is over by now; else it begins with the rollback.
        if x.heal() == Heal::Squall {
            watch.roll_back();
            watch.await_recovery(Instant::now());
        }
        watch.begin(Phase::Rollback, None);
        watch.comes_back();
        if whole {
            for (fault, _) in x.faults().iter().enumerate() {
                if let Some((instances, every)) = staged(x, rec, fault) {
                    let one_by_one =
                        roll_back_one_by_one(engine, rec, Some(abort), Scope::Fault(fault), (&instances, every));
                    watch.alongside(one_by_one).await;
                }
            }
        }
        // Nothing can cancel this: it takes no Abort, and it stands outside of every phase that does.
        watch.alongside(roll_back(engine, rec, Actor::Runner, Scope::Everything)).await;
        look_once(engine, rec).await;
        watch.settle(Phase::During).await;
        facts.unproven.extend(watch.judge(Phase::During, whole));
        facts.broken = watch.broken(Phase::During).cloned();
        if x.heal() == Heal::Squall {
            watch.fault_is_gone();
            let awaited = stoppable(abort, Level::Hurry, async { Ok(recovery(x, rec, &mut watch).await) });
            let (awaited, ()) =
                tokio::join!(awaited, Box::pin(late(engine, rec, Actor::Runner, Stage::InRun, Scope::Everything)));
            if let Ok(begin) = awaited {
                let told = stoppable(abort, Level::Hurry, async { Ok(recovered(x, rec, &mut watch, begin).await) });
                facts.recovered = told.await.ok();
            }
        } else {
            watch.alongside(late(engine, rec, Actor::Runner, Stage::InRun, Scope::Everything)).await;
        }
        if watch.resolving().is_some() {
            match stoppable(abort, Level::Hurry, async { Ok(watch.resolved().await) }).await {
                Ok(unmeasured) => facts.unproven.extend(unmeasured),
                Err(_) => facts.recovered = None,
            }
        }
        facts.unresolved = watch.broken(Phase::Recovery).cloned();
    }
    let failover = watch.failover();
    if !failover.is_empty() {
        rec.note(Event::Failover { checks: failover });
    }
    facts.unproven.extend(without_evidence(context, x));
    watch.flush();
    sampler.stop().await;
    engine.end_abandoned().await;
    let verdict = conclude(context, rec, facts).await;
    // One that has something to watch for ends by itself.
    if let Some(guard) = guard.filter(|_| !rec.read(recover::may_come_late)) {
        guard.shutdown().await;
    }
    Ok(verdict)
}

/// Looks before anything costs time: is there a target, do the limits allow it, can the engine do it, is it free? The fleet that was
/// seen.
async fn preflight(spec: &RunSpec<'_>, context: &RunContext, rec: &Recorder) -> Result<Vec<Instance>, Ended> {
    let x = spec.experiment;
    let fleet = observe(context).await?;
    let (_, plan) = aim(spec, context, &fleet).await?;
    let invented = context.engine.describe().is_invented().then(|| INVENTED.to_owned());
    for text in plan.warnings.iter().cloned().chain(invented) {
        rec.note(Event::Warned { text });
    }
    let services: Vec<String> = target::services(x, &fleet).iter().map(|s| context.engine.marked_as(s)).collect();
    locks::lock(spec, context, rec, services, &plan.changes).await?;
    Ok(fleet)
}

/// Everything that may be stopped: from the baseline to the end of the fault.
async fn disturb(
    spec: &RunSpec<'_>,
    context: &RunContext,
    rec: &Recorder,
    earlier: &[Instance],
    watch: &mut Watch<'_>,
    guard: &mut Option<Box<dyn GuardHandle>>,
    facts: &mut Facts,
) -> Result<(), Ended> {
    let (x, engine) = (spec.experiment, context.engine.as_ref());
    baseline(x, watch).await?;
    for Ended { text, .. } in without_evidence(context, x) {
        rec.note(Event::Warned { text: format!("so far, {text}") });
    }

    let mut fleet = watch.alongside(observe(context)).await?;
    if let Some(text) = context.engine.acted_alone() {
        // The locks of the run are gone with it.
        return Err(Ended { why: Reason::EngineFailed, text });
    }
    target::unsteady::mark(&mut fleet, earlier, rec.clock().now());
    let (targets, Plan { changes, .. }) = aim(spec, context, &fleet).await?;
    rec.note(Event::Targeted { targeted: targets.targeted.clone(), spared: targets.spared.clone() });

    let deadline =
        rec.clock().now() + SignedDuration::try_from(time_limit(x, &changes) + context.grace).unwrap_or_default();
    *guard = Some(watch.alongside(stand_guard(context, rec, deadline)).await?);
    // The one durable write: from here on, the process that comes after this one knows what to roll back.
    rec.commit(Event::Planned { changes: changes.clone(), deadline })?;

    let last = Box::pin(fault_phase(spec, context, (rec, watch), guard, (&changes, &targets, deadline))).await?;
    watch.alongside(still_on(engine, rec, &targets.targeted, Scope::Everything)).await?;
    if let Some(ended) = watch.alongside(stranger::answers(x, context, rec, &targets.targeted)).await {
        return Err(ended);
    }
    if x.heal() == Heal::Itself {
        watch.cut(Phase::During);
        facts.recovered = Some(by_itself(x, engine, rec, watch, last, &targets.targeted).await);
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
    let unproven = watch.judge(Phase::Baseline, met.is_ok());
    if let Some(b) = watch.broken(Phase::Baseline) {
        return Err(Ended {
            why: Reason::BaselineNotMet,
            text: format!("steady state was not met before anything was touched: {}", b.sentence()),
        });
    }
    unproven.into_iter().next().map_or(Ok(()), Err)
}

/// The checks of which no answer so far shows anything.
fn without_evidence(context: &RunContext, x: &Experiment) -> Vec<Ended> {
    let of = |name: &String| {
        let text = format!("`{name}` {}", context.prober.without_evidence(name)?);
        Some(Ended { why: Reason::NoEvidence, text })
    };
    x.all_checks().keys().filter_map(of).collect()
}

/// The end: the locks go, unless something is left behind, and the verdict is spoken.
async fn conclude(context: &RunContext, rec: &Recorder, facts: Facts) -> Verdict {
    if rec.read(RunState::incomplete).is_none() {
        locks::unlock(context.engine.as_ref(), rec).await;
    }
    if let Some(text) = context.engine.acted_alone() {
        // Whatever was seen since then was not this fault, nor the system's own healing.
        rec.note(Event::Stopping { why: Reason::FaultVanished, text });
    }
    let (reason, mut text) = rec.read(|s| verdict::decide(s, &facts));
    let verdict = rec.read(|s| s.started.as_ref().map_or(reason.verdict(), |s| s.verdict(reason)));
    let open = rec.read(|s| s.unanswered().count());
    if open > 0 {
        let _ = write!(text, "; {} may still be made by the engine, which never answered", count(open, "change"));
    }
    if verdict.is_rehearsal() {
        text = format!("in the simulated world, {text}");
    }
    rec.note(Event::Finished { verdict, reason, text });
    verdict
}

async fn observe(context: &RunContext) -> Result<Vec<Instance>, Ended> {
    Ok(context.engine.observe().await?)
}

async fn aim(spec: &RunSpec<'_>, context: &RunContext, fleet: &[Instance]) -> Result<(target::Targets, Plan), Ended> {
    let targets = target::choose(spec.experiment, fleet, spec.seed)?;
    let planned = |can: &dyn Fn(&Instance, &Setting) -> Ability| plan(spec.experiment, &targets, fleet, spec.seed, can);
    let plan = with_abilities(context.engine.as_ref(), planned).await??;
    hosts::addresses(context.engine.as_ref(), &plan.changes).await?;
    programs::are_there(context.engine.as_ref(), &plan.changes).await?;
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
