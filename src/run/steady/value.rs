//! Whether a probe's value is what it should be.

use std::time::Duration;

use regex::Regex;

use super::streak::Streak;
use crate::experiment::ValueBound;

/// Reads values against their bound. A failure has no value and says nothing about one: it is `success` that counts it.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) bound: ValueBound,
    matches: Option<Regex>,
    pub(super) streak: Streak,
    was_outside: bool,
    last: Option<String>,
    last_outside: Option<String>,
}

impl Gauge {
    pub(super) fn new(bound: ValueBound, end: Duration) -> Self {
        // A pattern that is none matches nothing: never a false green. Validation refuses it before it comes here.
        let matches = bound.matches.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        Self { bound, matches, streak: Streak::new(end), was_outside: false, last: None, last_outside: None }
    }

    /// Whether a value is inside the bound.
    pub(super) fn is_inside(&self, value: Option<&str>) -> bool {
        // A good answer without one: what was to be read is not there.
        let Some(value) = value.map(str::trim) else { return false };
        let number = value.parse::<f64>().ok();
        self.bound.at_least.is_none_or(|least| number.is_some_and(|n| n >= least))
            && self.bound.at_most.is_none_or(|most| number.is_some_and(|n| n <= most))
            && self.bound.equals.as_deref().is_none_or(|wanted| is_equal(value, number, wanted.trim()))
            && (self.bound.matches.is_none() || self.matches.as_ref().is_some_and(|regex| regex.is_match(value)))
    }

    /// Takes a sample's value in, and tells whether it is inside.
    pub(super) fn read(&mut self, value: Option<&str>) -> bool {
        let inside = self.is_inside(value);
        let text = value.map_or("no value", str::trim).to_owned();
        if !inside {
            self.was_outside = true;
            self.last_outside = Some(text.clone());
        }
        self.last = Some(text);
        inside
    }

    /// Whether a deviation counts by now: the first one, or one that lasts longer than `for`.
    pub(super) fn is_beyond(&self) -> bool {
        match self.bound.r#for {
            Some(limit) => self.streak.longest() > limit.0,
            None => self.was_outside,
        }
    }

    /// Whether any value was read.
    pub(super) fn has_read(&self) -> bool {
        self.last.is_some()
    }

    /// How long values were outside, where that is what counts.
    pub(super) fn deviated(&self) -> Option<Duration> {
        self.bound.r#for.map(|_| self.streak.longest()).filter(|longest| !longest.is_zero())
    }

    /// The last value that was outside.
    pub(super) fn outside(&self) -> Option<&str> {
        self.last_outside.as_deref()
    }

    /// The value to show: the last one, or the last that was outside where that broke the bound or is told with its length.
    pub(super) fn shown(&self) -> Option<&str> {
        if self.is_beyond() || self.deviated().is_some() { self.last_outside.as_deref() } else { self.last.as_deref() }
    }
}

/// Numbers are compared as numbers: `3` is `3.0`.
#[expect(clippy::float_cmp, reason = "equal is what was asked for")]
fn is_equal(value: &str, number: Option<f64>, wanted: &str) -> bool {
    match (number, wanted.parse::<f64>()) {
        (Some(number), Ok(wanted)) => number == wanted,
        _ => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(bound: ValueBound, value: &str) -> bool {
        Gauge::new(bound, Duration::ZERO).is_inside(Some(value))
    }

    #[test]
    fn each_bound_has_its_direction() {
        let at_least = || ValueBound { at_least: Some(3.0), ..ValueBound::default() };
        assert!(inside(at_least(), "3") && !inside(at_least(), "2.9") && !inside(at_least(), "many"));
        let at_most = || ValueBound { at_most: Some(3.0), ..ValueBound::default() };
        assert!(inside(at_most(), " 3\n") && !inside(at_most(), "3.1") && !inside(at_most(), "nan"));
        let equals = |v: &str| ValueBound { equals: Some(v.into()), ..ValueBound::default() };
        assert!(inside(equals("3"), "3.0") && inside(equals("ready"), "ready") && !inside(equals("3"), "33"));
        let matches = |v: &str| ValueBound { matches: Some(v.into()), ..ValueBound::default() };
        assert!(inside(matches("^ok"), "okay") && !inside(matches("^ok"), "not ok") && !inside(matches("("), "("));
    }

    #[test]
    fn no_value_is_outside() {
        let gauge = Gauge::new(ValueBound { at_most: Some(3.0), ..ValueBound::default() }, Duration::ZERO);
        assert!(!gauge.is_inside(None));
    }
}
