//! Puts the panels of a chart on paper: marks, axes, bands, markers. Knows no run, only points and scales.

use maud::{Markup, PreEscaped, html};

use super::path::Path;
use super::scale::{self, Scale};
use super::series::{self, Point};
use super::{Bound, Laid, Marker, Size};
use crate::record::event::{Latency, Phase};

const RIGHT: f64 = 10.0;
const TOP: f64 = 44.0;
const GAP: f64 = 34.0;
const SAMPLES: f64 = 52.0;
const VALUES: f64 = 70.0;
const AXIS: f64 = 26.0;
const LANE: f64 = 34.0;
/// Height of a fault's bar above the panels, with its gap.
const FAULT: f64 = 18.0;
/// Width of a character of the labels, for deciding what has room.
const CHAR: f64 = 6.6;

/// A chart in the making, from top to bottom.
pub(super) struct Canvas<'a> {
    size: Size,
    time: Scale,
    body: Markup,
    y: f64,
    faults: &'a [Laid],
}

/// A finished chart without its frame.
pub(super) struct Finished {
    pub(super) markup: Markup,
    pub(super) height: f64,
}

impl<'a> Canvas<'a> {
    /// `faults`: those that are told apart, above the panels.
    pub(super) fn new(size: Size, time: Scale, faults: &'a [Laid]) -> Self {
        let y = TOP + FAULT * faults.len() as f64 + if faults.is_empty() { 0.0 } else { 22.0 };
        Self { size, time, body: PreEscaped(String::new()), y, faults }
    }

    fn x(&self, seconds: f64) -> f64 {
        self.size.left + self.time.at(seconds) * (self.size.width - self.size.left - RIGHT)
    }

    fn add(&mut self, markup: &Markup) {
        self.body.0.push_str(&markup.0);
    }

    /// Median, 95th percentile and largest, and the bounds.
    pub(super) fn latency(&mut self, points: &[Point], scale: &Scale, bounds: &[Bound]) {
        let height = self.size.latency;
        let top = self.panel("latency", height, scale, scale::ms_label);
        let y = |v: f64| top + height * (1.0 - scale.at(v));
        let of = |f: fn(&Latency) -> f64| series::stretches(points, move |p| p.latency.as_ref().map(f));
        let (p50, p95, max) = (of(|l| l.p50), of(|l| l.p95), of(|l| l.max));
        let place = |curve: &[(f64, f64)]| -> Vec<(f64, f64)> {
            curve.iter().map(|(seconds, v)| (self.x(*seconds), y(*v))).collect()
        };
        let mut area = Path::default();
        for (low, high) in p50.iter().zip(&p95).filter(|(low, _)| low.len() > 1) {
            let back = place(low).into_iter().rev();
            area = back.fold(area.curve(&place(high)), |path, (x, y)| path.line(x, y)).close();
        }
        let curves = |stretches: &[Vec<(f64, f64)>]| {
            stretches.iter().fold(Path::default(), |path, stretch| path.curve(&place(stretch)))
        };
        let dots = max.iter().flat_map(|s| place(s)).fold(Path::default(), |path, (x, y)| path.dot(x, y));
        let markup = html! {
            path class="area" d=(area) {}
            path class="max" d=(dots) {}
            path class="p95" d=(curves(&p95)) {}
            path class="p50" d=(curves(&p50)) {}
        };
        self.add(&markup);
        self.bounds(bounds, &y, top);
    }

    /// The value that a probe reads, as steps.
    pub(super) fn values(&mut self, points: &[Point], scale: &Scale, bounds: &[Bound]) {
        let top = self.panel("value", VALUES, scale, scale::trim);
        let y = |v: f64| top + VALUES * (1.0 - scale.at(v));
        let mut path = Path::default();
        for point in points {
            let Some(value) = point.value else { continue };
            let (from, to) = (self.x(point.from), self.x(point.to));
            path = if path.is_empty() { path.to(from, y(value)) } else { path.across(from).down(y(value)) };
            path = path.across(to);
        }
        let markup = html! { path class="p50" d=(path) {} };
        self.add(&markup);
        self.bounds(bounds, &y, top);
    }

