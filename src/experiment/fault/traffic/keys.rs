//! Faults of the network: whether what they ask for can be, and does anything.

use super::Who;
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted, positive, projects, texts};
use crate::experiment::document::tree::{Entry, Kind};
use crate::model::network::{LEAST_DELAY, Protocol};
use crate::model::quantity::{Percent, Size, Span};

/// A full packet on the usual networks, with room for its headers. A bucket that is smaller lets none pass.
const PACKET: u64 = 2048;

/// The parts of `shape`.
const IMPAIRMENTS: [&str; 6] = ["delay", "loss", "corrupt", "duplicate", "reorder", "bandwidth"];

/// The models of loss in bursts.
const BURSTS: [&str; 2] = ["gilbert-elliott", "markov"];

/// What a fault that is one of these parts alone has of its own; a jitter without a delay is told by itself.
const ALONE: [&str; 5] = ["jitter", "percent", BURSTS[0], BURSTS[1], "rate"];

/// A fault that shapes packets. `fault` is its path, its name last.
pub(in crate::experiment::fault) fn check(found: &mut Found<'_>, fault: &[&str]) {
    selection(found, fault);
    let has = |found: &Found<'_>, key: &str| found.document.entry(&[fault, &[key]].concat()).is_some();
    if !IMPAIRMENTS.iter().chain(&ALONE).any(|key| has(found, key)) {
        let at = found.document.key_at(fault);
        found.add(
            Mistake::error(&at, format!("`{}` does nothing", dotted(fault)))
                .help(format!("give at least one of {}", or(IMPAIRMENTS))),
        );
    }
    impairment(found, fault);
    for part in ["loss", "corrupt", "duplicate", "reorder", "bandwidth"] {
        impairment(found, &[fault, &[part]].concat());
    }
    if has(found, "reorder") && !has(found, "delay") {
        let at = found.document.key_at(&[fault, &["reorder"]].concat());
        found.add(
            Mistake::error(&at, format!("`{fault}.reorder` needs `{fault}.delay`", fault = dotted(fault)))
                .label("only those that wait can be overtaken"),
        );
    }
    delay(found, fault);
}

/// `to`, `from` and what goes with them.
pub(in crate::experiment::fault) fn selection(found: &mut Found<'_>, fault: &[&str]) {
    let key = |key: &'static str| [fault, &[key]].concat();
    let entry = |found: &Found<'_>, k: &'static str| found.document.entry(&key(k)).cloned();
    if let (Some(to), Some(from)) = (entry(found, "to"), entry(found, "from")) {
        let (first, second) = if to.key_at.start < from.key_at.start { (&to, &from) } else { (&from, &to) };
        found.add(
            Mistake::error(&second.key_at, "`to` and `from` do not go together")
                .also(&first.key_at, "the other one")
                .help("conversations go to peers or come from peers; `direction: both` is both ways of one of them"),
        );
    }
    for side in ["to", "from"] {
        let Some(all) = found.document.part::<Vec<Who>>(&key(side)) else { continue };
        let items = match entry(found, side).map(|e| e.value.kind) {
            Some(Kind::List(items)) => items,
            _ => Vec::new(),
        };
        for (n, (who, item)) in all.iter().zip(&items).enumerate() {
            let n = n.to_string();
            self::who(found, &[key(side).as_slice(), &[&n]].concat(), who, item.entries());
        }
        if all.is_empty() {
            nobody(found, &key(side));
        }
    }
    let icmp = found.document.part::<Protocol>(&key("protocol")) == Some(Protocol::Icmp);
    if let (true, Some(port)) = (icmp, entry(found, "port")) {
        let at = found.document.value_at(&key("protocol"));
        found.add(Mistake::error(&at, "ICMP has no ports").also(&port.key_at, "a port is asked for here"));
    }
    if found.document.part::<String>(&key("network")).is_some_and(|n| n.trim().is_empty()) {
        let at = found.document.value_at(&key("network"));
        found.add(Mistake::error(&at, format!("`{}` is empty", dotted(&key("network")))));
    }
}

fn nobody(found: &mut Found<'_>, path: &[&str]) {
    let at = found.document.key_at(path);
    found.add(Mistake::error(&at, format!("`{}` names no peer", dotted(path))).help("leave it out for all"));
}

