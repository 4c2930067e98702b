//! Faults of the network: whether what they ask for can be, and does anything.

use super::{Found, Mistake, positive};
use crate::experiment::quantity::Size;
use crate::experiment::{Percent, Span};
use crate::fault::Who;
use crate::network::Protocol;

/// A full packet on the usual networks, with room for its headers. A bucket that is smaller lets none pass.
const PACKET: u64 = 2048;

/// The parts of `shape`.
const IMPAIRMENTS: [&str; 6] = ["delay", "loss", "corrupt", "duplicate", "reorder", "bandwidth"];

pub(super) fn check(found: &mut Found<'_>, name: &str) {
    let fault = ["fault", name];
    selection(found, &fault);
    let has = |found: &Found<'_>, key: &str| found.document.entry(&["fault", name, key]).is_some();
    match name {
        "shape" => {
            if !IMPAIRMENTS.iter().chain(&["jitter"]).any(|key| has(found, key)) {
                let at = found.document.key_at(&fault);
                found.add(
                    Mistake::error(&at, "`fault.shape` does nothing")
                        .help(format!("give at least one of {}", super::super::diagnostic::or(IMPAIRMENTS))),
                );
            }
            for part in ["loss", "corrupt", "duplicate", "reorder", "bandwidth"] {
                impairment(found, &["fault", name, part]);
            }
            if has(found, "reorder") && !has(found, "delay") {
                let at = found.document.key_at(&["fault", name, "reorder"]);
                found.add(
                    Mistake::error(&at, "`fault.shape.reorder` needs `fault.shape.delay`")
                        .label("only those that wait can be overtaken"),
                );
            }
        }
        "blackhole" if !has(found, "to") && !has(found, "port") => {
            let at = found.document.key_at(&fault);
            found.add(
                Mistake::error(&at, "`fault.blackhole` needs `to`, or a `port`")
                    .help("to cut an instance off from everybody there is `partition`"),
            );
        }
        "dns" => {
            let names: Vec<String> = found.document.part(&["fault", name, "names"]).unwrap_or_default();
            if names.iter().any(|n| n.trim().is_empty()) {
                let at = found.document.key_at(&["fault", name, "names"]);
                found.add(Mistake::error(&at, "a name in `fault.dns.names` is empty").help("`*` stands for any text"));
            }
        }
        _ => impairment(found, &fault),
    }
    delay(found, name);
}

/// `to`, `from` and what goes with them.
fn selection(found: &mut Found<'_>, fault: &[&str; 2]) {
    let key = |key: &'static str| [fault[0], fault[1], key];
    let entry = |found: &Found<'_>, k: &'static str| found.document.entry(&key(k)).cloned();
    if let (Some(to), Some(from)) = (entry(found, "to"), entry(found, "from")) {
        let (first, second) = if to.key_at.start < from.key_at.start { (&to, &from) } else { (&from, &to) };
        found.add(
            Mistake::error(&second.key_at, "`to` and `from` do not go together")
                .also(&first.key_at, "the other one")
                .help(
                    "conversations go to somebody or come from somebody; `direction: both` is both ways of one of them",
                ),
        );
    }
    for side in ["to", "from"] {
        if let Some(who) = found.document.part::<Who>(&key(side)) {
            self::who(found, &[fault[0], fault[1], side], &who);
        }
    }
    let icmp = found.document.part::<Protocol>(&key("protocol")) == Some(Protocol::Icmp);
    if let (true, Some(port)) = (icmp, entry(found, "port")) {
        let at = found.document.value_at(&key("protocol"));
        found.add(Mistake::error(&at, "ICMP has no ports").also(&port.key_at, "a port is asked for here"));
    }
    if found.document.part::<String>(&key("network")).is_some_and(|n| n.trim().is_empty()) {
        let at = found.document.value_at(&key("network"));
        found.add(Mistake::error(&at, format!("`{}` is empty", key("network").join("."))));
    }
}

