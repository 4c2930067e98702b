//! From windows to the points of a chart: merged where there are too many, broken where nothing was measured. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::record::event::{Latency, Phase, Window};

/// One or several neighbouring windows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// Seconds from the begin of the run.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) phase: Phase,
    pub(super) samples: u64,
    pub(super) failed: u64,
    pub(super) unmeasured: u64,
    /// Of several windows the worst: a peak must not vanish. Only the median is their mean.
    pub(super) latency: Option<Latency>,
    /// The last value that is a number.
    pub(super) value: Option<f64>,
    pub(super) failures: BTreeMap<String, u64>,
    /// Good answers by who gave them.
    pub(super) by: BTreeMap<String, u64>,
}

impl Point {
    fn of(window: &Window, began: Timestamp) -> Self {
        let from = window.from.duration_since(began).as_secs_f64();
        Self {
            from,
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of one window")]
            to: from + window.length_ms as f64 / 1000.0,
            phase: window.phase,
            samples: window.samples,
            failed: window.failed,
            unmeasured: window.unmeasured,
            latency: window.latency,
            value: window.value.as_ref().and_then(|v| v.trim().parse().ok()).filter(|v: &f64| v.is_finite()),
            failures: window.failures.clone(),
            by: window.by.clone(),
        }
    }

    /// Answers that a latency could be taken of.
    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    fn good(&self) -> f64 {
        self.samples.saturating_sub(self.failed + self.unmeasured).max(1) as f64
    }

    /// Whether another one is of the same phase and mostly of the same time.
    fn covers(&self, next: &Self) -> bool {
        self.phase == next.phase && self.to - next.from > 0.5 * next.length()
    }

    fn absorb(&mut self, next: Self) {
        self.latency = match (self.latency, next.latency) {
            (Some(a), Some(b)) => Some(Latency {
                p50: (a.p50 * self.good() + b.p50 * next.good()) / (self.good() + next.good()),
                p95: a.p95.max(b.p95),
                p99: a.p99.max(b.p99),
                max: a.max.max(b.max),
            }),
            (a, b) => a.or(b),
        };
        self.to = self.to.max(next.to);
        self.samples += next.samples;
        self.failed += next.failed;
        self.unmeasured += next.unmeasured;
        self.value = next.value.or(self.value);
        for (kind, n) in next.failures {
            *self.failures.entry(kind).or_default() += n;
        }
        for (who, n) in next.by {
            *self.by.entry(who).or_default() += n;
        }
    }

    /// Its middle.
    pub(super) fn middle(&self) -> f64 {
        self.from.midpoint(self.to)
    }

    /// Its length in seconds; never zero.
    pub(super) fn length(&self) -> f64 {
        (self.to - self.from).max(0.001)
    }
}

/// The points of a check, at most about `limit`, and how many windows each of them stands for.
/// Windows of different phases are never merged.
pub(super) fn points(windows: &[Window], began: Timestamp, limit: usize) -> (Vec<Point>, usize) {
    let mut all: Vec<Point> =
        windows.iter().filter(|w| w.samples > 0 || w.value.is_some()).map(|w| Point::of(w, began)).collect();
    all.sort_by(|a, b| a.from.total_cmp(&b.from));
    // Late answers come as further windows of the same time.
    let mut distinct: Vec<Point> = Vec::with_capacity(all.len());
    for point in all {
        match distinct.last_mut() {
            Some(last) if last.covers(&point) => last.absorb(point),
            _ => distinct.push(point),
        }
    }
    let together = distinct.len().div_ceil(limit.max(1)).max(1);
    let mut out: Vec<Point> = Vec::new();
    let mut room = 0;
    for point in distinct {
        match out.last_mut() {
            Some(last) if room > 0 && last.phase == point.phase => {
                last.absorb(point);
                room -= 1;
            }
            _ => {
                out.push(point);
                room = together - 1;
            }
        }
    }
    (out, together)
}

/// The unbroken stretches of a curve: it breaks where a point has no value, and where time is missing.
pub(super) fn stretches(points: &[Point], value: impl Fn(&Point) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut out: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    let mut open = false;
    for point in points {
        let Some(y) = value(point) else {
            open = false;
            continue;
        };
        if open && point.from - end < 0.75 * point.length() {
            out.last_mut().into_iter().for_each(|s| s.push((point.middle(), y)));
        } else {
            out.push(vec![(point.middle(), y)]);
        }
        open = true;
        end = point.to;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(n: usize, broken: &[usize]) -> Vec<Window> {
        let began: Timestamp = Timestamp::UNIX_EPOCH;
        (0..n)
            .map(|i| {
                let ms = i64::try_from(i).unwrap() * 500;
                let p = 10.0 + f64::from(u8::try_from(i % 100).unwrap());
                Window {
                    check: "c".to_owned(),
                    phase: if i < n / 2 { Phase::Baseline } else { Phase::During },
                    from: began + jiff::SignedDuration::from_millis(ms),
                    length_ms: 500,
                    samples: 25,
                    failed: if broken.contains(&i) { 25 } else { 0 },
                    unmeasured: 0,
                    latency: (!broken.contains(&i)).then_some(Latency { p50: p, p95: p, p99: p, max: p }),
                    value: None,
                    by: BTreeMap::new(),
                    failures: BTreeMap::new(),
                    standings: Vec::new(),
                }
            })
            .collect()
    }

    #[test]
    fn lines_break_where_no_answer_was_good() {
        let (points, _) = points(&windows(10, &[3, 4]), Timestamp::UNIX_EPOCH, 100);
        let lengths: Vec<usize> = stretches(&points, |p| p.latency.map(|l| l.p50)).iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 5]);
    }

    #[test]
    fn lines_break_where_time_is_missing() {
        let mut all = windows(10, &[]);
        all.drain(4..6);
        let (points, _) = points(&all, Timestamp::UNIX_EPOCH, 100);
        assert_eq!(stretches(&points, |p| p.latency.map(|l| l.p50)).len(), 2);
    }

    #[test]
    fn late_answers_join_the_window_of_their_time() {
        let mut all = windows(4, &[]);
        let late = Window { samples: 1, failed: 1, latency: None, ..all[1].clone() };
        all.push(late);
        let (points, together) = points(&all, Timestamp::UNIX_EPOCH, 100);
        assert_eq!((points.len(), together), (4, 1));
        assert_eq!((points[1].samples, points[1].failed), (26, 1));
    }

    #[test]
    fn merging_keeps_counts_peaks_and_phases() {
        let all = windows(1000, &[500]);
        let (points, together) = points(&all, Timestamp::UNIX_EPOCH, 100);
        assert_eq!(together, 10);
        assert!(points.len() <= 102, "{}", points.len());
        assert_eq!(points.iter().map(|p| p.samples).sum::<u64>(), 25_000);
        assert_eq!(points.iter().map(|p| p.failed).sum::<u64>(), 25);
        let peak = points.iter().filter_map(|p| p.latency).map(|l| l.max).fold(0.0, f64::max);
        assert!((peak - 109.0).abs() < 1e-9);
        assert!(points.windows(2).all(|w| w[0].to <= w[1].from + 1e-9));
    }
}
