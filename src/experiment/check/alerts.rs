//! Alerts that the fault raises: whether they have the time that they may take.

use super::{Found, Mistake, Span, Timing, positive};
use crate::experiment::probe::Alert;

pub(super) fn check(found: &mut Found<'_>, timing: Option<Timing>) {
    let names = found.document.entry(&["alerts"]).map(|e| e.value.entries().to_vec()).unwrap_or_default();
    for entry in names {
        let name = entry.key.as_str();
        if name.trim().is_empty() {
            found.add(Mistake::error(&entry.key_at, "an alert needs a name"));
        }
        if let Some(alert) = found.document.part::<Alert>(&["alerts", name, "alert"]) {
            alert.check_keys(found, &["alerts", name, "alert"]);
        }
        let firing = ["alerts", name, "alert", "firing"];
        if found.document.entry(&firing).is_some() {
            let at = found.document.key_at(&firing);
            found.add(
                Mistake::error(&at, "`firing` means nothing here")
                    .label("it is expected to fire while the fault is on, and not before"),
            );
        }
        for key in ["fires-within", "resolves-within", "timeout"] {
            if let Some(span) = found.document.part::<Span>(&["alerts", name, key]) {
                positive(found, &["alerts", name, key], span);
            }
        }
        if let Some(timing) = timing {
            in_time(found, name, timing);
        }
    }
}

/// A fault that is rolled back before its alert may fire proves nothing about the alert.
fn in_time(found: &mut Found<'_>, name: &str, timing: Timing) {
    let path = ["alerts", name, "fires-within"];
    let Some(within) = found.document.part::<Span>(&path) else { return };
    let length = timing.duration.0.saturating_sub(first_due(found));
    if within.0 > length && !timing.duration.0.is_zero() {
        let at = found.document.value_at(&path);
        let on = Span(length);
        let mistake = Mistake::error(&at, format!("`{name}` may take {within} to fire, and the fault is on for {on}"))
            .help("make `timing.duration` longer, or expect the alert sooner");
        let given = found.document.entry(&["timing", "duration"]).is_some();
        let phase = found.document.value_at(&["timing", "duration"]);
        found.add(if given { mistake.also(&phase, "the fault phase") } else { mistake });
    }
}

/// When the first fault begins, from the beginning of its phase on.
fn first_due(found: &Found<'_>) -> std::time::Duration {
    let after = |n: usize| found.document.part::<Span>(&["faults", &n.to_string(), "after"]).unwrap_or_default();
    (0..super::injections(found.document)).map(|n| after(n).0).min().unwrap_or_default()
}
