//! The state of a run: the fold of its events and nothing else.
//!
//! Used live, for recovery and for every report alike, so that none of them can disagree. Knows no file and no channel.

mod alert;

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

pub use alert::{AlertState, AlertStep};

use crate::engine::{Kind, Outcome};
use crate::event::{
    Actor, Event, Failover, GuardKind, Judged, Phase, Reason, Spared, Stamped, Standing, Started, Window,
};
use crate::exit::Verdict;
use crate::instance::{Back, Change, Counted, Instance, Setting};

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    /// How many events are folded in.
    pub seq: u64,
    /// The first event's time.
    pub began: Option<Timestamp>,
    /// The last event's time.
    pub last: Option<Timestamp>,
    /// How it began.
    pub started: Option<Box<Started>>,
    /// The services whose markers are taken, or about to be.
    pub claimed: Vec<String>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// The phases so far, each with its begin; one ends where the next begins.
    pub phases: Vec<(Phase, Timestamp)>,
    /// How long the running phase is planned to take (ms).
    pub planned_ms: Option<u64>,
    /// What the probes saw, in the order of the file.
    pub checks: IndexMap<String, CheckState>,
    /// The alerts that were expected, in the order of the file.
    pub alerts: IndexMap<String, AlertState>,
    /// The first breach of each check and phase.
    pub breaches: Vec<Breach>,
    /// Who is hit.
    pub hit: Vec<Instance>,
    /// Who is not.
    pub spared: Vec<Spared>,
    /// The guards, newest last.
    pub guards: Vec<(GuardKind, String)>,
    /// All changes, by number.
    pub changes: Vec<ChangeState>,
    /// When the guard acts, whatever the runner does.
    pub deadline: Option<Timestamp>,
    /// What happened to instances that this run did not do.
    pub noticed: Vec<(Timestamp, String, String)>,
    /// Why it stopped before its planned end: the first reason given.
    pub stopping: Option<(Timestamp, Reason, String)>,
    /// The instances after the way back: name, and what differs.
    pub restored: Vec<(String, Vec<String>)>,
    /// The recovery, once it is known.
    pub recovery: Option<RecoveryState>,
    /// The failover clock of each check, where zones were hit.
    pub failover: BTreeMap<String, Failover>,
    /// The end, once it is reached.
    pub finished: Option<(Timestamp, Verdict, Reason, String)>,
    /// When the steps came that have no time of their own above.
    pub times: Times,
}

/// When certain steps came, for the timeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// The victims were chosen.
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

/// An expectation beyond its budget.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in Event::Breached")]
pub struct Breach {
    pub at: Timestamp,
    pub phase: Phase,
    pub check: String,
    pub safety: bool,
    pub standing: Standing,
}

/// What an instance sees itself of an aspect, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sees {
    /// When the change was planned.
    pub before: Option<String>,
    /// Right before it was taken back.
    pub during: Option<String>,
    /// When all was as before.
    pub after: Option<String>,
}

/// What is known of a change.
#[derive(Debug, Clone)]
pub struct ChangeState {
    /// The change.
    pub change: Change,
    /// When it was about to be made.
    pub injecting: Option<Timestamp>,
    /// When it was made, what came of it, and how long that took.
    pub injected: Option<(Timestamp, Outcome, Duration)>,
    /// Why it could not be made.
    pub inject_error: Option<String>,
    /// Whether its effect is proven, and how.
    pub bite: Option<(Timestamp, bool, String)>,
    /// What has met it, where it disturbs traffic.
    pub measured: Option<Counted>,
    /// What its instance sees itself of what was changed.
    pub sees: Sees,
    /// When it was about to be taken back.
    pub reverting: Option<Timestamp>,
    /// When it was taken back, what came of it, by whom, and how long that took.
    pub reverted: Option<(Timestamp, Outcome, Actor, Duration)>,
    /// Why attempts to take it back failed.
    pub revert_errors: Vec<String>,
    /// The command to take it back by hand, where all attempts failed.
    pub stuck: Option<String>,
}

