//! What of a run is rolled back at once. Pure.

use crate::engine::{Description, Member};
use crate::model::instance::{Change, Instance, InstanceId, Setting};

/// What of a run is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// All of the run.
    Everything,
    /// One fault of its list, whose time is over.
    Fault(usize),
    /// All that a node can roll back by itself, and not what commands of the user's have done, which have their variables from where the
    /// runner was.
    OfNode(Part<'a>),
}

impl Scope<'_> {
    /// Whether a change is of it.
    pub(super) fn covers(self, change: &Change) -> bool {
        match self {
            Self::Everything => true,
            Self::Fault(fault) => fault == change.fault,
            Self::OfNode(part) => part.sees_to(change) && !matches!(change.to, Setting::Ran(_)),
        }
    }

    /// Whether an instance can be looked at from where that is rolled back.
    pub(super) fn sees(self, instance: &Instance) -> bool {
        match self {
            Self::Everything | Self::Fault(_) => true,
            Self::OfNode(part) => part.has(&instance.id.0),
        }
    }
}

/// A machine's part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The machine, and all of the run's; `None` where the run has no other.
    of: Option<(&'a Member, &'a [Member])>,
}

impl<'a> Part<'a> {
    /// Of the machine that is called so in a run on this engine.
    pub(super) fn new(engine: Option<&'a Description>, node: Option<&str>) -> Self {
        let members = engine.map_or(&[][..], |engine| &engine.members);
        let member = node.and_then(|node| members.iter().find(|member| member.name == node));
        Self { of: member.map(|member| (member, members)) }
    }

    /// Whether something with this name or id is on it.
    pub(super) fn has(self, called: &str) -> bool {
        self.of.is_none_or(|(member, _)| InstanceId::split(called).is_some_and(|(on, _)| on == member.name))
    }

    /// Whether it is for this machine to roll a change back: of what is on it; but a node of a Swarm is told by its managers what to do.
    pub(super) fn sees_to(self, change: &Change) -> bool {
        let Some((own, all)) = self.of.filter(|_| matches!(change.to, Setting::Availability(_))) else {
            return self.has(&change.instance.0);
        };
        let on = InstanceId::split(&change.instance.0).map(|(on, _)| on);
        let node = all.iter().find(|member| Some(member.name.as_str()) == on).and_then(|m| m.engine.swarm.as_ref());
        let swarms = node.zip(own.engine.swarm.as_ref());
        // A journal of an older version does not say.
        swarms.map_or_else(|| self.has(&change.instance.0), |(node, own)| node.is_managed_by(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Kind, SwarmNode};
    use crate::model::node::{Availability, NodeAvailability};

    /// n1 manages n2; n3 manages another Swarm.
    fn fleet() -> Description {
        let member = |name: &str, manages, managers: &[&str]| {
            let swarm = SwarmNode {
                id: format!("id-{name}"),
                manages,
                managers: managers.iter().map(|m| format!("id-{m}")).collect(),
            };
            let engine = Description { swarm: Some(swarm), ..Description::of(Kind::Docker, name, "1") };
            Member { name: name.to_owned(), engine }
        };
        let members = vec![member("n1", true, &["n1"]), member("n2", false, &["n1"]), member("n3", true, &["n3"])];
        Description { members, ..Description::of(Kind::Docker, "", "1") }
    }

    #[test]
    fn a_manager_sees_to_the_nodes_of_its_own_swarm() {
        let fleet = fleet();
        let change = |on: &str, to: Setting| {
            let mut change =
                Change::restoring(&Instance::new(format!("{on}/web"), "web", "web"), Setting::Paused(false));
            change.to = to;
            change
        };
        let drained = |on: &str| {
            let is = NodeAvailability { node: format!("id-{on}"), is: Availability::Drain, of_run: true };
            change(on, Setting::Availability(is))
        };
        let seen_to = |change: &Change| {
            let see = |node: &&str| Scope::OfNode(Part::new(Some(&fleet), Some(node))).covers(change);
            ["n1", "n2", "n3"].into_iter().filter(see).collect::<Vec<_>>()
        };
        assert_eq!(seen_to(&drained("n2")), ["n1"]);
        assert_eq!(seen_to(&drained("n1")), ["n1"]);
        assert_eq!(seen_to(&drained("n3")), ["n3"]);
        assert_eq!(seen_to(&change("n2", Setting::Paused(true))), ["n2"]);
        assert!(Scope::OfNode(Part::new(Some(&fleet), None)).covers(&drained("n2")), "the run has one machine alone");
        let older = |m: &Member| Member { engine: Description { swarm: None, ..m.engine.clone() }, ..m.clone() };
        let older = Description { members: fleet.members.iter().map(older).collect(), ..fleet.clone() };
        let seen_to = |node| Scope::OfNode(Part::new(Some(&older), Some(node))).covers(&drained("n2"));
        assert!(seen_to("n2") && !seen_to("n1"), "a journal of an older version does not say who manages whom");
    }
}
