//! One probe over the time of a run, as SVG: latency, value and samples above each other on one axis of time, with the
//! phases behind them and the decisive moments across them. Pure; colours come from the page's style sheet.

mod draw;
pub(super) mod lanes;
pub(super) mod map;
mod path;
mod scale;
mod series;

use jiff::Timestamp;
use maud::{Markup, html};

use self::draw::Canvas;
pub(super) use self::draw::spread;
pub(super) use self::scale::{Scale, s_label};
use self::series::Point;
use super::{facts, faults, words};
use crate::experiment::Expect;
use crate::record::event::Phase;
use crate::record::state::{CheckState, PhaseBegin, RunState};

/// A chart is drawn twice, for wide and for narrow pages; the style sheet shows one of them. Text that is scaled down
/// to a telephone's width could not be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    class: &'static str,
    width: f64,
    left: f64,
    latency: f64,
    ticks: f64,
    points: usize,
}

const WIDE: Size = Size { class: "wide", width: 960.0, left: 60.0, latency: 190.0, ticks: 9.0, points: 320 };
const NARROW: Size = Size { class: "narrow", width: 340.0, left: 60.0, latency: 150.0, ticks: 4.0, points: 120 };

/// A decisive moment, numbered in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Marker {
    pub(super) at: f64,
    pub(super) class: &'static str,
    pub(super) label: String,
}

/// A fault of several: from when to when it was on, and how it is called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Laid {
    n: usize,
    from: f64,
    to: f64,
    pub(super) label: String,
}

/// How many colours there are to tell faults apart.
const COLOURS: usize = 4;

impl Laid {
    /// Which colour of the style sheet it has.
    pub(super) fn colour(&self) -> usize {
        self.n % COLOURS
    }
}

/// The faults of a run where there are several, as far as they were on.
pub(super) fn laid(state: &RunState) -> Vec<Laid> {
    let all = faults::all(state);
    let several = all.len() > 1;
    let of = |fault: faults::On| {
        let from = fault.injected?;
        let to = fault.rolled_back.or(state.last).unwrap_or(from);
        let (from, to) = (words::seconds_into(state, from), words::seconds_into(state, to));
        Some(Laid { n: fault.n, from, to, label: fault.title() })
    };
    all.into_iter().filter(|_| several).filter_map(of).collect()
}

/// The phases that are drawn, with their spans in seconds.
fn spans(state: &RunState) -> Vec<(Phase, f64, f64)> {
    let of = |PhaseBegin { phase, .. }: &PhaseBegin| {
        let (from, to) = state.span_of(*phase)?;
        Some((*phase, words::seconds_into(state, from), words::seconds_into(state, to)))
    };
    state.phases.iter().filter(|p| p.phase != Phase::Preflight).filter_map(of).collect()
}

/// The decisive moments of a run for one of its checks.
pub(super) fn markers(state: &RunState, check: &str) -> Vec<Marker> {
    let mut out = Vec::new();
    let mut add = |at: Option<Timestamp>, class, label: &str| {
        if let Some(at) = at {
            let label = format!("{label} {}", words::relative(state, at));
            out.push(Marker { at: words::seconds_into(state, at), class, label });
        }
    };
    let faults = facts::experiment(state).map(|x| x.faults().len()).unwrap_or_default();
    if faults < 2 {
        add(facts::injected(state), "fault", "injected");
    } else {
        for fault in 0..faults {
            add(facts::injected_of(state, fault), "fault", &format!("fault {} injected", fault + 1));
            let over = facts::injected_of(state, fault).and(facts::rolled_back_of(state, fault));
            // The last one is marked as the rollback of the whole.
            let over = over.filter(|at| Some(*at) < facts::rolled_back(state));
            add(over, "good", &format!("fault {} rolled back", fault + 1));
        }
    }
    for breach in state.breaches.iter().filter(|b| b.check == check) {
        add(Some(breach.at), "bad", &format!("breach of {}", breach.standing.expectation));
    }
    if state.breaches.iter().all(|b| b.check != check) {
        add(state.stopping.as_ref().map(|s| s.at), "bad", "stopping");
    }
    let back = if state.stopping.is_some() { "aborted: rolled back" } else { "rolled back" };
    add(facts::rolled_back(state), "good", back);
    add(facts::recovered_check(state, check), "good", "recovered");
    out.sort_by(|a, b| a.at.total_cmp(&b.at));
    out
}

