//! Instances that an orchestrator replaces by others when they end, instead of starting them again; also on machines that are not seen
//! from here. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Health, Instance, Trait};

/// Which task of an orchestrator's an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The task itself: no two instances are the same one, wherever they run.
    pub id: String,
    /// Its place in its service, in which one task follows another; where there are such places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

impl Instance {
    /// Who replaces it when it ends, if anybody does.
    #[must_use]
    pub fn replaced_by(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::Orchestrated(by) = t { Some(by.as_str()) } else { None })
    }

    /// On which machine it runs, if that one is not seen from here: nothing but what its orchestrator tells is known of it.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::Elsewhere(node) = t { Some(node.as_str()) } else { None })
    }

    /// Why it is not known whether more instances of its service run on other machines, if that is so.
    #[must_use]
    pub fn others_unknown(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| match t {
            Trait::OthersUnknown(why) | Trait::OthersSilent(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// The same where who knows does not tell just now: what was counted before cannot be counted.
    #[must_use]
    pub fn others_silent(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::OthersSilent(why) = t { Some(why.as_str()) } else { None })
    }

    /// Whether it has ended for good: another one stands in for it, and to start this one again would make both.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.replaced_by().is_some() && self.elsewhere().is_none() && !self.is_running()
    }

    /// Whether it serves, as far as can be known: it is up and healthy, or its orchestrator says so.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.is_healthy() || self.elsewhere().is_some() && self.health == Some(Health::Healthy)
    }

    /// Whether it is what an orchestrator would start when the other one has ended: of the same service, in its place if the orchestrator
    /// knows places, and not the same.
    #[must_use]
    pub fn could_replace(&self, other: &Self) -> bool {
        let slot = |i: &Self| i.task.as_ref().and_then(|task| task.slot.clone());
        let same_slot = slot(self).zip(slot(other)).is_none_or(|(one, other)| one == other);
        self.id != other.id && self.replaced_by().is_some() && self.is_replica_of(other) && same_slot
    }

    /// Whether both are of the same service of the same project.
    #[must_use]
    pub fn is_replica_of(&self, other: &Self) -> bool {
        self.service == other.service && self.project == other.project
    }

    /// Whether this name means its service: its whole name, or that in its stack (`web` for `shop_web` of the stack `shop`).
    #[must_use]
    pub fn is_of_service(&self, name: &str) -> bool {
        let stack = self.project.as_deref().filter(|_| self.task.is_some());
        let short = stack.and_then(|stack| self.service.strip_prefix(stack)?.strip_prefix('_'));
        self.service == name || short == Some(name)
    }
}

/// What several machines tell together: a task that one says to run elsewhere and another one shows is seen, and told once.
#[must_use]
pub fn of_all_machines(told: Vec<Instance>) -> Vec<Instance> {
    let id = |i: &Instance| i.task.as_ref().map(|task| task.id.clone());
    let mut known: BTreeSet<String> = told.iter().filter(|i| i.elsewhere().is_none()).filter_map(id).collect();
    told.into_iter().filter(|i| i.elsewhere().is_none() || id(i).is_none_or(|id| known.insert(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Setting;

    /// A task of `web`: its id, and on which other machine, if it is not seen.
    fn task(id: &str, slot: &str, elsewhere: Option<&str>) -> Instance {
        let mut i = Instance::new(format!("container-{id}"), format!("web.{slot}.{id}"), "web");
        i.task = Some(Task { id: id.to_owned(), slot: Some(slot.to_owned()) });
        i.traits.insert(Trait::Orchestrated("Docker Swarm (web)".to_owned()));
        if let Some(node) = elsewhere {
            i.traits.insert(Trait::Elsewhere(node.to_owned()));
            i.health = Some(Health::Healthy);
        } else {
            let runs = Setting::Running(true);
            i.settings.insert(runs.aspect(), runs);
        }
        i
    }

    #[test]
    fn a_task_is_replaced_by_one_in_its_slot() {
        let ended = task("a", "1", None);
        assert!(task("b", "1", None).could_replace(&ended) && task("c", "1", Some("n2")).could_replace(&ended));
        assert!(!task("d", "2", None).could_replace(&ended), "it is in another slot");
        assert!(!ended.could_replace(&ended));
        let other = Instance { service: "api".to_owned(), ..task("e", "1", None) };
        assert!(!other.could_replace(&ended), "it is of another service");
        let unplaced = Instance { task: None, ..task("f", "2", None) };
        assert!(unplaced.could_replace(&ended), "not every orchestrator knows slots");
    }

    #[test]
    fn what_runs_elsewhere_stands_and_is_never_up() {
        let there = task("a", "1", Some("n2"));
        assert!(there.stands() && !there.is_up() && !there.is_healthy() && !there.is_over());
        assert!(!Instance { health: Some(Health::Starting), ..there }.stands());
    }

    #[test]
    fn a_task_that_any_machine_shows_is_seen() {
        let told = vec![
            task("a", "1", None),
            task("b", "2", Some("n2")),
            task("c", "3", Some("n3")),
            task("b", "2", None),
            task("c", "3", Some("n3")),
        ];
        let all = of_all_machines(told);
        let told: Vec<_> = all.iter().map(|i| (i.name.as_str(), i.elsewhere())).collect();
        assert_eq!(told, [("web.1.a", None), ("web.3.c", Some("n3")), ("web.2.b", None)]);
    }

    #[test]
    fn a_stacks_service_goes_by_its_whole_name_and_by_that_in_its_stack() {
        let mut i =
            Instance { service: "shop_web".to_owned(), project: Some("shop".to_owned()), ..task("a", "1", None) };
        assert!(i.is_of_service("shop_web") && i.is_of_service("web") && !i.is_of_service("shop"));
        i.task = None;
        assert!(!i.is_of_service("web"), "a project of Compose has no such names");
    }
}
