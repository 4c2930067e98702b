//! Which traffic a fault is about: the keys that the faults of the network share, and what they mean for one instance.

pub(super) mod keys;
pub(super) mod path;

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Fault, LEFT_OVER, Takes};
use crate::model::instance::{Aspect, Instance, Setting, Trait};
use crate::model::machine::Limit;
use crate::model::network::{Direction, Flow, Mechanism, Network, Peer, Peers, Protocol, Shape, Traffic, Treatment};
use crate::model::quantity::{Addresses, Many, PortChoice, Span};
use crate::model::stressor::StressSpec;
use crate::text::glob::glob;

/// With whom an instance talks: `service`, `zone`, `instance` and `labels` together (each that is given must match, in the target's project
/// unless `project` says another), or a range of addresses, or a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Who {
    /// The projects of these instances, if not those of the target (`*` stands for any text, `none` for no project).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub project: Vec<String>,
    /// Instances of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Instances in this failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Instances with one of these names; `*` stands for any text. A single one needs no list.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub instance: Many<String>,
    /// Instances with all of these labels, each `key` or `key=value`; a single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub labels: Vec<String>,
    /// Every peer with an address in this range, inside or outside of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Addresses>,
    /// The host of this name, looked up when the fault is planned (if that fails, it is refused), and when it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Who {
    /// Whether an instance is meant.
    #[must_use]
    pub fn means(&self, i: &Instance) -> bool {
        i.is_of(&self.project)
            && self.service.as_ref().is_none_or(|service| i.is_of_service(service))
            && self.zone.as_ref().is_none_or(|zone| i.zone.as_ref() == Some(zone))
            && (self.instance.is_empty() || self.instance.iter().any(|name| glob(name, &i.name)))
            && self.labels.iter().all(|label| i.carries(label))
    }

    /// Whether it means instances of the engine, and not addresses wherever they are.
    #[must_use]
    pub fn is_of_instances(&self) -> bool {
        self.cidr.is_none() && self.host.is_none()
    }

    fn peers(&self, others: &[Instance]) -> Vec<Peer> {
        if let Some(range) = self.cidr {
            return vec![Peer::Addresses(range.0)];
        }
        if let Some(host) = &self.host {
            return vec![Peer::Host(host.clone())];
        }
        let of = |i: &Instance| i.addresses.iter().map(|a| (i.name.clone(), a.ip)).collect::<Vec<_>>();
        let meant = others.iter().filter(|i| self.means(i)).flat_map(of);
        meant.map(|(name, address)| Peer::Instance { name, address }).collect()
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (key, value) in [
            ("service", &self.service),
            ("zone", &self.zone),
            ("cidr", &self.cidr.map(|c| c.to_string())),
            ("host", &self.host),
        ] {
            parts.extend(value.as_ref().map(|value| format!("{key} {value}")));
        }
        if !self.instance.is_empty() {
            parts.push(format!("instance {}", self.instance.join(" or ")));
        }
        parts.extend(self.labels.iter().map(|l| format!("label {l}")));
        parts.extend(self.project.iter().map(|p| format!("project {p}")));
        f.write_str(&parts.join(", "))
    }
}

/// Who begins the conversations that a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peering<'a> {
    /// The instance, with these peers.
    To(&'a [Who]),
    /// These peers, with the instance.
    From(&'a [Who]),
}

impl<'a> Peering<'a> {
    /// What the keys `to` and `from` say, of which one is given at most.
    pub(super) fn of(to: &'a [Who], from: &'a [Who]) -> Option<Self> {
        match (to, from) {
            ([], []) => None,
            ([], from) => Some(Self::From(from)),
            (to, _) => Some(Self::To(to)),
        }
    }

    /// These peers: each is meant.
    #[must_use]
    pub fn all(self) -> &'a [Who] {
        match self {
            Self::To(all) | Self::From(all) => all,
        }
    }
}

impl fmt::Display for Peering<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.all().iter().map(ToString::to_string).collect();
        f.write_str(if matches!(self, Self::To(_)) { "to " } else { "from " })?;
        f.write_str(&all.join(" or "))
    }
}

/// The keys that choose traffic, of whichever fault.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Selection<'a> {
    pub(super) to: &'a [Who],
    pub(super) from: &'a [Who],
    pub(super) port: Option<&'a PortChoice>,
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Option<Direction>,
    pub(super) network: Option<&'a String>,
}

impl Selection<'_> {
    /// Conversations that go to peers have the peers' port, those that come from peers the own one, whichever way a packet
    /// goes. Where no peers are named, the direction says which of the two is meant.
    pub(super) fn traffic(&self, others: &[Instance]) -> Traffic {
        let peering = Peering::of(self.to, self.from);
        let comes = matches!(peering, Some(Peering::From(_)))
            || peering.is_none() && self.direction == Some(Direction::Ingress);
        let ports = self.port.map(PortChoice::ranges).unwrap_or_default();
        let (remote_ports, local_ports) = if comes { (Vec::new(), ports) } else { (ports, Vec::new()) };
        Traffic {
            direction: self.direction.unwrap_or(if comes { Direction::Ingress } else { Direction::Egress }),
            peers: peering.map_or(Peers::Everybody, |peering| {
                let mut peers: Vec<Peer> = peering.all().iter().flat_map(|who| who.peers(others)).collect();
                peers.sort();
                peers.dedup();
                Peers::These(peers)
            }),
            protocol: self.protocol,
            remote_ports,
            local_ports,
            network: self.network.cloned(),
        }
    }
}