fn who(found: &mut Found<'_>, path: &[&str; 3], who: &Who) {
    let at = found.document.key_at(path);
    let entries = found.document.entry(path).map(|e| e.value.entries().to_vec()).unwrap_or_default();
    if *who == Who::default() {
        found.add(Mistake::error(&at, format!("`{}` names nobody", path.join("."))).help("leave it out for everybody"));
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
    for entry in entries.iter().filter(|e| e.key != "cidr") {
        let path = [path[0], path[1], path[2], &entry.key];
        if found.document.part::<String>(&path).is_some_and(|text| text.trim().is_empty()) {
            let at = found.document.value_at(&path);
            found.add(Mistake::error(&at, format!("`{}` is empty", path.join("."))));
        }
    }
}

/// The keys of one impairment, whether they stand in a fault of its own or in `shape`.
fn impairment(found: &mut Found<'_>, path: &[&str]) {
    let under = |key: &'static str| [path, &[key]].concat();
    if found.document.part::<Percent>(&under("percent")).is_some_and(|p| p.0 <= 0.0) {
        let at = found.document.value_at(&under("percent"));
        found.add(Mistake::error(&at, format!("`{}` does nothing", under("percent").join("."))));
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
                Mistake::error(&at, format!("`{}` loses nothing", under(model).join(".")))
                    .label(format!("with `{}` at 0% it never leaves the good state", keys[0])),
            );
        }
    }
    if let Some(burst) = found.document.part::<Size>(&under("burst"))
        && burst.0 < PACKET
    {
        let at = found.document.value_at(&under("burst"));
        found.add(
            Mistake::error(&at, format!("`{}` is smaller than one packet", under("burst").join(".")))
                .label(format!("nothing would pass; at least `{}`", Size(PACKET))),
        );
    }
}

