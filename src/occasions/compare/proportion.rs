//! Two shares: how far apart they are, and how sure that is.

use statrs::function::factorial::ln_binomial;

use super::normal::p_value;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) count: f64,
    pub(super) of: f64,
}

impl Share {
    pub(super) fn ratio(self) -> f64 {
        self.count / self.of
    }

    /// E. B. Wilson's interval of the share (1927).
    pub(super) fn wilson(self, z: f64) -> (f64, f64) {
        let Self { count: k, of: n } = self;
        let (p, z2) = (k / n, z * z);
        let middle = (k + z2 / 2.0) / (n + z2);
        let half = z / (n + z2) * (p * (1.0 - p) * n + z2 / 4.0).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

/// The interval of `new - base`. R. G. Newcombe, "Interval estimation for the difference between independent
/// proportions", Statistics in Medicine 17 (1998), 873–890, method 10.
pub(super) fn difference(base: Share, new: Share, z: f64) -> (f64, f64) {
    let (p, q) = (new.ratio(), base.ratio());
    let ((pl, pu), (ql, qu)) = (new.wilson(z), base.wilson(z));
    let low = p - q - (p - pl).hypot(qu - q);
    let high = p - q + (pu - p).hypot(q - ql);
    (low, high)
}

/// How likely it is to see shares so far apart, or further, where there is no difference: Fisher's exact test where fewer
/// than five are expected somewhere, else the z-test with the pooled share.
pub(super) fn test(base: Share, new: Share) -> f64 {
    let pooled = (base.count + new.count) / (base.of + new.of);
    let least = base.of.min(new.of) * pooled.min(1.0 - pooled);
    if pooled <= 0.0 || pooled >= 1.0 {
        return 1.0;
    }
    if least < 5.0 {
        return fisher(base, new);
    }
    let error = (pooled * (1.0 - pooled) * (1.0 / base.of + 1.0 / new.of)).sqrt();
    p_value((new.ratio() - base.ratio()) / error)
}

/// R. A. Fisher's exact test, two-sided: all tables with these margins that are at most as likely as the one seen.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of samples")]
fn fisher(base: Share, new: Share) -> f64 {
    let [a, n, b, m] = [new.count, new.of, base.count, base.of].map(|v| v.round().max(0.0) as u64);
    let (hits, all) = (a + b, n + m);
    let log_p = |a: u64| ln_binomial(n, a) + ln_binomial(m, hits - a) - ln_binomial(all, hits);
    let seen = log_p(a);
    // Equal ones may differ in their last digits.
    let as_far = |p: &f64| *p <= seen + 1e-7;
    (hits.saturating_sub(m)..=hits.min(n)).map(log_p).filter(as_far).map(f64::exp).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::normal::two_sided;
    use super::*;

    fn share(count: u32, of: u32) -> Share {
        Share { count: f64::from(count), of: f64::from(of) }
    }

    #[track_caller]
    fn near(found: f64, want: f64, within: f64) {
        assert!((found - want).abs() < within, "{found}, not {want}");
    }

    /// `statsmodels` 0.15.0, `proportion_confint(method="wilson")`; 81/263 and 15/148 are in Newcombe's table as well.
    #[test]
    fn wilsons_interval_is_the_published_one() {
        let z = two_sided(0.95);
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_26),
            (3, 50, 0.020_614_970_348_973_943, 0.162_170_916_888_381_73),
            (50, 50, 0.928_652_400_866_641_2, 1.0),
            (81, 263, 0.255_288_519_878_274_2, 0.366_209_576_982_800_04),
            (15, 148, 0.062_386_399_530_736_28, 0.160_487_241_723_308_03),
        ] {
            let (l, h) = share(k, n).wilson(z);
            near(l, low, 1e-10);
            near(h, high, 1e-10);
        }
    }

    /// Newcombe 1998, table II, method 10, to four digits (56/70 and 48/80: 0.0524 to 0.3339; 9/10 and 3/10: 0.1705 to 0.8090;
    /// 10/10 and 0/20: 0.6791 to 1.0000; 5/56 and 0/29: -0.0381 to 0.1926); all digits and the other two rows are of
    /// `statsmodels` 0.15.0, `confint_proportions_2indep(method="newcomb")`.
    #[test]
    fn newcombes_interval_is_the_published_one() {
        let z = two_sided(0.95);
        for (a, n, b, m, low, high) in [
            (56, 70, 48, 80, 0.052_431_472_402_364_98, 0.333_872_654_036_906_14),
            (9, 10, 3, 10, 0.170_522_723_934_502_9, 0.809_017_973_535_488),
            (10, 10, 0, 20, 0.679_086_037_141_914_5, 1.0),
            (5, 56, 0, 29, -0.038_137_147_903_536_936, 0.192_560_013_855_111_65),
            (0, 400, 3, 400, -0.021_815_720_724_032_126, 0.003_221_369_110_106_918_3),
            (20, 400, 40, 400, -0.087_582_495_174_439_17, -0.013_467_296_480_097_223),
        ] {
            let (l, h) = difference(share(b, m), share(a, n), z);
            near(l, low, 1e-10);
            near(h, high, 1e-10);
        }
    }

    /// `scipy` 1.17.1, `fisher_exact`.
    #[test]
    fn fishers_test_is_that_of_scipy() {
        for (a, n, b, m, p) in [
            (56, 70, 48, 80, 0.012_521_129_749_209_154),
            (9, 10, 3, 10, 0.019_766_611_097_880_443),
            (10, 10, 0, 20, 3.328_339_160_423_118e-8),
            (5, 56, 0, 29, 0.160_621_443_209_471_1),
            (0, 400, 3, 400, 0.249_061_326_658_322_92),
            (20, 400, 40, 400, 0.010_238_428_715_520_257),
        ] {
            near(fisher(share(b, m), share(a, n)), p, 1e-9);
        }
    }

    #[test]
    fn nothing_on_both_sides_is_no_difference() {
        near(test(share(0, 50), share(0, 70)), 1.0, 1e-12);
        near(test(share(50, 50), share(70, 70)), 1.0, 1e-12);
    }
}
