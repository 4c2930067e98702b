//! Faults that take longer to show than they last: what has not come to its end by then was never there.

use std::time::Duration;

use super::{Found, Mistake, Span, Timing, dotted, faults};
use crate::experiment::fault::{Fault, Takes};

/// `places` are the paths of the faults.
pub(super) fn check(found: &mut Found<'_>, places: &[Vec<&str>], timing: Option<Timing>) {
    let Some(timing) = timing.filter(|t| !t.duration.0.is_zero()) else { return };
    for place in places {
        let path = [place.as_slice(), &["fault"]].concat();
        let Some(fault) = found.document.part::<Fault>(&path) else { continue };
        let on = faults::span(found, place, timing.duration);
        if on.is_empty() {
            continue;
        }
        let lasts = on.end.saturating_sub(on.start);
        let own = [path.as_slice(), &[fault.name()]].concat();
        for takes in fault.disturb().takes() {
            late(found, &own, &takes, lasts);
        }
    }
}

fn late(found: &mut Found<'_>, fault: &[&str], Takes { key, takes, so }: &Takes, lasts: Duration) {
    if takes.0 < lasts || takes.0.is_zero() {
        return;
    }
    let path = [fault, &[key]].concat();
    let at = found.document.value_at(&path);
    found.add(
        Mistake::error(&at, format!("`{}` takes {takes}, and the fault is on for {}", dotted(&path), Span(lasts)))
            .label(*so)
            .help("make it shorter, or let the fault last longer (`timing.duration`, `for`)"),
    );
}
