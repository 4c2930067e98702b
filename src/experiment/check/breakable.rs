//! Bounds that no answer can break: what holds whatever happens is no evidence for anything.
//!
//! `steady/breakable.rs` has the property: whatever passes here is broken by answers that are all bad.

use std::time::Duration;

use super::{Found, Mistake, Timing};
use crate::experiment::document::pattern::matches_anything;
use crate::experiment::probe::{self, Count, EngineProbe};
use crate::experiment::{Expect, Percent, Rate, Span, ValueBound, allowed, samples};

/// A phase in which a check is judged.
struct Judged<'a> {
    /// As `timing` has it.
    name: &'static str,
    length: Duration,
    expect: &'a Expect,
    rate: Rate,
    timeout: Span,
}

/// What is wrong with one bound.
struct Never {
    /// Under `expect` or `during`.
    key: &'static [&'static str],
    title: String,
    help: String,
}

/// Every bound of a check, in each phase in which it is judged.
pub(super) fn check(
    found: &mut Found<'_>,
    [section, name]: [&str; 2],
    [expect, in_fault]: [&Expect; 2],
    (rate, timeout): (Rate, Span),
    timing: Timing,
) {
    let phase = |name, length: Span, expect| Judged { name, length: length.0, expect, rate, timeout };
    let phases = [phase("baseline", timing.baseline, expect), phase("duration", timing.duration, in_fault)];
    let mut told: Vec<(&str, &[&str])> = Vec::new();
    // A phase of no time is a mistake of its own.
    for phase in phases.iter().filter(|p| !p.length.is_zero()) {
        // A single one may be due at the phase's very end, and is answered when it is over.
        if samples(rate, phase.length) < 2 {
            let at = found.document.value_at(&[section, name, "rate"]);
            found.add(phase.asks_nothing(&at, &format!("{section}.{name}")));
            return;
        }
        for never in phase.unbreakable() {
            let written = |part| found.document.entry(&[&[section, name, part], never.key].concat()).is_some();
            let part = if phase.name == "duration" && written("during") { "during" } else { "expect" };
            if told.contains(&(part, never.key)) {
                continue;
            }
            told.push((part, never.key));
            let at = found.document.value_at(&[&[section, name, part], never.key].concat());
            found.add(Mistake::error(&at, never.title).help(never.help));
        }
    }
}

impl Judged<'_> {
    /// A bound that is not meant to be judged is switched off, which `expect` cannot.
    fn or_off(&self, key: &str) -> String {
        if self.name == "duration" { format!(", or say `{key}: off` in `during`") } else { String::new() }
    }

    fn asks_nothing(&self, at: &std::ops::Range<usize>, check: &str) -> Mistake {
        let interval = super::samples::interval(self.rate);
        let often = if samples(self.rate, self.length) == 0 { "not asked once" } else { "asked once at most" };
        Mistake::error(at, format!("`{check}` is {often} in `{}` ({})", self.name, Span(self.length)))
            .label(format!("{} is once in {interval}", self.rate))
            .help(format!("raise `rate`, or make `timing.{}` at least {}", self.name, Span(interval.0 * 2)))
    }

    fn unbreakable(&self) -> Vec<Never> {
        [self.success(), self.outage(), self.deviation(), self.good_answers()]
            .into_iter()
            .flatten()
            .chain(self.latencies())
            .collect()
    }

    fn success(&self) -> Option<Never> {
        let share = self.expect.success?;
        let n = samples(self.rate, self.length);
        (allowed(n, share.0) >= n).then(|| Never {
            key: &["success"],
            title: format!("`success: {share}` can never break: all {n} samples in `{}` may fail", self.name),
            help: format!(
                "give the least share that would still be good{}{}",
                self.or_off("success"),
                if self.name == "duration" { ", or `must-fail: true` if it has to fail" } else { "" }
            ),
        })
    }

    /// An answer that takes longer than the timeout has failed: such a bound says less than `success` does, in other words.
    fn latencies(&self) -> Vec<Never> {
        let late = self.expect.latencies().into_iter().filter(|(_, _, bound)| *bound >= self.timeout);
        late.map(|(quantile, key, bound)| Never {
            key: latency_key(key),
            title: format!("`{key}: {bound}` can never be exceeded: an answer has failed after {}", self.timeout),
            help: format!(
                "expect less than the timeout, or raise `timeout`; if failures are meant, say `success: {}`",
                Percent(quantile)
            ),
        })
        .collect()
    }

    /// A run of bad samples lasts from its first to the phase's end at most, and the first may be due one interval late.
    fn longest(&self) -> Duration {
        self.length.saturating_sub(Duration::from_secs_f64(1.0 / self.rate.0))
    }

    fn outage(&self) -> Option<Never> {
        let limit = self.expect.max_outage?;
        let alone = if self.name == "baseline" { ", say it in `during` alone" } else { "" };
        self.lasts(limit, &["max-outage"], "max-outage", alone)
    }

    fn deviation(&self) -> Option<Never> {
        self.lasts(self.expect.value.as_ref()?.r#for?, &["value", "for"], "value.for", "")
    }

    fn lasts(&self, limit: Span, key: &'static [&'static str], shown: &str, or: &str) -> Option<Never> {
        let longest = self.longest();
        (limit.0 > longest).then(|| Never {
            key,
            title: format!("`{shown}: {limit}` can never be exceeded in `{}` ({})", self.name, Span(self.length)),
            help: format!(
                "at {} the longest that can be seen there is {}: expect less{or}, or make `timing.{}` longer",
                self.rate,
                Span(Duration::from_millis(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX))),
                self.name
            ),
        })
    }

    /// Good answers in a second: judged by how many there are at the end, of those that were asked.
    fn good_answers(&self) -> Option<Never> {
        let bound = self.expect.rate?;
        let (needed, asked) = (samples(bound, self.length), samples(self.rate, self.length));
        if needed == 0 {
            let least = Rate(1.0 / self.length.as_secs_f64());
            return Some(Never {
                key: &["rate"],
                title: format!("`rate: {bound}` can never break: it is less than one answer in `{}`", self.name),
                help: format!("expect at least {least}, or make `timing.{}` longer", self.name),
            });
        }
        (needed > asked).then(|| Never {
            key: &["rate"],
            title: format!("`rate: {bound}` can never be met: only {} are asked", self.rate),
            help: "raise the check's `rate`, or expect fewer".to_owned(),
        })
    }
}

