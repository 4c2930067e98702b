//! The words that events use for what happens in every run: phases, who does it, and why it ended. Scripts may depend on them.

use serde::{Deserialize, Serialize};

use crate::model::exit::Verdict;

/// The phases of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Phase {
    /// The engine is asked, the fleet is looked at.
    Preflight,
    /// Samples are taken and not judged.
    WarmUp,
    /// Steady state is proven; nothing has been touched.
    Baseline,
    /// The fault is on, from the first change to the begin of the rollback.
    During,
    /// Everything is being rolled back.
    Rollback,
    /// Steady state is awaited.
    Recovery,
}

/// The kinds of guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum GuardKind {
    /// A process in a session of its own.
    Process,
    /// A container on the engine.
    Container,
    /// None: the world is simulated.
    None,
}

/// Who took something back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Actor {
    /// The process that ran the experiment.
    Runner,
    /// Its guard.
    Guard,
    /// `squall recover`, or a later run that began with it.
    Recover,
    /// The helper on a node, which heard no more of its runner.
    Node,
}

/// Why a run ended as it did: a field of the reports that scripts may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// The hypothesis held, and steady state was back in time.
    HypothesisHeld,
    /// The same, and a fault had no effect at all, which its file allows (`idle: allowed`).
    HeldWithoutEffect,
    /// An expectation exceeded its budget while the fault was on.
    HypothesisBroken,
    /// Steady state did not come back in time.
    RecoveryTooSlow,
    /// An expected alert did not fire in time.
    AlertMissing,
    /// An expected alert was not resolved in time.
    AlertUnresolved,
    /// Steady state was not met before anything was touched.
    BaselineNotMet,
    /// More than 1 % of a probe's samples could not be measured.
    NotMeasured,
    /// What was measured while the fault was on is not enough to judge: no sample, or samples that hung until it was rolled back.
    NoEvidence,
    /// A `safety` probe exceeded its budget.
    SafetyBreached,
    /// Nothing matches the target.
    NoTarget,
    /// The blast radius, or something about a target, does not allow it.
    Refused,
    /// The engine cannot be reached, or does not do what it should.
    EngineFailed,
    /// Another run has the service.
    Claimed,
    /// A target was another one than planned, or gone, before it was targeted.
    TargetChanged,
    /// A change could not be made.
    NotInjected,
    /// A change was made and had no effect that could be observed.
    NotVerified,
    /// A fault had no effect on what goes on at its targets, such as a delay that no packet met.
    NoEffect,
    /// The fault went away by itself before its time.
    FaultVanished,
    /// No guard could be had, so nothing was touched; or it was lost.
    GuardMissing,
    /// Somebody stopped the run (a signal).
    Interrupted,
    /// `squall halt` stopped it.
    Halted,
    /// The runner took longer than planned; its guard ended it and rolled everything back.
    DeadlinePassed,
    /// The runner ended without a word; its guard or a later command rolled everything back.
    RunnerDied,
    /// The journal could not be written.
    JournalFailed,
    /// A bug in Squall.
    Panicked,
    /// Something could not be rolled back.
    LeftBehind,
}

impl Reason {
    /// The verdict that this reason leads to, as long as everything was rolled back.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::HypothesisHeld | Self::HeldWithoutEffect => Verdict::Held,
            Self::HypothesisBroken | Self::RecoveryTooSlow | Self::AlertMissing | Self::AlertUnresolved => {
                Verdict::Broken
            }
            Self::LeftBehind => Verdict::LeftBehind,
            _ => Verdict::NoVerdict,
        }
    }

    /// The word that reports use, such as `hypothesis-broken`.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.into()
    }
}
