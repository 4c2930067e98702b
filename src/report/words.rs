//! How times, amounts and verdicts are put into words: the same in every format.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::experiment::{During, Expect};
use crate::model::exit::Verdict;
use crate::model::instance::{Change, Rollback, Setting};
use crate::record::state::RunState;

pub(super) use crate::text::units::{count, exact, part as percent, span, span_ms, thousands};

/// Seconds from the begin of a run to a moment of it.
pub(super) fn seconds_into(state: &RunState, at: Timestamp) -> f64 {
    state.began.map_or(0.0, |began| at.duration_since(began).as_secs_f64())
}

/// A moment, from the begin of the run: `+6.229 s`.
pub(super) fn relative(state: &RunState, at: Timestamp) -> String {
    format!("{:+.3} s", seconds_into(state, at))
}

/// A moment's time of day: `09:30:06.229Z`.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3fZ").to_string()
}

/// A moment's day and time: `2026-11-20 09:30:06 UTC`.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// From one moment to a later one; zero where the clock was set back.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A moment, so much later.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|d| at.checked_add(d).ok()).unwrap_or(at)
}

/// A text as a sentence: it begins with a capital letter and ends with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// What a verdict means, in a sentence that needs no manual.
pub(super) fn meaning(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Held) => "The hypothesis held, and everything was rolled back.",
        Some(Verdict::Broken) => "A weakness was found. Everything was rolled back.",
        Some(Verdict::NoVerdict) => {
            "This run says nothing about the hypothesis. Whatever was changed has been rolled back."
        }
        Some(Verdict::Rehearsed | Verdict::RehearsedBroken) => crate::model::exit::REHEARSAL,
        Some(Verdict::LeftBehind) => "Something could not be rolled back. It needs a person, now.",
        None => "This run has no end in its journal: it still runs, or it died. `squall recover` rolls it back.",
    }
}

/// A verdict in a word.
pub(super) fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Held) => "Held",
        Some(Verdict::Broken) => "Broken",
        Some(Verdict::NoVerdict) => "No verdict",
        Some(Verdict::LeftBehind) => "Rollback incomplete",
        Some(Verdict::Rehearsed) => "Rehearsed: would hold",
        Some(Verdict::RehearsedBroken) => "Rehearsed: would break",
        None => "Unfinished",
    }
}

/// The values of a setting before, while the fault is on, and after it is rolled back.
pub(super) fn values(change: &Change) -> (String, String, String) {
    let before = change.before.as_ref().map_or_else(|| "not observable".to_owned(), Setting::to_string);
    let back = match &change.back {
        Rollback::To(setting) => setting.to_string(),
        Rollback::Nothing => "nothing to restore".to_owned(),
    };
    (before, change.to.to_string(), back)
}

/// The bounds that a check's contract of degradation has beside its expectations.
pub(super) fn promised(during: &During) -> Vec<(&'static str, String)> {
    let contract = during.contract();
    let must = contract.must_fail.map(|share| ("must-fail", format!("≥ {share}")));
    must.into_iter().chain(contract.shares.iter().map(|(class, share)| (class.key(), share.bound()))).collect()
}

/// The expectations of a phase, each with its bound as people read it.
pub(super) fn bounds(expect: &Expect) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    out.extend(expect.success.map(|b| ("success", format!("≥ {b}"))));
    out.extend(expect.latencies().into_iter().map(|(_, key, b)| (key, format!("≤ {}", exact(b.0)))));
    out.extend(expect.max_outage.map(|b| ("max-outage", format!("≤ {b}"))));
    out.extend(expect.rate.map(|b| ("rate", format!("≥ {b}"))));
    out.extend(expect.value.as_ref().map(|b| ("value", b.to_string())));
    out
}
