//! The report as one page: verdict first, then the figures, then everything that stands behind them.
//!
//! No script and no request to anywhere. Every text is escaped by maud; nothing here writes markup from a run's data.

mod alerts;
mod checks;
mod fleet;
mod record;
mod zones;

pub(super) use self::checks::figure;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::zones::{returned, served, slowest};
use super::{facts, words};
use crate::event::Phase;
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::fault::Heal;
use crate::state::RunState;

pub(super) const STYLE: &str = include_str!("style.css");

/// The page.
pub(super) fn render(state: &RunState) -> String {
    let verdict = facts::verdict(state);
    let name = facts::name(state);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words::verdict(verdict)) " · " (name) " · Squall" }
                style { (PreEscaped(STYLE)) }
            }
            body class=(class(verdict)) {
                (masthead(state))
                main {
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
                }
                footer {
                    p { "Written by squall " (env!("CARGO_PKG_VERSION")) " from the run’s journal." }
                }
            }
        }
    }
    .into_string()
}

pub(super) fn class(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("unfinished", Verdict::word)
}

fn masthead(state: &RunState) -> Markup {
    html! {
        header.masthead {
            span.brand { (mark()) "Squall" }
            @if let Some(started) = &state.started {
                span.run {
                    code { (started.run) }
                    @if let Some(began) = state.began { " " span.when { (words::day(began)) } }
                }
            }
        }
    }
}

/// Three gusts of wind.
pub(super) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" {
            path d="M3 8h10a3 3 0 1 0-3-3M3 12h15a3 3 0 1 1-3 3M3 16h7a2.5 2.5 0 1 1-2.5 2.5" {}
        }
    }
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
                        @if let Some((_, _, reason, _)) = &state.finished { " " code.reason { (reason.word()) } }
                    }
                }
            }
        }
    }
}

/// A verdict as a sign in a circle.
pub(super) fn sign(verdict: Option<Verdict>) -> Markup {
    let sign = match verdict {
        Some(Verdict::Held) => "M6 12.5l4 4 8-9",
        Some(Verdict::Broken) => "M7 7l10 10M17 7L7 17",
        Some(Verdict::NoVerdict) => "M9 9.2a3 3 0 1 1 4.4 2.7c-1 .6-1.4 1.1-1.4 2.3M12 17.6v.1",
        Some(Verdict::LeftBehind) => "M12 6v7.5M12 17.6v.1",
        None => "M12 7v5l3.5 2",
    };
    html! {
        svg.sign viewBox="0 0 24 24" aria-hidden="true" {
            circle cx="12" cy="12" r="11" {}
            path d=(sign) {}
        }
    }
}

/// A text with what stands between backticks as code.
pub(super) fn ticked(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // A tick without its partner is only a tick.
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (i, part) in parts.iter().enumerate() {
                @if i % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
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
            _ => "from the begin of the way back",
        };
        match recovery.rto {
            Some(rto) => cells.push((
                "Recovery time",
                words::span(rto),
                [Some(from.to_owned()), limit].into_iter().flatten().collect::<Vec<_>>().join(", "),
            )),
            None => cells.push(("Recovery time", "not in time".to_owned(), limit.unwrap_or_default())),
        }
    }
    if let Some((check, clock)) = slowest(state) {
        let again = returned(clock).0;
        cells.push(("Failover", served(clock).0, format!("{check} by the others; by the zone again: {again}")));
    }
    if let Some((alert, after)) = facts::detected(state) {
        cells.push(("Time to detect", words::span(after), format!("from the injection to the alert {alert}")));
    }
    if let Some(latency) = state.stopped_in() {
        cells.push(("Abort latency", words::span(latency), "from the breach to the last change taken back".to_owned()));
    }
    if let Some((from, _)) = state.span_of(Phase::During) {
        let to = facts::taken_back(state).or(state.last).unwrap_or(from);
        let planned = facts::experiment(state).map_or(String::new(), |x| format!("of {} planned", x.timing.duration));
        let on = words::span(words::between(facts::injected(state).unwrap_or(from), to));
        let still = state.finished.is_some() && !facts::left_behind(state).is_empty();
        cells.push(("Fault on for", if still { "still on".to_owned() } else { on }, planned));
    }
    if let Some(spent) = facts::tightest(state) {
        let what =
            format!("{}: {} {}, while the fault was on", spent.check, spent.standing.expectation, spent.standing.bound);
        cells.push(("Tightest budget", format!("{} of {}", spent.spent, spent.allowed), what));
    }
    if sum.asked > 0 {
        let failed = words::thousands(sum.failed);
        let note = match sum.unasked {
            0 => format!("{failed} failed"),
            n => format!("{failed} failed, {} could not be asked", words::thousands(n)),
        };
        cells.push(("Samples asked", words::thousands(sum.asked), note));
    }
    // Where there is no room for it: it stands in the command that repeats the run, too.
    if let Some(started) = state.started.as_ref().filter(|_| cells.len() < 6) {
        cells.push(("Seed", started.seed.to_string(), "repeats the same choices".to_owned()));
    }
    html! {
        @if !cells.is_empty() {
            section.figures aria-label="Key figures" {
                dl {
                    @for (name, value, note) in cells {
                        div { dt { (name) } dd.long[value.chars().count() > 8] { (value) span.note { (note) } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
