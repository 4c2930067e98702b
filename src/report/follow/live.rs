//! The live block under the lines: the running phase, each probe's numbers against its budget, the faults that are on.
//! Pure: the state and the time, to rows that fit.

use std::collections::BTreeMap;
use std::time::Duration;

use ::console::measure_text_width;
use jiff::Timestamp;

use super::narrate::since;
use super::paint::{Paint, Tone};
use super::words::{budget, column, count, cut, kinds, running, span};
use crate::record::event::{Phase, Standing, Window};
use crate::record::state::{CheckState, PhaseBegin, RunState};
use crate::text::units;
use crate::text::visible;

/// The rows at a moment; none before the first phase and after the end.
pub(super) fn block(state: &RunState, now: Timestamp, width: usize, height: usize, paint: Paint) -> Vec<String> {
    let Some(PhaseBegin { phase, at: began }) = state.phases.last().filter(|_| state.finished.is_none()) else {
        return Vec::new();
    };
    let planned = state.planned_ms.map(Duration::from_millis);
    let mut rows = vec![String::new(), progress(*phase, since(*began, now), planned, width, paint)];
    // The terminal's height, less the bar, the empty line above it and a few lines of what happened.
    let room = height.saturating_sub(6).max(2);
    let mut checks: Vec<(&String, &CheckState, Pulse)> =
        state.checks.iter().filter_map(|(name, check)| Some((name, check, Pulse::of(check, *phase)?))).collect();
    let faults = faults(state, now, width, paint);
    let room_for_checks = room.saturating_sub(faults.len()).max(1);
    let hidden = checks.len().saturating_sub(room_for_checks);
    if hidden > 0 {
        // What is worst must be seen.
        checks.sort_by_key(|(_, _, pulse)| (pulse.held(), pulse.failed == 0));
        checks.truncate(room_for_checks.saturating_sub(1));
    }
    let name_width = checks.iter().map(|(name, ..)| measure_text_width(name)).max().unwrap_or(0).clamp(4, 20);
    rows.extend(checks.iter().map(|(name, _, pulse)| pulse.row(&column(name, name_width), width, paint)));
    if hidden > 0 {
        rows.push(paint.on(Tone::Dim, &format!("  … and {} that look no worse", count(hidden + 1, "probe"))));
    }
    rows.extend(faults);
    rows
}

/// The running phase with a bar: how much of its planned time is over.
fn progress(phase: Phase, elapsed: Duration, planned: Option<Duration>, width: usize, paint: Paint) -> String {
    let name = format!("{:<11}", phase.to_string());
    let Some(planned) = planned else {
        return format!("  {} {}", paint.on(Tone::Strong, &name), running(elapsed));
    };
    let time = format!("{} of {}", running(elapsed), super::words::planned(planned));
    let room = width.saturating_sub(2 + 11 + 1 + 1 + time.len());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a bar")]
    let done = (elapsed.as_secs_f64() / planned.as_secs_f64().max(0.001) * room as f64).min(room as f64) as usize;
    let bar = paint.on(Tone::Accent, &"━".repeat(done)) + &paint.on(Tone::Dim, &"─".repeat(room - done));
    cut(&format!("  {} {bar} {time}", paint.on(Tone::Strong, &name)), width)
}

/// The faults that are on: made, and not rolled back.
fn faults(state: &RunState, now: Timestamp, width: usize, paint: Paint) -> Vec<String> {
    const MOST: usize = 4;
    let on: Vec<_> = state
        .changes
        .iter()
        .filter(|c| c.rolled_back.is_none())
        .filter_map(|c| c.injected.map(|i| (c, i.at)))
        .collect();
    let mut rows: Vec<String> = on
        .iter()
        .take(MOST)
        .map(|(c, at)| {
            let text = format!("  ▼ {}, for {}", c.change, running(since(*at, now)));
            paint.on(Tone::Fault, &cut(&text, width))
        })
        .collect();
    if on.len() > MOST {
        rows.push(paint.on(Tone::Fault, &format!("  ▼ and {} more", on.len() - MOST)));
    }
    rows
}

/// How a probe does in the running phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pulse {
    /// Samples that were due per second, of late; nothing before two windows tell.
    rate: Option<f64>,
    /// The last value that was read.
    value: Option<String>,
    p95: Option<Duration>,
    failed: u64,
    unmeasured: u64,
    failures: BTreeMap<String, u64>,
    standings: Vec<Standing>,
}

