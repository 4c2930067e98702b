//! What became of steady state after a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::event::Standing;
use crate::text::units;

/// What is known of the recovery.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryState {
    /// Time to recover; nothing where it did not, in time.
    pub rto: Option<Duration>,
    /// The same for each check.
    pub checks: BTreeMap<String, Option<Duration>>,
    /// What kept those away that did not come back, as far as an expectation did.
    pub missed: BTreeMap<String, Standing>,
    /// The checks whose steady state was never lost, from the first injection on.
    pub never_lost: BTreeSet<String>,
}

/// What became of steady state after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comeback {
    /// It was never lost, so there was nothing to recover.
    NeverLost,
    /// It was back after so long.
    After(Duration),
    /// It was not back in time.
    TooLate,
}

impl Comeback {
    /// By the time that it took; `None` if it was not back in time.
    #[must_use]
    pub fn of(rto: Option<Duration>, never_lost: bool) -> Self {
        match rto {
            Some(_) if never_lost => Self::NeverLost,
            Some(rto) => Self::After(rto),
            None => Self::TooLate,
        }
    }

    /// How long the system took to recover; no time at all where it never had to.
    #[must_use]
    pub fn took(self) -> Option<Duration> {
        match self {
            Self::NeverLost => Some(Duration::ZERO),
            Self::After(rto) => Some(rto),
            Self::TooLate => None,
        }
    }
}

impl std::fmt::Display for Comeback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeverLost => f.write_str("never lost"),
            Self::After(rto) => f.write_str(&units::span(*rto)),
            Self::TooLate => f.write_str("not in time"),
        }
    }
}

impl RecoveryState {
    /// What became of the steady state of all checks together.
    #[must_use]
    pub fn comeback(&self) -> Comeback {
        let lost = self.checks.keys().any(|check| !self.never_lost.contains(check));
        Comeback::of(self.rto, !self.checks.is_empty() && !lost)
    }

    /// What became of the steady state of one check; `None` where it was not awaited.
    #[must_use]
    pub fn of(&self, check: &str) -> Option<Comeback> {
        Some(Comeback::of(*self.checks.get(check)?, self.never_lost.contains(check)))
    }

    /// What kept steady state away, for each check: `checkout: 9 of 250 samples failed, budget 2 (success ≥ 99%): timeout 9`.
    #[must_use]
    pub fn why_not(&self) -> Vec<String> {
        self.missed.iter().map(|(check, standing)| format!("{check}: {}", standing.exceeded())).collect()
    }
}
