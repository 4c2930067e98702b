//! The few phrases that all formats of a game day's report share. Pure.

use std::time::Duration;

use super::super::words;
use super::facts::{Clock, Facts, Scenario, Worst};
use crate::gameday::state::Action;

/// A span of time; whole minutes have no seconds.
pub(super) fn span(d: Duration) -> String {
    let text = words::span(d);
    text.strip_suffix(" 0 s").map_or(text.clone(), str::to_owned)
}

/// A long span of time in days, where it is some.
pub(super) fn days(d: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    if d.as_secs() >= DAY && d.as_secs().is_multiple_of(DAY) { words::count(d.as_secs() / DAY, "day") } else { span(d) }
}

/// A share of requests: `0.4%`, `12%`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "only shown")]
    let percent = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    share(percent)
}

/// A percentage with the digits that matter.
pub(super) fn share(percent: f64) -> String {
    match percent {
        p if !p.is_finite() => "more than all".to_owned(),
        0.0 => "0%".to_owned(),
        p if p < 0.095 => "< 0.1%".to_owned(),
        p if p < 9.95 => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}

/// Some names, and how many more: `shop-1, shop-2 and 3 more`.
pub(super) fn names(all: &[&str]) -> String {
    const SHOWN: usize = 3;
    if all.len() <= SHOWN + 1 {
        return if all.is_empty() { "–".to_owned() } else { all.join(", ") };
    }
    format!("{} and {} more", all[..SHOWN].join(", "), all.len() - SHOWN)
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
    worst.map_or_else(|| "–".to_owned(), |w| format!("{} {} {} ({})", w.check, w.expectation, w.measured, w.bound))
}

/// A time, or a dash.
pub(super) fn time(took: Option<Duration>) -> String {
    took.map_or_else(|| "–".to_owned(), span)
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
            let long = if minutes < 60 {
                format!("{minutes} min")
            } else {
                format!("{} h {} min", minutes / 60, minutes % 60)
            };
            format!("{from} to {} UTC ({long})", ended.strftime("%H:%M"))
        }
        None => format!("{from} UTC, and it has no end yet"),
    }
}

/// Under what circumstances it was held, where they are not the usual ones.
pub(super) fn circumstances(facts: &Facts<'_>) -> Option<&'static str> {
    let state = &facts.record.state;
    match (state.rehearsal, state.unattended) {
        (true, _) => Some("A rehearsal: the world was simulated."),
        (false, true) => Some("Unattended: nobody was asked anything."),
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
    let share = share(100.0 * b.share());
    let (spent, whole) = (span(b.spent), span(b.whole));
    Some(format!("{spent} of {whole} ({share}), for {} over {}", b.objective, b.window))
}

/// Of which scenario an action comes.
pub(super) fn because<'a>(facts: &Facts<'a>, action: &Action) -> Option<&'a str> {
    Some(facts.scenarios.get(action.scenario?)?.title)
}
