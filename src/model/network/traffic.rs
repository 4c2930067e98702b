//! Which packets are meant. Every part that is given must match.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, Ports};

/// Which packets of an instance are meant. Those that it sends to itself never are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traffic {
    /// Those that leave it, those that arrive, or both.
    pub direction: Direction,
    /// Whom it talks with.
    #[serde(default, skip_serializing_if = "Peers::is_everybody")]
    pub peers: Peers,
    /// By which protocol; nothing: by any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The peer's ports, any of them; none: every port, and protocols without ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_ports: Vec<Ports>,
    /// The instance's own ports, any of them; none: every port, and protocols without ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local_ports: Vec<Ports>,
    /// On which of the engine's networks; nothing: on every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Which way packets go, seen from the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// They leave it.
    Egress,
    /// They arrive.
    Ingress,
    /// Either way.
    Both,
}

/// A protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "their names say it")]
#[strum(serialize_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Udp,
    /// ICMP, and ICMPv6 but for what kernels send by themselves to find neighbours and to tell of groups (without which nothing
    /// else would arrive either).
    Icmp,
}

/// Whom an instance talks with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peers {
    /// Everybody.
    #[default]
    Everybody,
    /// These; perhaps no instance at the moment.
    These(Vec<Peer>),
    /// Everybody but these: whoever is not on this side of a cut, known or not.
    AllBut(Vec<Peer>),
}

impl Peers {
    /// Whether nobody is left out.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        *self == Self::Everybody
    }
}

/// Somebody an instance talks with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// By address.
    Addresses(Cidr),
    /// By an address of an instance that people know by name.
    Instance {
        /// The instance's name.
        name: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// By name, which is looked up when the setting is made.
    Host(String),
}

impl Peer {
    /// Its addresses; nothing where only its name is known.
    #[must_use]
    pub fn range(&self) -> Option<Cidr> {
        match self {
            Self::Addresses(range) => Some(*range),
            Self::Instance { address, .. } => Some(Cidr::from(*address)),
            Self::Host(_) => None,
        }
    }
}

/// What of a packet decides whether it is meant; for those who look at packets themselves, and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Whether it arrives (else it leaves).
    pub arrives: bool,
    /// The peer's address.
    pub remote: IpAddr,
    /// The number of the protocol in the IP header.
    pub protocol: u8,
    /// The peer's port and the own one, where the protocol has ports and this is not a later fragment.
    pub ports: Option<(u16, u16)>,
}

impl Protocol {
    /// Its number in the IP header of a family (IANA, Assigned Internet Protocol Numbers).
    #[must_use]
    pub fn number(self, v6: bool) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp => {
                if v6 {
                    58
                } else {
                    1
                }
            }
        }
    }
}

impl Traffic {
    /// All traffic in a direction.
    #[must_use]
    pub fn all(direction: Direction) -> Self {
        Self {
            direction,
            peers: Peers::Everybody,
            protocol: None,
            remote_ports: Vec::new(),
            local_ports: Vec::new(),
            network: None,
        }
    }

    /// Whether packets that arrive (else: that leave) can be meant.
    #[must_use]
    pub fn has(&self, arriving: bool) -> bool {
        match self.direction {
            Direction::Both => true,
            Direction::Ingress => arriving,
            Direction::Egress => !arriving,
        }
    }

    /// Whether conversations are meant that others begin (else: those that are begun here), where only one of both can be.
    #[must_use]
    pub fn comes(&self) -> bool {
        self.direction == Direction::Ingress
    }

    /// Whether a packet is meant. The law that every other way of telling is held against; names of peers are nobody here,
    /// and what kernels send by themselves is not known.
    #[must_use]
    pub fn matches(&self, packet: &Packet) -> bool {
        let among = |peers: &[Peer]| peers.iter().filter_map(Peer::range).any(|range| range.contains(packet.remote));
        let peers = match &self.peers {
            Peers::Everybody => true,
            Peers::These(peers) => among(peers),
            Peers::AllBut(peers) => !among(peers),
        };
        let protocol = self.protocol.is_none_or(|p| p.number(packet.remote.is_ipv6()) == packet.protocol);
        let port = |wanted: &[Ports], have: Option<u16>| {
            wanted.is_empty() || have.is_some_and(|port| wanted.iter().any(|w| w.contains(port)))
        };
        self.has(packet.arrives)
            && peers
            && protocol
            && port(&self.remote_ports, packet.ports.map(|p| p.0))
            && port(&self.local_ports, packet.ports.map(|p| p.1))
    }
}
