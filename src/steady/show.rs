//! Expectations as people read them: bound, measured, spent of the budget.

use std::time::Duration;

use super::budget::{self, Bound, Budget};
use super::judge::Tally;
use super::latency::{Latencies, ms};
use super::value::Gauge;
use crate::event::Standing;
use crate::experiment::{Percent, Rate, Span};

/// What is shown where nothing has been measured yet.
const NOTHING: &str = "–";

pub(super) fn budget(budget: &Budget, tally: &Tally, latencies: &Latencies, late: u64) -> Standing {
    let (bound, (measured, number)) = match budget.bound {
        Bound::Success(share) => (format!("≥ {share}"), success(tally)),
        Bound::Latency(quantile, bound) => {
            (format!("≤ {bound}"), latency(quantile, bound, budget, tally, latencies, late))
        }
    };
    Standing {
        expectation: budget.key.to_owned(),
        bound,
        measured,
        number,
        budget: Some(budget.allowed),
        spent: Some(budget.spent),
        held: !budget.is_beyond(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
fn success(tally: &Tally) -> (String, Option<f64>) {
    let asked = tally.samples - tally.unasked;
    if asked == 0 {
        return (NOTHING.to_owned(), None);
    }
    let share = tally.good() as f64 / asked as f64;
    // Rounded down: 99.996 % with a failure must not read 100%.
    (Percent((share * 1e4 + 1e-9).floor() / 1e4).to_string(), Some(share))
}

/// The quantile over all answers, where a failure is an answer that never comes.
fn latency(
    quantile: f64,
    bound: Span,
    budget: &Budget,
    tally: &Tally,
    latencies: &Latencies,
    late: u64,
) -> (String, Option<f64>) {
    let all = latencies.count() + tally.failed + late;
    if all == 0 {
        return (NOTHING.to_owned(), None);
    }
    let may_miss = budget::allowed(all, quantile);
    if all - may_miss > latencies.count() {
        return ("no answer".to_owned(), None);
    }
    let found = latencies.at(all - may_miss);
    // The histogram is within 0.1 %, the count is exact: they must not contradict each other.
    let found = if budget.spent <= may_miss { found.min(bound.0) } else { found.max(bound.0) };
    (time(found), Some(ms(found)))
}

pub(super) fn outage(limit: Span, longest: Duration) -> Standing {
    Standing {
        expectation: "max-outage".to_owned(),
        bound: format!("≤ {limit}"),
        measured: if longest.is_zero() { "none".to_owned() } else { time(longest) },
        number: Some(ms(longest)),
        budget: None,
        spent: None,
        held: longest <= limit.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
pub(super) fn rate(bound: Rate, good: u64, elapsed: Duration, held: bool) -> Standing {
    let number = (!elapsed.is_zero()).then(|| good as f64 / elapsed.as_secs_f64());
    Standing {
        expectation: "rate".to_owned(),
        bound: format!("≥ {bound}"),
        measured: number.map_or(NOTHING.to_owned(), |n| format!("{}/s", (n * 10.0).round() / 10.0)),
        number,
        budget: None,
        spent: None,
        held,
    }
}

pub(super) fn value(gauge: &Gauge) -> Standing {
    Standing {
        expectation: "value".to_owned(),
        bound: gauge.bound.to_string(),
        measured: gauge.shown().unwrap_or(NOTHING).to_owned(),
        number: gauge.shown().and_then(|value| value.parse().ok()).filter(|number: &f64| number.is_finite()),
        budget: None,
        spent: None,
        held: !gauge.is_beyond(),
    }
}

/// A duration with about three digits: `0.42ms`, `7.3ms`, `183ms`, `2.41s`.
fn time(d: Duration) -> String {
    let ms = ms(d);
    if ms < 1.0 {
        format!("{ms:.2}ms")
    } else if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 1000.0 {
        format!("{ms:.0}ms")
    } else {
        format!("{:.2}s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_failure_never_reads_as_a_hundred_percent() {
        let tally = Tally { samples: 100_000, failed: 1, ..Tally::default() };
        assert_eq!(success(&tally).0, "99.99%");
        let tally = Tally { samples: 1000, failed: 100, ..Tally::default() };
        assert_eq!(success(&tally).0, "90%");
        let tally = Tally { samples: 7, unasked: 7, ..Tally::default() };
        assert_eq!(success(&tally).0, "–");
    }

    #[test]
    fn times_have_about_three_digits() {
        let shown = [420, 7_340, 183_400, 999_900, 2_412_000].map(|us| time(Duration::from_micros(us)));
        assert_eq!(shown, ["0.42ms", "7.3ms", "183ms", "1000ms", "2.41s"]);
    }
}
