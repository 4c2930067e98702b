//! Everything that can happen in a run. The journal is a sequence of these, one a line, and all else is read from it.
//!
//! A stored event must stay readable: fields may be added (with a default), never renamed or given another meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Description, Outcome};
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::instance::{Change, Counted, Instance};

/// The format of the journal, in its first event. A newer program reads every older one.
pub const FORMAT: u32 = 1;

/// An event with its place and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Its place in the journal, from 0.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// A run has begun; nothing has been touched.
    Started(Box<Started>),
    /// The markers of these services are about to be taken on the engine. On disk before that, so that whoever takes
    /// over knows which to let go.
    Claiming {
        /// Every service that could be hit.
        services: Vec<String>,
    },
    /// Something that people should know and that stops nothing.
    Warned {
        /// In a sentence.
        text: String,
    },
    /// A phase has begun.
    PhaseBegan {
        /// Which.
        phase: Phase,
        /// How long it is planned to take (ms), where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        planned_ms: Option<u64>,
    },
    /// What a probe saw in a short span of time.
    Sampled(Window),
    /// What a probe came to at the end of a phase.
    Judged(Judged),
    /// An expectation is beyond its budget: the earliest moment at which that is known.
    Breached {
        /// In which phase the deciding sample was due.
        phase: Phase,
        /// Which check, or which alert.
        check: String,
        /// Whether it is one of `safety`.
        #[serde(default)]
        safety: bool,
        /// The expectation, as it stands.
        standing: Standing,
    },
    /// The victims are chosen.
    Targeted {
        /// Who will be hit, as observed.
        hit: Vec<Instance>,
        /// Who was selected or stands beside them and will not be hit.
        spared: Vec<Spared>,
    },
    /// A guard stands by: if this process ends in any way, it takes everything back.
    Guarded {
        /// What kind of guard.
        kind: GuardKind,
        /// Its PID or container id.
        id: String,
    },
    /// All changes of the run. On disk before the first of them is made.
    Planned {
        /// In the order in which they are made.
        changes: Vec<Change>,
        /// When the guard takes everything back, whatever the runner does.
        deadline: Timestamp,
    },
    /// Further changes, on disk before they are made: a target restarted and is disturbed again.
    Amended {
        /// Numbered on from the plan's.
        changes: Vec<Change>,
    },
    /// A change is about to be made.
    Injecting {
        /// Its number in the plan.
        n: usize,
    },
    /// A change is made.
    Injected {
        /// Its number in the plan.
        n: usize,
        /// What came of it.
        outcome: Outcome,
        /// How long the engine took (µs).
        took_us: u64,
    },
    /// A change could not be made.
    InjectFailed {
        /// Its number in the plan.
        n: usize,
        /// Why.
        error: String,
    },
    /// The proof that a change had its effect, or that it had none.
    Bite {
        /// The change's number.
        n: usize,
        /// Whether it is proven.
        proven: bool,
        /// What was observed.
        proof: String,
    },
    /// What has met a disturbance of traffic, read right before it is taken back.
    Measured {
        /// The change's number.
        n: usize,
        /// The kernel's counters, and ours.
        counted: Counted,
    },
    /// What an instance sees itself of an aspect that was changed: right before it is taken back, and when all is as before.
    Seen {
        /// The change's number.
        n: usize,
        /// In words.
        what: String,
    },
    /// Something happened to an instance that this run did not do.
    Noticed {
        /// The instance's name.
        instance: String,
        /// What was observed.
        what: String,
    },
    /// The run stops before its planned end.
    Stopping {
        /// Why.
        why: Reason,
        /// In a sentence.
        text: String,
    },
    /// A change is about to be taken back.
    Reverting {
        /// Its number in the plan.
        n: usize,
    },
    /// A change is taken back.
    Reverted {
        /// Its number in the plan.
        n: usize,
        /// What came of it.
        outcome: Outcome,
        /// Who did it.
        by: Actor,
        /// How long the engine took (µs).
        took_us: u64,
    },
    /// A change could not be taken back in one attempt.
    RevertFailed {
        /// Its number in the plan.
        n: usize,
        /// From 1.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A change could not be taken back at all.
    Stuck {
        /// Its number in the plan.
        n: usize,
        /// The command that a person would type.
        by_hand: String,
    },
    /// The proof that an instance is as it was, or what differs.
    Restored {
        /// The instance's name.
        instance: String,
        /// What differs from before; empty where nothing does.
        differences: Vec<String>,
    },
    /// Whether steady state came back in time.
    Recovery {
        /// From the revert (from the injection with `heal: self`) to the first good sample of the first whole good
        /// window (ms); nothing where it did not come back in time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rto_ms: Option<u64>,
        /// The same for each check (ms).
        checks: BTreeMap<String, Option<u64>>,
    },
    /// An expected alert is first seen firing.
    AlertFired {
        /// Its name in the file.
        alert: String,
        /// How long after the first change (ms): the time to detect.
        after_ms: u64,
    },
    /// An expected alert that fired is first seen not to fire any more.
    AlertResolved {
        /// Its name in the file.
        alert: String,
        /// How long after the fault was gone (ms).
        after_ms: u64,
    },
    /// The failover clock, where zones were hit.
    Failover {
        /// For each check.
        checks: BTreeMap<String, Failover>,
    },
    /// The run is over.
    Finished {
        /// What it came to.
        verdict: Verdict,
        /// Why exactly.
        reason: Reason,
        /// In a sentence.
        text: String,
    },
}

