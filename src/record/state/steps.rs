//! What happened in a run, step by step: values as they were recorded, with when.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::Outcome;
use crate::model::exit::Verdict;
use crate::record::event::{Actor, GuardKind, Phase, Reason};

/// The begin of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::PhaseBegan")]
pub struct PhaseBegin {
    pub phase: Phase,
    pub at: Timestamp,
}

/// A guard of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Guarded")]
pub struct GuardState {
    pub kind: GuardKind,
    pub id: String,
}

/// Something that happened to an instance and that the run did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Noticed")]
pub struct Observation {
    pub at: Timestamp,
    pub instance: String,
    pub what: String,
}

/// Why a run stopped before its planned end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Stopping")]
pub struct Stopping {
    pub at: Timestamp,
    pub why: Reason,
    pub text: String,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Finished")]
pub struct Finished {
    pub at: Timestamp,
    pub verdict: Verdict,
    pub reason: Reason,
    pub text: String,
}

/// That a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// How long the engine took.
    pub took: Duration,
}

/// Whether a change shows in what can be observed of its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// When that was known.
    pub at: Timestamp,
    /// Whether it shows.
    pub verified: bool,
    /// What shows it, or what was found instead.
    pub proof: String,
}

/// That a change was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledBack {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// By whom.
    pub by: Actor,
    /// How long the engine took.
    pub took: Duration,
}

/// A time in which a change was off before it was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffSpan {
    /// When it was seen to be off.
    pub from: Timestamp,
    /// When it was in effect again; `None` if it was not.
    pub until: Option<Timestamp>,
}

/// The word of a person that what was left behind is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledState {
    /// When it was given.
    pub at: Timestamp,
    /// By whom: user and host.
    pub by: String,
    /// What was done, in the person's words.
    pub why: String,
}

impl std::fmt::Display for SettledState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "settled by {} at {:.0}: {}", self.by, self.at, self.why)
    }
}
