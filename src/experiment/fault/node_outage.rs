//! A whole machine that instances run on: cut off, without power, or drained of its tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, Whole, as_before, power};
use crate::experiment::document::found::Found;
use crate::model::instance::{Aspect, Instance, Rollback, Setting};
use crate::model::node::{Availability, Isolation, NodeAvailability};

/// The outage of whole machines. Everything that runs on one must be a target; `pick: { nodes: 1 }` is its default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodeOutage {
    /// What happens to the node (default `isolate`).
    pub mode: Mode,
    /// `self`: the system must recover without intervention. With `power` restart policies are then left as they are.
    pub heal: Heal,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mode {
    /// It is cut off from everything but itself; what runs on it goes on, and talks with each other.
    #[default]
    Isolate,
    /// Everything on it is killed at the same moment, and nothing is started there until it comes back.
    Power,
    /// Its Swarm gives it no tasks, and moves those that it has.
    Drain,
}

impl NodeOutage {
    /// What the node's orchestrator is told, where it is one that can be told.
    fn availability(&self, instance: &Instance) -> Option<NodeAvailability> {
        let now = observed(instance)?;
        match self.mode {
            Mode::Isolate => None,
            // One that is given no new tasks needs not be told.
            Mode::Power => (now.is == Availability::Active).then(|| now.made(Availability::Pause)),
            Mode::Drain => Some(now.made(Availability::Drain)),
        }
    }
}

/// The availability of its node, as far as it is known.
fn observed(instance: &Instance) -> Option<&NodeAvailability> {
    match instance.settings.get(&Aspect::NodeAvailability) {
        Some(Setting::Availability(availability)) => Some(availability),
        _ => None,
    }
}

impl Disturb for NodeOutage {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        let told = self.availability(instance).map(Setting::Availability);
        let rest = match self.mode {
            Mode::Isolate => vec![Setting::Isolated(Isolation::default())],
            Mode::Power => power::cut(instance, self.heal),
            Mode::Drain => Vec::new(),
        };
        told.into_iter().chain(rest).collect()
    }

    fn back(&self, to: &Setting, before: Option<&Setting>) -> Rollback {
        match to {
            Setting::Killed(_) => Rollback::To(Setting::Running(true)),
            _ => as_before(to, before),
        }
    }

    fn check(&self, _: &mut Found<'_>, _: &[&str]) {}

    fn heal(&self) -> Heal {
        self.heal
    }

    /// The engine kills one after the other, which is better than nothing where the host's processes cannot be seen.
    fn instead(&self, to: &Setting) -> Option<Setting> {
        power::one_by_one(to)
    }

    fn whole(&self) -> Option<Whole> {
        Some(Whole::Node)
    }

    fn refuses(&self, i: &Instance) -> Option<String> {
        let known = observed(i);
        if known.is_some_and(|now| now.of_run) {
            return Some("its node is held by another run of Squall (label `squall.run`)".to_owned());
        }
        if let Some(Setting::Mark(_, Some(_))) = i.settings.get(&Aspect::NodeNetwork) {
            return Some("its node is cut off already".to_owned());
        }
        match (self.mode, known) {
            (Mode::Drain, None) => Some(
                "whether its node is given tasks is known by a manager of its Swarm alone, and its engine is none".to_owned(),
            ),
            (Mode::Drain, Some(now)) if now.is == Availability::Drain => Some("its node is drained already".to_owned()),
            (Mode::Power, None) if self.heal == Heal::Squall => i.replaced_by().map(|by| {
                format!(
                    "{by} would start another one on the same node, and only a manager keeps it from that, which its engine is not"
                )
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Kill, RestartPolicy, Signal, Trait, Via};

    fn outage(mode: &str) -> NodeOutage {
        serde_json::from_value(serde_json::json!({ "mode": mode })).unwrap()
    }

    /// A task on a node of this availability, where a manager tells it.
    fn task(is: Option<Availability>) -> Instance {
        let mut i = Instance::new("web.1", "web.1", "web");
        i.node = Some("n3".to_owned());
        i.traits.insert(Trait::Orchestrated("Docker Swarm (web)".to_owned()));
        i.settings.insert(Aspect::RestartPolicy, Setting::RestartPolicy(RestartPolicy::Never));
        let told = is.map(|is| Setting::Availability(NodeAvailability { node: "id3".to_owned(), is, of_run: false }));
        i.settings.extend(told.map(|told| (Aspect::NodeAvailability, told)));
        i
    }

    fn told(mode: &str, is: Option<Availability>) -> Vec<String> {
        outage(mode).settings(&task(is), &Context::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_node_is_cut_off_without_power_or_drained() {
        let active = Some(Availability::Active);
        assert_eq!(told("isolate", active), ["cut off together with its node"]);
        assert_eq!(told("drain", active), ["on a node that is drained of its tasks (by Squall)"]);
        let killed = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host }).to_string();
        assert_eq!(
            told("power", active),
            ["on a node that is given no new tasks (by Squall)".to_owned(), killed.clone()]
        );
        assert_eq!(told("power", Some(Availability::Drain)), [killed], "it is given none");
    }

    #[test]
    fn the_availability_goes_back_to_what_it_was() {
        for was in [Availability::Active, Availability::Pause] {
            let (i, drain) = (task(Some(was)), outage("drain"));
            let to = drain.settings(&i, &Context::default()).remove(0);
            let before = i.settings[&Aspect::NodeAvailability].clone();
            assert_eq!(drain.back(&to, Some(&before)), Rollback::To(before));
        }
    }

    #[test]
    fn what_only_a_manager_keeps_from_being_replaced_is_refused_without_one() {
        for (mode, is, refused) in [
            ("isolate", None, false),
            ("drain", None, true),
            ("drain", Some(Availability::Pause), false),
            ("drain", Some(Availability::Drain), true),
            ("power", None, true),
            ("power", Some(Availability::Active), false),
        ] {
            assert_eq!(outage(mode).refuses(&task(is)).is_some(), refused, "{mode} {is:?}");
        }
        let mut plain = task(None);
        plain.traits.clear();
        assert_eq!(outage("power").refuses(&plain), None, "nothing replaces it");
    }
}