    /// Samples per second: asked behind, failed and never asked in front.
    #[expect(clippy::cast_precision_loss, reason = "only drawn")]
    pub(super) fn samples(&mut self, points: &[Point]) {
        let rate = |n: u64, p: &Point| n as f64 / p.length();
        // A stump at the end of a phase has few samples; its rate is an accident.
        let whole = 0.5 * points.iter().map(Point::length).fold(0.0, f64::max);
        let most = points.iter().filter(|p| p.length() >= whole).map(|p| rate(p.samples, p)).fold(0.0, f64::max);
        let scale = Scale::whole(most);
        let top = self.panel("samples/s", SAMPLES, &scale, scale::rate_label);
        let height = |v: f64| SAMPLES * scale.at(v);
        let asked = self.bars(points, top + SAMPLES, |point| height(rate(point.samples, point)));
        let mut bars = Vec::new();
        for point in points {
            let (x, to) = (self.x(point.from), self.x(point.to));
            let gap = gap(to - x);
            let mut base = top + SAMPLES;
            for (class, n) in [("failed", point.failed), ("unmeasured", point.unmeasured)] {
                if n > 0 {
                    let h = height(rate(n, point)).max(3.0);
                    base -= h;
                    bars.push((class, x, base, (to - gap - x).max(1.0), h, said(point)));
                }
            }
        }
        let quiet = bars.is_empty();
        let markup = html! {
            path class="asked" d=(asked) {}
            @for (class, x, y, width, height, said) in bars {
                rect class=(class) x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{width:.1}"))
                    height=(format!("{height:.1}")) { title { (said) } }
            }
            @if quiet {
                text class="quiet" x=(self.size.left + 8.0) y=(top + SAMPLES / 2.0 + 4.0) { "no failures" }
            }
        };
        self.add(&markup);
    }

    /// Good answers per second of some of those who gave them; `out` is from when to when they were not expected to.
    pub(super) fn lane(
        &mut self,
        name: &str,
        points: &[Point],
        scale: &Scale,
        answers: impl Fn(&Point) -> u64,
        out: Option<(f64, f64)>,
    ) {
        let top = self.panel(name, LANE, scale, scale::rate_label);
        let bars = self.bars(points, top + LANE, |point| LANE * scale.at(answers(point) as f64 / point.length()));
        let markup = html! {
            @if let Some((from, to)) = out {
                @let (x, to) = (self.x(from), self.x(to));
                rect class="out" x=(format!("{x:.1}")) y=(format!("{top:.1}")) width=(format!("{:.1}", (to - x).max(1.0)))
                    height=(LANE) {}
            }
            path class="answered" d=(bars) {}
        };
        self.add(&markup);
    }

    /// A bar for each point, from the bottom up.
    fn bars(&self, points: &[Point], bottom: f64, height: impl Fn(&Point) -> f64) -> Path {
        points.iter().fold(Path::default(), |path, point| {
            let (x, to) = (self.x(point.from), self.x(point.to));
            match height(point) {
                h if h > 0.0 => path.to(x, bottom).down(bottom - h).across(to - gap(to - x)).down(bottom).close(),
                _ => path,
            }
        })
    }

    /// Each fault as a bar of its own above the panels, and as a shade of its colour behind them.
    fn faults(&self, bottom: f64) -> Markup {
        html! {
            @for (row, fault) in self.faults.iter().enumerate() {
                @let (x, to) = (self.x(fault.from), self.x(fault.to));
                @let (y, width) = (TOP + FAULT * row as f64, (to - x).max(2.0));
                @let room = fault.label.chars().count() as f64 * CHAR + 8.0;
                g class=(format!("laid f{}", fault.colour())) {
                    rect class="shade" x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{width:.1}"))
                        height=(format!("{:.1}", bottom - y)) {}
                    rect class="on" x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{width:.1}")) height="14" rx="3" {}
                    @if room < width {
                        text class="inside" x=(format!("{:.1}", x + 5.0)) y=(format!("{:.1}", y + 11.0)) { (fault.label) }
                    } @else if to + room < self.size.width {
                        text x=(format!("{:.1}", to + 5.0)) y=(format!("{:.1}", y + 11.0)) { (fault.label) }
                    } @else {
                        text x=(format!("{:.1}", x - 5.0)) y=(format!("{:.1}", y + 11.0)) text-anchor="end" { (fault.label) }
                    }
                }
            }
        }
    }

    /// The frame of the next panel: its name, grid and labels. Its top.
    fn panel(&mut self, name: &str, height: f64, scale: &Scale, label: fn(f64) -> String) -> f64 {
        let top = self.y;
        let (left, right) = (self.size.left, self.size.width - RIGHT);
        let markup = html! {
            text class="panel" x="0" y=(top - 14.0) { (name) }
            @for tick in &scale.ticks {
                @let y = top + height * (1.0 - scale.at(*tick));
                path class="grid" d=(format!("M{left} {y:.1}H{right}")) {}
                text class="tick" x=(left - 7.0) y=(format!("{:.1}", y + 4.0)) text-anchor="end" { (label(*tick)) }
            }
        };
        self.add(&markup);
        self.y += height + GAP;
        top
    }

