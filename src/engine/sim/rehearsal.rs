//! A plausible stack for an experiment that is rehearsed without one.

use indexmap::IndexMap;

use super::world;
use crate::experiment::fault::{Context, Fault, Heal, Peering};
use crate::experiment::stack::{Service, Stack};
use crate::experiment::{Experiment, Injection, Text};
use crate::model::instance::{Setting, project};
use crate::model::network::{Flow, Traffic, Treatment};

/// Every target's service; and where its traffic is disturbed, another one at the other end of it.
pub(super) fn stack_for(x: &Experiment) -> Stack {
    let mut services: IndexMap<String, Service> = IndexMap::new();
    for injection in x.faults() {
        for (name, new) in stage(&injection) {
            // No service waits for one that waits for it.
            let waits = |other: &String| services.get(other).is_some_and(|s| s.needs.contains(&name));
            let needs: Vec<String> = new.needs.iter().filter(|other| !waits(other)).cloned().collect();
            match services.get_mut(&name) {
                Some(known) => {
                    known.port = known.port.or(new.port);
                    known.restart |= new.restart;
                    known.labels.extend(new.labels);
                    known.project = new.project.or(known.project.take());
                    known.needs.extend(needs);
                    known
                        .zones
                        .extend(new.zones.into_iter().filter(|zone| !known.zones.contains(zone)).collect::<Vec<_>>());
                }
                None => {
                    services.insert(name, new);
                }
            }
        }
    }
    Stack { version: 1, name: "rehearsal".to_owned(), network: None, services }
}

/// The services that one fault is about.
fn stage(Injection { fault, target: chosen, .. }: &Injection) -> Vec<(String, Service)> {
    let name = chosen.service.clone().unwrap_or_else(|| "service".to_owned());
    let mut target = service();
    target.labels = chosen
        .labels
        .iter()
        .map(|l| l.split_once('=').map_or((l.clone(), String::new()), |(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    target.project = project(&chosen.project);
    target.restart = fault.heal() == Heal::Itself;
    let zones_are_out = fault.disturb().targets_zones();
    if let Some(zone) = chosen.zone.as_ref().filter(|zone| !target.zones.contains(zone)) {
        if zones_are_out {
            target.zones[0].clone_from(zone);
        } else {
            target.zones = vec![zone.clone()];
        }
    }
    if fault.disturb().targets_nodes() {
        target.nodes = ["n1", "n2", "n3"].map(str::to_owned).to_vec();
        if let Some(node) = chosen.node.as_ref().filter(|node| !target.nodes.contains(node)) {
            target.nodes[0].clone_from(node);
        }
        // A mode may be about an orchestrator alone.
        target.orchestrator = fault.disturb().refuses(&world::instance(&name, 1, 0)).map(|_| "Docker Swarm".to_owned());
        return vec![(name, target)];
    }
    if zones_are_out {
        // Something on the other side, for lines between zones; one more, so that not always the same two meet.
        let peer = Service { zones: target.zones.clone(), replicas: 4, ..service() };
        target.needs.push("peer".to_owned());
        return vec![(name, target), ("peer".to_owned(), peer)];
    }
    let Some((other, mut peer, port, comes)) = other_end(fault).filter(|(other, ..)| *other != name) else {
        return vec![(name, target)];
    };
    // The first service is the one that customers ask, whichever port they ask at.
    (target.port, peer.port) = (port, port);
    if comes {
        peer.needs.push(name.clone());
        vec![(other, peer), (name, target)]
    } else {
        target.needs.push(other.clone());
        vec![(name, target), (other, peer)]
    }
}

fn service() -> Service {
    Service {
        command: vec![Text("simulated".to_owned())],
        replicas: 3,
        zones: ["a", "b", "c"].map(str::to_owned).to_vec(),
        nodes: Vec::new(),
        port: None,
        environment: IndexMap::new(),
        labels: IndexMap::new(),
        project: None,
        orchestrator: None,
        needs: Vec::new(),
        failover: None,
        restart: false,
    }
}

/// Who is at the other end of the traffic that the fault is about: name, service, the port that is asked, and whether it
/// is the one who asks.
fn other_end(fault: &Fault) -> Option<(String, Service, Option<u16>, bool)> {
    let target = world::instance("target", 1, 0);
    let (traffic, names) = match fault.disturb().settings(&target, &Context::default()).pop()? {
        Setting::Network(mut network) => match network.flows.pop()? {
            Flow { traffic, treatment: Treatment::Dns(dns) } => {
                (Traffic { remote_ports: Vec::new(), ..traffic }, dns.names)
            }
            Flow { traffic, .. } => (traffic, Vec::new()),
        },
        Setting::ConnectionsReset(traffic) => (*traffic, Vec::new()),
        _ => return None,
    };
    let peering = fault.disturb().peers();
    // In no zone unless it is said: a target that is chosen by its zone is still the target's service alone.
    let mut peer = Service { zones: Vec::new(), ..service() };
    let called = match peering {
        Some(Peering::To([who, ..]) | Peering::From([who, ..])) => {
            peer.project = project(&who.project);
            peer.zones = who.zone.clone().into_iter().collect();
            who.service.clone().or(who.host.clone()).or(who.instance.first().map(|name| plain(name)))
        }
        _ => names.first().map(|name| plain(name)),
    };
    let port = traffic.remote_ports.first().or(traffic.local_ports.first()).map(|ports| ports.first);
    let comes = matches!(peering, Some(Peering::From(_))) || !traffic.local_ports.is_empty();
    Some((called.filter(|name| !name.is_empty()).unwrap_or_else(|| "peer".to_owned()), peer, port, comes))
}

/// The first project that is named, for instances that are invented as part of it.
fn project(named: &[String]) -> Option<String> {
    named.first().map(|name| name.replace('*', "")).filter(|name| !name.is_empty() && name != project::NONE)
}

/// A pattern without its stars and numbers at either end: the service in `store-*` and in `*.store`.
fn plain(pattern: &str) -> String {
    pattern.trim_matches(|c: char| !c.is_alphabetic()).to_owned()
}
