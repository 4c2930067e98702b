//! How many samples of a phase may miss a bound, and how many have.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::experiment::{Percent, Rate, Span};

/// How many samples are due in a span of time (the whole ones: 2.5 are 2).
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and below 100,000/s")]
pub fn samples(rate: Rate, length: Duration) -> u64 {
    // A rate of 20/m is 0.333…/s: a minute must still have 20.
    (rate.0 * length.as_secs_f64() + 1e-6).floor() as u64
}

/// How many of `n` samples may miss a bound that a share `keep` (0 to 1) must meet: `floor(n × (1 - keep))`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of n is at most n")]
pub fn allowed(n: u64, keep: f64) -> u64 {
    // In whole parts per billion: 1 - 0.999 as a float is a little less than 0.001, and 1 of 1000 would become 0.
    const WHOLE: u128 = 1_000_000_000;
    let keep = (keep * 1e9).round() as u128;
    (u128::from(n) * WHOLE.saturating_sub(keep) / WHOLE) as u64
}

/// What misses the bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// A failure misses it; this share must be good.
    Success(Percent),
    /// A failure, or an answer that takes longer, misses it; this quantile (0 to 1) must meet it.
    Latency(f64, Span),
}

/// One budget: an expectation that a few samples may miss.
#[derive(Debug)]
pub(super) struct Budget {
    /// `success`, `p95` …
    pub(super) key: &'static str,
    pub(super) bound: Bound,
    pub(super) allowed: u64,
    pub(super) spent: u64,
    /// Questions in flight with a smaller number are counted already.
    counted: u64,
}

impl Budget {
    pub(super) fn new(key: &'static str, bound: Bound, n: u64) -> Self {
        let keep = match bound {
            Bound::Success(share) => share.0,
            Bound::Latency(quantile, _) => quantile,
        };
        Self { key, bound, allowed: allowed(n, keep), spent: 0, counted: 0 }
    }

    pub(super) fn is_beyond(&self) -> bool {
        self.spent > self.allowed
    }

    /// Settles one sample: the latency of a good answer, or nothing for a failure.
    pub(super) fn settle(&mut self, seq: u64, latency: Option<Duration>) {
        let missed = match (self.bound, latency) {
            (_, None) => true,
            (Bound::Success(_), Some(_)) => false,
            (Bound::Latency(_, bound), Some(latency)) => latency > bound.0,
        };
        match (seq < self.counted, missed) {
            (false, true) => self.spent += 1,
            // An answer cannot end before it was seen to be late; were it so, the sample would not have been slow.
            (true, false) => self.spent -= 1,
            _ => {}
        }
    }

    /// Settles a question that could not be asked: it counts for nothing.
    pub(super) fn forget(&mut self, seq: u64) {
        if seq < self.counted {
            self.spent -= 1;
        }
    }

    /// Counts the questions that are in flight past the bound. Those that are in flight are in the order of their due
    /// time, so that the late ones come first.
    pub(super) fn tick(&mut self, now: Duration, in_flight: &BTreeMap<u64, Duration>) {
        let Bound::Latency(_, bound) = self.bound else { return };
        for (seq, due) in in_flight.range(self.counted..) {
            if now <= *due + bound.0 {
                break;
            }
            self.spent += 1;
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

    /// How many questions in flight are counted as late.
    pub(super) fn late(&self, in_flight: &BTreeMap<u64, Duration>) -> u64 {
        in_flight.range(..self.counted).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn budgets_are_exact_where_floats_are_not() {
        for (percent, n, budget) in [
            ("99%", 200, 2),
            ("99%", 100, 1),
            ("99.9%", 1000, 1),
            ("99.9%", 999, 0),
            ("95%", 200, 10),
            ("90%", 10, 1),
            ("70%", 10, 3),
            ("100%", 1_000_000, 0),
            ("0%", 7, 7),
            ("99.99%", 10_000, 1),
        ] {
            assert_eq!(allowed(n, percent.parse::<Percent>().unwrap().0), budget, "{percent} of {n}");
        }
        assert_eq!(allowed(1000, 0.999), 1);
    }

    #[test]
    fn a_phase_has_as_many_samples_as_fit() {
        assert_eq!(samples("50/s".parse().unwrap(), Duration::from_secs(20)), 1000);
        assert_eq!(samples("20/m".parse().unwrap(), Duration::from_mins(1)), 20);
        assert_eq!(samples("3/s".parse().unwrap(), Duration::from_millis(2500)), 7);
        assert_eq!(samples("0.1/s".parse().unwrap(), Duration::from_secs(1)), 0);
    }

    proptest! {
        /// Every percentage with up to three decimals, against whole-number arithmetic.
        #[test]
        fn budgets_agree_with_whole_numbers(n in 0_u64..10_000_000, thousandths in 0_u64..=100_000) {
            let percent: Percent = format!("{}.{:03}%", thousandths / 1000, thousandths % 1000).parse().unwrap();
            prop_assert_eq!(allowed(n, percent.0), n * (100_000 - thousandths) / 100_000);
        }
    }
}
