//! The report as one page: verdict first, then the figures, then everything that stands behind them.
//!
//! No script and no request to anywhere. Every text is escaped by maud; nothing here writes markup from a run's data.

mod alerts;
mod checks;
mod fleet;
mod page;
mod record;
mod zones;

pub(super) use self::checks::{came_out, figure};
#[cfg(test)]
pub(super) use self::page::STYLE;
pub(super) use self::page::{Page, class, key_figures, sign, still_in_place, ticked};

use maud::{Markup, html};

use super::zones::{returned, served, slowest};
use super::{facts, words};
use crate::experiment::Experiment;
use crate::experiment::fault::Heal;
use crate::record::state::{Comeback, RunState};

/// The page.
pub(super) fn render(state: &RunState) -> String {
    let verdict = facts::verdict(state);
    Page {
        title: format!("{} · {}", words::verdict(verdict), facts::name(state)),
        class: class(verdict).to_owned(),
        style: "",
        which: html! {
            @if let Some(started) = &state.started {
                code { (started.run) }
                @if let Some(began) = state.began { " " span.when { (words::day(began)) } }
            }
        },
        main: html! {
            (hero(state))
            (fleet::by_hand(state))
            (figures(state))
            (record::warnings(state))
            // Where a zone went out, that is what the page is about.
            @if zones::any_out(state) { (zones::section(state)) }
            (checks::section(state))
            (alerts::section(state))
            (record::timeline(state))
            @if !zones::any_out(state) { (zones::section(state)) }
            (fleet::radius(state))
            (fleet::changes(state))
            (record::repeat(state))
            (record::experiment(state))
        },
        written_from: html! { "the run’s journal." },
    }
    .render()
}

fn hero(state: &RunState) -> Markup {
    let verdict = facts::verdict(state);
    html! {
        section.hero {
            (sign(verdict))
            div {
                p.eyebrow { "Experiment " b { (facts::name(state)) } }
                h1 { (words::verdict(verdict)) }
                p.meaning { (words::meaning(verdict)) }
                @if let Some(x) = facts::experiment(state) {
                    p.hypothesis { span.label { "Hypothesis" } (x.hypothesis) }
                }
                @if let Some(why) = facts::why(state) {
                    p.why {
                        span.label { "Why" }
                        (ticked(&words::sentence(why)))
                        @if let Some(end) = &state.finished { " " code.reason { (end.reason.word()) } }
                    }
                }
            }
        }
    }
}

/// The key numbers.
fn figures(state: &RunState) -> Markup {
    let sum = facts::samples(state.checks.values());
    let mut cells: Vec<(&str, String, String)> = Vec::new();
    if let Some(recovery) = &state.recovery {
        let limit = facts::experiment(state).map(|x| format!("of {} allowed", x.timing.recovery));
        let from = match facts::experiment(state).map(Experiment::heal) {
            Some(Heal::Itself) => "from the injection",
            _ => "from the begin of the rollback",
        };
        let came = recovery.comeback();
        cells.push(match came {
            Comeback::NeverLost => ("Steady state", came.to_string(), "from the first injection on".to_owned()),
            Comeback::After(_) => (
                "Recovery time",
                came.to_string(),
                [Some(from.to_owned()), limit].into_iter().flatten().collect::<Vec<_>>().join(", "),
            ),
            Comeback::TooLate => ("Recovery time", came.to_string(), limit.unwrap_or_default()),
        });
    }
    if let Some((check, clock)) = slowest(state) {
        let again = returned(clock).0;
        cells.push(("Failover", served(clock).0, format!("{check} by the others; by the zone again: {again}")));
    }
    if let Some((alert, after)) = facts::detected(state) {
        cells.push(("Time to detect", words::span(after), format!("from the injection to the alert {alert}")));
    }
    if let Some(latency) = state.stopped_in() {
        cells.push((
            "Abort latency",
            words::span(latency),
            "from the breach to the last change rolled back".to_owned(),
        ));
    }
    if let Some(on) = state.on_shortest() {
        let planned = facts::experiment(state).map_or(String::new(), |x| format!("of {} planned", x.timing.duration));
        let still = state.finished.is_some() && !state.left_in_place().is_empty();
        cells.push(("Fault lasted", if still { "not rolled back".to_owned() } else { words::span(on) }, planned));
    }
    if let Some((machines, spread)) = state.spread_over_machines() {
        let note = format!("from the first to the last of {machines} machines");
        cells.push(("Spread", spread.to_string(), note));
    }
    if let Some(spent) = facts::tightest(state) {
        let what =
            format!("{}: {} {}, while the fault was on", spent.check, spent.standing.expectation, spent.standing.bound);
        cells.push(("Tightest budget", format!("{} of {}", spent.spent, spent.allowed), what));
    }
    if sum.asked > 0 {
        let failed = words::thousands(sum.failed);
        let note = match sum.unmeasured {
            0 => format!("{failed} failed"),
            n => format!("{failed} failed, {} could not be measured", words::thousands(n)),
        };
        cells.push(("Samples asked", words::thousands(sum.asked), note));
    }
    // Where there is no room for it: it stands in the command that repeats the run, too.
    if let Some(started) = state.started.as_ref().filter(|_| cells.len() < 6) {
        cells.push(("Seed", started.seed.to_string(), "repeats the same choices".to_owned()));
    }
    key_figures(&cells)
}

#[cfg(test)]
mod tests;
