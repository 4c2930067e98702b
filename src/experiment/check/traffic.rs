//! Faults of the network: whether what they ask for can be, and does anything.

use super::{Found, Mistake, dotted, positive};
use crate::experiment::fault::Who;
use crate::experiment::tree::{Entry, Kind};
use crate::experiment::{Percent, Span};
use crate::model::network::{LEAST_DELAY, Protocol};
use crate::model::quantity::Size;

/// A full packet on the usual networks, with room for its headers. A bucket that is smaller lets none pass.
const PACKET: u64 = 2048;

/// The parts of `shape`.
const IMPAIRMENTS: [&str; 6] = ["delay", "loss", "corrupt", "duplicate", "reorder", "bandwidth"];

/// `fault` is the path of a fault of the network, its name last.
pub(super) fn check(found: &mut Found<'_>, fault: &[&str]) {
    let Some(&name) = fault.last() else { return };
    selection(found, fault);
    let under = |key: &'static str| [fault, &[key]].concat();
    let has = |found: &Found<'_>, key: &str| found.document.entry(&[fault, &[key]].concat()).is_some();
    match name {
        "shape" => {
            if !IMPAIRMENTS.iter().chain(&["jitter"]).any(|key| has(found, key)) {
                let at = found.document.key_at(fault);
                found.add(
                    Mistake::error(&at, format!("`{}` does nothing", dotted(fault)))
                        .help(format!("give at least one of {}", super::super::diagnostic::or(IMPAIRMENTS))),
                );
            }
            for part in ["loss", "corrupt", "duplicate", "reorder", "bandwidth"] {
                impairment(found, &under(part));
            }
            if has(found, "reorder") && !has(found, "delay") {
                let at = found.document.key_at(&under("reorder"));
                found.add(
                    Mistake::error(&at, format!("`{fault}.reorder` needs `{fault}.delay`", fault = dotted(fault)))
                        .label("only those that wait can be overtaken"),
                );
            }
        }
        "blackhole" if !has(found, "to") && !has(found, "port") => {
            let at = found.document.key_at(fault);
            found.add(
                Mistake::error(&at, format!("`{}` needs `to`, or a `port`", dotted(fault)))
                    .help("to cut an instance off from everybody there is `partition`"),
            );
        }
        "dns" => {
            let names: Vec<String> = found.document.part(&under("names")).unwrap_or_default();
            if names.iter().any(|n| n.trim().is_empty()) {
                let at = found.document.key_at(&under("names"));
                found.add(Mistake::error(&at, "a name in `fault.dns.names` is empty").help("`*` stands for any text"));
            }
        }
        _ => impairment(found, fault),
    }
    delay(found, fault);
}

/// `to`, `from` and what goes with them.
fn selection(found: &mut Found<'_>, fault: &[&str]) {
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
    super::projects(found, path);
    super::texts(found, &[path, &["instance"]].concat());
    super::texts(found, &[path, &["labels"]].concat());
    for entry in entries.iter().filter(|e| ["service", "zone", "host"].contains(&e.key.as_str())) {
        let path = [path, &[entry.key.as_str()]].concat();
        if found.document.part::<String>(&path).is_some_and(|text| text.trim().is_empty()) {
            let at = found.document.value_at(&path);
            found.add(Mistake::error(&at, format!("`{}` is empty", dotted(&path))));
        }
    }
}

/// The keys of one impairment, whether they stand in a fault of its own or in `shape`.
pub(super) fn impairment(found: &mut Found<'_>, path: &[&str]) {
    let under = |key: &'static str| [path, &[key]].concat();
    if found.document.part::<Percent>(&under("percent")).is_some_and(|p| p.0 <= 0.0) {
        let at = found.document.value_at(&under("percent"));
        found.add(Mistake::error(&at, format!("`{}` does nothing", dotted(&under("percent")))));
    }
    if found.document.entry(&under("percent")).is_none()
        && let Some(correlation) = found.document.entry(&under("correlation"))
        && path.last().is_some_and(|last| *last == "loss")
    {
        let at = correlation.key_at.clone();
        found.add(Mistake::error(&at, "`correlation` goes with `percent`").label("the models of bursts have none"));
    }
    for (model, keys) in [("gilbert-elliott", ["p", "good"]), ("markov", ["p13", "p14"])] {
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
pub(super) fn delay(found: &mut Found<'_>, fault: &[&str]) {
    let Some(&name) = fault.last() else { return };
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
    for varies in ["correlation", "distribution"] {
        // Elsewhere `correlation` is about a share of packets.
        let here = ["shape", "latency", "zone-outage"].contains(&name);
        if let (true, Some(entry)) = (here && jitter.0.is_zero(), found.document.entry(&key(varies))) {
            let at = entry.key_at.clone();
            found.add(
                Mistake::error(&at, format!("`{fault}.{varies}` needs `{fault}.jitter`", fault = dotted(fault)))
                    .label("without it every packet has the same delay"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
