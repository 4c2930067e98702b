//! Which traffic a fault is about: the keys that the faults of the network share, and what they mean for one instance.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::quantity::{Addresses, Port};
use crate::glob::glob;
use crate::instance::{Instance, Setting};
use crate::network::{Direction, Flow, Mechanism, Network, Peer, Peers, Ports, Protocol, Traffic, Treatment};

/// With whom an instance talks: `service`, `zone` and `instance` together (each that is given must match), or a range of
/// addresses, or a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Who {
    /// Instances of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Instances in this failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Instances with this name; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Whoever has an address in this range, inside or outside of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Addresses>,
    /// The host of this name, looked up when the fault begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Who {
    /// Whether an instance is meant.
    #[must_use]
    pub fn means(&self, i: &Instance) -> bool {
        self.service.as_ref().is_none_or(|service| *service == i.service)
            && self.zone.as_ref().is_none_or(|zone| i.zone.as_ref() == Some(zone))
            && self.instance.as_ref().is_none_or(|name| glob(name, &i.name))
    }

    fn peers(&self, others: &[Instance]) -> Peers {
        if let Some(range) = self.cidr {
            return Peers::These(vec![Peer::Addresses(range.0)]);
        }
        if let Some(host) = &self.host {
            return Peers::These(vec![Peer::Host(host.clone())]);
        }
        let of = |i: &Instance| i.addresses.iter().map(|a| (i.name.clone(), a.ip)).collect::<Vec<_>>();
        let meant = others.iter().filter(|i| self.means(i)).flat_map(of);
        let mut peers: Vec<Peer> = meant.map(|(name, address)| Peer::Instance { name, address }).collect();
        peers.sort();
        peers.dedup();
        Peers::These(peers)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (key, value) in [
            ("service", &self.service),
            ("zone", &self.zone),
            ("instance", &self.instance),
            ("cidr", &self.cidr.map(|c| c.to_string())),
            ("host", &self.host),
        ] {
            parts.extend(value.as_ref().map(|value| format!("{key} {value}")));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Who begins the conversations that a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peering<'a> {
    /// The instance, with these peers.
    To(&'a Who),
    /// These peers, with the instance.
    From(&'a Who),
}

impl fmt::Display for Peering<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(who) => write!(f, "to {who}"),
            Self::From(who) => write!(f, "from {who}"),
        }
    }
}

/// The keys that choose traffic, of whichever fault.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Selection<'a> {
    pub(super) to: Option<&'a Who>,
    pub(super) from: Option<&'a Who>,
    pub(super) port: &'a [Port],
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Option<Direction>,
    pub(super) network: Option<&'a String>,
}

impl Selection<'_> {
    /// Conversations that go to peers have the peers' port, those that come from peers the own one, whichever way a packet
    /// goes. Where no peers are named, the direction says which of the two is meant.
    pub(super) fn traffic(&self, others: &[Instance]) -> Traffic {
        let comes = self.from.is_some() || self.to.is_none() && self.direction == Some(Direction::Ingress);
        let ports: Vec<Ports> = self.port.iter().map(|p| p.0).collect();
        let (remote_ports, local_ports) = if comes { (Vec::new(), ports) } else { (ports, Vec::new()) };
        Traffic {
            direction: self.direction.unwrap_or(if comes { Direction::Ingress } else { Direction::Egress }),
            peers: self.to.or(self.from).map_or(Peers::Everybody, |who| who.peers(others)),
            protocol: self.protocol,
            remote_ports,
            local_ports,
            network: self.network.cloned(),
        }
    }
}

/// One treatment for one part of the traffic. The plan seeds it.
pub(super) fn disturbed(traffic: Traffic, treatment: Treatment, mechanism: Option<Mechanism>) -> Vec<Setting> {
    let flows = vec![Flow { traffic, treatment }];
    vec![Setting::Network(Box::new(Network { flows, mechanism, seed: 0 }))]
}

/// A fault that shapes traffic: its own keys, and after them those that choose the traffic, `mechanism` and `heal`. What
/// it does stands in its `shape`; where it has a second name, that is its own keys alone, for `shape`'s file.
///
/// A macro, since reading a shared struct through `serde(flatten)` would lose the places of mistakes.
macro_rules! on_traffic {
    (
        $(#[$about:meta])*
        pub struct $fault:ident (also $alone:ident) {
            $($(#[$field_about:meta])* pub $field:ident: $type:ty,)*
        }
        unseen: $unseen:expr
    ) => {
        crate::fault::traffic::on_traffic! {
            $(#[$about])*
            pub struct $fault {
                $($(#[$field_about])* pub $field: $type,)*
            }
            unseen: $unseen
        }

        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$about])*
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $alone {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $fault {
            fn alone(&self) -> $alone {
                $alone { $($field: self.$field.clone(),)* }
            }
        }
    };
    (
        $(#[$about:meta])*
        pub struct $fault:ident {
            $($(#[$field_about:meta])* pub $field:ident: $type:ty,)*
        }
        unseen: $unseen:expr
    ) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$about])*
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $fault {
            $($(#[$field_about])* pub $field: $type,)*
            /// Conversations that go to these peers (default: to anybody). Not together with `from`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub to: Option<crate::fault::Who>,
            /// Conversations that come from these peers. Not together with `to`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub from: Option<crate::fault::Who>,
            /// Ports, each `5432` or `8000-8099`: the peers' for conversations that go to them, the instance's own for those
            /// that come. A single one needs no list.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[schemars(extend("x-one" = true))]
            pub port: Vec<crate::experiment::quantity::Port>,
            /// By which protocol (default: any).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub protocol: Option<crate::network::Protocol>,
            /// Which packets of these conversations: those that leave the instance, those that arrive, or both (default:
            /// `ingress` with `from`, else `egress`).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub direction: Option<crate::network::Direction>,
            /// On this network of the engine alone.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub network: Option<String>,
            /// Who does it (default: the kernel's own emulator where it has one).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub mechanism: Option<crate::network::Mechanism>,
            /// `self`: the system must recover with no helping hand.
            #[serde(default)]
            pub heal: crate::fault::Heal,
        }

        impl crate::fault::Disturb for $fault {
            fn settings(
                &self,
                _: &crate::instance::Instance,
                peers: &[crate::instance::Instance],
            ) -> Vec<crate::instance::Setting> {
                let selection = crate::fault::traffic::Selection {
                    to: self.to.as_ref(),
                    from: self.from.as_ref(),
                    port: &self.port,
                    protocol: self.protocol,
                    direction: self.direction,
                    network: self.network.as_ref(),
                };
                let shape = crate::network::Treatment::Shape(Box::new(self.shape()));
                crate::fault::traffic::disturbed(selection.traffic(peers), shape, self.mechanism)
            }

            fn heal(&self) -> crate::fault::Heal {
                self.heal
            }

            fn peers(&self) -> Option<crate::fault::Peering<'_>> {
                use crate::fault::Peering;
                self.to.as_ref().map(Peering::To).or(self.from.as_ref().map(Peering::From))
            }

            fn unseen(&self) -> Option<&'static str> {
                $unseen
            }
        }
    };
}
pub(super) use on_traffic;
