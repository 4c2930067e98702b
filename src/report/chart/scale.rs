//! From values to positions: linear and logarithmic scales with ticks that people would choose. Pure.

/// Maps values to 0..1.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Scale {
    low: f64,
    high: f64,
    /// Whether equal ratios have equal distances.
    pub(super) log: bool,
    /// Where ticks stand.
    pub(in crate::report) ticks: Vec<f64>,
}

impl Scale {
    /// From zero to somewhat above `high`, with about `n` ticks.
    pub(super) fn linear(high: f64, n: f64) -> Self {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = nice(high / n);
        // A hair above a tick is on it.
        let top = (high / step - 1e-6).ceil() * step;
        Self { low: 0.0, high: top, log: false, ticks: every(0.0, top, step) }
    }

    /// From zero to `high` exactly, with no ticks between them.
    pub(super) fn whole(high: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        Self { low: 0.0, high, log: false, ticks: vec![0.0, high] }
    }

    /// From `low` to `high` exactly, with about `n` ticks on round values.
    pub(in crate::report) fn axis(low: f64, high: f64, n: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = nice_time((high - low) / n);
        Self { low, high, log: false, ticks: every((low / step).ceil() * step, high, step) }
    }

    /// Over powers of ten; `low` and `high` are above zero.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let steps: Vec<f64> = (-4..9).flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e))).collect();
        let bottom = steps.iter().rev().copied().find(|s| *s <= low * 1.001).unwrap_or(1e-4);
        let top = steps.iter().copied().find(|s| *s >= high * 0.999 && *s > bottom).unwrap_or(5e8);
        let all: Vec<f64> = steps.into_iter().filter(|s| (bottom..=top).contains(s)).collect();
        let tens: Vec<f64> = all.iter().copied().filter(|s| s.log10().fract().abs() < 1e-9).collect();
        let ticks = if all.len() > 8 && tens.len() > 1 { tens } else { all };
        Self { low: bottom, high: top, log: true, ticks }
    }

    /// Where a value stands, from 0 (low) to 1 (high); values outside stand at the edge.
    pub(in crate::report) fn at(&self, value: f64) -> f64 {
        let part = if self.log {
            (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        part.clamp(0.0, 1.0)
    }
}

fn every(from: f64, to: f64, step: f64) -> Vec<f64> {
    (0..64).map(|i| from + f64::from(i) * step).take_while(|t| *t <= to + step * 1e-6).collect()
}

/// The next of 1, 2, 5, 10 … from below.
fn nice(step: f64) -> f64 {
    let ten = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * ten).find(|s| *s >= step * 0.999).unwrap_or(step)
}

/// The same for seconds: minutes have sixty of them.
fn nice_time(step: f64) -> f64 {
    if step <= 10.0 {
        return nice(step);
    }
    [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0]
        .into_iter()
        .find(|s| *s >= step * 0.999)
        .unwrap_or(step)
}

/// Milliseconds on an axis: `0.5 ms`, `300 ms`, `2 s`.
pub(super) fn ms_label(ms: f64) -> String {
    if ms >= 1000.0 { format!("{} s", trim(ms / 1000.0)) } else { format!("{} ms", trim(ms)) }
}

/// Seconds on an axis: `5 s`, `2 min`, `1:30 min`.
pub(in crate::report) fn s_label(s: f64, longest: f64) -> String {
    if longest < 120.0 {
        return format!("{} s", trim(s));
    }
    let (minutes, rest) = ((s / 60.0).floor(), s % 60.0);
    if rest < 0.5 { format!("{} min", trim(minutes)) } else { format!("{minutes:.0}:{rest:02.0}") }
}

/// A number per second on an axis: two digits are enough.
pub(super) fn rate_label(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}") } else { trim((rate * 10.0).round() / 10.0) }
}

/// A number without needless zeros.
pub(super) fn trim(n: f64) -> String {
    let text = format!("{n:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_cover_the_data() {
        let scale = Scale::linear(312.0, 4.0);
        assert_eq!(scale.ticks, [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert!((scale.at(200.0) - 0.5).abs() < 1e-9);
        assert_eq!((scale.at(-5.0), scale.at(1e9)), (0.0, 1.0));
    }

    #[test]
    fn logarithmic_ticks_are_few() {
        let scale = Scale::log(8.4, 9100.0);
        assert_eq!(scale.ticks, [10.0, 100.0, 1000.0, 10_000.0]);
        assert!(scale.at(0.0).abs() < 1e-9);
        assert_eq!(Scale::log(12.0, 80.0).ticks, [10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn time_ticks_are_round() {
        assert_eq!(Scale::axis(0.1, 33.9, 7.0).ticks, [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(Scale::axis(0.0, 315.0, 6.0).ticks, [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]);
        assert_eq!(Scale::axis(3.0, 3.0, 4.0).ticks, [3.0, 3.5, 4.0]);
    }

    #[test]
    fn labels_have_units() {
        assert_eq!([ms_label(0.5), ms_label(300.0), ms_label(2000.0)], ["0.5 ms", "300 ms", "2 s"]);
        assert_eq!([s_label(2.5, 10.0), s_label(120.0, 300.0), s_label(90.0, 300.0)], ["2.5 s", "2 min", "1:30"]);
    }
}