fn latency_key(key: &str) -> &'static [&'static str] {
    const KEYS: [&[&str]; 7] = [&["p50"], &["p75"], &["p90"], &["p95"], &["p99"], &["p99.9"], &["max"]];
    KEYS.into_iter().find(|k| k[0] == key).unwrap_or(&[])
}

/// A value bound that holds for, or excludes, whatever the probe can read.
pub(super) fn value(found: &mut Found<'_>, path: [&str; 3], bound: &ValueBound) {
    let [section, name, _] = path;
    let at = |key: &'static str| found.document.value_at(&[&path[..], &["value", key]].concat());
    let mut wrong: Vec<Mistake> = Vec::new();
    for (key, number) in [("at-least", bound.at_least), ("at-most", bound.at_most)] {
        if let Some(number) = number.filter(|n| !n.is_finite()) {
            wrong.push(Mistake::error(&at(key), format!("`value.{key}: {number}` is no bound")).help("give a number"));
        }
    }
    let only_matches = bound.at_least.is_none() && bound.at_most.is_none() && bound.equals.is_none();
    let anything =
        bound.matches.as_deref().and_then(|m| regex::Regex::new(m).ok()).is_some_and(|m| matches_anything(&m));
    if anything && only_matches {
        let title = "`value.matches` can never break: the pattern matches every text";
        wrong.push(Mistake::error(&at("matches"), title).help("match what only a good value has"));
    }
    let counted = found.document.part::<EngineProbe>(&[section, name, "engine"]);
    let equals = bound.equals.as_deref().map(|text| (text, text.trim().parse::<f64>().ok()));
    if let Some(probe) = counted {
        let what = if probe.count == Count::Restarts { "a number of restarts" } else { "a number of instances" };
        if bound.at_least.is_some_and(|least| least <= 0.0) && bound.at_most.is_none() && bound.equals.is_none() {
            let title = format!("`value.at-least` can never break: {what} is never below 0");
            wrong.push(Mistake::error(&at("at-least"), title).help("give at least 1, or bound it with `at-most`"));
        }
        if bound.at_most.is_some_and(|most| most < 0.0) {
            wrong.push(Mistake::error(&at("at-most"), format!("{what} is never below 0")).help("give at least 0"));
        }
        if equals.is_some_and(|(_, number)| number.is_none_or(|n| n < 0.0 || n.fract() != 0.0)) {
            let key = found.document.value_at(&[&path[..], &["value", "equals"]].concat());
            wrong.push(Mistake::error(&key, format!("{what} is a whole number, from 0 on")));
        }
    } else if found.document.part::<probe::Promql>(&[section, name, "promql"]).is_some()
        && let Some((text, None)) = equals
    {
        let key = found.document.value_at(&[&path[..], &["value", "equals"]].concat());
        wrong.push(Mistake::error(&key, format!("`{text}` can never be met: a query comes to a number")));
    }
    found.mistakes.extend(wrong);
}

/// A pattern that the body must match, and every body does. With a group whose value is expected it is there to read it.
pub(super) fn body(found: &mut Found<'_>, [section, name]: [&str; 2], expects: [&Expect; 2]) {
    let path = [section, name, "http", "matches"];
    let Some(http) = found.document.part::<probe::Http>(&path[..3]) else { return };
    let Some(regex) = http.matches.as_deref().and_then(|m| regex::Regex::new(m).ok()) else { return };
    let reads = regex.captures_len() > 1 && expects.iter().any(|e| e.value.is_some());
    if !reads && matches_anything(&regex) {
        let at = found.document.value_at(&path);
        found.add(
            Mistake::error(&at, "`matches` can never break: the pattern matches every body")
                .help("match what only a good answer has, or leave it out"),
        );
    }
}
