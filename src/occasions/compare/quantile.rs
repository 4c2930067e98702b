//! A quantile of a distribution with its interval, and the ratio of two.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::rank::{Shift, Values};

/// A quantile and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantile {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The value below which a share of the values lies, between two of the ordered values: W. J. Conover, "Practical
/// Nonparametric Statistics", section 3.2, with exact binomial places. Where there are too few values for an end, it is
/// infinite (or zero).
pub(super) fn quantile(values: &Values, q: f64, confidence: f64) -> Option<Quantile> {
    let n = values.count();
    // Products such as 0.95 * 20 are a hair above their whole number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among values that are counted"
    )]
    let place = (n as f64 * q - 1e-9).ceil().max(1.0) as u64;
    let value = values.at(place)?;
    let below = Binomial::new(q, n).ok()?;
    let doubt = (1.0 - confidence) / 2.0;
    let low = values.at(below.inverse_cdf(doubt)).unwrap_or(0.0);
    let high = values.at(below.inverse_cdf(1.0 - doubt) + 1).unwrap_or(f64::INFINITY);
    Some(Quantile { value, low, high })
}

/// The logarithm of `new / base` with its interval, from the two intervals: G. Y. Zou, A. Donner, "Construction of confidence
/// limits about effect measures", Statistics in Medicine 27 (2008), 1693–1702. Nothing where neither value ever came.
pub(super) fn log_ratio(base: Quantile, new: Quantile) -> Option<Shift> {
    if base.value.is_infinite() && new.value.is_infinite() {
        return None;
    }
    let [b, n] = [base, new].map(|q| Quantile { value: q.value.ln(), low: q.low.ln(), high: q.high.ln() });
    if b.value.is_infinite() || n.value.is_infinite() {
        // One of them never came: worse or better without end, if the other's interval is not without end as well.
        let by = n.value - b.value;
        let sure = if n.value.is_infinite() { n.low - b.high } else { n.high - b.low };
        let (low, high) = if by > 0.0 { (sure, f64::INFINITY) } else { (f64::NEG_INFINITY, sure) };
        return Some(Shift { by, low: nan_to(low, f64::NEG_INFINITY), high: nan_to(high, f64::INFINITY) });
    }
    let by = n.value - b.value;
    Some(Shift {
        by,
        low: by - (n.value - n.low).hypot(b.high - b.value),
        high: by + (n.high - n.value).hypot(b.value - b.low),
    })
}

fn nan_to(value: f64, otherwise: f64) -> f64 {
    if value.is_nan() { otherwise } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// `numpy.quantile(method="inverted_cdf")`; the intervals are those of `scipy` 1.17.1 (`quantile_test`).
    #[test]
    fn quantiles_are_those_of_the_reference() {
        let (base, new) = fixture::histograms();
        for (values, q, value, low, high) in [
            (&base, 0.5, 19.0, 19.0, 20.0),
            (&base, 0.95, 36.0, 33.0, 38.0),
            (&base, 0.99, 45.0, 40.0, 50.0),
            (&new, 0.5, 21.0, 21.0, 22.0),
            (&new, 0.95, 41.0, 38.0, 47.0),
            (&new, 0.99, 54.0, 49.0, 62.0),
        ] {
            assert_eq!(quantile(values, q, 0.95), Some(Quantile { value, low, high }), "{q}");
        }
    }

    #[test]
    fn too_few_values_have_no_end() {
        let few = Values::new((1..=50).map(|v| (f64::from(v), 1)).collect());
        let p99 = quantile(&few, 0.99, 0.95).unwrap();
        assert_eq!((p99.value, p99.high), (50.0, f64::INFINITY));
        let ratio = log_ratio(p99, p99).unwrap();
        assert!(ratio.by.abs() < 1e-12);
        assert!(ratio.high.is_infinite(), "nobody can say that it is not worse: {ratio:?}");
    }

    #[test]
    fn the_ratio_of_a_quantile_with_itself_is_around_one() {
        let (base, new) = fixture::histograms();
        let [b, n] = [&base, &new].map(|v| quantile(v, 0.95, 0.95).unwrap());
        let same = log_ratio(b, b).unwrap();
        assert!(same.low < 0.0 && same.by.abs() < 1e-12 && same.high > 0.0);
        let there = log_ratio(b, n).unwrap();
        let back = log_ratio(n, b).unwrap();
        assert!((there.low + back.high).abs() < 1e-12 && (there.by + back.by).abs() < 1e-12);
    }

    #[test]
    fn what_never_came_is_without_end_worse() {
        let fine = Quantile { value: 20.0, low: 19.0, high: 21.0 };
        let never = Quantile { value: f64::INFINITY, low: 30.0, high: f64::INFINITY };
        let worse = log_ratio(fine, never).unwrap();
        assert!(worse.by.is_infinite() && worse.low > 0.35, "at least 30 / 21: {worse:?}");
        let better = log_ratio(never, fine).unwrap();
        assert!(better.high < 0.0, "{better:?}");
        assert_eq!(log_ratio(never, never), None);
    }
}
