//! How network settings read to people.

use std::fmt;

use humantime::format_duration;

use crate::text::units::few;

use super::{Chance, Direction, DnsAnswer, Flow, Loss, Mechanism, Network, Peer, Peers, Shape, Traffic, Treatment};

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows: Vec<String> = self.flows.iter().map(ToString::to_string).collect();
        f.write_str(&flows.join("; "))
    }
}

impl Network {
    /// Who does it, in words: netem, a process of Squall's, or what else the kernel has. As the mechanism has been chosen by
    /// the planner; one that is still open is the kernel's.
    #[must_use]
    pub fn done_by(&self) -> String {
        let mut all: Vec<&str> = self.flows.iter().map(|flow| flow.treatment.done_by(self.mechanism)).collect();
        all.dedup();
        all.join(", ")
    }
}

impl Treatment {
    fn done_by(&self, mechanism: Option<Mechanism>) -> &'static str {
        const USERSPACE: &str = "userspace: a process of Squall holds the packets (NFQUEUE)";
        match self {
            Self::Shape(_) if mechanism == Some(Mechanism::Userspace) => USERSPACE,
            Self::Dns(_) => "userspace: a process of Squall answers (NFQUEUE)",
            Self::Proxy(_) => "a proxy of Squall in the path (nf_tables redirect)",
            Self::Shape(shape) if shape.only_limits().is_some() => "the kernel's queues (tbf)",
            Self::Shape(shape) if shape.only_loses().is_none() => "netem: the kernel's own emulator",
            Self::Shape(_) | Self::Drop | Self::Reject | Self::Refuse(_) => "the kernel's firewall (nf_tables)",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.treatment {
            Treatment::Dns(_) => write!(f, "{}", self.treatment),
            treatment => write!(f, "{treatment}, {}", self.traffic),
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(shape) => shape.fmt(f),
            Self::Drop => f.write_str("cut off"),
            Self::Reject => f.write_str("refused"),
            Self::Refuse(_) => f.write_str("new connections refused"),
            Self::Proxy(proxied) => proxied.fmt(f),
            Self::Dns(dns) => {
                let names = if dns.names.is_empty() { "every name".to_owned() } else { dns.names.join(", ") };
                match dns.answer {
                    DnsAnswer::Timeout => write!(f, "no answer about {names}"),
                    DnsAnswer::Nxdomain => write!(f, "NXDOMAIN for {names}"),
                    DnsAnswer::Servfail => write!(f, "SERVFAIL for {names}"),
                    DnsAnswer::Address(address) => write!(f, "{address} for {names}"),
                }
            }
        }
    }
}

pub(super) fn percent(share: f64) -> String {
    // Rounded to nine digits, so that 0.07 (7 %) does not print as 7.000000000000001.
    format!("{} %", (share * 100.0 * 1e9).round() / 1e9)
}

fn chance(what: &str, chance: Chance) -> String {
    let share = percent(chance.probability);
    if chance.correlation > 0.0 {
        format!("{share} {what} (correlation {})", percent(chance.correlation))
    } else {
        format!("{share} {what}")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.is_zero() || !self.jitter.is_zero() {
            let mut text = format!("{} later", format_duration(self.delay));
            if !self.jitter.is_zero() {
                text = format!("{} ± {} later", format_duration(self.delay), format_duration(self.jitter));
            }
            parts.push(text);
        }
        match self.loss {
            None => {}
            Some(Loss::Random(c)) => parts.push(chance("lost", c)),
            Some(Loss::GilbertElliott { .. }) => parts.push("lost in bursts (Gilbert-Elliott)".to_owned()),
            Some(Loss::Markov { .. }) => parts.push("lost in bursts (Markov)".to_owned()),
        }
        parts.extend(self.corrupt.map(|c| chance("corrupt", c)));
        parts.extend(self.duplicate.map(|c| chance("twice", c)));
        parts.extend(self.reorder.map(|r| chance("out of order", r.chance)));
        parts.extend(self.bandwidth.map(|b| format!("at most {}", bits(b.rate))));
        f.write_str(&parts.join(", "))
    }
}

/// A rate as people write it: `1mbit`.
pub(super) fn bits(rate: u64) -> String {
    for (unit, size) in [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000)] {
        if rate >= size {
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let number = (rate as f64 / size as f64 * 1000.0).round() / 1000.0;
            return format!("{number}{unit}");
        }
    }
    format!("{rate}bit")
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.direction {
            Direction::Egress => "to",
            Direction::Ingress => "from",
            Direction::Both => "to and from",
        };
        write!(f, "{way} {}", self.peers)?;
        if let Some(protocol) = self.protocol {
            write!(f, ", {protocol}")?;
        }
        for (whose, ports) in [("port", &self.remote_ports), ("own port", &self.local_ports)] {
            if !ports.is_empty() {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                write!(f, ", {whose} {}", ports.join(" or "))?;
            }
        }
        self.network.iter().try_for_each(|network| write!(f, ", on {network}"))
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("everybody"),
            Self::These(peers) if peers.is_empty() => f.write_str("no instance at the moment"),
            Self::These(peers) => f.write_str(&names(peers)),
            Self::AllBut(peers) if peers.is_empty() => f.write_str("everybody"),
            Self::AllBut(peers) => write!(f, "everybody but {}", names(peers)),
        }
    }
}

/// The first few of them.
fn names(peers: &[Peer]) -> String {
    let mut named: Vec<String> = peers.iter().map(ToString::to_string).collect();
    // One with several addresses is still one.
    named.dedup();
    match named.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if named.len() <= 3 => format!("{} and {last}", first.join(", ")),
        _ => few(&named, 3),
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => addresses.fmt(f),
            Self::Instance { name, .. } | Self::Host(name) => f.write_str(name),
        }
    }
}
