//! Expectations: bounds that nothing can resolve, or that nothing proves beforehand.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::probe::pace;
use super::{Found, Mistake, Timing, breakable, contract, inherited, on_time};
use crate::experiment::diagnostic::or;
use crate::experiment::document::pattern::regex;
use crate::experiment::probe;
use crate::experiment::{Check, During, Expect, Rate, ValueBound, allowed, samples};

/// Keys that `during` may have on its own. `max-outage` is about a failover that only the fault brings about.
const DURING_ALONE: [&str; 1] = ["max-outage"];

pub(super) fn check(found: &mut Found<'_>, path: [&str; 2], timing: Option<Timing>) {
    let [section, name] = path;
    let expect: Option<Expect> = part(found, &[section, name, "expect"]);
    let during: Option<During> = part(found, &[section, name, "during"]);
    let stated = during.as_ref().map(During::stated);
    for (key, part) in [("expect", &expect), ("during", &stated)] {
        if let Some(part) = part {
            value(found, &[section, name, key], part);
        }
    }
    let (Some(expect), Some(during), Some(stated)) = (expect, during, stated) else { return };
    baseline_first(found, path, &expect);
    number_needs_value(found, path, &expect);
    // With a mistake in the check these are guesses.
    if found.document.entry(&path).is_none_or(|e| e.value.has_mistakes()) {
        return;
    }
    let Some((rate, timeout)) = pace(found, path) else { return };
    no_time(found, path, [&expect, &stated]);
    contract::check(found, path, &during, timing);
    breakable::body(found, path, [&expect, &stated]);
    if let Some(timing) = timing {
        let in_force = expect.clone().with_default();
        let in_fault = during.over(&in_force);
        breakable::check(found, path, [&expect, &in_fault], (rate, timeout), timing);
        if section == "steady-state" {
            on_time::check(found, path, &in_fault, rate, timing);
        }
        too_few_samples(found, path, [&expect, &in_fault], rate, timing);
        inherited::check(found, path, (&in_force, &stated), rate, timing);
        inherited::shares(found, path, &during, &in_force, samples(rate, timing.duration.0));
    }
}

/// `expect` or `during`: empty where it is not given, `None` where it could not be read.
fn part<T: DeserializeOwned + Default>(found: &Found<'_>, path: &[&str]) -> Option<T> {
    match found.document.entry(path) {
        Some(_) => found.document.part(path),
        None => Some(T::default()),
    }
}

/// Something is expected while the fault is on: a hypothesis that is all switched off cannot break.
pub(super) fn something(found: &mut Found<'_>) {
    let Some(steady) = found.document.entry(&["steady-state"]).filter(|e| !e.value.has_mistakes()) else { return };
    let alerts = found.document.entry(&["alerts"]).is_some_and(|e| !e.value.entries().is_empty());
    let checks: Vec<Check> =
        steady.value.entries().iter().filter_map(|e| found.document.part(&["steady-state", &e.key])).collect();
    if !alerts
        && !checks.is_empty()
        && checks.iter().all(|c| c.expect_during() == Expect::default() && c.during.contract().is_empty())
    {
        let at = steady.key_at.clone();
        found.add(
            Mistake::error(&at, "nothing is expected while the fault is on: the hypothesis cannot break")
                .help("leave a bound of at least one check in force in `during`"),
        );
    }
}

/// Every key of `during` stands in `expect` too.
fn baseline_first(found: &mut Found<'_>, [section, name]: [&str; 2], expect: &Expect) {
    let document = found.document;
    let entries = |key: &str| document.entry(&[section, name, key]).map(|e| e.value.entries()).unwrap_or_default();
    let expected = entries("expect");
    for entry in entries("during") {
        let key = entry.key.as_str();
        let implied = key == "success" && expect.implies_success();
        if implied
            || DURING_ALONE.contains(&key)
            || contract::KEYS.contains(&key)
            || expected.iter().any(|e| e.key == key)
            || entry.value.dropped
        {
            continue;
        }
        found.add(
            if found.document.part::<String>(&[section, name, "during", key]).is_some_and(|text| text == "off") {
                Mistake::error(&entry.key_at, format!("`{key}: off` switches nothing off"))
                    .help("`expect` has no such bound")
            } else {
                Mistake::error(&entry.key_at, format!("`{key}` is expected during the fault, but not before it"))
                    .help("without a baseline a breach proves nothing: add it to `expect` as well")
            },
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
        if http.value.is_none() && groups.is_none_or(|n| n == 0) && (http.matches.is_none() || groups.is_some()) {
            let at = if http.matches.is_some() { found.document.value_at(&probe) } else { at.clone() };
            found.add(
                Mistake::error(&at, "this `http` probe has no value")
                    .help("the value is at `http.value`, such as `{ json: /stock }`, or the first group of `http.matches`, such as `\"stock\": ([0-9]+)`"),
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
    breakable::value(found, *path, bound);
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

fn no_time(found: &mut Found<'_>, [section, name]: [&str; 2], expects: [&Expect; 2]) {
    for (part, latencies) in written(expects, |e| Some(e.latencies())) {
        for (_, key, bound) in latencies.into_iter().filter(|(.., bound)| bound.0.is_zero()) {
            let at = found.document.value_at(&[section, name, part, key]);
            found.add(Mistake::error(&at, format!("no answer takes {bound}")));
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
    let [expect, in_fault] = expects;
    let phases = [("baseline", expect, timing.baseline), ("duration", in_fault, timing.duration)];
    let mut unresolved: IndexMap<&str, Vec<Unresolved>> = IndexMap::new();
    for (phase, judged, span) in phases {
        let samples = samples(rate, span.0);
        let shares = judged.success.map(|p| (p.0, "success")).into_iter();
        let shares = shares.chain(judged.latencies().into_iter().map(|(q, key, _)| (q, key)));
        for (share, key) in shares.filter(|(share, _)| *share < 1.0) {
            if samples > 0 && allowed(samples, share) == 0 {
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
    samples: u64,
    share: f64,
}

fn expect_has(expect: &Expect, key: &str) -> bool {
    match key {
        "success" => expect.success.is_some(),
        key => expect.latencies().iter().any(|(_, k, _)| *k == key),
    }
}
