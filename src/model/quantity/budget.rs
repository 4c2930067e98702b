//! How many samples a phase has, and how many of them may miss a bound: what validation and judgement must agree on.

use std::time::Duration;

use super::Rate;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Percent;
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
