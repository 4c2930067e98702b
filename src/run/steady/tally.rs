//! What was counted of a phase's samples.

use std::collections::BTreeMap;

use crate::experiment::probe::Answer;

/// Whether a phase is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    No,
    /// Before its time.
    Cut,
    Whole,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) samples: u64,
    pub(super) failed: u64,
    pub(super) unmeasured: u64,
    /// Of all these, those that were due when they are evidence; and the good ones among them.
    pub(super) evidence: (u64, u64),
    /// Failures that were due when good answers would have been no evidence.
    pub(super) early: u64,
    /// Good ones that are no evidence, and counted nowhere else.
    pub(super) set_aside: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) unmeasured_why: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, answer: &Answer, evidence: bool) {
        self.samples += 1;
        self.evidence.0 += u64::from(evidence);
        match answer {
            Answer::Good { .. } => self.evidence.1 += u64::from(evidence),
            Answer::Failed(failure) => {
                self.failed += 1;
                self.early += u64::from(!evidence);
                count(&mut self.failures, &failure.0);
            }
            Answer::NotMeasured(why) => {
                self.unmeasured += 1;
                count(&mut self.unmeasured_why, why);
            }
        }
    }
}

/// Counts by kind; a flood of kinds becomes `other`, so that no journal line grows without bound.
pub(super) fn count(kinds: &mut BTreeMap<String, u64>, kind: &str) {
    const KINDS: usize = 20;
    let kind = if kinds.len() < KINDS || kinds.contains_key(kind) { kind } else { "other" };
    *kinds.entry(kind.to_owned()).or_default() += 1;
}
