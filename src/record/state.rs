//! The state of a run: the fold of its events and nothing else.
//!
//! Used live, for recovery and for every report alike, so that none of them can disagree. Knows no file and no channel.

mod alert;
mod change;
mod effect;
mod figures;
mod left;
mod on;
mod recovery;
mod spread;
mod status;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

pub use alert::{AlertState, AlertStep, AlertTurn};
pub use change::{ChangeState, Sees};
pub use effect::TargetEffect;
pub use left::InPlace;
pub use on::Evidence;
pub use recovery::{Comeback, RecoveryState};
pub use spread::Spread;
pub use status::{ChangeStatus, ChangeStep};
pub use steps::{
    Finished, GuardState, Injected, Observation, OffSpan, PhaseBegin, RolledBack, SettledState, Stopping, Verification,
};

use crate::engine::Claim;
use crate::model::instance::{Change, Instance, Setting};
use crate::record::event::{
    Event, Failover, Judged, Phase, Readdressed, Restored, Spared, Stamped, Standing, Started, TakenOver, Window,
};

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    /// How many events are folded in.
    pub seq: u64,
    /// The lines of its journal that could not be read, and why: what they said is not in here.
    pub damaged: Vec<(usize, String)>,
    /// The first event's time.
    pub began: Option<Timestamp>,
    /// The last event's time.
    pub last: Option<Timestamp>,
    /// How it began.
    pub started: Option<Box<Started>>,
    /// The locks that are taken, or about to be.
    pub claimed: Vec<Claim>,
    /// The services whose locks could not be removed yet, and why.
    pub still_locked: BTreeMap<String, String>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// The phases so far, each with its begin; one ends where the next begins.
    pub phases: Vec<PhaseBegin>,
    /// How long the running phase is planned to take (ms).
    pub planned_ms: Option<u64>,
    /// What the probes saw, in the order of the file.
    pub checks: IndexMap<String, CheckState>,
    /// The alerts that were expected, in the order of the file.
    pub alerts: IndexMap<String, AlertState>,
    /// The first breach of each check and phase.
    pub breaches: Vec<Breach>,
    /// Who is targeted.
    pub targeted: Vec<Instance>,
    /// Who is not.
    pub spared: Vec<Spared>,
    /// The guards, newest last.
    pub guards: Vec<GuardState>,
    /// All changes, by number.
    pub changes: Vec<ChangeState>,
    /// When the guard acts, whatever the runner does.
    pub deadline: Option<Timestamp>,
    /// What happened to instances that this run did not do.
    pub noticed: Vec<Observation>,
    /// Why it stopped before its planned end: the first reason given.
    pub stopping: Option<Stopping>,
    /// Who finishes it in the place of its dead runner: the last one to begin with that.
    pub taken_over: Option<TakenOver>,
    /// What a person has seen to that Squall could not roll back.
    pub settled: Option<SettledState>,
    /// The instances after the rollback, each once.
    pub restored: Vec<Restored>,
    /// Instances that have other addresses than before.
    pub readdressed: BTreeMap<String, Readdressed>,
    /// The recovery, once it is known.
    pub recovery: Option<RecoveryState>,
    /// The failover clock of each check, where zones were targeted.
    pub failover: BTreeMap<String, Failover>,
    /// The end, once it is reached.
    pub finished: Option<Finished>,
    /// When the steps came that have no time of their own above.
    pub times: Times,
}

/// When certain steps came, for the timeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// The targets were chosen.
    pub targeted: Option<Timestamp>,
    /// The newest guard stood by.
    pub guarded: Option<Timestamp>,
    /// The plan was on disk.
    pub planned: Option<Timestamp>,
    /// The last instance was compared with what it was before.
    pub restored: Option<Timestamp>,
    /// It was known whether steady state came back.
    pub recovery: Option<Timestamp>,
}

/// What is known of a check.
#[derive(Debug, Clone, Default)]
pub struct CheckState {
    /// Whether it is one of `safety`.
    pub safety: bool,
    /// The points of its chart.
    pub windows: Vec<Window>,
    /// What it came to, by phase.
    pub judged: BTreeMap<Phase, Judged>,
}

/// An expectation that exceeded its budget.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in Event::Breached")]
pub struct Breach {
    pub at: Timestamp,
    pub phase: Phase,
    pub check: String,
    pub safety: bool,
    pub standing: Standing,
}

/// An event that cannot follow the ones before it: the journal is damaged, or this is a bug.
#[derive(Debug, thiserror::Error)]
#[error("event {seq} of the journal cannot be: {why}")]
pub struct Illegal {
    /// Which event.
    pub seq: u64,
    /// Why not.
    pub why: String,
}

