//! Faults that take longer to show than they last: what has not come to its end by then was never there.

use std::time::Duration;

use super::{Found, Mistake, Span, Timing, dotted, faults};
use crate::experiment::fault::Fault;

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
        match &fault {
            Fault::Memory(memory) => late(found, &own, "ramp", memory.ramp, lasts, "the load is never reached"),
            Fault::DiskFill(fill) => {
                if let (Some(size), Some(rate)) = (fill.size, fill.rate) {
                    #[expect(clippy::cast_precision_loss, reason = "fewer bytes than a float can count")]
                    let takes =
                        Duration::try_from_secs_f64((size.0 as f64 / rate.0 as f64).ceil()).unwrap_or(Duration::MAX);
                    late(found, &own, "rate", Span(takes), lasts, "the size is never reached");
                }
            }
            Fault::Latency(_) | Fault::Shape(_) | Fault::Reorder(_) | Fault::ZoneOutage(_) => {
                for key in ["delay", "jitter"] {
                    let span = found.document.part::<Span>(&[own.as_slice(), &[key]].concat()).unwrap_or_default();
                    late(
                        found,
                        &own,
                        key,
                        span,
                        lasts,
                        "what it delays arrives when the fault is over: for that there is `loss`",
                    );
                }
            }
            _ => {}
        }
    }
}

fn late(found: &mut Found<'_>, fault: &[&str], key: &str, takes: Span, lasts: Duration, so: &str) {
    if takes.0 < lasts || takes.0.is_zero() {
        return;
    }
    let path = [fault, &[key]].concat();
    let at = found.document.value_at(&path);
    found.add(
        Mistake::error(&at, format!("`{}` takes {takes}, and the fault is on for {}", dotted(&path), Span(lasts)))
            .label(so.to_owned())
            .help("make it shorter, or let the fault last longer (`timing.duration`, `for`)"),
    );
}
