//! What several machines tell of their instances, as one. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Machine;
use crate::engine::NODE_LABEL;
use crate::model::instance::sharing::Share;
use crate::model::instance::{Instance, InstanceId, Trait, of_all_machines};

/// All instances, each with its machine in its id and its name, ordered by name. What one machine tells of another that is asked itself
/// is left out.
pub(super) fn joined(told: Vec<(&Machine, Vec<Instance>)>) -> Vec<Instance> {
    let nodes: BTreeSet<&str> = told.iter().filter_map(|(m, _)| Some(m.swarm.as_ref()?.id.as_str())).collect();
    let is_asked =
        |i: &Instance| i.elsewhere().is_some() && i.labels.get(NODE_LABEL).is_some_and(|n| nodes.contains(n.as_str()));
    let tells = |(machine, all): &(&Machine, Vec<Instance>)| {
        // One that has nothing of its own and tells nothing may be silent.
        let says = all.iter().any(|i| i.replaced_by().is_some());
        machine.swarm.as_ref().is_some_and(|s| s.manages) && says && all.iter().all(|i| i.others_silent().is_none())
    };
    let is_told = told.iter().any(tells);
    let mut elsewhere: BTreeMap<InstanceId, Instance> = BTreeMap::new();
    let mut fleet = Vec::new();
    for (machine, all) in told {
        for mut instance in all {
            if is_asked(&instance) {
                continue;
            }
            if instance.elsewhere().is_some() {
                // Each manager tells of it.
                elsewhere.insert(instance.id.clone(), instance);
                continue;
            }
            if is_told && machine.swarm.is_some() {
                instance.traits.retain(|t| !matches!(t, Trait::OthersUnknown(_) | Trait::OthersSilent(_)));
            }
            fleet.push(named(&machine.name, instance));
        }
    }
    fleet.extend(elsewhere.into_values());
    fleet.sort_by(|a, b| a.name.cmp(&b.name));
    of_all_machines(fleet)
}

/// Two machines that tell of one container: its id is random, and no other one's.
pub(super) fn twins<'a>(told: &[(&'a Machine, Vec<Instance>)]) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<&str, &'a str> = BTreeMap::new();
    let random = |i: &&Instance| i.id.0.len() == 64 && i.elsewhere().is_none();
    for (machine, all) in told {
        for i in all.iter().filter(random) {
            if let Some(other) = seen.insert(&i.id.0, &machine.name).filter(|other| *other != machine.name) {
                return Some((other, &machine.name));
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