impl RunState {
    /// Who disturbs traffic in a change, in words; `None` where that is only simulated.
    #[must_use]
    pub fn mechanism(&self, change: &Change) -> Option<String> {
        let real = self.started.as_ref().is_none_or(|s| !s.engine.is_simulated());
        match &change.to {
            Setting::Network(network) if real => Some(network.done_by()),
            _ => None,
        }
    }

    /// Folds one event in.
    ///
    /// # Errors
    /// Where it cannot follow the events before it.
    pub fn apply(&mut self, stamped: &Stamped) -> Result<(), Illegal> {
        let at = stamped.at;
        let illegal = |why: &str| Illegal { seq: stamped.seq, why: why.to_owned() };
        if stamped.seq != self.seq {
            return Err(illegal(&format!("expected number {}", self.seq)));
        }
        if self.started.is_none() && self.damaged.is_empty() && !matches!(stamped.event, Event::Started(_)) {
            return Err(illegal("it comes before the start"));
        }
        if let Some((n, step)) = ChangeStep::of(&stamped.event) {
            self.step(n, step).map_err(|why| illegal(&why))?;
        }
        match &stamped.event {
            Event::Started(started) => {
                if self.started.is_some() {
                    return Err(illegal("a second start"));
                }
                self.began = Some(at);
                let x = &started.experiment;
                for (names, safety) in [(&x.steady_state, false), (&x.safety, true)] {
                    for name in names.keys() {
                        self.checks.insert(name.clone(), CheckState { safety, ..CheckState::default() });
                    }
                }
                self.alerts = x.alerts.iter().map(|(name, a)| (name.clone(), AlertState::of(a))).collect();
                self.started = Some(started.clone());
            }
            Event::Claiming { claims } => self.claimed.clone_from(claims),
            Event::UnlockFailed { service, error } => {
                self.still_locked.insert(service.clone(), error.clone());
            }
            Event::Unlocked { service } => {
                self.still_locked.remove(service);
            }
            Event::Warned { text } => self.warnings.push(text.clone()),
            Event::PhaseBegan { phase, planned_ms } => {
                self.phases.push(PhaseBegin { phase: *phase, at });
                self.planned_ms = *planned_ms;
            }
            Event::Sampled(window) => self.checks.entry(window.check.clone()).or_default().windows.push(window.clone()),
            Event::Judged(judged) => {
                self.checks.entry(judged.check.clone()).or_default().judged.insert(judged.phase, judged.clone());
            }
            Event::Breached { phase, check, safety, standing } => {
                if let Some(alert) = self.alerts.get_mut(check) {
                    alert.failed.push(*phase);
                }
                self.breaches.push(Breach {
                    at,
                    phase: *phase,
                    check: check.clone(),
                    safety: *safety,
                    standing: standing.clone(),
                });
            }
            Event::Targeted { targeted, spared } => {
                if !self.changes.is_empty() {
                    return Err(illegal("other targets than those of the plan"));
                }
                self.targeted.clone_from(targeted);
                self.spared.clone_from(spared);
                self.times.targeted = Some(at);
            }
            Event::Guarded { kind, id } => {
                self.guards.push(GuardState { kind: *kind, id: id.clone() });
                self.times.guarded = Some(at);
            }
            Event::Planned { changes, deadline } => {
                if !self.changes.is_empty() {
                    return Err(illegal("a second plan"));
                }
                self.deadline = Some(*deadline);
                self.times.planned = Some(at);
                self.extend(changes).map_err(|why| illegal(&why))?;
            }
            Event::Amended { changes } => {
                let ending = |fault| self.changes.iter().any(|c| c.change.fault == fault && c.rolling_back.is_some());
                if changes.iter().any(|c| ending(c.fault)) {
                    return Err(illegal("an amendment of a fault whose rollback has begun"));
                }
                self.extend(changes).map_err(|why| illegal(&why))?;
            }
            Event::NewLife { n, epoch } => {
                self.change(*n).map_err(|w| illegal(&w))?.change.epoch.clone_from(epoch);
            }
            Event::Injecting { n } => self.change(*n).map_err(|w| illegal(&w))?.injecting = Some(at),
            Event::Injected { n, outcome, took_us } => {
                self.change(*n).map_err(|w| illegal(&w))?.injected =
                    Some(Injected { at, outcome: *outcome, took: Duration::from_micros(*took_us) });
            }
            Event::InjectFailed { n, error, never_began, unanswered } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                change.inject_error = Some(error.clone());
                change.never_began = *never_began;
                change.unanswered = *unanswered;
            }
            Event::Verified { n, verified, proof, counters } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                change.verification = Some(Verification { at, verified: *verified, proof: proof.clone() });
                change.counters = counters.clone().or(change.counters.take());
            }
            Event::Measured { n, counted } => {
                self.change(*n).map_err(|w| illegal(&w))?.measured = Some(*counted);
            }
            Event::Effect { n, effect } => {
                self.change(*n).map_err(|w| illegal(&w))?.effect = Some(effect.clone());
            }
            Event::Seen { n, what } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                let when = if change.rolled_back.is_some() { &mut change.sees.after } else { &mut change.sees.during };
                *when = Some(what.clone());
            }
            Event::Noticed { instance, what } => {
                self.noticed.push(Observation { at, instance: instance.clone(), what: what.clone() });
            }
            Event::Off { n, .. } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                if change.off.last().is_none_or(|off| off.until.is_some()) {
                    change.off.push(OffSpan { from: at, until: None });
                }
            }
            Event::Again { n } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                if let Some(off) = change.off.last_mut() {
                    off.until.get_or_insert(at);
                }
            }
            Event::TakenOver(by) => self.taken_over = Some(by.clone()),
            Event::Settled { by, why } => {
                self.settled = Some(SettledState { at, by: by.clone(), why: why.clone() });
            }
            Event::Stopping { why, text } => {
                self.stopping.get_or_insert(Stopping { at, why: *why, text: text.clone() });
            }
            Event::RollingBack { n } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                change.rolling_back.get_or_insert(at);
                // It has come late, and is rolled back again.
                change.rolled_back = None;
                change.rollbacks += 1;
            }
            Event::RolledBack { n, outcome, by, took_us } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                change.rolled_back =
                    Some(RolledBack { at, outcome: *outcome, by: *by, took: Duration::from_micros(*took_us) });
                change.stuck = None;
            }
            Event::RollbackFailed { n, error, .. } => {
                self.change(*n).map_err(|w| illegal(&w))?.rollback_errors.push(error.clone());
            }
            Event::Stuck { n, by_hand } => self.change(*n).map_err(|w| illegal(&w))?.stuck = Some(by_hand.clone()),
            Event::Restored(restored) => {
                self.restored.retain(|r| r.instance != restored.instance);
                self.restored.push(restored.clone());
                self.times.restored = Some(at);
            }
            Event::Readdressed(moved) if moved.moves.is_empty() => drop(self.readdressed.remove(&moved.instance)),
            Event::Readdressed(moved) => drop(self.readdressed.insert(moved.instance.clone(), moved.clone())),
            Event::Recovery { rto_ms, checks, missed, never_lost } => {
                self.times.recovery = Some(at);
                self.recovery = Some(RecoveryState {
                    rto: rto_ms.map(Duration::from_millis),
                    checks: checks.iter().map(|(k, v)| (k.clone(), v.map(Duration::from_millis))).collect(),
                    missed: missed.clone(),
                    never_lost: never_lost.clone(),
                });
            }
            Event::AlertFired { alert, after_ms } => {
                self.alert(alert).fired = Some(AlertTurn { at, after: Duration::from_millis(*after_ms) });
            }
            Event::AlertResolved { alert, after_ms } => {
                self.alert(alert).resolved = Some(AlertTurn { at, after: Duration::from_millis(*after_ms) });
            }
            Event::Failover { checks } => self.failover.clone_from(checks),
            Event::Finished { verdict, reason, text } => {
                let verdict = self.started.as_ref().map_or(*verdict, |s| s.on_this_engine(*verdict));
                self.finished = Some(Finished { at, verdict, reason: *reason, text: text.clone() });
            }
        }
        self.seq += 1;
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        Ok(())
    }

    fn extend(&mut self, changes: &[Change]) -> Result<(), String> {
        for change in changes {
            if change.n != self.changes.len() {
                return Err(format!("change {} where {} was expected", change.n, self.changes.len()));
            }
            let before = self.targeted.iter().find(|i| i.id == change.instance);
            let before = before.and_then(|i| i.sees.get(&change.to.aspect())).cloned();
            self.changes.push(ChangeState::planned(change.clone(), before));
        }
        Ok(())
    }

    fn alert(&mut self, name: &str) -> &mut AlertState {
        self.alerts.entry(name.to_owned()).or_default()
    }

    /// A step of a change; refused where it cannot come next, unless something before it could not be read.
    fn step(&mut self, n: usize, step: ChangeStep) -> Result<(), String> {
        let is_whole = self.damaged.is_empty();
        let change = self.change(n)?;
        change.status = match change.status.after(step) {
            Some(next) => next,
            None if is_whole => return Err(format!("{step:?} of change {n}, which is {:?}", change.status)),
            None => step.leads_to(change.status),
        };
        Ok(())
    }

    fn change(&mut self, n: usize) -> Result<&mut ChangeState, String> {
        self.changes.get_mut(n).ok_or_else(|| format!("there is no change {n}"))
    }
}
