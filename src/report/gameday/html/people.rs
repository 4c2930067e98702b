//! People and Squall on the page: their clocks beside each other, and against the goals.

use maud::{Markup, html};

use super::super::clocks;
use super::super::facts::Facts;
use super::super::scenario::{Clock, Scenario};
use super::super::words;

pub(super) fn section(facts: &Facts<'_>) -> Markup {
    let ran: Vec<&Scenario<'_>> = facts.scenarios.iter().filter(|s| s.injected().is_some()).collect();
    html! {
        @if !ran.is_empty() {
            section {
                h2 { "How fast people and Squall were" }
                p.muted { "From each injection on. Squall has detected what is beyond its budget, mitigated when the fault is gone, recovered when steady state is back." }
                div.card {
                    (clocks::figure(facts))
                    div.scroll tabindex="0" role="region" aria-label="Times of people and of Squall" {
                        table.times {
                            thead { tr {
                                th scope="col" { "Scenario" }
                                th scope="col" { "Until" }
                                th scope="col" { "People" }
                                th scope="col" { "Goal" }
                                th scope="col" { "Squall" }
                            } }
                            @for s in ran { tbody { (rows(s)) } }
                        }
                    }
                }
            }
        }
    }
}

fn rows(s: &Scenario<'_>) -> Markup {
    html! {
        @for (i, clock) in s.clocks.iter().enumerate() {
            tr {
                @if i == 0 { th scope="rowgroup" rowspan="3" { (s.n + 1) ". " (s.title) } }
                td { (clock.mark.word()) }
                td { @if clock.people.is_some() { (words::people(clock)) } @else { span.muted { "not marked" } } }
                td { (goal(clock)) }
                td { (words::time(clock.machine)) }
            }
        }
    }
}

fn goal(clock: &Clock<'_>) -> Markup {
    html! {
        @match (clock.goal, clock.met()) {
            (Some(goal), Some(true)) => span.ok { "✓ within " (words::span(goal)) },
            (Some(goal), Some(false)) => span.no { "✗ over " (words::span(goal)) },
            (Some(goal), None) => { (words::span(goal)) },
            (None, _) => span.muted { "–" },
        }
    }
}
