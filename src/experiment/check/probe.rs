//! Probes: whether they can be asked.

use super::{Found, Mistake, positive};
use crate::experiment::probe::{Probe, with_probes};
use crate::experiment::{Rate, Span};

/// More samples than these are never waiting for their answers.
const MOST_IN_FLIGHT: f64 = 10_000.0;

/// What is asked, wherever the check stands.
pub(super) fn check(found: &mut Found<'_>, path: &[&str]) {
    let Some(entry) = found.document.entry(path) else { return };
    if path.last().is_none_or(|name| name.trim().is_empty()) {
        found.add(Mistake::error(&entry.key_at, "a probe needs a name"));
    }
    for probe in written(found, path) {
        probe.kind().check(found, &[path, &[probe.name()]].concat());
    }
    let timeout = [path, &["timeout"]].concat();
    if let Some(span) = found.document.part::<Span>(&timeout) {
        positive(found, &timeout, span);
    }
}

/// Makes of the table of probes the reading of those that a check has: one, if it is right.
macro_rules! written {
    ($($name:literal => $probe:ident($module:ident::$keys:ident): $about:literal,)+) => {
        fn written(found: &Found<'_>, path: &[&str]) -> Vec<Probe> {
            let all = [$(found.document.part(&[path, &[$name]].concat()).map(Probe::$probe)),+];
            all.into_iter().flatten().collect()
        }
    };
}
with_probes!(written);

/// How often a check asks and how long it waits, with the defaults of its probe. `None` where that is not known.
pub(super) fn pace(found: &Found<'_>, path: [&str; 2]) -> Option<(Rate, Span)> {
    let [section, name] = path;
    let document = found.document;
    let probe = written(found, &path).into_iter().next()?;
    let rate = match document.entry(&[section, name, "rate"]) {
        Some(_) => document.part(&[section, name, "rate"])?,
        None => probe.kind().pace().rate,
    };
    let timeout = match document.entry(&[section, name, "timeout"]) {
        Some(_) => document.part(&[section, name, "timeout"])?,
        None => probe.kind().pace().timeout,
    };
    Some((rate, timeout))
}

/// How many samples may be in flight at once.
pub(super) fn in_flight(found: &mut Found<'_>, path: [&str; 2]) {
    let Some((rate, timeout)) = pace(found, path) else { return };
    let waiting = rate.0 * timeout.0.as_secs_f64();
    if waiting > MOST_IN_FLIGHT {
        let [section, name] = path;
        let at = found.document.value_at(&[section, name, "rate"]);
        found.add(
            Mistake::error(&at, format!("{rate} for {timeout} is up to {waiting:.0} samples in flight at once"))
                .label(format!("at most {MOST_IN_FLIGHT} may be open"))
                .help("lower `rate` or `timeout`"),
        );
    }
}
