//! People's clocks and Squall's beside each other, as SVG: a line for each scenario, from the injection on, with the fault,
//! the rollback and recovery as bars, the breach as a stroke, and people's words as letters. Pure.

use maud::{Markup, html};

use super::super::chart::{Scale, s_label, spread};
use super::facts::Facts;
use super::scenario::Scenario;
use super::words::span;
use crate::occasions::gameday::event::Mark;

/// Drawn twice, as the charts of runs are: for wide and for narrow pages.
const SIZES: [(&str, f64, f64); 2] = [("wide", 960.0, 9.0), ("narrow", 340.0, 4.0)];

const ROW: f64 = 62.0;
const BAR: f64 = 16.0;
const LEFT: f64 = 4.0;
const RIGHT: f64 = 16.0;
const AXIS: f64 = 26.0;

/// The figure, where anything was measured.
pub(super) fn figure(facts: &Facts<'_>) -> Markup {
    let rows: Vec<&Scenario<'_>> = facts.scenarios.iter().filter(|s| s.injected().is_some()).collect();
    html! {
        @if !rows.is_empty() {
            figure.clocks {
                @for (class, width, ticks) in SIZES { (svg(&rows, class, width, ticks)) }
                figcaption {
                    ul.legend {
                        li { (key("fault-bar")) "fault in place" }
                        li { (key("back-bar")) "until steady state was back" }
                        li { svg.key viewBox="0 0 24 12" width="24" height="12" aria-hidden="true" { path class="breach" d="M12 0V12" {} } "Squall saw the breach" }
                        @for (mark, letter) in LETTERS {
                            li { span.letter { (letter) } "people: " (mark.word()) }
                        }
                    }
                }
            }
        }
    }
}

const LETTERS: [(Mark, &str); 3] = [(Mark::Detected, "D"), (Mark::Mitigated, "M"), (Mark::Recovered, "R")];

fn key(class: &str) -> Markup {
    html! { svg.key viewBox="0 0 24 12" width="24" height="12" aria-hidden="true" { rect class=(class) width="24" height="12" rx="3" {} } }
}

fn seconds(s: &Scenario<'_>, mark: Mark) -> Option<f64> {
    Some(s.clock(mark)?.machine?.as_secs_f64())
}

fn svg(rows: &[&Scenario<'_>], class: &str, width: f64, ticks: f64) -> Markup {
    let all = rows.iter().flat_map(|s| &s.clocks).flat_map(|c| [c.people.map(|p| p.0), c.machine]).flatten();
    let longest = all.map(|d| d.as_secs_f64()).fold(1.0, f64::max) * 1.03;
    let scale = Scale::axis(0.0, longest, ticks);
    let x = |s: f64| LEFT + (width - LEFT - RIGHT) * scale.at(s);
    let bottom = ROW * rows.len() as f64;
    let last = scale.ticks.last().copied().unwrap_or_default();
    let id = format!("clocks-{class}");
    html! {
        svg class=(format!("chart {class}")) viewBox=(format!("0 0 {width} {:.0}", bottom + AXIS)) role="img"
            aria-labelledby=(format!("{id}t {id}d")) {
            title id=(format!("{id}t")) { "How fast people and Squall were, from each injection on" }
            desc id=(format!("{id}d")) { @for s in rows { (said(s)) " " } }
            @for tick in &scale.ticks {
                path class="grid" d=(format!("M{:.1} 20V{bottom:.1}", x(*tick))) {}
                text class="tick" x=(format!("{:.1}", x(*tick))) y=(format!("{:.1}", bottom + 17.0))
                    text-anchor=(if *tick == 0.0 { "start" } else { "middle" }) { (s_label(*tick, last)) }
            }
            path class="stop" d=(format!("M{LEFT} {bottom:.1}H{:.1}", width - RIGHT)) {}
            @for (i, s) in rows.iter().enumerate() { (row(s, ROW * i as f64, &x, width)) }
        }
    }
}

fn row(s: &Scenario<'_>, top: f64, x: &impl Fn(f64) -> f64, width: f64) -> Markup {
    let bar = top + 26.0;
    let back = seconds(s, Mark::Mitigated);
    let well = seconds(s, Mark::Recovered);
    // Where the fault was never rolled back, or the system never well again, the bar has no end to show.
    let (from, until) = (x(0.0), x(back.unwrap_or(f64::MAX)));
    let mut people: Vec<(f64, &str)> = LETTERS
        .iter()
        .filter_map(|(mark, letter)| Some((x(s.clock(*mark)?.people?.0.as_secs_f64()), *letter)))
        .collect();
    people.sort_by(|a, b| a.0.total_cmp(&b.0));
    let spots = spread(&people.iter().map(|p| p.0).collect::<Vec<_>>(), 19.0, LEFT + 9.0, width - 9.0);
    html! {
        text class="row" x=(LEFT) y=(format!("{:.1}", top + 17.0)) { (s.n + 1) ". " (s.title) }
        rect class="fault-bar" x=(format!("{from:.1}")) y=(bar) width=(format!("{:.1}", (until - from).max(2.0))) height=(BAR) rx="3" {}
        @if let (Some(_), Some(well)) = (back, well) {
            rect class="back-bar" x=(format!("{until:.1}")) y=(bar) width=(format!("{:.1}", (x(well) - until).max(2.0))) height=(BAR) rx="3" {}
        }
        @if let Some(breach) = seconds(s, Mark::Detected) {
            path class="breach" d=(format!("M{0:.1} {1:.1}V{2:.1}", x(breach), bar - 4.0, bar + BAR + 4.0)) {}
        }
        @for ((at, letter), spot) in people.iter().zip(spots) {
            g.people {
                path d=(format!("M{at:.1} {bar:.1}V{:.1}L{spot:.1} {:.1}", bar + BAR, bar + BAR + 6.0)) {}
                circle cx=(format!("{spot:.1}")) cy=(format!("{:.1}", bar + BAR + 9.0)) r="8" {}
                text x=(format!("{spot:.1}")) y=(format!("{:.1}", bar + BAR + 13.0)) text-anchor="middle" { (letter) }
            }
        }
    }
}

/// For those who cannot see it.
fn said(s: &Scenario<'_>) -> String {
    let mut parts = Vec::new();
    for clock in &s.clocks {
        let what = clock.mark.word();
        parts.extend(clock.people.map(|(took, _)| format!("{what} by people after {}", span(took))));
        parts.extend(clock.machine.map(|took| format!("{what} by Squall after {}", span(took))));
    }
    format!("{}: {}.", s.title, if parts.is_empty() { "nothing was measured".to_owned() } else { parts.join(", ") })
}
