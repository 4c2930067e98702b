//! When steady state is back: the first whole window that meets every expectation.

use std::time::Duration;

use crate::experiment::{Expect, Rate};
use crate::probe::Answer;

/// Watches one check for the first whole good window after an origin.
#[derive(Debug)]
pub struct Recovery {
    rto: Option<Duration>,
}

impl Recovery {
    /// `window` is as long as the baseline; `origin` is the begin of the way back (of the fault, with `heal: self`).
    #[must_use]
    pub fn new(expect: &Expect, rate: Rate, window: Duration, origin: Duration) -> Self {
        let _ = (expect, rate, window, origin);
        Self { rto: None }
    }

    /// A question is out. Those due before the origin are ignored.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        let _ = (seq, due);
    }

    /// An answer is there. The time from the origin to the first good answer of the first whole good window, once.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Duration> {
        let _ = (seq, due, end, answer);
        None
    }

    /// The recovery time, once steady state is back.
    #[must_use]
    pub fn rto(&self) -> Option<Duration> {
        self.rto
    }

    /// Whether steady state is back.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.rto.is_some()
    }
}
