//! Faults that are on for a part of their phase alone: budgets are of the whole phase, so that one may be larger than all that such a
//! fault can meet. What the system suffers after it still counts, so this is a warning.

use std::time::Duration;

use super::{Found, Mistake, Timing, faults};
use crate::experiment::{Expect, Rate, Span, allowed, samples};

/// Every budget of a check that no fault could use up while it is on.
pub(super) fn check(found: &mut Found<'_>, [section, name]: [&str; 2], in_fault: &Expect, rate: Rate, timing: Timing) {
    let Some(on) = on_time(found, timing.duration) else { return };
    let (met, all) = (samples(rate, on), samples(rate, timing.duration.0));
    let budgets = in_fault.success.map(|share| ("success", share.0)).into_iter();
    let budgets = budgets.chain(in_fault.latencies().into_iter().map(|(quantile, key, _)| (key, quantile)));
    for (key, share) in budgets.collect::<Vec<_>>() {
        let budget = allowed(all, share);
        if budget < met {
            continue;
        }
        let place = |part: &'static str| [section, name, part, key];
        let said = ["during", "expect"].into_iter().find(|part| found.document.entry(&place(part)).is_some());
        let at = found.document.value_at(&place(said.unwrap_or("expect")));
        found.add(
            Mistake::warning(
                &at,
                format!("`{key}` may be missed by {budget} of {all} samples, and only {met} are due while a fault is on"),
            )
            .label(format!("faults are on for {} of {}", Span(on), timing.duration))
            .help("only what outlasts the faults could break it: expect more, or make `for` longer or `timing.duration` shorter"),
        );
    }
}

/// For how long any fault of a list is on, where that is less than the phase.
pub(super) fn on_time(found: &Found<'_>, phase: Span) -> Option<Duration> {
    let mut spans = Vec::new();
    for n in 0..super::injections(found.document) {
        spans.extend(faults::spans(found, &["faults", &n.to_string()], phase)?);
    }
    spans.sort_unstable_by_key(|span| span.start);
    let mut until = Duration::ZERO;
    let mut on = Duration::ZERO;
    for span in spans {
        on += span.end.saturating_sub(span.start.max(until));
        until = until.max(span.end);
    }
    (!on.is_zero() && on < phase.0).then_some(on)
}