/// One treatment for one part of the traffic.
pub(super) fn disturbed(
    context: &Context<'_>,
    traffic: Traffic,
    treatment: Treatment,
    mechanism: Option<Mechanism>,
) -> Vec<Setting> {
    let flows = vec![Flow { traffic, treatment }];
    vec![Setting::Network(Box::new(Network { flows, mechanism, seed: context.seed }))]
}

/// What is late may arrive when the fault is over.
pub(super) fn delays(shape: &Shape) -> Vec<Takes> {
    let so = "what it delays arrives when the fault is over: for that there is `loss`";
    [("delay", shape.delay), ("jitter", shape.jitter)].map(|(key, takes)| Takes { key, takes: Span(takes), so }).into()
}

/// Refuses networks that are not the instance's alone, that are disturbed already, or that the fault would not meet.
pub(super) fn may_be_disturbed(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), String> {
    let meant: Vec<&Traffic> = match to {
        Setting::Network(network) => network.flows.iter().map(|flow| &flow.traffic).collect(),
        Setting::ConnectionsReset(traffic) => vec![traffic],
        Setting::Limit(Limit::Ports { .. }) => Vec::new(),
        Setting::Stressor(stressor) if matches!(stressor.work, StressSpec::Connections(_)) => Vec::new(),
        _ => return Ok(()),
    };
    if i.traits.contains(&Trait::HostNetwork) {
        return Err(format!(
            "{} shares the network of its host: `{}` would affect everything on that machine, not this instance alone",
            i.name,
            fault.name()
        ));
    }
    if let Some(Setting::Mark(Aspect::Network, Some(_))) = i.settings.get(&Aspect::Network) {
        return Err(format!("the traffic of {} is disturbed already, {LEFT_OVER}", i.name));
    }
    let is_on = |network: &&String| i.addresses.iter().any(|a| a.network == **network);
    let off = meant.iter().filter_map(|traffic| traffic.network.as_ref()).find(|network| !is_on(network));
    if let Some(network) = off.filter(|_| !i.addresses.is_empty()) {
        let on: BTreeSet<&str> = i.addresses.iter().map(|a| a.network.as_str()).collect();
        return Err(format!(
            "{} is not on the network `{network}`, so nothing would happen to its traffic; it is on {}",
            i.name,
            on.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    if meant.iter().any(|traffic| traffic.peers == Peers::These(Vec::new())) {
        let peering = fault.disturb().peers().map(|p| format!(" ({p})")).unwrap_or_default();
        return Err(format!(
            "nothing would happen to the traffic of {}: no other running instance is meant{peering}",
            i.name
        ));
    }
    Ok(())
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
        crate::experiment::fault::traffic::on_traffic! {
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
            #[serde(default, skip_serializing_if = "crate::model::quantity::Many::is_empty")]
            pub to: crate::model::quantity::Many<crate::experiment::fault::Who>,
            /// Conversations that come from these peers. Not together with `to`.
            #[serde(default, skip_serializing_if = "crate::model::quantity::Many::is_empty")]
            pub from: crate::model::quantity::Many<crate::experiment::fault::Who>,
            /// Ports, each `5432` or `8000-8099`: the peers' for conversations that go to them, the instance's own for those
            /// that come. A single one needs no list; `{ except: 22 }` are all but these.
            #[serde(default, skip_serializing_if = "crate::model::quantity::PortChoice::is_every_one")]
            pub port: crate::model::quantity::PortChoice,
            /// By which protocol (default: any).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub protocol: Option<crate::model::network::Protocol>,
            /// Which packets of these conversations: those that leave the instance, those that arrive, or both (default:
            /// `ingress` with `from`, else `egress`).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub direction: Option<crate::model::network::Direction>,
            /// On this network of the engine alone.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub network: Option<String>,
            /// Who does it (default: the kernel's own emulator where it has one).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub mechanism: Option<crate::model::network::Mechanism>,
            /// `self`: the system must recover without intervention.
            #[serde(default)]
            pub heal: crate::experiment::fault::Heal,
            /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
            #[serde(default)]
            pub idle: crate::model::effect::Idle,
        }

        impl crate::experiment::fault::Disturb for $fault {
            fn settings(
                &self,
                _: &crate::model::instance::Instance,
                context: &crate::experiment::fault::Context<'_>,
            ) -> Vec<crate::model::instance::Setting> {
                let selection = crate::experiment::fault::traffic::Selection {
                    to: &self.to,
                    from: &self.from,
                    port: Some(&self.port),
                    protocol: self.protocol,
                    direction: self.direction,
                    network: self.network.as_ref(),
                };
                let shape = crate::model::network::Treatment::Shape(Box::new(self.shape()));
                crate::experiment::fault::traffic::disturbed(context, selection.traffic(context.peers), shape, self.mechanism)
            }

            fn check(&self, found: &mut crate::experiment::document::found::Found<'_>, own: &[&str]) {
                crate::experiment::fault::traffic::keys::check(found, own);
            }

            fn takes(&self) -> Vec<crate::experiment::fault::Takes> {
                crate::experiment::fault::traffic::delays(&self.shape())
            }

            fn heal(&self) -> crate::experiment::fault::Heal {
                self.heal
            }

            fn idle(&self) -> crate::model::effect::Idle {
                self.idle
            }

            fn peers(&self) -> Option<crate::experiment::fault::Peering<'_>> {
                crate::experiment::fault::Peering::of(&self.to, &self.from)
            }

            fn unseen(&self) -> Option<&'static str> {
                $unseen
            }
        }
    };
}
pub(super) use on_traffic;
