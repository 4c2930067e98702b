//! Two distributions by the order of their values: Mann and Whitney's test, and Hodges and Lehmann's shift with its
//! interval. Values are given with how often each occurs, so that a hundred thousand samples are a few hundred pairs.

use super::normal::{p_value, two_sided};

/// Values in ascending order, each with how often it occurs. Infinity stands for what never came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values(Vec<(f64, u64)>);

impl Values {
    /// From pairs in any order.
    pub(super) fn new(mut pairs: Vec<(f64, u64)>) -> Self {
        pairs.retain(|(_, count)| *count > 0);
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        pairs.dedup_by(|later, earlier| {
            let same = later.0.total_cmp(&earlier.0).is_eq();
            earlier.1 += if same { later.1 } else { 0 };
            same
        });
        Self(pairs)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The value at a place in their order, from 1; nothing outside.
    pub(super) fn at(&self, rank: u64) -> Option<f64> {
        let mut before = 0;
        (rank > 0)
            .then(|| {
                self.0.iter().find(|(_, count)| {
                    before += count;
                    before >= rank
                })
            })
            .flatten()
            .map(|(v, _)| *v)
    }
}

/// What the ranks say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranks {
    /// In how many pairs the new value is the larger one; an equal pair counts half.
    pub(super) u: f64,
    /// The same as a share of all pairs: 0.5 where there is no difference.
    pub(super) superiority: f64,
    /// How likely it is to be so far from no difference, or further, where there is none.
    pub(super) p: f64,
    /// The standard deviation of `u` where there is no difference.
    deviation: f64,
}

