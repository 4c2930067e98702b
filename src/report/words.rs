//! How times, amounts and verdicts are put into words: the same in every format.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::exit::Verdict;
use crate::experiment::Expect;
use crate::instance::{Back, Change, Setting};
use crate::state::RunState;

/// A span of time with three digits that matter: `0.4 ms`, `17 ms`, `1.24 s`, `20.0 s`, `2 min 5 s`.
pub(super) fn span(d: Duration) -> String {
    span_ms(d.as_secs_f64() * 1000.0)
}

/// The same, from milliseconds.
pub(super) fn span_ms(ms: f64) -> String {
    match ms {
        ms if ms < 0.05 => "0 ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms < 59_950.0 => format!("{:.1} s", ms / 1000.0),
        ms => {
            let seconds = (ms / 1000.0).round();
            format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
        }
    }
}

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

/// A number and what it counts: `1 sample`, `2 samples`.
pub(super) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", thousands(n)) }
}

/// A number that can be read: `12,345`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A part of a whole, in whole percent: `33 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{} %", (part * 100 + whole / 2).checked_div(whole).unwrap_or_default())
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
        Some(Verdict::Held) => "The system did what was believed of it, and everything was taken back.",
        Some(Verdict::Broken) => "A weakness was found. Everything was taken back.",
        Some(Verdict::NoVerdict) => {
            "This run says nothing about the hypothesis. Whatever was changed has been taken back."
        }
        Some(Verdict::LeftBehind) => "Something could not be taken back. It needs a person, now.",
        None => "This run has no end in its journal: it still runs, or it died. `squall recover` takes it back.",
    }
}

/// A verdict in a word.
pub(super) fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Held) => "Held",
        Some(Verdict::Broken) => "Broken",
        Some(Verdict::NoVerdict) => "No verdict",
        Some(Verdict::LeftBehind) => "Left behind",
        None => "Unfinished",
    }
}

/// The values of a setting before, while the fault is on, and after it is taken back.
pub(super) fn values(change: &Change) -> (String, String, String) {
    let before = change.before.as_ref().map_or_else(|| "not observable".to_owned(), Setting::to_string);
    let back = match &change.back {
        Back::To(setting) => setting.to_string(),
        Back::Nothing => "nothing to set back".to_owned(),
    };
    (before, change.to.to_string(), back)
}

/// The expectations of a phase, each with its bound as people read it.
pub(super) fn bounds(expect: &Expect) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    out.extend(expect.success.map(|b| ("success", format!("≥ {b}"))));
    out.extend(expect.latencies().into_iter().map(|(_, key, b)| (key, format!("≤ {b}"))));
    out.extend(expect.max_outage.map(|b| ("max-outage", format!("≤ {b}"))));
    out.extend(expect.rate.map(|b| ("rate", format!("≥ {b}"))));
    out.extend(expect.value.as_ref().map(|b| ("value", b.to_string())));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_digits_that_matter() {
        for (ms, want) in [
            (0.0, "0 ms"),
            (0.42, "0.4 ms"),
            (9.99, "10 ms"),
            (17.4, "17 ms"),
            (999.6, "1.00 s"),
            (1240.0, "1.24 s"),
            (20_000.0, "20.0 s"),
            (59_960.0, "1 min 0 s"),
            (125_000.0, "2 min 5 s"),
        ] {
            assert_eq!(span_ms(ms), want, "{ms}");
        }
    }

    #[test]
    fn shares_are_whole() {
        let told = [(0, 0), (0, 7), (1, 3), (2, 3), (7, 7)].map(|(part, whole)| percent(part, whole));
        assert_eq!(told, ["0 %", "0 %", "33 %", "67 %", "100 %"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        for (n, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), want);
        }
    }
}
