//! The few phrases that all formats of a game day's report share. Pure.

use std::time::Duration;

use super::super::words;
pub(super) use super::super::words::{percent, span};
use super::facts::Facts;
use super::scenario::{Clock, Scenario, Worst};
use crate::occasions::gameday::state::Action;
use crate::record::event::Judgement;
use crate::record::state::Comeback;
use crate::text::units;

/// A share of a budget, which may be of nothing.
pub(super) fn share(ratio: f64) -> String {
    if ratio.is_finite() { units::share(ratio) } else { "more than all".to_owned() }
}

/// Some names, and how many more: `shop-1, shop-2 and 3 more`.
pub(super) fn names(all: &[&str]) -> String {
    const SHOWN: usize = 3;
    if all.len() <= SHOWN + 1 {
        return if all.is_empty() { "–".to_owned() } else { all.join(", ") };
    }
    units::few(all, SHOWN)
}

/// Requests that failed while the fault was on.
pub(super) fn failed(s: &Scenario<'_>) -> String {
    if s.asked == 0 {
        "–".to_owned()
    } else {
        format!("{} of {}", percent(s.failed, s.asked), words::thousands(s.asked))
    }
}

/// The worst expectation, with what was measured: `checkout success 70.2%, bound ≥ 90%`.
pub(super) fn worst(worst: Option<&Worst>) -> String {
    let not = |w: &Worst| if w.came == Judgement::NotJudged { ", not judged" } else { "" };
    let words = |w: &Worst| format!("{} {} {} ({}){}", w.check, w.expectation, w.measured, w.bound, not(w));
    worst.map_or_else(|| "–".to_owned(), words)
}

/// A time, or a dash.
pub(super) fn time(took: Option<Duration>) -> String {
    took.map_or_else(|| "–".to_owned(), span)
}

/// What became of steady state, or a dash.
pub(super) fn came(came: Option<Comeback>) -> String {
    came.map_or_else(|| "–".to_owned(), |came| came.to_string())
}

/// What people said: `40 s (ana)`.
pub(super) fn people(clock: &Clock<'_>) -> String {
    match clock.people {
        Some((took, Some(by))) => format!("{} ({by})", span(took)),
        Some((took, None)) => span(took),
        None => "not marked".to_owned(),
    }
}

/// From when to when, and how long: `2026-11-20, 09:00 to 11:30 UTC (2 h 30 min)`.
pub(super) fn when(facts: &Facts<'_>) -> String {
    let state = &facts.record.state;
    let Some(began) = state.began else { return "–".to_owned() };
    let from = began.strftime("%Y-%m-%d, %H:%M");
    match state.ended {
        Some(ended) => {
            let minutes = words::between(began, ended).as_secs().div_ceil(60);
            format!("{from} to {} UTC ({})", ended.strftime("%H:%M"), span(Duration::from_secs(60 * minutes)))
        }
        None => format!("{from} UTC, and it has no end yet"),
    }
}

/// Under what circumstances it was held, where they are not the usual ones.
pub(super) fn circumstances(facts: &Facts<'_>) -> Option<&'static str> {
    let state = &facts.record.state;
    match (state.rehearsal, state.unattended) {
        (true, _) => Some("A rehearsal: the world was simulated."),
        (false, true) => Some("Unattended: nothing was asked."),
        (false, false) => None,
    }
}

/// Who takes part, by role: `commander`, `Ana, Ben`.
pub(super) fn participants<'a>(facts: &Facts<'a>) -> Vec<(&'a str, String)> {
    let all = facts.gameday.iter().flat_map(|g| &g.participants);
    all.map(|(role, names)| (role.as_str(), names.0.join(", "))).collect()
}

/// The budget: `1 min 4 s of 43 min 12 s (2.5%), for 99.9% over 30 days`.
pub(super) fn budget(facts: &Facts<'_>) -> Option<String> {
    let b = facts.budget.as_ref()?;
    let share = share(b.share());
    let (spent, whole) = (span(b.spent), span(b.whole));
    Some(format!("{spent} of {whole} ({share}), for {} over {}", b.objective, b.window))
}

/// Of which scenario an action comes.
pub(super) fn because<'a>(facts: &Facts<'a>, action: &Action) -> Option<&'a str> {
    Some(facts.scenarios.get(action.scenario?)?.title)
}
