//! Latencies of good answers at fixed memory.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::record::event::{Latency, micros};

/// Latencies in µs, each kept within 0.1 %.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u32>);

impl Latencies {
    pub(super) fn new() -> Self {
        const HOUR: u64 = 3_600_000_000;
        Self(Histogram::new_with_bounds(1, HOUR, 3).expect("these bounds are valid"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency).max(1));
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    /// The slowest, in microseconds; 0 where there is none.
    pub(super) fn slowest(&self) -> u64 {
        self.0.max()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency of the answer at a place (from 1) in the order of latency.
    #[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
    pub(super) fn at(&self, rank: u64) -> Duration {
        // Half a place less, so that no rounding makes it the next one.
        let quantile = (rank as f64 - 0.5) / self.count().max(1) as f64;
        Duration::from_micros(self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    /// The usual quantiles (ms); nothing where there is no answer.
    pub(super) fn summary(&self) -> Option<Latency> {
        let at = |quantile| ms(Duration::from_micros(self.0.value_at_quantile(quantile).min(self.0.max())));
        (!self.0.is_empty()).then(|| Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) })
    }

    /// The whole distribution in few pairs (µs, how many), ascending: neighbours within 1.5 % become one in their middle.
    pub(super) fn distribution(&self) -> Vec<(u64, u64)> {
        let mut groups: Vec<(u64, u64, u64)> = Vec::new();
        for step in self.0.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            match groups.last_mut() {
                Some((first, last, sum)) if value * 1000 <= *first * 1015 => {
                    *last = value;
                    *sum += count;
                }
                _ => groups.push((value, value, count)),
            }
        }
        groups.into_iter().map(|(first, last, sum)| (first.midpoint(last), sum)).collect()
    }
}

/// A duration in milliseconds, with its fraction.
pub(super) fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_distribution_keeps_every_sample_within_one_percent(
            mut values in prop::collection::vec(1_u64..30_000_000, 1..300),
        ) {
            let mut latencies = Latencies::new();
            for v in &values {
                latencies.record(Duration::from_micros(*v));
            }
            values.sort_unstable();
            let mut rest = values.iter();
            for (value, count) in latencies.distribution() {
                for _ in 0..count {
                    let truth = *rest.next().unwrap();
                    prop_assert!(value.abs_diff(truth) * 100 <= truth + 99, "{} for {}", value, truth);
                }
            }
            prop_assert!(rest.next().is_none());
        }

        #[test]
        fn a_place_in_the_order_is_exact_within_its_precision(
            mut values in prop::collection::vec(1_u64..30_000_000, 1..300), pick in any::<prop::sample::Index>(),
        ) {
            let mut latencies = Latencies::new();
            for v in &values {
                latencies.record(Duration::from_micros(*v));
            }
            values.sort_unstable();
            let i = pick.index(values.len());
            let found = micros(latencies.at(i as u64 + 1));
            prop_assert!(found.abs_diff(values[i]) * 1000 <= values[i] + 999, "{} for {}", found, values[i]);
        }
    }

    #[test]
    fn a_distribution_is_small() {
        let mut latencies = Latencies::new();
        for v in 1..200_000 {
            latencies.record(Duration::from_micros(v));
        }
        assert!(latencies.distribution().len() < 700, "{}", latencies.distribution().len());
        assert_eq!(latencies.count(), 199_999);
    }
}