impl Pulse {
    /// Nothing where the probe has not been asked in this phase.
    pub(super) fn of(check: &CheckState, phase: Phase) -> Option<Self> {
        let windows: Vec<&Window> = check.windows.iter().rev().take_while(|w| w.phase == phase).collect();
        let newest = *windows.first()?;
        let mut failures = BTreeMap::new();
        for (kind, n) in windows.iter().flat_map(|w| &w.failures) {
            *failures.entry(kind.clone()).or_insert(0) += n;
        }
        Some(Self {
            rate: rate_of_late(&windows),
            value: newest.value.clone(),
            p95: newest.latency.and_then(|l| Duration::try_from_secs_f64(l.p95 / 1000.0).ok()),
            failed: windows.iter().map(|w| w.failed).sum(),
            unmeasured: windows.iter().map(|w| w.unmeasured).sum(),
            failures,
            standings: newest.standings.clone(),
        })
    }

    fn held(&self) -> bool {
        self.standings.iter().all(|s| s.held)
    }

    fn tone(&self) -> (Tone, &'static str) {
        match (self.held(), self.failed + self.unmeasured) {
            (false, _) => (Tone::Bad, "✗"),
            (true, 0) => (Tone::Good, "✓"),
            (true, _) => (Tone::Warn, "!"),
        }
    }

    /// What there is to say, the most important first.
    fn parts(&self) -> Vec<(Tone, String)> {
        let mut standings: Vec<&Standing> = self.standings.iter().collect();
        standings.sort_by_key(|s| s.held);
        let mut parts: Vec<(Tone, String)> = standings.iter().map(|s| (standing_tone(s), short(s))).collect();
        // Why something fails is worth more than a second number that is fine.
        let at = parts.iter().take_while(|(tone, _)| *tone == Tone::Bad).count().max(1).min(parts.len());
        if self.unmeasured > 0 {
            parts.insert(at, (Tone::Warn, format!("not measured {}", self.unmeasured)));
        }
        if self.failed > 0 {
            parts.insert(at, (Tone::Warn, kinds(&self.failures)));
        }
        if self.standings.is_empty() {
            // A phase that judges nothing: how it does must be seen all the same.
            parts.extend((self.failed == 0).then(|| (Tone::Good, "no failure".to_owned())));
            parts.extend(self.p95.map(|p95| (Tone::Plain, format!("p95 {}", span(p95)))));
        }
        if let Some(value) = &self.value
            && !self.standings.iter().any(|s| s.expectation == "value")
        {
            parts.push((Tone::Plain, format!("value {}", visible::brief(value))));
        }
        parts
    }

    fn row(&self, name: &str, width: usize, paint: Paint) -> String {
        let (tone, mark) = self.tone();
        let rate = self.rate.map(units::rate).unwrap_or_default();
        let head = format!("  {mark} {name} {rate:>6}");
        let mut used = measure_text_width(&head);
        let mut row = format!("  {} {name} {}", paint.on(tone, mark), paint.on(Tone::Dim, &format!("{rate:>6}")));
        let parts = self.parts();
        for (i, (tone, text)) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            // Room for the gap, and for the sign that something is missing.
            let room = width.saturating_sub(used + 2 + if last { 0 } else { 2 });
            let text = visible::line(text);
            let wanted = measure_text_width(&text);
            if wanted > room {
                if room >= 12 {
                    row.push_str("  ");
                    row.push_str(&paint.on(*tone, &cut(&text, room)));
                } else if used + 2 <= width {
                    row.push_str(" …");
                }
                break;
            }
            row.push_str("  ");
            row.push_str(&paint.on(*tone, &text));
            used += 2 + wanted;
        }
        row
    }

    /// The same for a pipe.
    pub(super) fn plain(&self, name: &str) -> String {
        let parts: Vec<String> = self.parts().into_iter().map(|(_, text)| text).collect();
        let rate = self.rate.map(|rate| format!("{}, ", units::rate(rate))).unwrap_or_default();
        format!("{name}: {rate}{}", parts.join(", "))
    }
}

/// How many samples were due per second, from windows that have some, the newest first: a slow check has none in most of its
/// time, so what counts is how far apart they are.
#[expect(clippy::cast_precision_loss, reason = "a rate for the eye")]
fn rate_of_late(windows: &[&Window]) -> Option<f64> {
    const FEW: usize = 5;
    let newest = windows.first()?;
    let before: Vec<&&Window> = windows[1..]
        .iter()
        .enumerate()
        .take_while(|(i, w)| *i + 1 < FEW || since(w.from, newest.from) <= Duration::from_secs(1))
        .map(|(_, w)| w)
        .collect();
    let apart = since(before.last()?.from, newest.from).as_secs_f64();
    let samples: u64 = before.iter().map(|w| w.samples).sum();
    (apart > 0.0).then(|| samples as f64 / apart)
}

