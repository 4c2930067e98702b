//! What can happen to an instance's traffic, as plain data: which packets are meant, and what becomes of them.
//!
//! A journal holds these, and the process that takes over reads them. This module knows nothing else of the program.

mod address;
mod grpc;
mod proxied;
mod redis;
mod show;
mod show_proxied;
mod talk;
mod tls;
mod traffic;

use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{Cidr, Ports};
pub use grpc::{GrpcFault, GrpcStatus};
pub use proxied::{
    Chosen, Delay, Existing, HttpAnswer, HttpFault, Proxied, ProxyFault, ProxyStatistics, RequestMatch, Slice,
    SqlError, StreamEnd, StreamFault, When,
};
pub use redis::RedisError;
pub use talk::Talk;
pub use tls::{TlsAlert, TlsEnd, TlsFault};
pub use traffic::{Direction, Packet, Peer, Peers, Protocol, Traffic};

use crate::text::{fingerprint, humantime_text};

/// Everything that happens to the traffic of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// Each for a part of the traffic. A packet that belongs to several is treated as the first one says.
    pub flows: Vec<Flow>,
    /// Which mechanism must be used; nothing: the kernel's own where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// What every random choice about packets comes from, as far as the mechanism can be told.
    #[serde(default)]
    pub seed: u64,
}

/// A part of the traffic, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flow {
    /// Which packets are meant.
    pub traffic: Traffic,
    /// What becomes of them.
    pub treatment: Treatment,
}

/// Who delays, loses and alters packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mechanism {
    /// The kernel's own emulator, sch_netem (tc-netem(8)).
    Netem,
    /// A process of Squall's that holds the kernel's packets (NFQUEUE). When it dies, packets pass.
    Userspace,
}

/// Who treats the packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The kernel's queues (tc(8)).
    Queues,
    /// The kernel's rules (nft(8)), by themselves.
    Rules,
    /// A process of Squall's that rules hand them to.
    Process,
    /// A process of Squall's that ends their connections on both sides.
    Proxy,
}

/// What becomes of packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// They are late, lost, altered, or held to a rate.
    Shape(Box<Shape>),
    /// They vanish.
    Drop,
    /// They are refused: a reset for TCP, "port unreachable" for everything else.
    Reject,
    /// DNS queries are answered wrongly, or not at all.
    Dns(Dns),
    /// TCP connections that the instance begins are refused.
    Refuse(Existing),
    /// Their connections go through a proxy.
    Proxy(Proxied),
}

/// Impairments, all at once, in the words of tc-netem(8). Nothing that is not asked for: every default is "none".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Shape {
    /// How much later a packet arrives.
    #[serde(with = "humantime_text")]
    pub delay: Duration,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others.
    #[serde(with = "humantime_text")]
    pub jitter: Duration,
    /// How much a packet's delay depends on the one before it (0 to 1).
    pub correlation: f64,
    /// How the delay varies.
    pub distribution: Distribution,
    /// Packets that vanish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Packets of which one bit is turned over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Chance>,
    /// Packets that arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Chance>,
    /// Packets that are sent at once while the others are delayed. Means nothing without a delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// How much passes in a given time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

/// How a delay varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Every value within the jitter is as likely.
    #[default]
    Uniform,
    /// The bell curve.
    Normal,
    /// Most are short, few are very long.
    Pareto,
    /// A quarter normal, three quarters pareto, as tc-netem(8) mixes them.
    #[serde(rename = "paretonormal")]
    ParetoNormal,
}

/// How likely something is for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chance {
    /// From 0 to 1.
    pub probability: f64,
    /// How much it depends on the packet before (0 to 1).
    #[serde(default)]
    pub correlation: f64,
}

/// How packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Each by itself.
    Random(Chance),
    /// In bursts, by the model of Gilbert and Elliott: two states, good and bad.
    GilbertElliott {
        /// From good to bad (0 to 1).
        p: f64,
        /// From bad to good (0 to 1).
        r: f64,
        /// Lost in the bad state (0 to 1), `1-h` in tc-netem(8).
        bad: f64,
        /// Lost in the good state (0 to 1), `1-k` in tc-netem(8).
        good: f64,
    },
    /// By a Markov chain of four states (tc-netem(8), `loss state`); each from 0 to 1. State 1: received in a gap,
    /// 2: received in a burst, 3: lost in a burst, 4: lost by itself.
    #[expect(missing_docs, reason = "the digits are the states, from and to")]
    Markov { p13: f64, p31: f64, p32: f64, p23: f64, p14: f64 },
}

/// Packets that overtake the ones before them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reorder {
    /// How likely.
    pub chance: Chance,
    /// Only every n-th packet has the chance (1: every one).
    pub gap: u32,
}

/// How much passes in a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bandwidth {
    /// Bits per second.
    pub rate: u64,
    /// How many bytes may pass at once after a pause.
    pub burst: u64,
}

/// Wrong answers, or none, to DNS queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dns {
    /// Which names, `*` standing for any text; none: every name.
    pub names: Vec<String>,
    /// What is answered.
    pub answer: DnsAnswer,
}

/// What a DNS query is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsAnswer {
    /// Nothing.
    Timeout,
    /// There is no such name.
    Nxdomain,
    /// The server has failed.
    Servfail,
    /// This address. A query for addresses of the other family is answered with none.
    Address(IpAddr),
}

impl Network {
    /// What tells this apart from every other value: 16 hexadecimal digits. It is part of the name of what the kernel is
    /// given, so that anybody can see whether exactly this is in place.
    #[must_use]
    pub fn mark(&self) -> String {
        fingerprint::of(self)
    }

    /// Who treats the packets of one of its flows.
    #[must_use]
    pub fn by(&self, flow: &Flow) -> By {
        match &flow.treatment {
            Treatment::Drop | Treatment::Reject | Treatment::Refuse(_) => By::Rules,
            Treatment::Dns(_) => By::Process,
            Treatment::Proxy(_) => By::Proxy,
            Treatment::Shape(_) if self.mechanism == Some(Mechanism::Userspace) => By::Process,
            Treatment::Shape(shape) if shape.only_loses().is_some() => By::Rules,
            Treatment::Shape(_) => By::Queues,
        }
    }
}

/// The shortest delay that can be told from none: what is on its way is late by as much by itself.
pub const LEAST_DELAY: Duration = Duration::from_micros(100);

impl Shape {
    /// Whether it does nothing but lose packets at random, each by itself; how likely then.
    #[must_use]
    pub fn only_loses(&self) -> Option<f64> {
        match self.loss {
            Some(Loss::Random(Chance { probability, correlation: 0.0 })) => {
                (Self { loss: None, ..self.clone() } == Self::default()).then_some(probability)
            }
            _ => None,
        }
    }

    /// Whether it does nothing but hold traffic to a rate; which then.
    #[must_use]
    pub fn only_limits(&self) -> Option<Bandwidth> {
        self.bandwidth.filter(|_| Self { bandwidth: None, ..self.clone() } == Self::default())
    }

    /// The longest that a packet may be held by plan, beyond what a rate makes it wait.
    #[must_use]
    pub fn longest(&self) -> Duration {
        // Normal and pareto reach beyond one jitter; netem's tables end below nine of them.
        let width = if self.distribution == Distribution::Uniform { 1 } else { 9 };
        self.delay + self.jitter * width
    }
}
