//! Steady state on the page: for each check its chart and how every expectation stood in every phase.

use std::time::Duration;

use maud::{Markup, html};

use super::super::chart::Chart;
use super::super::{facts, words};
use crate::experiment::Check;
use crate::record::event::{Judgement, Standing};
use crate::record::state::{CheckState, Comeback, RunState};

pub(super) fn section(state: &RunState) -> Markup {
    html! {
        @if !state.checks.is_empty() {
            section {
                h2 { "Steady state" }
                @for (i, (name, check)) in state.checks.iter().enumerate() {
                    (one(state, name, check, i))
                }
            }
        }
    }
}

fn one(state: &RunState, name: &str, check: &CheckState, id: usize) -> Markup {
    html! {
        article.card.check {
            header {
                h3 { (name) }
                @if check.safety { span.tag { "safety" } }
                @if is_never_lost(state, name) { span.tag { (Comeback::NeverLost) } }
                @if let Some(check) = facts::check(state, name) { p.asks { (asks(check)) } }
                @if let Some(words) = facts::contract(state, name) { p.asks { "during the fault: " (words) } }
            }
            @match Chart::of(state, name, id) {
                Some(chart) => (figure(&chart)),
                None => p.muted { "Nothing was asked." },
            }
            (standings(state, name))
            (failures(check))
        }
    }
}

fn is_never_lost(state: &RunState, name: &str) -> bool {
    state.recovery.as_ref().and_then(|r| r.of(name)) == Some(Comeback::NeverLost)
}

/// What the probe asks, in a line.
fn asks(check: &Check) -> Markup {
    html! { code { (check.probe.kind().words()) } " at " (check.rate) ", timeout " (check.timeout) }
}

pub(in crate::report) fn figure(chart: &Chart<'_>) -> Markup {
    html! {
        figure {
            (chart.draw())
            figcaption {
                @if !chart.markers().is_empty() {
                    ol.markers {
                        @for marker in chart.markers() { li class=(marker.class) { (marker.label) } }
                    }
                }
                @if !chart.faults().is_empty() {
                    ul.legend {
                        @for fault in chart.faults() {
                            li { (key(&format!("laid f{}", fault.colour()), "M2 3h20v8h-20Z")) "fault " (fault.label) " is on" }
                        }
                    }
                }
                ul.legend {
                    @if chart.has_latency() {
                        li { (key("p50", "M1 6h22")) "median" }
                        li { (key("p95", "M1 6h22")) "95th percentile" }
                        li { (key("max", "M12 6h0")) "largest" }
                        li { (key("bound", "M1 6h22")) "bound" }
                        @if chart.is_log() { li { "(logarithmic scale)" } }
                    }
                    li { (key("asked", "M4 12V2h16v10Z")) "asked" }
                    li { (key("failed", "M4 12V2h16v10Z")) "failed" }
                    li { (key("unmeasured", "M4 12V2h16v10Z")) "could not be measured" }
                }
            }
        }
    }
}

pub(super) fn key(class: &str, path: &str) -> Markup {
    html! { svg.key viewBox="0 0 24 12" width="24" height="12" aria-hidden="true" { path class=(class) d=(path) {} } }
}

fn standings(state: &RunState, name: &str) -> Markup {
    let phases: Vec<_> = facts::JUDGED
        .into_iter()
        .map(|phase| (phase, facts::standings(state, name, phase)))
        .filter(|(_, standings)| !standings.is_empty())
        .collect();
    html! {
        @if !phases.is_empty() {
            div.scroll tabindex="0" role="region" aria-label=(format!("Expectations of {name}")) {
                table.standings {
                    thead { tr {
                        th scope="col" { "Expected" }
                        th scope="col" { "Bound" }
                        th scope="col" { "Measured" }
                        th scope="col" { "Budget" }
                        th scope="col" { "Result" }
                    } }
                    @for (phase, standings) in phases {
                        tbody {
                            tr { th.phase scope="rowgroup" colspan="5" { (phase) } }
                            @for standing in standings { (row(state, &standing)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(state: &RunState, standing: &Standing) -> Markup {
    let budget = standing.spent.zip(standing.budget);
    html! {
        tr {
            th scope="row" { (standing.expectation) }
            td { (standing.bound) }
            td { (standing.measured) }
            td {
                @match budget {
                    Some((spent, budget)) => {
                        span.budget {
                            (words::thousands(spent)) " of " (words::thousands(budget))
                            (gauge(facts::share(spent, budget)))
                        }
                    }
                    None => span.muted { "–" },
                }
            }
            td { (came_out(state, standing.judgement())) }
        }
    }
}

/// How an expectation came out; a rehearsal is neither good nor bad, and what was not judged is neither.
pub(in super::super) fn came_out(state: &RunState, came: Judgement) -> Markup {
    let class = match came {
        _ if facts::is_rehearsal(state) => "muted",
        Judgement::Held => "ok",
        Judgement::Broken => "no",
        Judgement::NotJudged => "muted",
    };
    html! { span class=(class) { (facts::came_out(state, came)) } }
}

/// How far a budget is spent, as a small bar.
fn gauge(share: f64) -> Markup {
    let width = (share.min(1.0) * 48.0).max(if share > 0.0 { 2.0 } else { 0.0 });
    html! {
        svg.gauge viewBox="0 0 48 6" width="48" height="6" aria-hidden="true" {
            rect class="rail" width="48" height="6" rx="3" {}
            rect class=(if share > 1.0 { "over" } else { "spent" }) width=(format!("{width:.1}")) height="6" rx="3" {}
        }
    }
}

/// What went wrong, by kind and phase.
fn failures(check: &CheckState) -> Markup {
    let rows: Vec<_> = facts::JUDGED
        .into_iter()
        .filter_map(|phase| check.judged.get(&phase))
        .filter(|j| !j.failures.is_empty() || !j.unmeasured_why.is_empty() || !j.answers.is_empty())
        .collect();
    html! {
        @if !rows.is_empty() {
            ul.failures {
                @for judged in rows {
                    li {
                        b { (judged.phase) ": " }
                        (words::thousands(judged.failed)) " of " (words::count(judged.samples, "sample")) " failed"
                        @for (i, (kind, n)) in judged.failures.iter().enumerate() {
                            @if i > 0 { ", " } @else { ": " }
                            (kind) " ×" (n)
                        }
                        @for (i, (kind, n)) in judged.answers.iter().enumerate() {
                            @if i > 0 { ", " } @else { "; answered: " }
                            (kind) " ×" (n)
                        }
                        @if judged.longest_outage_ms > 0 {
                            ", longest outage " (words::span(Duration::from_millis(judged.longest_outage_ms)))
                        }
                        @for (kind, n) in &judged.unmeasured_why { "; could not be measured: " (kind) " ×" (n) }
                    }
                }
            }
        }
    }
}
