//! Zones on the page: who is where and what became of them, the failover clock, and who answered when.

use maud::{Markup, html};

use super::super::chart::lanes::Lanes;
use super::super::chart::map;
use super::super::words;
use super::super::zones::{self, Answers, PHASES, Zones};
use crate::record::event::Failover;
use crate::record::state::RunState;

/// Whether the run is about zones.
pub(super) fn any_out(state: &RunState) -> bool {
    Zones::of(state).is_some_and(|zones| zones.any_out())
}

pub(super) fn section(state: &RunState) -> Markup {
    let Some(zones) = Zones::of(state) else { return html! {} };
    let answers = zones.answers(state);
    html! {
        section.zones {
            h2 { "Zones" }
            @for sentence in zones::sentences(state) { p.muted { (super::ticked(&sentence)) } }
            div.card { (map::draw(&zones)) }
            @for (id, answers) in answers.iter().enumerate() { (one(state, &zones, answers, id)) }
        }
    }
}

fn one(state: &RunState, zones: &Zones<'_>, answers: &Answers<'_>, id: usize) -> Markup {
    html! {
        article.card.check {
            header { h3 { "Who answered " (answers.check) } }
            @if let Some(clock) = answers.clock { (clocked(clock)) }
            @if let Some(lanes) = Lanes::of(state, zones, answers, id) {
                figure {
                    (lanes.draw())
                    figcaption {
                        ol.markers { @for marker in &lanes.markers { li class=(marker.class) { (marker.label) } } }
                        ul.legend {
                            li { (super::checks::key("answered", "M4 12V2h16v10Z")) "good answers per second" }
                            li { (super::checks::key("out", "M2 12V0h20v12Z")) "the zone was out" }
                        }
                    }
                }
                (table(zones, answers))
            } @else {
                p.muted { "Answers do not tell who gave them; " code { "answered-by" } " on an http probe says where to read it." }
            }
        }
    }
}

/// The failover clock.
fn clocked(clock: &Failover) -> Markup {
    let cells =
        [("Until the others served", zones::served(clock)), ("Until the zone served again", zones::returned(clock))];
    html! {
        dl.clock {
            @for (name, (value, note)) in cells {
                div { dt { (name) } dd { b { (value) } span.note { (note) } } }
            }
        }
    }
}

/// Answers by zone and phase.
fn table(zones: &Zones<'_>, answers: &Answers<'_>) -> Markup {
    let sum = |phase: usize| answers.given.iter().map(|(_, n)| n[phase]).sum::<u64>();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(format!("Answers to {} by zone", answers.check)) {
            table.standings {
                thead { tr {
                    th scope="col" { "Answered in" }
                    @for phase in PHASES { th scope="col" { (phase) } }
                } }
                tbody {
                    @for (place, given) in &answers.given {
                        tr {
                            th scope="row" { (zones.title(*place)) }
                            @for (phase, n) in given.iter().enumerate() {
                                td { (words::thousands(*n)) @if sum(phase) > 0 { " " span.muted { (words::percent(*n, sum(phase))) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
