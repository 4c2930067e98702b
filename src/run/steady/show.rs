//! Expectations as people read them: bound, measured, spent of the budget.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::{Bound, Budget};
use super::latency::{Latencies, ms};
use super::tally::{Over, Tally};
use super::value::Gauge;
use crate::experiment::{Percent, Rate, Span, allowed};
use crate::record::event::{Excerpt, Standing};
use crate::text::{units, visible};

/// What is shown where nothing has been measured yet.
const NOTHING: &str = "–";

fn standing(expectation: &str, bound: String, measured: String, number: Option<f64>, held: bool) -> Standing {
    let expectation = expectation.to_owned();
    Standing {
        expectation,
        bound,
        measured,
        number,
        value: None,
        budget: None,
        spent: None,
        of: None,
        held,
        failures: BTreeMap::new(),
        unjudged: None,
    }
}

pub(super) fn budget(budget: &Budget, tally: &Tally, latencies: &Latencies, late: u64, over: Over) -> Standing {
    let (bound, (measured, number)) = match budget.bound {
        Bound::Success(share) => (format!("≥ {share}"), success(share, budget, over)),
        Bound::AtMost(share) => (format!("≤ {share}"), at_most(share, budget, over)),
        Bound::Latency(quantile, bound) => {
            (format!("≤ {}", units::exact(bound.0)), latency(quantile, bound, budget, tally, latencies, late, over))
        }
    };
    Standing {
        budget: Some(budget.allowed),
        spent: Some(budget.spent),
        of: Some(budget.n),
        ..standing(budget.key, bound, measured, number, !budget.is_beyond())
    }
}

/// A budget over one window of samples, which it does not meet.
pub(super) fn window(key: &'static str, bound: Bound, spent: u64, n: u64) -> Standing {
    let mut budget = Budget::new(key, bound, n);
    (budget.spent, budget.settled) = (spent, n);
    let (bound, (measured, number)) = match bound {
        Bound::Success(share) => (format!("≥ {share}"), success(share, &budget, Over::Whole)),
        Bound::AtMost(share) => (format!("≤ {share}"), at_most(share, &budget, Over::Whole)),
        Bound::Latency(_, bound) => (format!("≤ {}", units::exact(bound.0)), (NOTHING.to_owned(), None)),
    };
    Standing {
        budget: Some(budget.allowed),
        spent: Some(spent),
        of: Some(n),
        ..standing(key, bound, measured, number, false)
    }
}

/// The share that was good. Budgets are those of the planned number of samples, and a phase may have one more or less: it is
/// counted in favour of what was judged, so that the two do not contradict each other.
#[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
fn success(bound: Percent, budget: &Budget, over: Over) -> (String, Option<f64>) {
    let asked = budget.settled;
    if asked == 0 {
        return (NOTHING.to_owned(), None);
    }
    let of = match (over, budget.is_beyond()) {
        (Over::Whole, false) => asked.max(budget.n),
        (_, true) => asked.min(budget.n.max(budget.spent)),
        _ => asked,
    };
    let share = 1.0 - budget.spent as f64 / of as f64;
    (units::share_beside(share, bound.0), Some(share))
}

/// The share that was in excess: the rest of what was not.
fn at_most(bound: Percent, budget: &Budget, over: Over) -> (String, Option<f64>) {
    let (measured, rest) = success(Percent(1.0 - bound.0), budget, over);
    rest.map_or((measured, None), |rest| (units::share_beside(1.0 - rest, bound.0), Some(1.0 - rest)))
}

/// The quantile over all answers, where a failure is an answer that never comes.
fn latency(
    quantile: f64,
    bound: Span,
    budget: &Budget,
    tally: &Tally,
    latencies: &Latencies,
    late: u64,
    over: Over,
) -> (String, Option<f64>) {
    let all = latencies.count() + tally.failed + late;
    let mut may_miss = allowed(all, quantile);
    if over == Over::Whole && !budget.is_beyond() {
        may_miss = may_miss.max(budget.allowed);
    } else if budget.is_beyond() {
        may_miss = may_miss.min(budget.allowed);
    }
    if all <= may_miss {
        return (NOTHING.to_owned(), None);
    }
    if all - may_miss > latencies.count() {
        return ("no answer".to_owned(), None);
    }
    let found = latencies.at(all - may_miss);
    // The histogram is within 0.1 %, the count is exact: they must not contradict each other.
    let found =
        if budget.spent <= may_miss { found.min(bound.0) } else { found.max(bound.0 + Duration::from_micros(1)) };
    (units::span_beside(found, bound.0), Some(ms(found)))
}

pub(super) fn outage(limit: Span, longest: Duration) -> Standing {
    let measured = if longest.is_zero() { "none".to_owned() } else { units::span_beside(longest, limit.0) };
    let bound = format!("≤ {}", units::exact(limit.0));
    standing("max-outage", bound, measured, Some(ms(longest)), longest <= limit.0)
}

#[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
pub(super) fn rate(bound: Rate, good: u64, elapsed: Duration, held: bool) -> Standing {
    let number = (!elapsed.is_zero()).then(|| good as f64 / elapsed.as_secs_f64());
    let measured = number.map_or(NOTHING.to_owned(), |n| units::rate_beside(n, bound.0));
    standing("rate", format!("≥ {bound}"), measured, number, held)
}

pub(super) fn value(gauge: &Gauge) -> Standing {
    of_value(gauge, gauge.shown())
}

/// The last value that was outside its bound.
pub(super) fn outside(gauge: &Gauge) -> Standing {
    of_value(gauge, gauge.outside())
}

fn of_value(gauge: &Gauge, shown: Option<&str>) -> Standing {
    let lasted = gauge.deviated().map(|d| format!(" for {}", units::span(d))).unwrap_or_default();
    let measured = shown.map_or_else(|| NOTHING.to_owned(), |value| format!("{}{lasted}", visible::brief(value)));
    let number = shown.and_then(|value| value.parse().ok()).filter(|number: &f64| number.is_finite());
    Standing {
        value: shown.map(Excerpt::of),
        ..standing("value", gauge.bound.to_string(), measured, number, !gauge.is_beyond())
    }
}
