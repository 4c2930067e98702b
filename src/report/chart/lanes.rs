//! In which zone a check was answered over the time of a run, as SVG: a lane for each zone above what was asked and failed. Pure.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::super::zones::{Answers, Zone, Zones};
use super::super::{facts, words};
use super::draw::Canvas;
use super::scale::Scale;
use super::series::{self, Point};
use super::{Marker, NARROW, Size, WIDE, laid, spans};
use crate::record::event::Phase;
use crate::record::state::RunState;

/// Everything that both sizes are drawn from.
pub(in super::super) struct Lanes<'a> {
    state: &'a RunState,
    zones: &'a Zones<'a>,
    answers: &'a Answers<'a>,
    id: usize,
    pub(in super::super) markers: Vec<Marker>,
}

impl<'a> Lanes<'a> {
    /// Where answers tell who gave them; `id` is unique on the page.
    pub(in super::super) fn of(
        state: &'a RunState,
        zones: &'a Zones<'a>,
        answers: &'a Answers<'a>,
        id: usize,
    ) -> Option<Self> {
        let drawn = !answers.given.is_empty();
        drawn.then(|| Self { state, zones, answers, id, markers: markers(state, answers) })
    }

    /// Both sizes.
    pub(in super::super) fn draw(&self) -> Markup {
        html! { (self.svg(WIDE)) (self.svg(NARROW)) }
    }

    fn svg(&self, size: Size) -> Markup {
        let windows = self.state.checks.get(self.answers.check).map(|c| c.windows.as_slice()).unwrap_or_default();
        let began = self.state.began.unwrap_or_default();
        let (points, _) = series::points(windows, began, size.points);
        let phases = spans(self.state);
        let first = points.first().map_or(0.0, |p| p.from);
        let last = points.iter().map(|p| p.to).chain(phases.iter().map(|p| p.2)).fold(first, f64::max);
        let faults = laid(self.state);
        let mut canvas = Canvas::new(size, Scale::axis(first, last, size.ticks), &faults);
        let given = |place: Option<usize>| {
            move |p: &Point| p.by.iter().filter(|(by, _)| self.zones.place(by) == place).map(|(_, n)| n).sum::<u64>()
        };
        // One scale for all, so that lanes can be compared; stumps at the end of a phase do not set it.
        let whole = 0.5 * points.iter().map(Point::length).fold(0.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "only drawn")]
        let rate = |p: &Point, n: u64| n as f64 / p.length();
        let places = || self.answers.given.iter().map(|(place, _)| *place);
        let of_all = |p: &Point| places().map(|place| rate(p, given(place)(p))).fold(0.0, f64::max);
        let most = points.iter().filter(|p| p.length() >= whole).map(of_all).fold(0.0, f64::max);
        let scale = Scale::whole(most);
        for place in places() {
            let zone = place.and_then(|at| self.zones.all.get(at));
            let what = zone.and_then(Zone::words);
            let name = self.zones.title(place) + &what.as_ref().map(|w| format!(": {w}")).unwrap_or_default();
            canvas.lane(&name, &points, &scale, given(place), what.and_then(|_| self.out()));
        }
        canvas.samples(&points);
        let (title, desc) = (format!("z{}{}t", self.id, size.class), format!("z{}{}d", self.id, size.class));
        let body = canvas.finish(&phases, &self.markers);
        html! {
            svg class=(format!("chart {}", size.class)) viewBox=(format!("0 0 {} {:.0}", size.width, body.height))
                role="img" aria-labelledby=(format!("{title} {desc}")) {
                title id=(title) { "In which zone " (self.answers.check) " was answered over time" }
                desc id=(desc) { @for marker in &self.markers { (marker.label) ". " } "The table below has the numbers." }
                (body.markup)
            }
        }
    }

    /// From when to when zones were out.
    fn out(&self) -> Option<(f64, f64)> {
        let from = facts::injected(self.state)?;
        let to = facts::rolled_back(self.state).or(self.state.last)?;
        Some((words::seconds_into(self.state, from), words::seconds_into(self.state, to)))
    }
}

/// The failover clock on the axis of time.
fn markers(state: &RunState, answers: &Answers<'_>) -> Vec<Marker> {
    let mut out = Vec::new();
    let mut add = |at: Option<Timestamp>, class, label: &str| {
        let Some(at) = at else { return };
        out.push(Marker {
            at: words::seconds_into(state, at),
            class,
            label: format!("{label} {}", words::relative(state, at)),
        });
    };
    let begin = |phase| state.span_of(phase).map(|span| span.0);
    let after = |from: Option<Timestamp>, ms: Option<u64>| {
        from?.checked_add(SignedDuration::from_millis(i64::try_from(ms?).ok()?)).ok()
    };
    add(facts::injected(state), "fault", "injected");
    if let Some(clock) = answers.clock {
        // Where nothing failed there was no moment at which the others took over.
        add(after(begin(Phase::During), clock.served_ms.filter(|_| clock.failed > 0)), "good", "served by the others");
    }
    add(begin(Phase::Rollback), "step", "rollback begins");
    add(after(begin(Phase::Rollback), answers.clock.and_then(|c| c.returned_ms)), "good", "the zone serves again");
    out.sort_by(|a, b| a.at.total_cmp(&b.at));
    out
}
