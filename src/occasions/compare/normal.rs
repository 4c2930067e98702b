//! The standard normal distribution.

use statrs::distribution::{ContinuousCDF as _, Normal};

/// The quantile that leaves half of the doubt on each side: 1.96 for a confidence of 0.95.
pub(super) fn two_sided(confidence: f64) -> f64 {
    Normal::standard().inverse_cdf(f64::midpoint(1.0, confidence.clamp(0.0, 1.0 - 1e-12)))
}

/// How likely it is to be as far from 0 as `z`, or further.
pub(super) fn p_value(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_tables() {
        for (confidence, z) in [(0.90, 1.644_853_626_951), (0.95, 1.959_963_984_540), (0.99, 2.575_829_303_549)] {
            assert!((two_sided(confidence) - z).abs() < 1e-9, "{confidence}: {}", two_sided(confidence));
            assert!((p_value(z) - (1.0 - confidence)).abs() < 1e-9);
        }
        assert!((p_value(0.0) - 1.0).abs() < 1e-12);
    }
}