/// What the failover clock of one check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failover {
    /// From the first injection on a zone to the first good answer of those who were not hit after which the check stayed good
    /// (ms); nothing where there was none until the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_ms: Option<u64>,
    /// How many questions failed until then.
    pub failed: u64,
    /// How long it had to stay good for that (ms).
    pub stretch_ms: u64,
    /// From the begin of the way back to the first good answer of one who was hit (ms); nothing where there was none, or
    /// answers do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_ms: Option<u64>,
    /// Whether answers tell who gave them.
    pub told: bool,
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Started {
    /// Format of the journal.
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// The run's id.
    pub run: String,
    /// The experiment, with `${NAME}` where a probe or command has variables.
    pub experiment: Experiment,
    /// The file it came from.
    pub file: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The engine.
    pub engine: Description,
    /// Who runs it: user and host.
    pub owner: String,
}

/// The phases of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The engine is asked, the fleet is looked at.
    Preflight,
    /// Samples are taken and not judged.
    WarmUp,
    /// Steady state is proven; nothing has been touched.
    Baseline,
    /// The fault is on, from the first change to the begin of the way back.
    During,
    /// Everything is being taken back.
    Revert,
    /// Steady state is awaited.
    Recovery,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preflight => "preflight",
            Self::WarmUp => "warm-up",
            Self::Baseline => "baseline",
            Self::During => "fault on",
            Self::Revert => "taking back",
            Self::Recovery => "recovery",
        })
    }
}

/// What a probe saw in a short span of time: the points of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Window {
    /// Which check.
    pub check: String,
    /// In which phase the samples were due.
    pub phase: Phase,
    /// Begin of the span.
    pub from: Timestamp,
    /// Its length (ms).
    pub length_ms: u64,
    /// Samples that were due in it and are settled.
    pub samples: u64,
    /// Of these, failures of the system.
    pub failed: u64,
    /// Of these, questions that could not be asked.
    pub unasked: u64,
    /// Latency of the good answers (ms): median, 95th and 99th percentile, largest. Nothing where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The last value that was read, for probes that read one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Good answers by who gave them, for probes that are told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by: BTreeMap<String, u64>,
    /// Failures by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// How every expectation of the running phase stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standings: Vec<Standing>,
}

/// Quantiles of latency (ms).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// How one expectation stands, now or at the end of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// `success`, `p95`, `max-outage`, `rate`, `value` …
    pub expectation: String,
    /// The bound as people read it: `≥ 99%`, `≤ 300ms`.
    pub bound: String,
    /// What was measured as people read it; `–` where there is nothing yet.
    pub measured: String,
    /// The same as a number: ratio from 0 to 1, ms, answers per second, or the value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// How many samples may miss the bound in this phase, where it is a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// How many have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<u64>,
    /// Whether it holds so far.
    pub held: bool,
}