/// A bound on latency or value: where it stands, from when to when, and how it reads.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    at: f64,
    spans: Vec<(f64, f64)>,
    label: String,
}

/// Everything that both sizes of a chart are drawn from.
pub(super) struct Chart<'a> {
    id: usize,
    name: &'a str,
    check: &'a CheckState,
    began: Timestamp,
    /// Phases with their spans, in seconds.
    phases: Vec<(Phase, f64, f64)>,
    markers: Vec<Marker>,
    faults: Vec<Laid>,
    latency_bounds: Vec<Bound>,
    value_bounds: Vec<Bound>,
}

impl<'a> Chart<'a> {
    /// The chart of a check, where there is anything to see; `id` is unique on the page.
    pub(super) fn of(state: &'a RunState, name: &'a str, id: usize) -> Option<Self> {
        let check = state.checks.get(name)?;
        if check.windows.is_empty() {
            return None;
        }
        let spans = spans(state);
        let in_force = |phase: Phase| {
            let check = facts::check(state, name)?;
            match phase {
                Phase::Baseline | Phase::Recovery => Some(check.expect.clone()),
                Phase::During => Some(check.expect_during()),
                Phase::Preflight | Phase::WarmUp | Phase::Rollback => None,
            }
        };
        Some(Self {
            id,
            name,
            check,
            began: state.began?,
            markers: markers(state, name),
            faults: laid(state),
            latency_bounds: bounds(&spans, in_force, |expect| {
                let ms = |s: crate::experiment::Span| s.0.as_secs_f64() * 1000.0;
                expect.latencies().into_iter().map(|(_, key, b)| (ms(b), format!("{key} ≤ {b}"))).collect()
            }),
            value_bounds: bounds(&spans, in_force, |expect| {
                let Some(value) = &expect.value else { return Vec::new() };
                let least = value.at_least.map(|v| (v, format!("≥ {v}")));
                let most = value.at_most.map(|v| (v, format!("≤ {v}")));
                let equal = value.equals.as_ref().and_then(|v| Some((v.parse().ok()?, format!("= {v}"))));
                least.into_iter().chain(most).chain(equal).collect()
            }),
            phases: spans,
        })
    }

    /// The moments that are marked, for the caption.
    pub(super) fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// The faults that are told apart, for the caption.
    pub(super) fn faults(&self) -> &[Laid] {
        &self.faults
    }

    /// Whether there are latencies to be seen.
    pub(super) fn has_latency(&self) -> bool {
        self.check.windows.iter().any(|w| w.latency.is_some())
    }

    /// Whether the latencies stand on a logarithmic scale.
    pub(super) fn is_log(&self) -> bool {
        let (points, _) = series::points(&self.check.windows, self.began, WIDE.points);
        self.has_latency() && latency_scale(&points, &self.latency_bounds).log
    }

    /// Both sizes.
    pub(super) fn draw(&self) -> Markup {
        html! { (self.svg(WIDE)) (self.svg(NARROW)) }
    }