    /// Bounds as dashed lines over the phases in which they are in force, each named at its end.
    fn bounds(&mut self, bounds: &[Bound], y: &impl Fn(f64) -> f64, top: f64) {
        let mut taken: Vec<f64> = Vec::new();
        let mut markup = PreEscaped(String::new());
        for bound in bounds {
            let at = y(bound.at);
            let path = bound
                .spans
                .iter()
                .fold(Path::default(), |path, (from, to)| path.to(self.x(*from), at).across(self.x(*to)));
            let end = bound.spans.iter().map(|s| self.x(s.1)).fold(0.0, f64::max);
            let width = bound.label.chars().count() as f64 * CHAR;
            let x = (end - 4.0).max(self.size.left + width + 4.0);
            let mut label = if at - top < 14.0 { at + 13.0 } else { at - 4.0 };
            while taken.iter().any(|t| (t - label).abs() < 12.0) {
                label += 13.0;
            }
            taken.push(label);
            markup.0.push_str(
                &html! {
                    path class="bound" d=(path) {}
                    text class="bound-label" x=(format!("{x:.1}")) y=(format!("{label:.1}")) text-anchor="end" {
                        (bound.label)
                    }
                }
                .0,
            );
        }
        self.add(&markup);
    }

    /// Phases behind, markers and the axis of time in front.
    pub(super) fn finish(self, phases: &[(Phase, f64, f64)], markers: &[Marker]) -> Finished {
        let bottom = self.y - GAP;
        let (left, right) = (self.size.left, self.size.width - RIGHT);
        let spread = spread(&markers.iter().map(|m| self.x(m.at)).collect::<Vec<_>>(), 18.0, left, right);
        let longest = self.time.ticks.last().copied().unwrap_or_default();
        let band_top = 14.0;
        let markup = html! {
            @for (phase, from, to) in phases {
                @let (x, to) = (self.x(*from), self.x(*to));
                @let name = phase.to_string();
                rect class=(format!("band {}", class(*phase))) x=(format!("{x:.1}")) y=(band_top)
                    width=(format!("{:.1}", (to - x).max(0.5))) height=(format!("{:.1}", bottom - band_top)) {}
                @if name.len() as f64 * CHAR + 4.0 < to - x {
                    text class="phase" x=(format!("{:.1}", x.midpoint(to))) y="10" text-anchor="middle" { (name) }
                }
            }
            (self.faults(bottom))
            (self.body)
            @for tick in &self.time.ticks {
                @let x = self.x(*tick);
                path class="stop" d=(format!("M{x:.1} {bottom:.1}v5")) {}
                text class="tick" x=(format!("{x:.1}")) y=(format!("{:.1}", bottom + 18.0)) text-anchor="middle" {
                    (scale::s_label(*tick, longest))
                }
            }
            path class="stop" d=(format!("M{left} {bottom:.1}H{right}")) {}
            @for (i, (marker, spot)) in markers.iter().zip(&spread).enumerate() {
                @let x = self.x(marker.at);
                g class=(format!("marker {}", marker.class)) {
                    path d=(format!("M{spot:.1} 29L{x:.1} {TOP}V{bottom:.1}")) {}
                    circle cx=(format!("{spot:.1}")) cy="23" r="8" {}
                    text x=(format!("{spot:.1}")) y="27" text-anchor="middle" { (i + 1) }
                }
            }
        };
        Finished { markup, height: bottom + AXIS }
    }
}

/// What is left free between two bars, where there is room for it.
fn gap(width: f64) -> f64 {
    if width > 3.0 { 1.0 } else { 0.0 }
}

/// What happened in a window, for the pointer that rests on its bar.
fn said(point: &Point) -> String {
    let mut parts = vec![format!("+{:.1} s: {} of {} failed", point.from, point.failed, point.samples)];
    if point.unmeasured > 0 {
        parts.push(format!("{} could not be measured", point.unmeasured));
    }
    parts.extend(point.failures.iter().map(|(kind, n)| format!("{kind} ×{n}")));
    parts.join("; ")
}

fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight | Phase::WarmUp => "warm-up",
        Phase::Baseline => "baseline",
        Phase::During => "during",
        Phase::Rollback => "rollback",
        Phase::Recovery => "recovery",
    }
}

/// Positions (ascending) moved apart until each has `room`, inside the bounds.
pub(in crate::report) fn spread(at: &[f64], room: f64, low: f64, high: f64) -> Vec<f64> {
    let mut out = at.to_vec();
    for i in 1..out.len() {
        out[i] = out[i].max(out[i - 1] + room);
    }
    let mut limit = high;
    for x in out.iter_mut().rev() {
        *x = x.min(limit);
        limit = *x - room;
    }
    out.into_iter().map(|x| x.max(low)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_do_not_cover_each_other() {
        assert_eq!(spread(&[10.0, 11.0, 12.0], 18.0, 0.0, 100.0), [10.0, 28.0, 46.0]);
        assert_eq!(spread(&[90.0, 99.0, 99.5], 18.0, 0.0, 100.0), [64.0, 82.0, 100.0]);
        assert_eq!(spread(&[10.0, 60.0], 18.0, 0.0, 100.0), [10.0, 60.0]);
        assert!(spread(&[], 18.0, 0.0, 100.0).is_empty());
    }
}
