//! The scenarios on the page: what held and what broke, at a glance and in full.

use maud::{Markup, html};

use super::super::super::chart::Chart;
use super::super::super::html::{came_out, figure, still_in_place, ticked};
use super::super::facts::Facts;
use super::super::scenario::{Scenario, ScenarioOutcome};
use super::super::words;
use crate::model::exit::Verdict;
use crate::record::state::RunState;

/// A verdict as a coloured word.
pub(super) fn standing(came: ScenarioOutcome) -> Markup {
    let (class, sign) = match came {
        ScenarioOutcome::To(Verdict::Held) => ("ok", "✓ "),
        ScenarioOutcome::To(Verdict::Broken | Verdict::LeftBehind) => ("no", "✗ "),
        ScenarioOutcome::To(Verdict::NoVerdict) | ScenarioOutcome::Unfinished => ("unsure", "? "),
        ScenarioOutcome::To(Verdict::Rehearsed | Verdict::RehearsedBroken) => ("muted", "~ "),
        ScenarioOutcome::LeftOut | ScenarioOutcome::NotReached => ("muted", "– "),
    };
    html! { span.standing.(class) { (sign) (came.words()) } }
}

/// What was left in place, by scenario.
pub(super) fn by_hand(facts: &Facts<'_>) -> Markup {
    let unclean = facts.scenarios.iter().filter(|s| s.came == ScenarioOutcome::To(Verdict::LeftBehind));
    let left = unclean.flat_map(|s| {
        let left = s.run.map(RunState::left_in_place).unwrap_or_default();
        left.into_iter().map(|left| (format!("{}: {left}", s.title), left.by_hand))
    });
    still_in_place(&left.collect::<Vec<_>>())
}

/// All of them in a table.
pub(super) fn summary(facts: &Facts<'_>) -> Markup {
    html! {
        @if !facts.scenarios.is_empty() {
            section {
                h2 { "What held, and what broke" }
                div.card {
                    div.scroll tabindex="0" role="region" aria-label="Scenarios" {
                        table.scenarios {
                            thead { tr {
                                th scope="col" { "Scenario" }
                                th scope="col" { "Came to" }
                                th scope="col" { "Why" }
                                th scope="col" { "Targeted" }
                                th scope="col" { "Failed" }
                                th scope="col" { "Recovery" }
                            } }
                            tbody { @for s in &facts.scenarios { (row(s)) } }
                        }
                    }
                }
            }
        }
    }
}

fn row(s: &Scenario<'_>) -> Markup {
    html! {
        tr {
            th scope="row" { (s.n + 1) ". " (s.title) }
            td { (standing(s.came)) }
            td { (ticked(&s.sentence())) }
            td.targeted { (words::names(&s.targeted)) }
            td.num { @if s.asked == 0 { "–" } @else { (words::percent(s.failed, s.asked)) } }
            td.num { (words::came(s.recovery())) }
        }
    }
}

/// Each in full, with the chart of the check that tells most.
pub(super) fn details(facts: &Facts<'_>) -> Markup {
    let ran: Vec<&Scenario<'_>> = facts.scenarios.iter().filter(|s| s.run.is_some()).collect();
    html! {
        @if !ran.is_empty() {
            section {
                h2 { "Scenario by scenario" }
                @for s in ran { (one(s)) }
            }
        }
    }
}

fn one(s: &Scenario<'_>) -> Markup {
    let check = telling(s);
    html! {
        article.card.check.scenario {
            header {
                h3 { (s.n + 1) ". " (s.title) }
                (standing(s.came))
                p.asks { "experiment " code { (s.experiment) } }
            }
            @if let Some(hypothesis) = s.hypothesis { p.believed { (hypothesis) } }
            p { (ticked(&s.sentence())) }
            dl.proofs {
                div {
                    dt { "Targeted" }
                    dd {
                        @if s.targeted.is_empty() { "nothing" } @else { (words::names(&s.targeted)) }
                        @if s.spared > 0 { span.muted { ", " (s.spared) " spared" } }
                    }
                }
                div { dt { "Failed" } dd { (words::failed(s)) " requests while the fault was on" } }
                @if let Some(worst) = &s.worst {
                    div {
                        dt { "Worst check" }
                        dd {
                            (worst.check) " " (worst.expectation) ": " b { (worst.measured) } ", bound " (worst.bound) " "
                            @if let Some(run) = s.run { (came_out(run, worst.came)) }
                        }
                    }
                }
                @if !s.bad.is_zero() { div { dt { "Bad for" } dd { (words::span(s.bad)) span.muted { ", by its worst check" } } } }
                @if let Some(run) = s.run_id { div { dt { "Run" } dd { code { (run) } } } }
            }
            @if let (Some(run), Some(check)) = (s.run, check) {
                @if let Some(chart) = Chart::of(run, check, s.n) {
                    p.checked { span.label { (check) } }
                    (figure(&chart))
                }
            }
        }
    }
}

/// The check that broke or came nearest to it, else the first of which anything is known.
fn telling<'a>(s: &'a Scenario<'_>) -> Option<&'a str> {
    let worst = s.worst.as_ref().map(|worst| worst.check.as_str());
    let first =
        || s.run?.checks.iter().find(|(_, c)| !c.safety && !c.windows.is_empty()).map(|(name, _)| name.as_str());
    worst.or_else(first)
}
