//! What is tried: faults, selections of traffic, and what must be seen of each.

use std::time::Duration;

use squall::model::network::{
    Bandwidth, Chance, Direction, Distribution, Loss, Peer, Peers, Ports, Protocol, Reorder, Shape, Traffic, Treatment,
};

use super::measure::Stream;

/// The port that is meant, and the one beside it.
const MEANT: u16 = 7001;
const BESIDE: u16 = 7002;

/// The containers: the one whose traffic is disturbed, one that it talks with, and another one.
pub(crate) const TARGET: usize = 0;
pub(crate) const PEER: usize = 1;
pub(crate) const OTHER: usize = 2;
pub(crate) const CONTAINERS: usize = 3;

/// A fault with what must be seen of it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// As people would say it.
    pub(crate) declared: String,
    /// Nothing: the containers as they are.
    pub(crate) treatment: Option<Treatment>,
    pub(crate) stream: Stream,
    pub(crate) expected: Expected,
    /// Whether it is tried with every selection.
    pub(crate) everywhere: bool,
}

/// What must be seen of a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// This late, and never by more than this sooner or later. Arriving in order unless that is more than nothing.
    Late { delay: Duration, width: Option<Duration> },
    /// Each missing with this probability, which depends on the packet before by so much.
    Missing { probability: f64, correlation: f64 },
    /// Twice with this probability.
    Twice(f64),
    /// Altered with this probability, so that the receiver's kernel throws it away.
    Altered(f64),
    /// Soon with this probability, late by this else.
    Soon { probability: f64, delay: Duration },
    /// So many bits a second.
    Rate(u64),
    /// Nobody hears anything.
    CutOff,
    /// The sender hears that it is refused.
    Refused,
}

/// From one container to another one's port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Between {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) port: u16,
}

/// A selection of traffic, with something that is meant and something that is not.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) name: &'static str,
    pub(crate) traffic: Traffic,
    pub(crate) meant: Between,
    pub(crate) beside: Between,
    /// Whether datagrams of what is meant are.
    pub(crate) udp: bool,
    /// How often a round trip of TCP meets the fault.
    pub(crate) tcp: u32,
}

/// Every selection; the first one is tried with every fault. `peer` is the peer's address.
pub(crate) fn selections(peer: Peer) -> Vec<Selection> {
    let port = Ports { first: MEANT, last: MEANT };
    let between = |from, to, port| Between { from, to, port };
    let (there, back) = (between(TARGET, PEER, MEANT), between(PEER, TARGET, MEANT));
    let usual = Selection {
        name: "to a port of everybody's",
        traffic: Traffic { remote_ports: vec![port], ..Traffic::all(Direction::Egress) },
        meant: there,
        beside: between(TARGET, PEER, BESIDE),
        udp: true,
        tcp: 1,
    };
    let another_pair = between(OTHER, PEER, BESIDE);
    let peers = Peers::These(vec![peer]);
    vec![
        usual.clone(),
        Selection {
            name: "to a peer",
            traffic: Traffic { peers: peers.clone(), ..Traffic::all(Direction::Egress) },
            beside: between(TARGET, OTHER, MEANT),
            ..usual.clone()
        },
        Selection {
            name: "from and to a peer",
            traffic: Traffic { peers: peers.clone(), ..Traffic::all(Direction::Both) },
            beside: between(TARGET, OTHER, MEANT),
            tcp: 2,
            ..usual.clone()
        },
        Selection {
            name: "arriving at an own port",
            traffic: Traffic { local_ports: vec![port], ..Traffic::all(Direction::Ingress) },
            meant: back,
            beside: between(PEER, TARGET, BESIDE),
            ..usual.clone()
        },
        Selection {
            name: "to a port of a peer",
            traffic: Traffic { peers, remote_ports: vec![port], ..Traffic::all(Direction::Egress) },
            beside: between(TARGET, OTHER, MEANT),
            ..usual.clone()
        },
        Selection {
            name: "all UDP",
            traffic: Traffic { protocol: Some(Protocol::Udp), ..Traffic::all(Direction::Egress) },
            beside: another_pair,
            tcp: 0,
            ..usual.clone()
        },
        Selection {
            name: "all TCP",
            traffic: Traffic { protocol: Some(Protocol::Tcp), ..Traffic::all(Direction::Egress) },
            beside: another_pair,
            udp: false,
            ..usual.clone()
        },
        Selection {
            name: "everything it sends",
            traffic: Traffic::all(Direction::Egress),
            beside: another_pair,
            ..usual
        },
    ]
}

