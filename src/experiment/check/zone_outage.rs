//! The outage of zones: keys that belong to one mode alone, and whether a bad line is bad.

use super::{Found, Mistake, dotted, positive, traffic};
use crate::experiment::Span;
use crate::experiment::fault::{Heal, OutageMode, ZoneOutage};

/// The parts of a bad line.
const IMPAIRMENTS: [&str; 3] = ["delay", "loss", "bandwidth"];

/// The keys that say more about a mode, each with the modes that it belongs to.
const OF_MODES: [(&str, &[OutageMode]); 8] = [
    ("direction", &[OutageMode::Isolate, OutageMode::Degrade]),
    ("clients", &[OutageMode::Isolate]),
    ("delay", &[OutageMode::Degrade]),
    ("jitter", &[OutageMode::Degrade]),
    ("correlation", &[OutageMode::Degrade]),
    ("distribution", &[OutageMode::Degrade]),
    ("loss", &[OutageMode::Degrade]),
    ("bandwidth", &[OutageMode::Degrade]),
];

pub(super) fn check(found: &mut Found<'_>, fault: &[&str], outage: &ZoneOutage) {
    let under = |key: &'static str| [fault, &[key]].concat();
    for (key, modes) in OF_MODES {
        let Some(entry) = found.document.entry(&under(key)) else { continue };
        if !modes.contains(&outage.mode) {
            let at = entry.key_at.clone();
            let of = modes.iter().map(|mode| format!("`mode: {mode}`")).collect::<Vec<_>>().join(" or ");
            found.add(Mistake::error(&at, format!("`{}` goes with {of}", dotted(&under(key)))));
        }
    }
    if outage.mode == OutageMode::Degrade {
        if IMPAIRMENTS.iter().all(|key| found.document.entry(&under(key)).is_none()) {
            let at = found.document.key_at(fault);
            found.add(
                Mistake::error(&at, format!("`{}` does nothing to the line", dotted(fault)))
                    .help(format!("give at least one of {}", super::super::diagnostic::or(IMPAIRMENTS))),
            );
        }
        for part in ["loss", "bandwidth"] {
            traffic::impairment(found, &under(part));
        }
        traffic::delay(found, fault);
    }
    if let Some(every) = found.document.part::<Span>(&[fault, &["return", "every"]].concat()) {
        positive(found, &[fault, &["return", "every"]].concat(), every);
        if outage.heal == Heal::Itself {
            let at = found.document.key_at(&under("return"));
            found.add(
                Mistake::error(&at, "`return` and `heal: self` do not go together")
                    .label("how a zone comes back by itself is its own business"),
            );
        }
    }
}