/// `delay` and what varies it.
fn delay(found: &mut Found<'_>, name: &str) {
    let key = |key: &'static str| ["fault", name, key];
    let span = |found: &Found<'_>, k: &'static str| found.document.part::<Span>(&key(k));
    let delay = span(found, "delay");
    let jitter = span(found, "jitter").unwrap_or_default();
    if let Some(delay) = delay {
        positive(found, &key("delay"), delay);
    } else if found.document.entry(&key("jitter")).is_some() {
        let at = found.document.key_at(&key("jitter"));
        found.add(
            Mistake::error(&at, format!("`fault.{name}.jitter` needs `fault.{name}.delay`"))
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
        let here = name == "shape" || name == "latency";
        if let (true, Some(entry)) = (here && jitter.0.is_zero(), found.document.entry(&key(varies))) {
            let at = entry.key_at.clone();
            found.add(
                Mistake::error(&at, format!("`fault.{name}.{varies}` needs `fault.{name}.jitter`"))
                    .label("without it every packet has the same delay"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::diagnostic::Mistakes;
    use crate::experiment::{Experiment, read};
    use crate::instance::{Instance, Setting};
    use crate::network::Network;

    fn text(fault: &str) -> String {
        format!(
            "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ http: 'http://x/', rate: 50/s }} }}\n\
             target: {{ service: shop }}\nblast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
        )
    }

    fn read_fault(fault: &str) -> Result<(Experiment, Mistakes), Mistakes> {
        read::experiment("a.yaml", text(fault).as_bytes(), &|_| None).map(|r| (r.value, r.warnings))
    }

    /// What the fault sets on shop-1, in words, beside store-1 and shop-2.
    fn set(fault: &str) -> String {
        let (x, warnings) = read_fault(fault).unwrap_or_else(|m| panic!("{fault}\n{m}"));
        assert!(warnings.is_empty(), "{fault}\n{warnings}");
        let instance = |name: &str, zone: &str, ip: &str| -> Instance {
            let service = &name[..name.len() - 2];
            serde_json::from_value(serde_json::json!({
                "id": name, "name": name, "service": service, "zone": zone, "epoch": "1", "settings": {},
                "addresses": [{ "network": "n", "ip": ip }],
            }))
            .unwrap()
        };
        let others = [instance("shop-2", "b", "10.0.0.2"), instance("store-1", "a", "10.0.0.9")];
        let set = x.fault.disturb().settings(&instance("shop-1", "a", "10.0.0.1"), &others);
        assert_eq!(serde_json::from_str::<Experiment>(&serde_json::to_string(&x).unwrap()).unwrap(), x);
        set.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_is_written_is_what_is_set() {
        for (fault, want) in [
            ("{ latency: { delay: 200ms } }", "200ms later, to everybody"),
            (
                "{ latency: { delay: 1s, jitter: 100ms, to: { service: store }, port: 5432 } }",
                "1s ± 100ms later, to 10.0.0.9, port 5432",
            ),
            (
                "{ latency: { delay: 1s, from: { zone: b }, port: [80, 8000-8099], protocol: tcp } }",
                "1s later, from 10.0.0.2, tcp, own port 80 or 8000-8099",
            ),
            (
                "{ latency: { delay: 1s, from: { zone: b }, port: 80, direction: egress } }",
                "1s later, to 10.0.0.2, own port 80",
            ),
            ("{ latency: { delay: 1s, direction: ingress, port: 80 } }", "1s later, from everybody, own port 80"),
            ("{ loss: { percent: 0.4%, direction: both } }", "0.4 % lost, to and from everybody"),
            ("{ loss: { percent: 7%, correlation: 25% } }", "7 % lost (correlation 25 %), to everybody"),
            ("{ loss: { gilbert-elliott: { p: 1%, r: 10% } } }", "lost in bursts (Gilbert-Elliott), to everybody"),
            (
                "{ loss: { markov: { p13: 1%, p31: 9%, p32: 1%, p23: 9%, p14: 0% } } }",
                "lost in bursts (Markov), to everybody",
            ),
            ("{ corrupt: { percent: 1%, to: { host: db.test } } }", "1 % corrupt, to db.test"),
            ("{ duplicate: { percent: 1%, to: { cidr: 10.0.0.1/8 } } }", "1 % twice, to 10.0.0.0/8"),
            (
                "{ reorder: { percent: 25%, delay: 10ms, network: back } }",
                "10ms later, 25 % out of order, to everybody, on back",
            ),
            ("{ bandwidth: { rate: 1.5mbit, burst: 64k } }", "at most 1.5mbit, to everybody"),
            (
                "{ shape: { delay: 1s, loss: { percent: 1% }, reorder: { percent: 2% }, to: { instance: 's*-2' } } }",
                "1s later, 1 % lost, 2 % out of order, to 10.0.0.2",
            ),
            ("partition", "cut off, to and from everybody"),
            (
                "{ partition: { from: { service: store, zone: a }, how: reject, direction: egress } }",
                "refused, to 10.0.0.9",
            ),
            ("{ blackhole: { port: 5432, protocol: udp } }", "cut off, to everybody, udp, port 5432"),
            ("{ dns: { names: '*.store', answer: servfail } }", "SERVFAIL for *.store"),
            ("{ dns: { address: 10.0.0.9 } }", "10.0.0.9 for every name"),
            ("reset", "connections reset to and from everybody, tcp"),
            (
                "{ reset: { from: { service: store }, port: 80 } }",
                "connections reset to and from 10.0.0.9, tcp, own port 80",
            ),
        ] {
            assert_eq!(set(fault), want, "{fault}");
        }
    }

    #[test]
    fn shares_keep_their_precision() {
        let (x, _) = read_fault("{ shape: { loss: { percent: 0.4% }, bandwidth: { rate: 1kbit } } }").unwrap();
        let nobody = serde_json::json!({ "id": "a", "name": "a", "service": "a", "epoch": "1", "settings": {} });
        let set = x.fault.disturb().settings(&serde_json::from_value(nobody).unwrap(), &[]);
        let [Setting::Network(network)] = set.as_slice() else { panic!("{set:?}") };
        let stored: Network = serde_json::from_str(&serde_json::to_string(network).unwrap()).unwrap();
        assert_eq!(stored, **network);
        assert!(serde_json::to_string(network).unwrap().contains("\"probability\":0.004"), "{network:?}");
        assert!(serde_json::to_string(network).unwrap().contains("\"burst\":32768"), "{network:?}");
    }

    #[test]
    fn what_cannot_be_or_does_nothing_is_a_mistake_in_its_place() {
        for (fault, place, want) in [
            ("{ latency: { delay: 1s, to: { zone: a }, from: { zone: b } } }", "from", "do not go together"),
            ("{ latency: { delay: 1s, to: { srvice: a } } }", "srvice", "did you mean `service`?"),
            ("{ latency: { delay: 1s, too: { zone: a } } }", "too", "did you mean `to`?"),
            ("{ latency: { delay: 1s, to: {} } }", "to", "names nobody"),
            ("{ latency: { delay: 1s, to: { cidr: 10.0.0.0/8, zone: a } } }", "cidr", "`cidr` stands alone"),
            ("{ latency: { delay: 1s, to: { cidr: 10.0.0/8 } } }", "10.0.0/8", "no range of addresses"),
            ("{ latency: { delay: 1s, to: { host: '' } } }", "''", "is empty"),
            ("{ latency: { delay: 1s, port: [80, http] } }", "http", "`http` is no port"),
            ("{ latency: { delay: 1s, port: 65536 } }", "65536", "`65536` is no port"),
            ("{ latency: { delay: 1s, port: 80, protocol: icmp } }", "icmp", "no ports"),
            ("{ latency: { delay: 1s, direction: out } }", "out", "known here: egress, ingress, both"),
            ("{ latency: { delay: 200 } }", "200", "has no unit"),
            ("{ latency: { delay: 0s } }", "0s", "is zero"),
            ("{ latency: { jitter: 1s } }", "latency", "lacks `delay`"),
            ("{ latency: { delay: 1s, correlation: 25% } }", "correlation", "needs `fault.latency.jitter`"),
            ("{ latency: { delay: 1s, distribution: normal } }", "distribution", "needs `fault.latency.jitter`"),
            ("{ latency: { delay: 1s, mechanism: tc } }", "tc", "known here: netem, userspace"),
            ("latency", "latency", "lacks `delay`"),
            ("loss", "loss", "needs exactly one of `percent`, `gilbert-elliott` or `markov`"),
            ("{ loss: { percent: 0% } }", "0%", "does nothing"),
            ("{ loss: { percent: 1 } }", "1", "not a percentage"),
            ("{ loss: { percent: 1%, gilbert-elliott: { p: 1%, r: 1% } } }", "gilbert-elliott", "a second one"),
            ("{ loss: { gilbert-elliott: { p: 0%, r: 5% } } }", "gilbert-elliott", "loses nothing"),
            ("{ loss: { gilbert-elliott: { p: 1%, r: 5% }, correlation: 5% } }", "correlation", "goes with `percent`"),
            ("{ reorder: { percent: 1% } }", "reorder", "lacks `delay`"),
            ("{ reorder: { percent: 1%, delay: 1s, gap: 0 } }", "0", "1 or more"),
            ("{ bandwidth: { rate: 1000 } }", "1000", "`1000kbit`"),
            ("{ bandwidth: { rate: 1MB } }", "1MB", "`8mbit`"),
            ("{ bandwidth: { rate: 1mbit, burst: 1k } }", "1k", "smaller than one packet"),
            ("{ shape: { to: { zone: a } } }", "shape", "does nothing"),
            ("{ shape: { jitter: 1s } }", "jitter", "needs `fault.shape.delay`"),
            ("{ shape: { reorder: { percent: 1% } } }", "reorder", "needs `fault.shape.delay`"),
            ("{ shape: { delay: 1s, loss: { percent: 0% } } }", "0%", "`fault.shape.loss.percent` does nothing"),
            ("{ shape: { delay: 1s, loss: { percent: 1%, to: { zone: a } } } }", "to", "one level up"),
            ("{ blackhole: { how: reject } }", "blackhole", "needs `to`, or a `port`"),
            ("{ blackhole: { port: 53, how: refuse } }", "refuse", "known here: drop, reject"),
            ("dns", "dns", "needs exactly one of `answer` or `address`"),
            ("{ dns: { answer: nxdomain, address: 10.0.0.1 } }", "address", "a second one"),
            ("{ dns: { answer: nxdoman } }", "nxdoman", "did you mean `nxdomain`?"),
            ("{ dns: { address: store } }", "store", "does not fit"),
            ("{ dns: { names: [''], answer: timeout } }", "names", "is empty"),
        ] {
            let Err(mistakes) = read_fault(fault) else { panic!("{fault} is read") };
            let [mistake] = mistakes.list() else { panic!("{fault}: {mistakes}") };
            assert!(mistakes.to_string().contains(want), "{fault}: {mistakes}");
            let here = &text(fault)[mistake.at.clone()];
            assert!(here.starts_with(place), "{fault}: at {here:?}: {mistakes}");
        }
    }

    #[test]
    fn what_is_doubtful_is_a_warning() {
        let (_, warnings) = read_fault("{ latency: { delay: 10ms, jitter: 20ms } }").unwrap();
        assert!(warnings.to_string().contains("longer than the delay"), "{warnings}");
    }
}
