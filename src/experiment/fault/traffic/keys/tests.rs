//! Faults of the network: what is written is what is set, and mistakes are shown in their places.

use crate::experiment::diagnostic::Mistakes;
use crate::experiment::fault::Context;
use crate::experiment::{Experiment, read};
use crate::model::instance::{Instance, Setting};
use crate::model::network::Network;
use crate::model::quantity;

fn text(fault: &str) -> String {
    format!(
        "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ http: 'http://x/', rate: 50/s }} }}\n\
         target: {{ service: shop }}\nblast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
    )
}

pub(in crate::experiment::fault::traffic) fn read_fault(fault: &str) -> Result<(Experiment, Mistakes), Mistakes> {
    read::experiment("a.yaml", text(fault).as_bytes(), &quantity::unset).map(|r| (r.value, r.warnings))
}

/// What the fault sets on shop-1, in words, beside store-1 and shop-2.
pub(in crate::experiment::fault::traffic) fn set(fault: &str) -> String {
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
    let set = x.faults()[0]
        .fault
        .disturb()
        .settings(&instance("shop-1", "a", "10.0.0.1"), &Context { peers: &others, ..Context::default() });
    assert_eq!(serde_json::from_str::<Experiment>(&serde_json::to_string(&x).unwrap()).unwrap(), x);
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_delay_that_could_not_be_told_from_none_is_refused() {
    for (fault, refused) in [
        ("{ latency: { delay: 1us } }", true),
        ("{ latency: { delay: 99us, jitter: 1us } }", true),
        ("{ latency: { delay: 100us } }", false),
        ("{ shape: { delay: 50us, loss: { percent: 1% } } }", true),
        ("{ reorder: { percent: 25%, delay: 10us } }", true),
    ] {
        let told = read_fault(fault).err().map(|mistakes| mistakes.to_string()).unwrap_or_default();
        assert_eq!(told.contains("too short to be told from none"), refused, "{fault}\n{told}");
    }
}

#[test]
fn what_is_written_is_what_is_set() {
    for (fault, want) in [
        ("{ latency: { delay: 200ms } }", "200ms later, to everybody"),
        (
            "{ latency: { delay: 1s, jitter: 100ms, to: { service: store }, port: 5432 } }",
            "1s ± 100ms later, to store-1, port 5432",
        ),
        (
            "{ latency: { delay: 1s, from: { zone: b }, port: [80, 8000-8099], protocol: tcp } }",
            "1s later, from shop-2, tcp, own port 80 or 8000-8099",
        ),
        (
            "{ latency: { delay: 1s, from: { zone: b }, port: 80, direction: egress } }",
            "1s later, to shop-2, own port 80",
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
            "1s later, 1 % lost, 2 % out of order, to shop-2",
        ),
        ("partition", "cut off, to and from everybody"),
        ("{ partition: { from: { service: store, zone: a }, how: reject, direction: egress } }", "refused, to store-1"),
        ("{ blackhole: { port: 5432, protocol: udp } }", "cut off, to everybody, udp, port 5432"),
        ("{ dns: { names: '*.store', answer: servfail } }", "SERVFAIL for *.store"),
        ("{ dns: { address: 10.0.0.9 } }", "10.0.0.9 for every name"),
        ("reset", "connections reset to and from everybody, tcp"),
        (
            "{ reset: { from: { service: store }, port: 80 } }",
            "connections reset to and from store-1, tcp, own port 80",
        ),
    ] {
        assert_eq!(set(fault), want, "{fault}");
    }
}

#[test]
fn shares_keep_their_precision() {
    let (x, _) = read_fault("{ shape: { loss: { percent: 0.4% }, bandwidth: { rate: 1kbit } } }").unwrap();
    let nobody = serde_json::json!({ "id": "a", "name": "a", "service": "a", "epoch": "1", "settings": {} });
    let set = x.faults()[0].fault.disturb().settings(&serde_json::from_value(nobody).unwrap(), &Context::default());
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
        ("{ latency: { delay: 1s, to: {} } }", "to", "names no peer"),
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
