//! Expectations: bounds that can never break, that nothing can resolve, or that nothing proves beforehand.

use indexmap::IndexMap;

use super::probe::{pace, regex};
use super::{Found, Mistake, Timing};
use crate::experiment::diagnostic::or;
use crate::experiment::{Expect, Rate, Span, ValueBound};
use crate::probe;

/// Keys that `during` may have on its own. `max-outage` is about a failover that only the fault brings about.
const DURING_ALONE: [&str; 1] = ["max-outage"];

pub(super) fn check(found: &mut Found<'_>, path: [&str; 2], timing: Option<Timing>) {
    let [section, name] = path;
    let expect = part(found, &[section, name, "expect"]);
    let during = part(found, &[section, name, "during"]);
    baseline_first(found, path);
    for (key, part) in [("expect", &expect), ("during", &during)] {
        if let Some(part) = part {
            value(found, &[section, name, key], part);
        }
    }
    let (Some(expect), Some(during)) = (expect, during) else { return };
    number_needs_value(found, path, &expect);
    // With a mistake in the check these are guesses.
    if found.document.entry(&path).is_none_or(|e| e.value.has_mistakes()) {
        return;
    }
    let Some((rate, timeout)) = pace(found, path) else { return };
    beyond_timeout(found, path, [&expect, &during], timeout);
    if let Some(timing) = timing {
        too_few_samples(found, path, [&expect, &during], rate, timing);
        too_long_outage(found, path, [&expect, &during], timing);
    }
}

/// `expect` or `during`: empty where it is not given, `None` where it could not be read.
fn part(found: &Found<'_>, path: &[&str]) -> Option<Expect> {
    match found.document.entry(path) {
        Some(_) => found.document.part(path),
        None => Some(Expect::default()),
    }
}

/// Every key of `during` stands in `expect` too.
fn baseline_first(found: &mut Found<'_>, [section, name]: [&str; 2]) {
    let document = found.document;
    let entries = |key: &str| document.entry(&[section, name, key]).map(|e| e.value.entries()).unwrap_or_default();
    let expected = entries("expect");
    for entry in entries("during") {
        let key = entry.key.as_str();
        let implied = key == "success" && expected.is_empty();
        if implied || DURING_ALONE.contains(&key) || expected.iter().any(|e| e.key == key) || entry.value.dropped {
            continue;
        }
        found.add(
            Mistake::error(&entry.key_at, format!("`{key}` is expected during the fault, but not before it"))
                .help("without a baseline a breach proves nothing: add it to `expect` as well"),
        );
    }
}

