//! Whether a Swarm gives a node tasks. A manager tells and sets it, of any node, by the node's id. Several changes of a run carry the same:
//! a label on the node names the run that made it so, and what it was made, so that each of them can tell its own run's from a person's.

use bollard::models::{Node, NodeSpec, NodeSpecAvailabilityEnum};
use bollard::query_parameters::UpdateNodeOptionsBuilder;

use super::failure::{Failure, within};
use super::swarm::{ANSWER, Membership};
use super::{Docker, QUICK};
use crate::engine::{Ability, EngineError, Outcome, Tag};
use crate::model::instance::{Aspect, Instance, Setting};
use crate::model::node::{Availability, NodeAvailability};

/// The label on a node that a run holds: the run, and what it made of the node.
const LABEL: &str = "squall.run";

/// How often it is tried anew where another one changes the node at the same time.
const ATTEMPTS: usize = 10;

/// Why it is refused.
const NO_MANAGER: &str =
    "only a manager of its Swarm sets that, and this engine is none; name a manager's engine as well";

impl Docker {
    /// Whether this engine can set the availability of a node of its Swarm.
    pub(super) fn can_set_availability(&self) -> Ability {
        match &self.swarm {
            Some(swarm) if swarm.is_manager() => Ability::Yes,
            _ => Ability::No(NO_MANAGER.to_owned()),
        }
    }

    /// The availability of a node of the Swarm that this engine manages; `None` where there is no such node.
    ///
    /// # Errors
    /// Where the engine is no manager, or does not answer soon.
    pub async fn availability(&self, node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        let attempt = || format!("tell the availability of the node {node}");
        match within(ANSWER, self.api.inspect_node(node)).await {
            Ok(found) => Ok(found.spec.and_then(|spec| told(node, &spec))),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure.error(&self.endpoint.address, attempt)),
        }
    }

    /// Makes it so, of any node of the Swarm that this engine manages. What a run makes so carries the run's name, and what is set without
    /// one takes away what that run has made, and nothing that another one has made of it meanwhile.
    ///
    /// # Errors
    /// Where the engine is no manager or does not answer, or another run holds the node.
    pub async fn set_availability(&self, tag: &Tag, to: &NodeAvailability) -> Result<Outcome, EngineError> {
        let attempt = || format!("have the node {} be {}", to.node, to.is);
        let error = |failure: Failure| failure.error(&self.endpoint.address, attempt);
        let mut refused = String::new();
        for _ in 0..ATTEMPTS {
            let found = match within(QUICK, self.api.inspect_node(&to.node)).await {
                Ok(found) => found,
                Err(Failure::Missing(_)) => return Ok(Outcome::Gone),
                Err(failure) => return Err(error(failure)),
            };
            let Node { version: Some(version), spec: Some(spec), .. } = found else {
                return Err(error(Failure::Refused("its Swarm does not tell how it is".to_owned())));
            };
            let spec = match next(&spec, tag, to) {
                Next::Already => return Ok(Outcome::Already),
                Next::Own => return Ok(Outcome::Done),
                Next::Refused(why) => return Err(error(Failure::Refused(why))),
                Next::Set(spec) => spec,
            };
            let version = version.index.and_then(|n| i64::try_from(n).ok()).unwrap_or_default();
            let options = UpdateNodeOptionsBuilder::new().version(version).build();
            match within(QUICK, self.api.update_node(&to.node, *spec, options)).await {
                Ok(()) => return Ok(Outcome::Done),
                Err(Failure::Missing(_)) => return Ok(Outcome::Gone),
                // Another one was faster, most often: what it made of it is looked at.
                Err(Failure::Refused(why)) => refused = why,
                Err(failure) => return Err(error(failure)),
            }
        }
        Err(error(Failure::Refused(refused)))
    }

    /// Adds the availability of its own node to containers, where this engine manages the Swarm. One that does not answer is not asked again
    /// at once.
    pub(super) async fn see_availability(&self, instances: &mut [Instance]) {
        let Some(Membership { node, .. }) = self.swarm.as_ref().filter(|swarm| swarm.is_manager()) else { return };
        if self.is_silent().is_some() {
            return;
        }
        match self.availability(node).await {
            Ok(Some(availability)) => {
                for i in instances.iter_mut().filter(|i| i.elsewhere().is_none()) {
                    i.settings.insert(Aspect::NodeAvailability, Setting::Availability(availability.clone()));
                }
            }
            Err(why @ EngineError::TimedOut { .. }) => self.is_silent_since_now(why.to_string()),
            // What it refuses takes no time.
            Ok(None) | Err(_) => {}
        }
    }
}

/// What is to be done with a node, as it is now.
enum Next {
    /// Nothing: it is so.
    Already,
    /// Nothing: another change of the same run has made it so.
    Own,
    /// It is another run's.
    Refused(String),
    /// This is to be its specification.
    Set(Box<NodeSpec>),
}