    /// What the chart shows, for those who cannot see it.
    fn description(&self) -> String {
        let sum = facts::samples([self.check]);
        let mut parts = vec![format!(
            "{}, {} failed, {} could not be measured.",
            words::count(sum.asked, "sample"),
            words::thousands(sum.failed),
            words::thousands(sum.unmeasured)
        )];
        for phase in facts::JUDGED {
            let of_phase = || self.check.windows.iter().filter(move |w| w.phase == phase);
            if of_phase().next().is_none() {
                continue;
            }
            let failed: u64 = of_phase().map(|w| w.failed).sum();
            let slowest = of_phase().filter_map(|w| w.latency).map(|l| l.p95).fold(0.0, f64::max);
            parts.push(if slowest > 0.0 {
                format!("In phase {phase}: {failed} failed, worst 95th percentile {}.", words::span_ms(slowest))
            } else {
                format!("In phase {phase}: {failed} failed.")
            });
        }
        parts.extend(self.markers.iter().map(|m| format!("{}.", m.label)));
        parts.join(" ")
    }

    fn svg(&self, size: Size) -> Markup {
        let (points, together) = series::points(&self.check.windows, self.began, size.points);
        let first = points.first().map_or(0.0, |p| p.from);
        let last = points.iter().map(|p| p.to).fold(first, f64::max);
        let last = self.phases.iter().map(|p| p.2).fold(last, f64::max);
        let mut canvas = Canvas::new(size, Scale::axis(first, last, size.ticks), &self.faults);
        if self.has_latency() {
            let scale = latency_scale(&points, &self.latency_bounds);
            canvas.latency(&points, &scale, &self.latency_bounds);
        }
        if points.iter().any(|p| p.value.is_some()) {
            let bounds = self.value_bounds.iter().map(|b| b.at);
            let high = points.iter().filter_map(|p| p.value).chain(bounds).fold(0.0, f64::max);
            canvas.values(&points, &Scale::linear(high * 1.15, 3.0), &self.value_bounds);
        }
        canvas.samples(&points);
        let (title, desc) = (format!("c{}{}t", self.id, size.class), format!("c{}{}d", self.id, size.class));
        let body = canvas.finish(&self.phases, &self.markers);
        html! {
            svg class=(format!("chart {}", size.class)) viewBox=(format!("0 0 {} {:.0}", size.width, body.height))
                role="img" aria-labelledby=(format!("{title} {desc}")) {
                title id=(title) { "How " (self.name) " answered over time" }
                desc id=(desc) {
                    (self.description())
                    @if together > 1 { " Each point stands for " (together) " windows: the mean of their medians, the worst of the rest." }
                }
                (body.markup)
            }
        }
    }
}

/// The bounds over the phases in which they are in force; the same bound in several phases is one.
fn bounds(
    phases: &[(Phase, f64, f64)],
    in_force: impl Fn(Phase) -> Option<Expect>,
    of: impl Fn(&Expect) -> Vec<(f64, String)>,
) -> Vec<Bound> {
    let mut out: Vec<Bound> = Vec::new();
    for (phase, from, to) in phases {
        for (at, label) in in_force(*phase).map(|e| of(&e)).unwrap_or_default() {
            match out.iter_mut().find(|b| b.label == label) {
                Some(bound) => bound.spans.push((*from, *to)),
                None => out.push(Bound { at, spans: vec![(*from, *to)], label }),
            }
        }
    }
    out
}

/// Logarithmic where the highest is far above what is usual: else the usual would be a line at the bottom.
fn latency_scale(points: &[Point], bounds: &[Bound]) -> Scale {
    let mut usual: Vec<f64> = points.iter().filter_map(|p| p.latency).map(|l| l.p50).filter(|v| *v > 0.0).collect();
    usual.sort_by(f64::total_cmp);
    let median = usual.get(usual.len() / 2).copied().unwrap_or(1.0);
    let lowest = usual.first().copied().unwrap_or(1.0);
    let high = points
        .iter()
        .filter_map(|p| p.latency)
        .map(|l| l.max)
        .chain(bounds.iter().map(|b| b.at))
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    if high > 12.0 * median { Scale::log(lowest * 0.8, high * 1.1) } else { Scale::linear(high * 1.06, 4.0) }
}
