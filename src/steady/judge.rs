//! One check in one phase: what of each expectation's budget is spent, and the moment at which one is beyond it.

use std::time::Duration;

use crate::event::{Judged, Phase, Standing};
use crate::experiment::{Expect, Rate};
use crate::probe::Answer;

/// Judges one check in one phase. Samples that were due outside the phase are ignored, so that a caller may show every
/// sample to every judge. `asked` comes before `answered`, in the order of `seq`.
#[derive(Debug)]
pub struct Judge {
    check: String,
    safety: bool,
    phase: Phase,
}

impl Judge {
    /// For a phase that begins at `from` and is planned to take `length`.
    #[must_use]
    pub fn new(
        check: &str,
        safety: bool,
        phase: Phase,
        expect: &Expect,
        rate: Rate,
        from: Duration,
        length: Duration,
    ) -> Self {
        let _ = (expect, rate, from, length);
        Self { check: check.to_owned(), safety, phase }
    }

    /// A question is out.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        let _ = (seq, due);
    }

    /// An answer is there. The expectation that this put beyond its budget, if it is the first time.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Standing> {
        let _ = (seq, due, end, answer);
        None
    }

    /// Time has passed: a question in flight past its bound counts, and an outage goes on.
    pub fn tick(&mut self, now: Duration) -> Option<Standing> {
        let _ = now;
        None
    }

    /// When `tick` could next break something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// Whether every question of this phase that is out has been answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        true
    }

    /// How every expectation stands.
    #[must_use]
    pub fn standings(&self, now: Duration) -> Vec<Standing> {
        let _ = now;
        Vec::new()
    }

    /// The phase is over (`now` is its end, or earlier where it was cut short): rates are judged. Questions still in
    /// flight and not past a bound count for nothing, so wait for `is_settled` where there is time.
    pub fn finish(&mut self, now: Duration) -> (Judged, Option<Standing>) {
        let _ = now;
        let judged = Judged {
            check: self.check.clone(),
            safety: self.safety,
            phase: self.phase,
            samples: 0,
            failed: 0,
            unasked: 0,
            unasked_why: std::collections::BTreeMap::new(),
            failures: std::collections::BTreeMap::new(),
            longest_outage_ms: 0,
            latency: None,
            distribution: Vec::new(),
            standings: Vec::new(),
        };
        (judged, None)
    }

    /// The share (0 to 1) of this phase's questions that could not be asked; 1 where a finished phase had none at all.
    /// Above [`MOST_UNASKED`](super::MOST_UNASKED) there is no verdict.
    #[must_use]
    pub fn unasked_share(&self) -> f64 {
        0.0
    }
}