/// Pure.
fn next(spec: &NodeSpec, tag: &Tag, to: &NodeAvailability) -> Next {
    let is = of_engine(spec.availability);
    let held = spec.labels.as_ref().and_then(|labels| labels.get(LABEL)).and_then(|held| held.split_once('/'));
    let with = |availability: Option<Availability>, label: Option<String>| {
        let mut spec = spec.clone();
        let labels = spec.labels.get_or_insert_default();
        match label {
            Some(label) => labels.insert(LABEL.to_owned(), label),
            None => labels.remove(LABEL),
        };
        spec.availability = availability.map(in_engine).or(spec.availability);
        Next::Set(Box::new(spec))
    };
    match (held, to.of_run) {
        (Some((run, _)), true) if run != tag.run => Next::Refused(format!("the run {run} holds it")),
        (Some(_), true) if is == Some(to.is) => Next::Own,
        (Some(_), true) => Next::Refused("another process has changed it since this run did".to_owned()),
        (None, true) if is == Some(to.is) => Next::Already,
        (None, true) => with(Some(to.is), Some(format!("{}/{}", tag.run, to.is))),
        // What a person has made of it meanwhile stays, and shows.
        (Some((run, made)), false) if run == tag.run => {
            with(Some(to.is).filter(|_| is.is_some_and(|is| is.to_string() == made)), None)
        }
        (Some(_) | None, false) => Next::Already,
    }
}

fn told(node: &str, spec: &NodeSpec) -> Option<NodeAvailability> {
    let of_run = spec.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL));
    Some(NodeAvailability { node: node.to_owned(), is: of_engine(spec.availability)?, of_run })
}

fn of_engine(availability: Option<NodeSpecAvailabilityEnum>) -> Option<Availability> {
    match availability? {
        NodeSpecAvailabilityEnum::ACTIVE => Some(Availability::Active),
        NodeSpecAvailabilityEnum::PAUSE => Some(Availability::Pause),
        NodeSpecAvailabilityEnum::DRAIN => Some(Availability::Drain),
        NodeSpecAvailabilityEnum::EMPTY => None,
    }
}

fn in_engine(availability: Availability) -> NodeSpecAvailabilityEnum {
    match availability {
        Availability::Active => NodeSpecAvailabilityEnum::ACTIVE,
        Availability::Pause => NodeSpecAvailabilityEnum::PAUSE,
        Availability::Drain => NodeSpecAvailabilityEnum::DRAIN,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn spec(is: Availability, label: Option<&str>) -> NodeSpec {
        let labels = [("rack", Some("r1")), (LABEL, label)];
        let labels: HashMap<String, String> =
            labels.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
        NodeSpec { availability: Some(in_engine(is)), labels: Some(labels), ..NodeSpec::default() }
    }

    /// What becomes of a node that is `is` and carries this label, where the run `r` sets `to`.
    fn becomes((is, label): (Availability, Option<&str>), to: (Availability, bool)) -> String {
        let tag = Tag { run: "r".to_owned(), change: 3 };
        let to = NodeAvailability { node: "n".to_owned(), is: to.0, of_run: to.1 };
        match next(&spec(is, label), &tag, &to) {
            Next::Already => "already".to_owned(),
            Next::Own => "own".to_owned(),
            Next::Refused(why) => why,
            Next::Set(spec) => {
                let labels = spec.labels.clone().unwrap();
                assert_eq!(labels["rack"], "r1", "what else is there stays");
                format!("{} {}", of_engine(spec.availability).unwrap(), labels.get(LABEL).map_or("-", String::as_str))
            }
        }
    }

    #[test]
    fn a_run_tells_what_it_has_made_itself_from_what_another_one_has() {
        use Availability::{Active, Drain, Pause};
        for (node, to, want) in [
            ((Active, None), (Drain, true), "drain r/drain"),
            ((Drain, None), (Drain, true), "already"),
            ((Drain, Some("r/drain")), (Drain, true), "own"),
            ((Pause, Some("r/drain")), (Drain, true), "another process has changed it since this run did"),
            ((Drain, Some("q/drain")), (Drain, true), "the run q holds it"),
            // The rollback.
            ((Drain, Some("r/drain")), (Active, false), "active -"),
            ((Drain, Some("r/drain")), (Pause, false), "pause -"),
            ((Active, None), (Active, false), "already"),
            // A person has changed it meanwhile, or another run holds it by now.
            ((Pause, Some("r/drain")), (Active, false), "pause -"),
            ((Pause, None), (Active, false), "already"),
            ((Drain, Some("q/drain")), (Active, false), "already"),
        ] {
            assert_eq!(becomes(node, to), want, "{node:?} {to:?}");
        }
    }
}
