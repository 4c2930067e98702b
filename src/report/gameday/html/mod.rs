//! A game day's report as one page: what came of it, then what is to be done, then everything that stands behind it.
//!
//! As a run's page: no script, no request to anywhere, every text escaped, light and dark, and fit to be printed.

mod people;
mod record;
mod scenarios;

use maud::{Markup, html};

use super::super::html::{Page, class, key_figures, sign, ticked};
use super::super::words as shared;
use super::facts::Facts;
use super::words;
use crate::occasions::gameday::event::Mark;
use crate::occasions::gameday::state::Stopped;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(super) fn render(facts: &Facts<'_>) -> String {
    Page {
        title: format!("{} · Game day", facts.title()),
        class: format!("gameday {}", class(facts.verdict())),
        style: STYLE,
        which: html! { code { (facts.record.state.id) } },
        main: html! {
            (hero(facts))
            (scenarios::by_hand(facts))
            (figures(facts))
            (scenarios::summary(facts))
            (record::actions(facts))
            (record::gaps(facts))
            (people::section(facts))
            (record::compared(facts))
            (scenarios::details(facts))
            (record::timeline(facts))
        },
        written_from: html! {
            "the game day’s timeline and the journals of its runs. " code { "squall report RUN" } " shows a run in full."
        },
    }
    .render()
}

fn hero(facts: &Facts<'_>) -> Markup {
    html! {
        section.hero {
            (sign(facts.verdict()))
            div {
                p.eyebrow { "Game day" @if facts.record.state.rehearsal { " " span.tag { "rehearsal" } } }
                h1 { (facts.title()) }
                p.meaning { (facts.headline()) }
                @if let Some(gameday) = facts.gameday {
                    p.hypothesis { span.label { "Objective" } (gameday.objective) }
                }
                @if let Some(Stopped { why, .. }) = &facts.record.state.stopped {
                    p.why { span.label { "Stopped" } (ticked(&shared::sentence(why))) }
                }
                dl.about {
                    div { dt { "When" } dd { (words::when(facts)) } }
                    @if let Some(gameday) = facts.gameday { div { dt { "Owner" } dd { (gameday.owner) } } }
                    @for (role, names) in words::participants(facts) { div { dt.role { (role) } dd { (names) } } }
                    @if let Some(day) = facts.gameday.and_then(|g| g.follow_up.as_ref()) {
                        div { dt { "Follow-up" } dd { b { (day.to_string()) } } }
                    }
                }
                @if let Some(words) = words::circumstances(facts) { p.muted { (words) } }
            }
        }
    }
}

/// The key numbers.
fn figures(facts: &Facts<'_>) -> Markup {
    let mut cells: Vec<(&str, String, String)> = Vec::new();
    let held = facts
        .scenarios
        .iter()
        .filter(|s| s.came == super::scenario::ScenarioOutcome::To(crate::model::exit::Verdict::Held))
        .count();
    let total = facts.scenarios.len();
    cells.push(("Hypotheses held", format!("{held} of {total}"), String::new()));
    let (asked, failed) = facts.requests();
    if asked > 0 {
        let note = format!("{} of {} while a fault was on", shared::thousands(failed), shared::thousands(asked));
        cells.push(("Requests failed", words::percent(failed, asked), note));
    }
    cells.push(("Instances targeted", facts.targeted().to_string(), "each counted once".to_owned()));
    for (mark, name) in [(Mark::Detected, "Slowest detection"), (Mark::Recovered, "Slowest recovery")] {
        let slowest = facts.slowest(mark);
        let machine = slowest.machine.map(|took| format!("Squall: {}", words::span(took)));
        let goal = slowest.goal.map(|goal| format!("goal {}", words::span(goal)));
        let note = [goal, machine].into_iter().flatten().collect::<Vec<_>>().join(", ");
        match slowest.people {
            Some((took, _)) => cells.push((name, words::span(took), format!("by people; {note}"))),
            None if slowest.machine.is_some() => cells.push((name, "not marked".to_owned(), note)),
            None => {}
        }
    }
    if let Some(budget) = &facts.budget {
        let (spent, whole) = (words::span(budget.spent), words::span(budget.whole));
        let note = format!("{spent} of {whole}: {} over {}", budget.objective, budget.window);
        cells.push(("Error budget spent", words::share(budget.share()), note));
    }
    key_figures(&cells)
}

#[cfg(test)]
mod tests;