fn who(found: &mut Found<'_>, path: &[&str], who: &Who, entries: &[Entry]) {
    if *who == Who::default() {
        nobody(found, path);
    }
    let alone = entries.iter().find(|e| ["cidr", "host"].contains(&e.key.as_str()));
    if let (Some(alone), true) = (alone, entries.len() > 1) {
        let other = entries.iter().find(|e| e.key != alone.key).unwrap_or(alone);
        found.add(
            Mistake::error(&alone.key_at, format!("`{}` stands alone", alone.key))
                .also(&other.key_at, "together with this")
                .help("instances have a service, a zone and a name; others have only addresses"),
        );
    }
    projects(found, path);
    texts(found, &[path, &["instance"]].concat());
    texts(found, &[path, &["labels"]].concat());
    for entry in entries.iter().filter(|e| ["service", "zone", "host"].contains(&e.key.as_str())) {
        let path = [path, &[entry.key.as_str()]].concat();
        if found.document.part::<String>(&path).is_some_and(|text| text.trim().is_empty()) {
            let at = found.document.value_at(&path);
            found.add(Mistake::error(&at, format!("`{}` is empty", dotted(&path))));
        }
    }
}

/// The keys of one impairment, whether they stand in a fault of its own or in `shape`.
pub(in crate::experiment::fault) fn impairment(found: &mut Found<'_>, path: &[&str]) {
    let under = |key: &'static str| [path, &[key]].concat();
    if found.document.part::<Percent>(&under("percent")).is_some_and(|p| p.0 <= 0.0) {
        let at = found.document.value_at(&under("percent"));
        found.add(Mistake::error(&at, format!("`{}` does nothing", dotted(&under("percent")))));
    }
    if found.document.entry(&under("percent")).is_none()
        && BURSTS.iter().any(|model| found.document.entry(&under(model)).is_some())
        && let Some(correlation) = found.document.entry(&under("correlation"))
    {
        let at = correlation.key_at.clone();
        found.add(Mistake::error(&at, "`correlation` goes with `percent`").label("the models of bursts have none"));
    }
    for (model, keys) in [(BURSTS[0], ["p", "good"]), (BURSTS[1], ["p13", "p14"])] {
        let share =
            |key: &'static str| found.document.part::<Percent>(&[path, &[model, key]].concat()).unwrap_or_default().0;
        if found.document.entry(&under(model)).is_some() && keys.map(share).iter().all(|share| *share <= 0.0) {
            let at = found.document.key_at(&under(model));
            found.add(
                Mistake::error(&at, format!("`{}` loses nothing", dotted(&under(model))))
                    .label(format!("with `{}` at 0% it never leaves the good state", keys[0])),
            );
        }
    }
    if let Some(burst) = found.document.part::<Size>(&under("burst"))
        && burst.0 < PACKET
    {
        let at = found.document.value_at(&under("burst"));
        found.add(
            Mistake::error(&at, format!("`{}` is smaller than one packet", dotted(&under("burst"))))
                .label(format!("nothing would pass; at least `{}`", Size(PACKET))),
        );
    }
}

/// `delay` and what varies it.
pub(in crate::experiment::fault) fn delay(found: &mut Found<'_>, fault: &[&str]) {
    let key = |key: &'static str| [fault, &[key]].concat();
    let span = |found: &Found<'_>, k: &'static str| found.document.part::<Span>(&key(k));
    let delay = span(found, "delay");
    let jitter = span(found, "jitter").unwrap_or_default();
    if let Some(delay) = delay {
        positive(found, &key("delay"), delay);
        if !delay.0.is_zero() && delay.0 < LEAST_DELAY {
            let at = found.document.value_at(&key("delay"));
            found.add(
                Mistake::error(&at, format!("`{}` is too short to be told from none", dotted(&key("delay"))))
                    .label(format!("at least `{}`: packets are late by as much by themselves", Span(LEAST_DELAY))),
            );
        }
    } else if found.document.entry(&key("jitter")).is_some() {
        let at = found.document.key_at(&key("jitter"));
        found.add(
            Mistake::error(&at, format!("`{fault}.jitter` needs `{fault}.delay`", fault = dotted(fault)))
                .label("it says by how much the delay varies"),
        );
    }
    if delay.is_some_and(|delay| jitter > delay) {
        let at = found.document.value_at(&key("jitter"));
        found.add(
            Mistake::warning(&at, "the jitter is longer than the delay")
                .label("a packet cannot arrive before it was sent: many will have no delay at all"),
        );
    }
    // Where packets are chosen, `correlation` is about which.
    let chosen = ["percent"].iter().chain(&BURSTS).any(|k| found.document.entry(&key(k)).is_some());
    for varies in ["correlation", "distribution"] {
        if let (true, Some(entry)) = (!chosen && jitter.0.is_zero(), found.document.entry(&key(varies))) {
            let at = entry.key_at.clone();
            found.add(
                Mistake::error(&at, format!("`{fault}.{varies}` needs `{fault}.jitter`", fault = dotted(fault)))
                    .label("without it every packet has the same delay"),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
