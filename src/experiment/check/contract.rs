//! Contracts of degradation: those that say nothing, that contradict themselves, that no run can break, or none can meet.

use std::time::Duration;

use super::probe::pace;
use super::{Found, Mistake, SECTIONS, Timing, on_time};
use crate::experiment::{Contract, During, Share, Span, allowed, samples};

/// The keys of `during` that no baseline has to prove first: they say how it differs from health.
pub(super) const KEYS: [&str; 13] = [
    "must-fail",
    "status",
    "header",
    "body",
    "json",
    "within",
    "turns-within",
    "back-within",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "no-answer",
];

/// Of these, what only an answer over HTTP has.
const OF_HTTP: [&str; 9] = ["status", "header", "body", "json", "2xx", "3xx", "4xx", "5xx", "no-answer"];

/// What goes with `must-fail`.
const BESIDE_FAILURE: [&str; 4] = ["must-fail", "within", "turns-within", "back-within"];

pub(super) fn check(found: &mut Found<'_>, [section, name]: [&str; 2], during: &During, timing: Option<Timing>) {
    let path = [section, name, "during"];
    let contract = during.contract();
    if let Some(wanted) = during.answers() {
        wanted.check(found, &path);
    }
    of_http(found, path);
    of_failure(found, path, during);
    let Some((rate, timeout)) = pace(found, [section, name]) else { return };
    if let Some(within) = during.within
        && within >= timeout
    {
        let help = "expect less than the timeout, or raise `timeout`";
        never(found, path, "within", &format!("an answer has failed after {timeout}"), help);
    }
    if during.within.is_some_and(|within| within.0.is_zero()) {
        let at = found.document.value_at(&[&path[..], &["within"]].concat());
        found.add(Mistake::error(&at, "no answer takes 0s"));
    }
    let Some(timing) = timing.filter(|t| !t.duration.0.is_zero()) else { return };
    back_within(found, path, during, timing);
    let left = timing.duration.0.saturating_sub(contract.lead());
    if samples(rate, left) < 2 && !contract.lead().is_zero() {
        let of = format!("of `duration` ({}) {} is left, for less than two samples", timing.duration, Span(left));
        never(found, path, "turns-within", &of, "let it turn sooner, make `timing.duration` longer, or raise `rate`");
        return;
    }
    shares(found, path, &contract, samples(rate, left));
    if contract.replaces_health()
        && let Some(on) = on_time::on_time(found, timing.duration)
    {
        let at = found.document.key_at(&path);
        found.add(
            Mistake::warning(&at, format!("this is expected for all of `duration` ({})", timing.duration))
                .label(format!("faults are on for {} of it", Span(on)))
                .help(
                    "what recovers before the phase is over breaks it: make `for` longer or `timing.duration` shorter",
                ),
        );
    }
}

/// A title of the kind of [`super::breakable`]'s.
fn never(found: &mut Found<'_>, path: [&str; 3], key: &str, why: &str, help: &str) {
    let at = found.document.value_at(&[&path[..], &[key]].concat());
    let said = found.document.part::<String>(&[&path[..], &[key]].concat());
    let said = said.map_or_else(|| key.to_owned(), |text| format!("{key}: {text}"));
    found.add(Mistake::error(&at, format!("`{said}` can never fail: {why}")).help(help));
}

fn of_http(found: &mut Found<'_>, path: [&str; 3]) {
    let [section, name, _] = path;
    if found.document.entry(&[section, name, "http"]).is_some() {
        return;
    }
    let entries = found.document.entry(&path).map(|e| e.value.entries().to_vec()).unwrap_or_default();
    for entry in entries.iter().filter(|e| OF_HTTP.contains(&e.key.as_str())) {
        found.add(
            Mistake::error(&entry.key_at, format!("only an answer over HTTP has `{}`", entry.key))
                .help("this is for `http` probes; `must-fail: true` is for all that can fail"),
        );
    }
}

fn of_failure(found: &mut Found<'_>, path: [&str; 3], during: &During) {
    let Some(must) = during.must_fail else { return };
    let [section, name, _] = path;
    if must.0.0 <= 0.0 {
        let why = "no sample has to fail";
        never(found, path, "must-fail", why, "say `must-fail: true` or the share that fails at least, or leave it out");
    }
    if found.document.entry(&[section, name, "engine"]).is_some() {
        let at = found.document.key_at(&[&path[..], &["must-fail"]].concat());
        found.add(
            Mistake::error(&at, "an `engine` probe does not fail with the service: it counts")
                .help("say which number is expected, such as `value: { at-most: 2 }`"),
        );
    }
    let entries = found.document.entry(&path).map(|e| e.value.entries().to_vec()).unwrap_or_default();
    for entry in entries.iter().filter(|e| !BESIDE_FAILURE.contains(&e.key.as_str())) {
        let must = found.document.key_at(&[&path[..], &["must-fail"]].concat());
        found.add(
            Mistake::error(&entry.key_at, format!("`{}` and `must-fail` do not go together", entry.key))
                .also(&must, "what fails has no such answers")
                .help(
                    "a share of failures is `must-fail: 95%`; a certain answer is `status`, `header`, `body` or `json`",
                ),
        );
    }
}

/// Recovery is awaited for a time, after which it has failed anyway; and not for `safety`.
fn back_within(found: &mut Found<'_>, path: [&str; 3], during: &During, timing: Timing) {
    let Some(bound) = during.back_within else { return };
    if path[0] != SECTIONS[0] {
        let help = "move the check to `steady-state`, or leave it out";
        never(found, path, "back-within", "the recovery of `safety` is not awaited", help);
    } else if bound >= timing.recovery {
        let why = format!("recovery has failed after `timing.recovery` ({})", timing.recovery);
        never(found, path, "back-within", &why, "expect less than that, or make `timing.recovery` longer");
    }
    if bound.0 == Duration::ZERO {
        let at = found.document.value_at(&[&path[..], &["back-within"]].concat());
        found.add(Mistake::error(&at, "no answer takes 0s"));
    }
}

fn shares(found: &mut Found<'_>, path: [&str; 3], contract: &Contract, n: u64) {
    for (class, share) in &contract.shares {
        if allowed(n, share.keep()) >= n {
            let why = match share {
                Share::AtMost(_) => format!("all {n} samples may be so"),
                Share::AtLeast(_) => format!("none of {n} samples has to be so"),
            };
            never(found, path, class.key(), &why, "give a share that a bad run would miss, or leave it out");
        }
    }
    let least = contract.shares.iter().filter_map(|(_, share)| match share {
        Share::AtLeast(share) => Some(share.0),
        Share::AtMost(_) => None,
    });
    if least.sum::<f64>() > 1.0 + 1e-9 {
        let at = found.document.key_at(&path);
        found.add(Mistake::error(&at, "no run can meet these shares: together they are more than 100%"));
    }
}
