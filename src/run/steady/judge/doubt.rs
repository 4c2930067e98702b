//! What is not known of a phase: samples that hung when its fault was rolled back.

use std::time::Duration;

use super::Judge;
use super::degraded::Degraded;
use crate::experiment::probe::{Answer, Failure};

/// A machine that is busy may hold up any answer for so long.
const HICCUP: Duration = Duration::from_millis(250);

/// What is not known of a phase, though the verdict hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The expectation that might exceed its budget.
    pub expectation: String,
    /// How many samples hung.
    pub hung: usize,
    /// For how long the first of them had waited.
    pub longest: Duration,
}

impl Judge {
    /// What is not known of a finished phase that was not cut short, though the verdict hangs on it: an expectation that would
    /// have exceeded its budget, had no answer come to those samples that hung when the fault was rolled back. A sample hangs that
    /// has waited longer than any answer took before, and by more than a busy machine explains.
    pub fn in_doubt(&mut self, silence_is_failure: bool) -> Option<Doubt> {
        // Where it is to fail, what hangs is no proof that it would have answered.
        if self.degraded.as_ref().is_some_and(Degraded::must_fail) {
            return None;
        }
        let elapsed = self.time.elapsed(self.time.end());
        let unusual = self.slowest() + HICCUP.min(elapsed / 4);
        let waited = |due: &Duration| self.time.end().saturating_sub(*due);
        let hung: Vec<(u64, Duration)> =
            self.in_flight.iter().filter(|(_, due)| waited(due) > unusual).map(|(seq, due)| (*seq, *due)).collect();
        let longest = hung.iter().map(|(_, due)| waited(due)).max()?;
        // One who watches is late for reasons of its own, unless it is for most of the time.
        if !silence_is_failure && longest <= elapsed / 2 {
            return None;
        }
        let failed = Answer::Failed(Failure(String::new()));
        let mut broken = None;
        for (seq, due) in &hung {
            broken = broken.or(self.answered(*seq, *due, self.time.end(), &failed));
        }
        broken.map(|standing| Doubt { expectation: standing.expectation, hung: hung.len(), longest })
    }
}
