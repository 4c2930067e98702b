//! What several machines tell of their instances, as one. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{NODE_LABEL, SwarmNode};
use crate::model::instance::sharing::Share;
use crate::model::instance::{Aspect, Instance, InstanceId, Setting, Trait, of_all_machines};
use crate::model::node::NodeAvailability;

/// What a machine tells.
pub(super) struct Told<'a> {
    /// What it is called.
    pub(super) machine: &'a str,
    /// What it is in a Swarm.
    pub(super) swarm: Option<SwarmNode>,
    /// What its managers tell of it, where it does not know itself.
    pub(super) availability: Option<NodeAvailability>,
    /// Its instances, and those elsewhere that it knows of.
    pub(super) instances: Vec<Instance>,
}

impl Told<'_> {
    /// Why this manager does not tell just now what runs on other nodes, and which one it is.
    fn silent(&self) -> Option<(SwarmNode, String)> {
        let why = self.instances.iter().find_map(Instance::others_silent)?;
        Some((self.swarm.clone().filter(|s| s.manages)?, why.to_owned()))
    }

    /// Whether it is a manager that tells what runs on other nodes. One that has nothing of its own and tells nothing may be silent.
    fn tells(&self) -> bool {
        let says = self.instances.iter().any(|i| i.replaced_by().is_some());
        self.swarm.as_ref().is_some_and(|s| s.manages)
            && says
            && self.instances.iter().all(|i| i.others_silent().is_none())
    }
}

/// All instances, each with its machine in its id and its name, ordered by name. What one machine tells of another that is asked itself
/// is left out.
pub(super) fn joined(told: Vec<Told<'_>>) -> Vec<Instance> {
    let nodes: BTreeSet<String> = told.iter().filter_map(|t| Some(t.swarm.as_ref()?.id.clone())).collect();
    let is_asked =
        |i: &Instance| i.elsewhere().is_some() && i.labels.get(NODE_LABEL).is_some_and(|n| nodes.contains(n));
    let telling: Vec<SwarmNode> = told.iter().filter(|t| t.tells()).filter_map(|t| t.swarm.clone()).collect();
    let silent: Vec<(SwarmNode, String)> = told.iter().filter_map(Told::silent).collect();
    let mut elsewhere: BTreeMap<InstanceId, Instance> = BTreeMap::new();
    let mut fleet = Vec::new();
    for Told { machine, swarm, availability, instances } in told {
        let is_told = swarm.as_ref().is_some_and(|node| telling.iter().any(|manager| node.is_managed_by(manager)));
        let silent = silent.iter().find(|(m, _)| swarm.as_ref().is_some_and(|node| node.is_managed_by(m)));
        for mut instance in instances {
            if is_asked(&instance) {
                continue;
            }
            if instance.elsewhere().is_some() {
                // Each manager tells of it.
                elsewhere.insert(instance.id.clone(), instance);
                continue;
            }
            if is_told {
                instance.traits.retain(|t| !matches!(t, Trait::OthersUnknown(_) | Trait::OthersSilent(_)));
            } else if let Some((_, why)) = silent.filter(|_| instance.replaced_by().is_some()) {
                // What is counted on one machine is not all, until its manager tells again.
                instance.traits.insert(Trait::OthersSilent(why.clone()));
            }
            fleet.push(on_node(named(machine, instance), availability.as_ref()));
        }
    }
    fleet.extend(elsewhere.into_values());
    fleet.sort_by(|a, b| a.name.cmp(&b.name));
    of_all_machines(fleet)
}

/// An instance on a node that is given tasks, or not.
pub(super) fn on_node(mut instance: Instance, availability: Option<&NodeAvailability>) -> Instance {
    if let Some(availability) = availability {
        instance.settings.insert(Aspect::NodeAvailability, Setting::Availability(availability.clone()));
    }
    instance
}

/// Two machines that tell of one container: its id is random, and no other one's.
pub(super) fn twins<'a>(told: &[Told<'a>]) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<&str, &'a str> = BTreeMap::new();
    let random = |i: &&Instance| i.id.0.len() == 64 && i.elsewhere().is_none();
    for Told { machine, instances, .. } in told {
        for i in instances.iter().filter(random) {
            if let Some(other) = seen.insert(&i.id.0, machine).filter(|other| other != machine) {
                return Some((other, machine));
            }
        }
    }
    None
}

/// An instance as it is called among several machines.
pub(super) fn named(node: &str, instance: Instance) -> Instance {
    renamed(instance, |called| InstanceId::of_node(node, called), Some(node.to_owned()))
}

/// An instance as its own machine knows it.
pub(super) fn there(instance: &Instance) -> Instance {
    renamed(instance.clone(), |called| InstanceId::on_its_node(called).to_owned(), instance.node.clone())
}

fn renamed(instance: Instance, name: impl Fn(&str) -> String, node: Option<String>) -> Instance {
    let share = |share: Share| Share { with: InstanceId(name(&share.with.0)), name: name(&share.name), ..share };
    Instance {
        id: InstanceId(name(&instance.id.0)),
        name: name(&instance.name),
        node,
        shares: instance.shares.into_iter().map(share).collect(),
        ..instance
    }
}