fn standing_tone(s: &Standing) -> Tone {
    match (s.held, s.budget, s.spent.unwrap_or(0)) {
        (false, ..) => Tone::Bad,
        (true, Some(budget), spent) if spent * 2 > budget => Tone::Warn,
        _ => Tone::Good,
    }
}

/// What of it is spent, or how far it has come: while the phase goes on there is nothing yet to hold against the bound.
/// `success 97% 6/10`, `p95 12 ms, 0/12 over 300 ms`, `max-outage 40 ms (≤ 2 s)`.
fn short(s: &Standing) -> String {
    let over = s.bound.trim_start_matches("≤ ");
    match budget(s) {
        Some(budget) if s.expectation == "success" => format!("success {} {budget}", s.measured),
        Some(budget) => format!("{} {}, {budget} over {over}", s.expectation, s.measured),
        None if s.held => format!("{} {} ({})", s.expectation, s.measured, s.bound),
        None => s.words(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::record::event::{Event, Stamped};

    /// The block right after the last event of a kind, without colours.
    fn block_after(run: &[Stamped], is: impl Fn(&Event) -> bool, width: usize, height: usize) -> Vec<String> {
        let last = run.iter().rposition(|s| is(&s.event)).unwrap();
        let state = fixture::fold(&run[..=last]);
        block(&state, state.last.unwrap(), width, height, Paint(false))
    }

    fn sampled_in(phase: Phase) -> impl Fn(&Event) -> bool {
        move |event| matches!(event, Event::Sampled(w) if w.phase == phase)
    }

    #[test]
    fn probes_and_faults_are_shown_against_their_budgets() {
        let held = block_after(&fixture::held(), sampled_in(Phase::Recovery), 79, 24);
        let broken = block_after(&fixture::broken(), sampled_in(Phase::During), 79, 24);
        let narrow = block_after(&fixture::broken(), sampled_in(Phase::During), 48, 24);
        let all = [held, broken, narrow].concat();
        insta::assert_snapshot!("live_block", all.join("\n"));
    }

    #[test]
    fn a_check_that_is_asked_seldom_shows_its_rate() {
        let mut state = fixture::fold(&fixture::held());
        let check = &mut state.checks["checkout"];
        let (like, from) = (check.windows[0].clone(), check.windows[0].from);
        for (every_ms, shown) in [(3000, "20/m"), (1000, "1/s"), (400, "2.5/s")] {
            let at = |n: i64| from + jiff::SignedDuration::from_millis(n * every_ms);
            let window = |n| Window { from: at(n), length_ms: 250, samples: 1, ..like.clone() };
            check.windows = (0..8).map(window).collect();
            let pulse = Pulse::of(check, like.phase).unwrap();
            assert_eq!(pulse.rate.map(units::rate).as_deref(), Some(shown));
            check.windows.truncate(1);
            assert_eq!(Pulse::of(check, like.phase).unwrap().rate, None, "one window tells no rate");
        }
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        for run in [fixture::held(), fixture::broken(), fixture::left_behind()] {
            for end in 1..run.len() {
                let state = fixture::fold(&run[..end]);
                for width in 20..100 {
                    for row in block(&state, state.last.unwrap(), width, 24, Paint(true)) {
                        assert!(measure_text_width(&row) <= width, "{width}: {row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_terminal_shows_the_worst_probe() {
        let mut run = fixture::broken();
        run.truncate(run.iter().rposition(|s| sampled_in(Phase::During)(&s.event)).unwrap() + 1);
        let mut state = fixture::fold(&run);
        let fine = fixture::fold(&fixture::held()).checks["checkout"].clone();
        for i in 0..40 {
            state.checks.insert_before(0, format!("fine-{i}"), fine.clone());
        }
        for check in state.checks.values_mut().filter(|c| c.windows.iter().all(|w| w.failed == 0)) {
            check.windows.retain(|w| w.phase == Phase::During);
        }
        let rows = block(&state, state.last.unwrap(), 79, 16, Paint(false));
        assert!(rows.len() <= 12, "{rows:#?}");
        assert!(rows[2].starts_with("  ✗ checkout"), "{rows:#?}");
    }

    #[test]
    fn nothing_is_shown_before_the_first_phase_and_after_the_end() {
        let run = fixture::held();
        for events in [&run[..1], &run[..]] {
            let state = fixture::fold(events);
            assert_eq!(block(&state, state.last.unwrap(), 79, 24, Paint(false)), Vec::<String>::new());
        }
    }
}
