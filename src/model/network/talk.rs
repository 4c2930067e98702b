//! With whom an instance has connections: what is told where a fault of traffic met nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::text::units::few;

/// The connections of an instance, those within it left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Talk {
    /// Its peers' addresses and ports that it has connected to, with the number of connections.
    pub to: BTreeMap<SocketAddr, usize>,
    /// Its own ports that others have connected to, with the addresses of these.
    pub from: BTreeMap<u16, BTreeSet<IpAddr>>,
}

/// How many of each are named.
const MOST: usize = 5;

impl Talk {
    /// From connections as they are seen there (own end, peer's end) and the ports that it listens on.
    pub fn of(connections: impl IntoIterator<Item = (SocketAddr, SocketAddr)>, listening: &BTreeSet<u16>) -> Self {
        let mut talk = Self::default();
        for (own, peer) in connections {
            if peer.ip().is_loopback() || peer.ip() == own.ip() {
                continue;
            }
            if listening.contains(&own.port()) {
                talk.from.entry(own.port()).or_default().insert(peer.ip());
            } else {
                *talk.to.entry(peer).or_default() += 1;
            }
        }
        talk
    }
}

impl fmt::Display for Talk {
    /// As the end of a sentence about the instance: `it has connections to 10.0.0.3:5432; from 2 peers to its port 8080`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let few = |names: Vec<String>| few(&names, MOST);
        if !self.to.is_empty() {
            parts.push(format!("to {}", few(self.to.keys().map(ToString::to_string).collect())));
        }
        for (port, peers) in &self.from {
            parts.push(format!("from {} to its port {port}", few(peers.iter().map(ToString::to_string).collect())));
        }
        match parts.as_slice() {
            [] => f.write_str("it has no TCP connection"),
            _ => write!(f, "it has TCP connections {}", parts.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_called_whom_is_told_by_the_ports_that_are_listened_on() {
        let own = |port: u16| SocketAddr::from(([10, 0, 0, 2], port));
        let peer = |last: u8, port: u16| SocketAddr::from(([10, 0, 0, last], port));
        let within = (SocketAddr::from(([127, 0, 0, 1], 8080)), SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let connections = [
            (own(40_001), peer(3, 5432)),
            (own(40_002), peer(3, 5432)),
            (own(8080), peer(4, 50_000)),
            (own(8080), peer(5, 50_001)),
            (own(8080), peer(5, 50_002)),
            (own(8080), own(50_003)),
            within,
        ];
        let talk = Talk::of(connections, &BTreeSet::from([8080]));
        assert_eq!(talk.to.values().sum::<usize>(), 2);
        assert_eq!(
            talk.to_string(),
            "it has TCP connections to 10.0.0.3:5432; from 10.0.0.4, 10.0.0.5 to its port 8080"
        );
        assert_eq!(Talk::default().to_string(), "it has no TCP connection");
        let many = Talk::of(
            (1..=9).map(|n| (own(40_000), peer(n, 80))).filter(|(_, p)| p.ip() != own(0).ip()),
            &BTreeSet::new(),
        );
        assert!(many.to_string().ends_with("10.0.0.6:80 and 3 more"), "{many}");
    }
}