/// What is known of the recovery.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryState {
    /// Time to recover; nothing where it did not, in time.
    pub rto: Option<Duration>,
    /// The same for each check.
    pub checks: BTreeMap<String, Option<Duration>>,
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
    /// Who disturbs traffic in a change, in words; nothing where nobody really does.
    #[must_use]
    pub fn mechanism(&self, change: &Change) -> Option<String> {
        let real = self.started.as_ref().is_none_or(|s| s.engine.kind != Kind::Sim);
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
        if self.started.is_none() && !matches!(stamped.event, Event::Started(_)) {
            return Err(illegal("it comes before the start"));
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
            Event::Claiming { services } => self.claimed.clone_from(services),
            Event::Warned { text } => self.warnings.push(text.clone()),
            Event::PhaseBegan { phase, planned_ms } => {
                self.phases.push((*phase, at));
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
            Event::Targeted { hit, spared } => {
                self.hit.clone_from(hit);
                self.spared.clone_from(spared);
                self.times.targeted = Some(at);
            }
            Event::Guarded { kind, id } => {
                self.guards.push((*kind, id.clone()));
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
                let ending = |fault| self.changes.iter().any(|c| c.change.fault == fault && c.reverting.is_some());
                if changes.iter().any(|c| ending(c.fault)) {
                    return Err(illegal("an amendment of a fault whose way back has begun"));
                }
                self.extend(changes).map_err(|why| illegal(&why))?;
            }
            Event::Injecting { n } => self.change(*n).map_err(|w| illegal(&w))?.injecting = Some(at),
            Event::Injected { n, outcome, took_us } => {
                self.change(*n).map_err(|w| illegal(&w))?.injected =
                    Some((at, *outcome, Duration::from_micros(*took_us)));
            }
            Event::InjectFailed { n, error } => {
                self.change(*n).map_err(|w| illegal(&w))?.inject_error = Some(error.clone());
            }
            Event::Bite { n, proven, proof } => {
                self.change(*n).map_err(|w| illegal(&w))?.bite = Some((at, *proven, proof.clone()));
            }
            Event::Measured { n, counted } => {
                self.change(*n).map_err(|w| illegal(&w))?.measured = Some(*counted);
            }
            Event::Seen { n, what } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                let when = if change.reverted.is_some() { &mut change.sees.after } else { &mut change.sees.during };
                *when = Some(what.clone());
            }
            Event::Noticed { instance, what } => self.noticed.push((at, instance.clone(), what.clone())),
            Event::Stopping { why, text } => {
                self.stopping.get_or_insert((at, *why, text.clone()));
            }
            Event::Reverting { n } => {
                self.change(*n).map_err(|w| illegal(&w))?.reverting.get_or_insert(at);
            }
            Event::Reverted { n, outcome, by, took_us } => {
                let change = self.change(*n).map_err(|w| illegal(&w))?;
                change.reverted = Some((at, *outcome, *by, Duration::from_micros(*took_us)));
                change.stuck = None;
            }
            Event::RevertFailed { n, error, .. } => {
                self.change(*n).map_err(|w| illegal(&w))?.revert_errors.push(error.clone());
            }
            Event::Stuck { n, by_hand } => self.change(*n).map_err(|w| illegal(&w))?.stuck = Some(by_hand.clone()),
            Event::Restored { instance, differences } => {
                self.restored.retain(|(name, _)| name != instance);
                self.restored.push((instance.clone(), differences.clone()));
                self.times.restored = Some(at);
            }
            Event::Recovery { rto_ms, checks } => {
                self.times.recovery = Some(at);
                self.recovery = Some(RecoveryState {
                    rto: rto_ms.map(Duration::from_millis),
                    checks: checks.iter().map(|(k, v)| (k.clone(), v.map(Duration::from_millis))).collect(),
                });
            }
            Event::AlertFired { alert, after_ms } => {
                self.alert(alert).fired = Some((at, Duration::from_millis(*after_ms)));
            }
            Event::AlertResolved { alert, after_ms } => {
                self.alert(alert).resolved = Some((at, Duration::from_millis(*after_ms)));
            }
            Event::Failover { checks } => self.failover.clone_from(checks),
            Event::Finished { verdict, reason, text } => self.finished = Some((at, *verdict, *reason, text.clone())),
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
            let before = self.hit.iter().find(|i| i.id == change.instance);
            let before = before.and_then(|i| i.sees.get(&change.to.aspect())).cloned();
            self.changes.push(ChangeState {
                change: change.clone(),
                injecting: None,
                injected: None,
                inject_error: None,
                bite: None,
                measured: None,
                sees: Sees { before, ..Sees::default() },
                reverting: None,
                reverted: None,
                revert_errors: Vec::new(),
                stuck: None,
            });
        }
        Ok(())
    }

    fn alert(&mut self, name: &str) -> &mut AlertState {
        self.alerts.entry(name.to_owned()).or_default()
    }

    fn change(&mut self, n: usize) -> Result<&mut ChangeState, String> {
        self.changes.get_mut(n).ok_or_else(|| format!("there is no change {n}"))
    }

    /// The changes that are planned and not taken back, newest first. A change whose injection is not recorded counts:
    /// the record may be lost, and taking back is safe to repeat.
    #[must_use]
    pub fn outstanding(&self) -> Vec<&ChangeState> {
        self.changes.iter().rev().filter(|c| c.reverted.is_none() && c.change.back != Back::Nothing).collect()
    }

    /// The changes that count: the newest of each aspect of each instance. An amendment takes the place of what it amends.
    pub fn current(&self) -> impl Iterator<Item = &ChangeState> {
        self.changes.iter().enumerate().filter_map(|(n, c)| {
            let same = |later: &ChangeState| {
                later.change.instance == c.change.instance && later.change.to.aspect() == c.change.to.aspect()
            };
            (!self.changes[n + 1..].iter().any(same)).then_some(c)
        })
    }

    /// The changes that should be in effect: made, and not being taken back.
    pub fn on(&self) -> impl Iterator<Item = &ChangeState> {
        self.current().filter(|c| c.injected.is_some() && c.reverting.is_none())
    }

    /// Whether a phase has been reached.
    #[must_use]
    pub fn reached(&self, phase: Phase) -> bool {
        self.phases.iter().any(|(p, _)| *p == phase)
    }

    /// From when to when a phase was on; the last one ends with the run.
    #[must_use]
    pub fn span_of(&self, phase: Phase) -> Option<(Timestamp, Timestamp)> {
        let i = self.phases.iter().position(|(p, _)| *p == phase)?;
        let end = self.phases.get(i + 1).map(|(_, at)| *at).or(self.finished.as_ref().map(|f| f.0)).or(self.last)?;
        Some((self.phases[i].1, end))
    }

    /// The breach that decided the run, if one did: the first while the fault was on.
    #[must_use]
    pub fn breach(&self) -> Option<&Breach> {
        self.breaches.iter().find(|b| b.phase == Phase::During && !b.safety)
    }

    /// When the first change was injected: what people's times count from.
    #[must_use]
    pub fn injected(&self) -> Option<Timestamp> {
        self.changes.iter().filter_map(|c| c.injected.as_ref().map(|i| i.0)).min()
    }

    /// From the breach to the last change taken back.
    #[must_use]
    pub fn abort_latency(&self) -> Option<Duration> {
        let breach = self.breaches.iter().find(|b| b.phase == Phase::During)?.at;
        let last = self.changes.iter().filter_map(|c| c.reverted.as_ref().map(|r| r.0)).max()?;
        Duration::try_from(last.duration_since(breach)).ok()
    }

    /// The same where a breach stopped the run and everything was taken back; else nothing.
    #[must_use]
    pub fn stopped_in(&self) -> Option<Duration> {
        let (_, why, _) = self.stopping.as_ref()?;
        let by_breach = matches!(why, Reason::HypothesisBroken | Reason::AlertMissing | Reason::SafetyBreached);
        if by_breach && self.outstanding().is_empty() { self.abort_latency() } else { None }
    }

    /// The time for which the system was bad from the injection on, by the worst check of the hypothesis.
    #[must_use]
    pub fn bad(&self) -> Duration {
        let Some(x) = self.started.as_ref().map(|s| &s.experiment) else { return Duration::ZERO };
        let bad = x.steady_state.iter().filter_map(|(name, check)| {
            let windows = &self.checks.get(name)?.windows;
            let after = windows.iter().filter(|w| matches!(w.phase, Phase::During | Phase::Revert | Phase::Recovery));
            let failed: u64 = after.map(|w| w.failed).sum();
            Duration::try_from_secs_f64(failed as f64 / check.rate.0).ok()
        });
        bad.max().unwrap_or_default()
    }
}
