//! Everything that can happen in a run. The journal is a sequence of these, one a line, and all else is read from it.
//!
//! A stored event must stay readable: fields may be added (with a default), never renamed or given another meaning.

mod restored;
mod samples;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Claim, Description, Outcome, ProcessId};
use crate::experiment::Experiment;
pub use crate::model::addresses::Readdressed;
use crate::model::effect::Effect;
use crate::model::exit::Verdict;
use crate::model::instance::{Change, Counted, Epoch, Instance};
use crate::model::machine::counters::Counters;
pub use restored::{Difference, Restored, TakenOver};
pub use samples::{Failover, Judged, Latency, Window};
pub use words::{Actor, GuardKind, Phase, Reason};

pub use crate::model::standing::{Excerpt, Judgement, Standing, Unjudged};

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
    /// The locks on these services are about to be taken on the engine. On disk before that, so that a recovery knows which
    /// to remove.
    Claiming {
        /// One for every service that could be targeted.
        claims: Vec<Claim>,
    },
    /// A lock could not be removed: `squall recover` tries again.
    UnlockFailed {
        /// Of which service.
        service: String,
        /// Why not.
        error: String,
    },
    /// A lock that could not be removed before is gone.
    Unlocked {
        /// Of which service.
        service: String,
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
    /// An expectation has exceeded its budget: the earliest moment at which that is known.
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
    /// The targets are chosen.
    Targeted {
        /// Who will be targeted, as observed.
        targeted: Vec<Instance>,
        /// Who was selected or stands beside them and will not be targeted.
        spared: Vec<Spared>,
    },
    /// A guard stands by: if this process ends in any way, it rolls everything back.
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
        /// When the guard rolls everything back, whatever the runner does.
        deadline: Timestamp,
    },
    /// Further changes, on disk before they are made: a target restarted and is disturbed again.
    Amended {
        /// Numbered on from the plan's.
        changes: Vec<Change>,
    },
    /// The target of a change that is still to be made has another life than planned, after an earlier fault of this run.
    NewLife {
        /// Its number in the plan.
        n: usize,
        /// Since when.
        epoch: Epoch,
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
        /// Whether it could not even be begun: there is nothing to undo then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        never_began: bool,
        /// Whether the engine did not answer: it may still happen.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unanswered: bool,
    },
    /// The proof that a change had its effect, or that it had none.
    Verified {
        /// The change's number.
        n: usize,
        /// Whether it is proven.
        verified: bool,
        /// What was observed.
        proof: String,
        /// What the kernel had counted of the instance by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counters: Option<Counters>,
    },
    /// What has met a disturbance of traffic, read right before it is rolled back.
    Measured {
        /// The change's number.
        n: usize,
        /// The kernel's counters, and ours.
        counted: Counted,
    },
    /// Whether a change had an effect on what goes on at its target: as soon as it has one, and right before it is rolled back.
    Effect {
        /// The change's number.
        n: usize,
        /// What it did.
        effect: Effect,
    },
    /// What an instance sees itself of an aspect that was changed: right before it is rolled back, and when all is as before.
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
    /// A change that should be in effect is seen not to be: its target is down or has a new life, or another process undid it.
    Off {
        /// The change's number.
        n: usize,
        /// What was observed.
        what: String,
    },
    /// A change that was seen to be off is in effect again: its target is up again, and what was changed outlived that.
    Again {
        /// The change's number.
        n: usize,
    },
    /// The run is taken over from a runner that is dead: another process has its journal from here on, and rolls it back.
    TakenOver(TakenOver),
    /// The run stops before its planned end.
    Stopping {
        /// Why.
        why: Reason,
        /// In a sentence.
        text: String,
    },
    /// A change is about to be rolled back.
    RollingBack {
        /// Its number in the plan.
        n: usize,
    },
    /// A change is rolled back.
    RolledBack {
        /// Its number in the plan.
        n: usize,
        /// What came of it.
        outcome: Outcome,
        /// Who did it.
        by: Actor,
        /// How long the engine took (µs).
        took_us: u64,
    },
    /// A change could not be rolled back in one attempt.
    RollbackFailed {
        /// Its number in the plan.
        n: usize,
        /// From 1.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A change could not be rolled back at all.
    Stuck {
        /// Its number in the plan.
        n: usize,
        /// The command that a person would type.
        by_hand: String,
    },
    /// The proof that an instance is as it was, or what differs.
    Restored(Restored),
    /// An instance has other addresses than before the run.
    Readdressed(Readdressed),
    /// A person has seen to what could not be rolled back, and says so: nothing of the run is left.
    Settled {
        /// Who: user and host.
        by: String,
        /// What was done, in the person's words.
        why: String,
    },
    /// Whether steady state came back in time.
    Recovery {
        /// From the rollback (from the injection with `heal: self`) to the first good sample of the first whole good
        /// window (ms); nothing where it did not come back in time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rto_ms: Option<u64>,
        /// The same for each check (ms).
        checks: BTreeMap<String, Option<u64>>,
        /// Of each check that did not come back, the first expectation that its last window did not meet.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        missed: BTreeMap<String, Standing>,
        /// The checks whose steady state was never lost: from the first injection on, every window as long as the baseline met all
        /// its expectations. Their time is 0. Journals of older programs do not tell.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        never_lost: BTreeSet<String>,
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
    /// The failover clock, where zones were targeted.
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
    /// The process that runs it. Journals of older programs do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessId>,
}

impl Started {
    /// The verdict that a reason leads to on this run's engine: what a simulated one comes to is a rehearsal.
    #[must_use]
    pub fn verdict(&self, reason: Reason) -> Verdict {
        self.on_this_engine(reason.verdict())
    }

    /// A verdict as this run's engine allows it.
    #[must_use]
    pub fn on_this_engine(&self, verdict: Verdict) -> Verdict {
        if self.engine.is_simulated() { verdict.rehearsed() } else { verdict }
    }
}

/// An instance that is not targeted, and why.
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
    /// What it may be called in answers beside these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub called: Vec<String>,
    /// Why it is not targeted: `not picked`, `protected by squall.protect=true`, `other service` …
    pub why: String,
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
