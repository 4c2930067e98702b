//! The addresses of an instance before a run and after it. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::instance::Instance;

/// An instance that has other addresses than before the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Readdressed {
    /// The instance's name.
    pub instance: String,
    /// What differs; empty: it is as it was, again.
    pub moves: Vec<Move>,
    /// Who ran on these networks all the time, and may have looked it up before.
    pub neighbors: Vec<String>,
}

/// Another address on the same network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Move {
    /// The network.
    pub network: String,
    /// The addresses there before.
    pub was: BTreeSet<IpAddr>,
    /// Those after it.
    pub is: BTreeSet<IpAddr>,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &BTreeSet<IpAddr>| all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{} was its address on the network {}, and {} is", list(&self.was), self.network, list(&self.is))
    }
}

impl fmt::Display for Readdressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moves: Vec<String> = self.moves.iter().map(Move::to_string).collect();
        write!(f, "{} has another address than before: {}", self.instance, moves.join("; "))?;
        match self.neighbors.as_slice() {
            [] => Ok(()),
            names => write!(f, "; who looked it up before may not find it: {}", names.join(", ")),
        }
    }
}

/// Where an instance has other addresses than before, on the networks that it is still on.
#[must_use]
pub fn moves(before: &Instance, now: &Instance) -> Vec<Move> {
    let on = |i: &Instance, network: &str| {
        i.addresses.iter().filter(|a| a.network == network).map(|a| a.ip).collect::<BTreeSet<IpAddr>>()
    };
    let networks: BTreeSet<&String> = before.addresses.iter().map(|a| &a.network).collect();
    let moves = networks.into_iter().map(|network| Move {
        network: network.clone(),
        was: on(before, network),
        is: on(now, network),
    });
    moves.filter(|m| !m.is.is_empty() && m.was != m.is).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Address;

    #[test]
    fn a_move_is_another_address_on_the_same_network() {
        let at = |all: &[(&str, u8)]| {
            let mut instance = Instance::new("a", "a", "shop");
            let address = |(network, last): &(&str, u8)| Address {
                network: (*network).to_owned(),
                network_id: None,
                ip: IpAddr::from([10, 0, 0, *last]),
            };
            instance.addresses = all.iter().map(address).collect();
            instance
        };
        let before = at(&[("front", 2), ("back", 3)]);
        assert_eq!(moves(&before, &before), []);
        let [moved] = &moves(&before, &at(&[("back", 4), ("front", 2)]))[..] else { panic!("one move") };
        assert_eq!(moved.to_string(), "10.0.0.3 was its address on the network back, and 10.0.0.4 is");
    }
}
