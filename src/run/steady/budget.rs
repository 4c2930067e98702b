//! How many samples of a phase have missed a bound, beside those that may.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::EvidenceTime;
use crate::experiment::probe::Class;
use crate::experiment::{Percent, Share, Span, allowed};

/// What misses the bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// A failure misses it; this share must be good.
    Success(Percent),
    /// What is in excess misses it: at most this share.
    AtMost(Percent),
    /// A failure, or an answer that takes longer, misses it; this quantile (0 to 1) must meet it.
    Latency(f64, Span),
}

/// One budget: an expectation that a few samples may miss.
///
/// A sample that is no evidence ([`EvidenceTime`](super::evidence::EvidenceTime)) counts where it misses the bound and not
/// where it meets it: what broke while a fault was on its way in is known at once, and what held then says nothing.
#[derive(Debug)]
pub(super) struct Budget {
    /// `success`, `p95` …
    pub(super) key: &'static str,
    pub(super) bound: Bound,
    pub(super) allowed: u64,
    pub(super) spent: u64,
    /// How many samples are settled that count.
    pub(super) settled: u64,
    /// How many samples there are to be: those of the phase, and others that missed the bound.
    pub(super) n: u64,
    /// Samples in flight with a smaller number are counted already.
    counted: u64,
    /// The class of answers that it is a share of, if it is not of good ones.
    class: Option<Class>,
}

impl Budget {
    pub(super) fn new(key: &'static str, bound: Bound, n: u64) -> Self {
        let mut budget = Self { key, bound, allowed: 0, spent: 0, settled: 0, n, counted: 0, class: None };
        budget.share_out();
        budget
    }

    /// A share of a class of answers.
    pub(super) fn of_class(class: Class, share: Share, n: u64) -> Self {
        let bound = match share {
            Share::AtMost(share) => Bound::AtMost(share),
            Share::AtLeast(share) => Bound::Success(share),
        };
        Self { class: Some(class), ..Self::new(class.key(), bound, n) }
    }

    /// Whether an answer is as this bound wants it. Of one whose class is not known, the worst is supposed.
    pub(super) fn is_met(&self, good: bool, class: Option<Class>) -> bool {
        match (self.class, self.bound) {
            (None, _) => good,
            (Some(_), Bound::AtMost(_)) => class.is_some() && class != self.class,
            (Some(_), _) => class == self.class,
        }
    }

    fn share_out(&mut self) {
        let keep = match self.bound {
            Bound::Success(share) => share.0,
            Bound::AtMost(share) => 1.0 - share.0,
            Bound::Latency(quantile, _) => quantile,
        };
        self.allowed = allowed(self.n, keep);
    }

    pub(super) fn is_beyond(&self) -> bool {
        self.spent > self.allowed
    }

    fn spend(&mut self, evidence: bool) {
        self.spent += 1;
        if !evidence {
            self.n += 1;
            self.share_out();
        }
    }

    fn refund(&mut self, evidence: bool) {
        self.spent -= 1;
        if !evidence {
            self.n -= 1;
            self.share_out();
        }
    }

    /// Settles one sample: the latency of a good answer, or nothing for a failure. Whether it missed the bound.
    pub(super) fn settle(&mut self, seq: u64, latency: Option<Duration>, evidence: bool) -> bool {
        let missed = match (self.bound, latency) {
            (_, None) => true,
            (Bound::Success(_) | Bound::AtMost(_), Some(_)) => false,
            (Bound::Latency(_, bound), Some(latency)) => latency > bound.0,
        };
        match (seq < self.counted, missed) {
            (false, true) => self.spend(evidence),
            // An answer cannot end before it was seen to be late; were it so, the sample would not have been slow.
            (true, false) => self.refund(evidence),
            _ => {}
        }
        self.settled += u64::from(missed || evidence);
        missed
    }

    /// Settles a sample that could not be measured: it counts for nothing.
    pub(super) fn forget(&mut self, seq: u64, evidence: bool) {
        if seq < self.counted {
            self.refund(evidence);
        }
    }

    /// Counts the samples that are in flight past the bound. Those that are in flight are in the order of their due
    /// time, so that the late ones come first.
    pub(super) fn tick(&mut self, now: Duration, in_flight: &BTreeMap<u64, Duration>, time: &EvidenceTime) {
        let Bound::Latency(_, bound) = self.bound else { return };
        for (seq, due) in in_flight.range(self.counted..) {
            if now <= *due + bound.0 {
                break;
            }
            self.spend(time.counts(*due));
            self.counted = seq + 1;
        }
    }

    /// When the budget is broken unless answers come.
    pub(super) fn deadline(&self, in_flight: &BTreeMap<u64, Duration>) -> Option<Duration> {
        let Bound::Latency(_, bound) = self.bound else { return None };
        let left = usize::try_from(self.allowed.checked_sub(self.spent)?).ok()?;
        if in_flight.len() <= left {
            return None;
        }
        let (_, due) = in_flight.range(self.counted..).nth(left)?;
        Some(*due + bound.0 + Duration::from_nanos(1))
    }

    /// How many samples in flight are counted as late.
    pub(super) fn late(&self, in_flight: &BTreeMap<u64, Duration>) -> u64 {
        in_flight.range(..self.counted).count() as u64
    }
}