/// A value is expected of probes that yield one, and can be true.
fn value(found: &mut Found<'_>, path: &[&str; 3], expect: &Expect) {
    let [section, name, part] = *path;
    let Some(bound) = &expect.value else { return };
    let key = [section, name, part, "value"];
    let at = found.document.key_at(&key);
    let probe = [section, name, "http", "matches"];
    if found.document.entry(&[section, name, "tcp"]).is_some() {
        found.add(Mistake::error(&at, "a `tcp` probe has no value").help("it only opens a connection"));
    } else if found.document.entry(&[section, name, "alert"]).is_some() {
        found.add(Mistake::error(&at, "an `alert` probe has no value").help("say with `firing` which answer is good"));
    } else if let Some(http) = found.document.part::<probe::Http>(&[section, name, "http"]) {
        let groups = http.matches.as_deref().and_then(|m| regex::Regex::new(m).ok()).map(|r| r.captures_len() - 1);
        if groups.is_none_or(|n| n == 0) && (http.matches.is_none() || groups.is_some()) {
            let at = if http.matches.is_some() { found.document.value_at(&probe) } else { at.clone() };
            found.add(
                Mistake::error(&at, "this `http` probe has no value")
                    .help("the value is the first group of `http.matches`, such as `\"stock\": ([0-9]+)`"),
            );
        }
    }
    let empty = ValueBound { r#for: None, ..bound.clone() } == ValueBound::default();
    if empty {
        let keys = ["at-least", "at-most", "equals", "matches"];
        found
            .add(Mistake::error(&at, format!("`{}` bounds nothing", key.join("."))).help(format!("give {}", or(keys))));
    }
    if let (Some(least), Some(most)) = (bound.at_least, bound.at_most)
        && least > most
    {
        found.add(Mistake::error(&at, format!("no number is at least {least} and at most {most}")));
    }
    if let Some(pattern) = &bound.matches {
        regex(found, &[section, name, part, "value", "matches"], pattern);
    }
}

/// Asking for a number judges nothing by itself.
fn number_needs_value(found: &mut Found<'_>, [section, name]: [&str; 2], expect: &Expect) {
    let has = |probe: &&str| found.document.entry(&[section, name, probe]).is_some();
    let numbers: Vec<&str> = ["engine", "promql"].into_iter().filter(|probe| has(probe)).collect();
    let others = ["http", "tcp", "exec", "alert"].iter().any(has);
    if let [number] = numbers[..]
        && !others
        && expect.value.is_none()
    {
        let at = found.document.key_at(&[section, name, number]);
        found.add(
            Mistake::error(&at, format!("`{section}.{name}` asks for a number and expects none"))
                .help("add for example `expect: { value: { at-least: 2 } }`"),
        );
    }
}

/// Which of `expect` (0) and `during` (1) a key that is judged in a phase was written in.
fn written<T>(expects: [&Expect; 2], get: impl Fn(&Expect) -> Option<T>) -> Vec<(&'static str, T)> {
    ["expect", "during"].into_iter().zip(expects).filter_map(|(part, e)| get(e).map(|bound| (part, bound))).collect()
}

fn beyond_timeout(found: &mut Found<'_>, [section, name]: [&str; 2], expects: [&Expect; 2], timeout: Span) {
    for (part, latencies) in written(expects, |e| Some(e.latencies())) {
        for (_, key, bound) in latencies {
            if bound.0.is_zero() {
                let at = found.document.value_at(&[section, name, part, key]);
                found.add(Mistake::error(&at, format!("no answer takes {bound}")));
            } else if bound > timeout {
                let at = found.document.value_at(&[section, name, part, key]);
                found.add(
                    Mistake::warning(&at, format!("`{key}: {bound}` is beyond the timeout of {timeout}"))
                        .help("a slower answer counts as failed before it can count as slow"),
                );
            }
        }
    }
}

fn too_long_outage(found: &mut Found<'_>, [section, name]: [&str; 2], expects: [&Expect; 2], timing: Timing) {
    let whole = timing.duration;
    for (part, bound) in written(expects, |e| e.max_outage) {
        if bound >= whole && !whole.0.is_zero() {
            let at = found.document.value_at(&[section, name, part, "max-outage"]);
            found.add(Mistake::warning(&at, format!("`max-outage: {bound}` can never break: the fault lasts {whole}")));
        }
    }
}

/// Shares that may be missed, of which the number of samples cannot resolve even one.
fn too_few_samples(
    found: &mut Found<'_>,
    [section, name]: [&str; 2],
    expects: [&Expect; 2],
    rate: Rate,
    timing: Timing,
) {
    let [expect, during] = expects;
    let in_fault = during.clone().over(expect);
    let phases = [("baseline", expect, timing.baseline), ("duration", &in_fault, timing.duration)];
    let mut unresolved: IndexMap<&str, Vec<Unresolved>> = IndexMap::new();
    for (phase, judged, span) in phases {
        let samples = (rate.0 * span.0.as_secs_f64()).floor();
        let shares = judged.success.map(|p| (p.0, "success")).into_iter();
        let shares = shares.chain(judged.latencies().into_iter().map(|(q, key, _)| (q, key)));
        for (share, key) in shares.filter(|(share, _)| *share < 1.0) {
            // A hair of tolerance: 200 × (1 − 0.995) is 1, whatever the float says.
            if samples >= 1.0 && samples * (1.0 - share) + 1e-9 < 1.0 {
                unresolved.entry(key).or_default().push(Unresolved { phase, samples, share });
            }
        }
    }
    for (key, phases) in unresolved {
        let part = if expect_has(expect, key) { "expect" } else { "during" };
        let at = found.document.value_at(&[section, name, part, key]);
        let samples: Vec<String> = phases.iter().map(|p| format!("{} samples in `{}`", p.samples, p.phase)).collect();
        let needed = phases.iter().map(|p| (1.0 / (1.0 - p.share) - 1e-9).ceil()).fold(0.0, f64::max);
        let what = if key == "success" { "failure aborts" } else { "slow answer aborts" };
        found.add(
            Mistake::warning(&at, format!("`{key}`: one {what}: there are only {}", samples.join(" and ")))
                .help(format!("{needed} samples allow one: raise `rate` (now {rate}) or the phase's length")),
        );
    }
}

/// A share of which the samples of a phase cannot resolve even one.
struct Unresolved {
    phase: &'static str,
    samples: f64,
    share: f64,
}

fn expect_has(expect: &Expect, key: &str) -> bool {
    match key {
        "success" => expect.success.is_some(),
        key => expect.latencies().iter().any(|(_, k, _)| *k == key),
    }
}