/// H. B. Mann, D. R. Whitney (1947), as a normal approximation with the corrections for ties and for continuity. Nothing
/// where one side has no value.
pub(super) fn mann_whitney(base: &Values, new: &Values) -> Option<Ranks> {
    let (n, m) = (base.count() as f64, new.count() as f64);
    if n < 1.0 || m < 1.0 {
        return None;
    }
    let mut all: Vec<(f64, u64, u64)> = base.0.iter().map(|(v, c)| (*v, *c, 0)).collect();
    all.extend(new.0.iter().map(|(v, c)| (*v, 0, *c)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut u, mut ties) = (0.0, 0.0, 0.0);
    for tied in all.chunk_by(|one, next| one.0.total_cmp(&next.0).is_eq()) {
        let of_base: f64 = tied.iter().map(|(_, base, _)| *base as f64).sum();
        let of_new: f64 = tied.iter().map(|(_, _, new)| *new as f64).sum();
        u += of_new * (below + of_base / 2.0);
        below += of_base;
        ties += (of_base + of_new).powi(3) - (of_base + of_new);
    }
    let total = n + m;
    let deviation = (n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).max(0.0).sqrt();
    let away = ((u - n * m / 2.0).abs() - 0.5).max(0.0);
    let p = if deviation > 0.0 { p_value(away / deviation) } else { 1.0 };
    Some(Ranks { u, superiority: u / (n * m), p, deviation })
}

/// A shift and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shift {
    pub(super) by: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// By how much the new values are larger: the median of all differences of pairs (J. L. Hodges, E. L. Lehmann, 1963), with the
/// interval of all shifts that Mann and Whitney's test would not reject (M. Hollander, D. A. Wolfe, "Nonparametric
/// Statistical Methods", section 4.3). What never came on both sides is no difference.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among pairs that are counted")]
pub(super) fn shift(base: &Values, new: &Values, confidence: f64) -> Option<Shift> {
    let ranks = mann_whitney(base, new)?;
    let difference = |new: f64, base: f64| if new.total_cmp(&base).is_eq() { 0.0 } else { new - base };
    let pairs = new.0.iter().flat_map(|(w, b)| base.0.iter().map(move |(v, a)| (difference(*w, *v), a * b)));
    let differences = Values::new(pairs.collect());
    let all = differences.count();
    let by = f64::midpoint(differences.at(all.div_ceil(2))?, differences.at(all / 2 + 1)?);
    // The place of the lower end among the differences in their order; the upper one is as far from the other end.
    let place = (all as f64 / 2.0 - two_sided(confidence) * ranks.deviation).floor();
    let place = if place < 1.0 { 0 } else { place as u64 };
    let low = differences.at(place).unwrap_or(f64::NEG_INFINITY);
    let high = if place == 0 { f64::INFINITY } else { differences.at(all + 1 - place)? };
    Some(Shift { by, low, high })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(of: &[f64]) -> Values {
        Values::new(of.iter().map(|v| (*v, 1)).collect())
    }

    #[track_caller]
    fn near(found: f64, want: f64) {
        assert!((found - want).abs() < 1e-9, "{found}, not {want}");
    }

    /// Permeability of the human chorioamnion at term and at 12 to 26 weeks: Hollander and Wolfe 1973, page 69, as in the
    /// manual of R's `wilcox.test`. `scipy` 1.17.1, `mannwhitneyu(method="asymptotic")`; the shift and its interval from all pairs,
    /// with `numpy`; Hollander and Wolfe give a shift of 0.305 between the two.
    #[test]
    fn a_textbook_example() {
        let base = values(&[0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]);
        let new = values(&[1.15, 0.88, 0.90, 0.74, 1.21]);
        let ranks = mann_whitney(&base, &new).unwrap();
        near(ranks.u, 15.0);
        near(ranks.p, 0.244_623_605_126_983_33);
        near(ranks.superiority, 0.3);
        let shift = shift(&base, &new, 0.95).unwrap();
        near(shift.by, -0.305);
        near(shift.low, -0.76);
        near(shift.high, 0.17);
    }

    /// The same references, for values with many ties.
    #[test]
    fn ties_are_counted() {
        let base = values(&[1., 2., 2., 3., 3., 3., 4., 5., 5., 7.]);
        let new = values(&[2., 3., 3., 4., 5., 5., 6., 7., 8., 8., 9.]);
        let ranks = mann_whitney(&base, &new).unwrap();
        near(ranks.u, 82.0);
        near(ranks.p, 0.058_904_811_258_242_054);
        let shift = shift(&base, &new, 0.95).unwrap();
        assert_eq!((shift.by, shift.low, shift.high), (2.0, 0.0, 4.0));
    }

    /// The same references, for two histograms: 400 and 500 rounded values of log-normal distributions, compared on a
    /// logarithmic scale.
    #[test]
    fn histograms_are_as_good_as_samples() {
        let (base, new) = super::super::fixture::histograms();
        let ranks = mann_whitney(&base, &new).unwrap();
        near(ranks.u, 114_853.5);
        near(ranks.p, 0.000_124_826_362_909_550_8);
        let log = |values: &Values| Values::new(values.0.iter().map(|(v, c)| (v.ln(), *c)).collect());
        let shift = shift(&log(&base), &log(&new), 0.95).unwrap();
        near(shift.by, 0.095_310_179_804_325_21);
        near(shift.low, 0.048_790_164_169_432_16);
        near(shift.high, 0.146_603_474_191_875_8);
    }

    #[test]
    fn what_never_came_is_slower_than_everything() {
        let base = values(&[1.0, 2.0, 3.0, f64::INFINITY]);
        let new = values(&[1.0, 2.0, f64::INFINITY, f64::INFINITY]);
        assert!(mann_whitney(&base, &new).unwrap().superiority > 0.5);
        let shift = shift(&base, &base, 0.95).unwrap();
        near(shift.by, 0.0);
        assert_eq!(mann_whitney(&base, &Values::default()), None);
    }

    #[test]
    fn all_the_same_is_no_difference() {
        let same = Values::new(vec![(5.0, 1000)]);
        near(mann_whitney(&same, &same).unwrap().p, 1.0);
        let shift = shift(&same, &same, 0.95).unwrap();
        assert_eq!((shift.by, shift.low, shift.high), (0.0, 0.0, 0.0));
    }

    proptest! {
        /// Sides change places, and everything changes its sign.
        #[test]
        fn it_is_symmetric(a in prop::collection::vec(0..50_i32, 5..60), b in prop::collection::vec(0..50_i32, 5..60)) {
            let [a, b] = [a, b].map(|v| values(&v.into_iter().map(f64::from).collect::<Vec<_>>()));
            let (there, back) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
            prop_assert!((there.superiority + back.superiority - 1.0).abs() < 1e-9);
            prop_assert!((there.p - back.p).abs() < 1e-9);
            let (there, back) = (shift(&a, &b, 0.95).unwrap(), shift(&b, &a, 0.95).unwrap());
            prop_assert_eq!((there.by, there.low, there.high), (-back.by, -back.high, -back.low));
            prop_assert!(there.low <= there.by && there.by <= there.high);
        }
    }
}