/// What a probe came to in a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Judged {
    /// Which check.
    pub check: String,
    /// Whether it is one of `safety`.
    #[serde(default)]
    pub safety: bool,
    /// In which phase.
    pub phase: Phase,
    /// Samples that were due and are settled.
    pub samples: u64,
    /// Of these, failures of the system.
    pub failed: u64,
    /// Of these, questions that could not be asked.
    pub unasked: u64,
    /// Why they could not be asked, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unasked_why: BTreeMap<String, u64>,
    /// Failures by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// The longest unbroken run of failures (ms).
    #[serde(default)]
    pub longest_outage_ms: u64,
    /// Latency of the good answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The whole distribution of the good answers' latency: (µs, how many), ascending, within 1 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<(u64, u64)>,
    /// How every expectation came out.
    pub standings: Vec<Standing>,
}

/// An instance that is not hit, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spared {
    /// The instance's name.
    pub name: String,
    /// Its id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its service.
    pub service: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Why it is not hit: `not picked`, `protected by squall.protect=true`, `other service` …
    pub why: String,
}

/// The kinds of guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardKind {
    /// A process in a session of its own.
    Process,
    /// A container on the engine.
    Container,
    /// None: the world is simulated.
    None,
}

impl fmt::Display for GuardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::None => "none",
        })
    }
}

/// Who took something back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The process that ran the experiment.
    Runner,
    /// Its guard.
    Guard,
    /// `squall recover`, or a later run that began with it.
    Recover,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runner => "runner",
            Self::Guard => "guard",
            Self::Recover => "recover",
        })
    }
}

/// Why a run ended as it did: a field of the reports that scripts may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The hypothesis held, and steady state was back in time.
    HypothesisHeld,
    /// An expectation went beyond its budget while the fault was on.
    HypothesisBroken,
    /// Steady state did not come back in time.
    RecoveryTooSlow,
    /// An expected alert did not fire in time.
    AlertMissing,
    /// An expected alert was not resolved in time.
    AlertUnresolved,
    /// Steady state was not met before anything was touched.
    BaselineNotMet,
    /// More than 1 % of a probe's questions could not be asked.
    CouldNotAsk,
    /// A `safety` probe went beyond its budget.
    SafetyBreached,
    /// Nothing matches the target.
    NoTarget,
    /// The blast radius, or something about a target, does not allow it.
    Refused,
    /// The engine cannot be reached, or does not do what it should.
    EngineFailed,
    /// Another run has the service.
    Claimed,
    /// A target was another one than planned, or gone, before it was hit.
    TargetChanged,
    /// A change could not be made.
    NotInjected,
    /// A change was made and had no effect that could be observed.
    NoBite,
    /// The fault went away by itself before its time.
    FaultVanished,
    /// No guard could be had, so nothing was touched; or it was lost.
    GuardMissing,
    /// Somebody stopped the run (a signal).
    Interrupted,
    /// `squall halt` stopped it.
    Halted,
    /// The runner took longer than planned.
    DeadlinePassed,
    /// The runner ended without a word; its guard or a later command took everything back.
    RunnerDied,
    /// The journal could not be written.
    JournalFailed,
    /// A bug in Squall.
    Panicked,
    /// Something could not be taken back.
    LeftBehind,
}

impl Reason {
    /// The verdict that this reason leads to, as long as everything was taken back.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::HypothesisHeld => Verdict::Held,
            Self::HypothesisBroken | Self::RecoveryTooSlow | Self::AlertMissing | Self::AlertUnresolved => {
                Verdict::Broken
            }
            Self::LeftBehind => Verdict::LeftBehind,
            _ => Verdict::NoVerdict,
        }
    }

    /// The word that reports use, such as `hypothesis-broken`.
    #[must_use]
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// A duration in microseconds, as events store it.
#[must_use]
pub fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in milliseconds, as events store it.
#[must_use]
pub fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
