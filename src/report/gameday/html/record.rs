//! The record on the page: what is to be done, what is missing, how it was the last time, and what happened when.

use maud::{Markup, html};

use super::super::super::html::ticked;
use super::super::super::timeline::Kind;
use super::super::compared::{Then, Trend};
use super::super::facts::Facts;
use super::super::timeline::Who;
use super::super::words;
use super::scenarios::standing;

pub(super) fn actions(facts: &Facts<'_>) -> Markup {
    let actions = &facts.record.state.actions;
    html! {
        @if !actions.is_empty() {
            section {
                h2 { "What is to be done" }
                div.card {
                    div.scroll tabindex="0" role="region" aria-label="Action items" {
                        table.actions {
                            thead { tr {
                                th scope="col" { "Action" }
                                th scope="col" { "Owner" }
                                th scope="col" { "Due" }
                                th scope="col" { "Because of" }
                            } }
                            tbody {
                                @for action in actions {
                                    tr {
                                        th scope="row" { (ticked(&action.text)) @if action.suggested { " " span.tag { "suggested" } } }
                                        td { @match &action.owner { Some(owner) => (owner), None => span.no { "no owner yet" } } }
                                        td.num { @match &action.due { Some(due) => (due.to_string()), None => span.muted { "–" } } }
                                        td { (words::because(facts, action).unwrap_or("–")) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn gaps(facts: &Facts<'_>) -> Markup {
    html! {
        @if !facts.gaps.is_empty() {
            section.warnings.gaps {
                h2 { "Gaps found" }
                ul { @for gap in &facts.gaps { li { (ticked(&gap.text)) } } }
            }
        }
    }
}

pub(super) fn compared(facts: &Facts<'_>) -> Markup {
    let Some(compared) = &facts.compared else { return html! {} };
    let day = compared.previous.state.began.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    html! {
        section {
            h2 { "Since the last game day" }
            p.muted { "That of " (day) ". Each time was measured once; differences below 10 % are called the same." }
            div.card {
                div.scroll tabindex="0" role="region" aria-label="Comparison with the last game day" {
                    table.compared {
                        thead { tr {
                            th scope="col" { "Scenario" }
                            th scope="col" { "Came to" }
                            th scope="col" { "Recovery" }
                            th scope="col" { "Detected" }
                            th scope="col" { "Mitigated" }
                            th scope="col" { "Recovered" }
                        } }
                        tbody {
                            @for pair in &compared.scenarios {
                                tr {
                                    th scope="row" { @if let Some(s) = facts.scenarios.get(pair.n) { (s.n + 1) ". " (s.title) } }
                                    td {
                                        @match pair.came.0 {
                                            Some(before) => { (standing(before)) " → " (standing(pair.came.1)) },
                                            None => { "new: " (standing(pair.came.1)) },
                                        }
                                        (trend(pair.verdict))
                                    }
                                    @for then in std::iter::once(&pair.recovery).chain(&pair.people) { (times(then)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn times(then: &Then) -> Markup {
    html! {
        td {
            @if then.before.is_none() && then.now.is_none() { span.muted { "–" } } @else {
                span.then { (words::came(then.before)) " → " } (words::came(then.now))
                (trend(then.trend()))
            }
        }
    }
}

fn trend(trend: Trend) -> Markup {
    html! {
        @match trend {
            Trend::Better => span.trend.ok { "▲ better" },
            Trend::Worse => span.trend.no { "▼ worse" },
            Trend::Same => span.trend.muted { "same" },
            Trend::Unknown => {},
        }
    }
}

pub(super) fn timeline(facts: &Facts<'_>) -> Markup {
    html! {
        @if !facts.moments.is_empty() {
            section {
                h2 { "Timeline" }
                p.muted { "What people said and what Squall did, in one list. Times are UTC." }
                ol.card.timeline {
                    @for moment in &facts.moments {
                        li class=(format!("{} {}", kind(moment.kind), side(moment.who))) {
                            time.rel datetime=(moment.at) { (moment.at.strftime("%H:%M:%S").to_string()) }
                            span.what { (ticked(&moment.text)) }
                            span.utc { (who(moment.who)) }
                        }
                    }
                }
            }
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Fault => "fault",
        Kind::Proof => "proof",
        Kind::Alarm => "alarmed",
        Kind::Good => "good",
    }
}

fn side(who: Who<'_>) -> &'static str {
    match who {
        Who::Day => "of-day",
        Who::Machine(_) => "of-machine",
        Who::People(_) => "of-people",
    }
}

fn who(who: Who<'_>) -> Markup {
    html! {
        @match who {
            Who::Day => {},
            Who::Machine(_) => "Squall",
            Who::People(by) => span.person { (by.unwrap_or("a participant")) },
        }
    }
}