/// Every fault.
pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = vec![Fault {
        declared: "nothing".to_owned(),
        treatment: None,
        stream: often(1000),
        expected: Expected::Missing { probability: 0.0, correlation: 0.0 },
        everywhere: false,
    }];
    for ms in [10, 100, 500, 2000] {
        let delay = Duration::from_millis(ms);
        let shape = Shape { delay, ..Shape::default() };
        let expected = Expected::Late { delay, width: None };
        faults.push(Fault { everywhere: ms == 100, ..shaped(format!("delay {ms} ms"), shape, seldom(), expected) });
    }
    let ms = Duration::from_millis;
    let varied = |distribution| Shape { delay: ms(100), jitter: ms(20), distribution, ..Shape::default() };
    let late = |width| Expected::Late { delay: ms(100), width: Some(width) };
    faults.push(shaped("delay 100 ms ± 20 ms", varied(Distribution::Uniform), seldom(), late(ms(20))));
    faults.push(shaped("delay 100 ms ± 20 ms, normal", varied(Distribution::Normal), seldom(), late(ms(80))));

    for percent in [0.5, 1.0, 5.0, 20.0, 100.0] {
        let probability = percent / 100.0;
        let shape = Shape { loss: Some(Loss::Random(always(probability))), ..Shape::default() };
        let stream = often(if percent < 5.0 { 4000 } else { 2000 });
        let expected = Expected::Missing { probability, correlation: 0.0 };
        let everywhere = (percent - 20.0).abs() < f64::EPSILON;
        faults.push(Fault { everywhere, ..shaped(format!("loss {percent} %"), shape, stream, expected) });
    }
    let (p, r) = (0.02, 0.18);
    let bursts = Shape { loss: Some(Loss::GilbertElliott { p, r, bad: 1.0, good: 0.0 }), ..Shape::default() };
    let expected = Expected::Missing { probability: p / (p + r), correlation: 1.0 - p - r };
    faults.push(shaped("loss 10 % in bursts of 5.6", bursts, often(4000), expected));

    let both = Shape { delay: ms(50), loss: Some(Loss::Random(always(0.05))), ..Shape::default() };
    let expected = Expected::Missing { probability: 0.05, correlation: 0.0 };
    faults.push(shaped("loss 5 %, delay 50 ms", both, often(2000), expected));
    let twice = Shape { duplicate: Some(always(0.05)), ..Shape::default() };
    faults.push(shaped("duplicate 5 %", twice, often(2000), Expected::Twice(0.05)));
    let altered = Shape { corrupt: Some(always(0.05)), ..Shape::default() };
    faults.push(shaped("corrupt 5 %", altered, Stream { size: 1400, ..often(2000) }, Expected::Altered(0.05)));
    let reorder = Some(Reorder { chance: always(0.25), gap: 1 });
    let expected = Expected::Soon { probability: 0.25, delay: ms(50) };
    faults.push(shaped(
        "delay 50 ms, reorder 25 %",
        Shape { delay: ms(50), reorder, ..Shape::default() },
        often(2000),
        expected,
    ));

    for megabits in [1, 10, 100] {
        let rate = megabits * 1_000_000;
        // What 20 ms are worth, so that it weighs nothing in what passes in seconds.
        let bandwidth = Some(Bandwidth { rate, burst: (rate / 8 / 50).max(4096) });
        let shape = Shape { bandwidth, ..Shape::default() };
        // A half more than gets through, for three seconds.
        let size = 1400;
        let every = Duration::from_nanos(size as u64 * 8 * 1_000_000_000 * 2 / 3 / rate);
        let packets = usize::try_from(3_000_000_000 / every.as_nanos()).unwrap_or(usize::MAX);
        faults.push(shaped(
            format!("rate {megabits} Mbit/s"),
            shape,
            Stream { packets, every, size, waits: true },
            Expected::Rate(rate),
        ));
    }
    for (name, treatment, expected) in
        [("drop", Treatment::Drop, Expected::CutOff), ("reject", Treatment::Reject, Expected::Refused)]
    {
        let treatment = Some(treatment);
        faults.push(Fault { declared: name.to_owned(), treatment, stream: often(200), expected, everywhere: true });
    }
    faults
}

fn shaped(declared: impl Into<String>, shape: Shape, stream: Stream, expected: Expected) -> Fault {
    let treatment = Some(Treatment::Shape(Box::new(shape)));
    Fault { declared: declared.into(), treatment, stream, expected, everywhere: false }
}

fn always(probability: f64) -> Chance {
    Chance { probability, correlation: 0.0 }
}

/// For counting.
fn often(packets: usize) -> Stream {
    Stream { packets, every: Duration::from_millis(1), size: 64, waits: true }
}

/// For delays: so few that no sender's buffer fills while they are held.
fn seldom() -> Stream {
    Stream { packets: 100, every: Duration::from_millis(20), size: 64, waits: true }
}
