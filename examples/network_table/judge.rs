//! What chance allows.

use std::ops::RangeInclusive;

/// How many of `n` may be targeted where each is targeted with probability `p` by itself: in 9,999 of 10,000 cases it is within this.
pub(crate) fn binomial(n: usize, p: f64) -> RangeInclusive<usize> {
    const TAIL: f64 = 0.5e-4;
    if p <= 0.0 {
        return 0..=0;
    }
    if p >= 1.0 {
        return n..=n;
    }
    // By logarithms: (1-p)^n is too small for a number as it is.
    let mut log = n as f64 * (-p).ln_1p();
    let (mut low, mut below) = (None, 0.0);
    for k in 0..=n {
        below += log.exp();
        if below > TAIL && low.is_none() {
            low = Some(k);
        }
        if 1.0 - below <= TAIL {
            return low.unwrap_or(k)..=k;
        }
        log += ((n - k) as f64 / (k + 1) as f64).ln() + p.ln() - (-p).ln_1p();
    }
    low.unwrap_or(n)..=n
}
