//! Instances on machines that are not seen from here, of which an orchestrator tells. None of them is ever a target; what is about a
//! service as a whole needs to see them all. Pure.

use std::collections::BTreeMap;

use super::{Refusal, counting_limit, protected_by};
use crate::experiment::{BlastRadius, Injection, Pick};
use crate::model::instance::{Instance, Setting};
use crate::model::network::Peers;
use crate::text::units::few;

/// Whether every instance is seen that counts for the limits of the services that are targeted.
///
/// # Errors
/// Where one is not.
pub(super) fn counts(radius: &BlastRadius, fleet: &[Instance], targeted: &[&Instance]) -> Result<(), Refusal> {
    let Some(limit) = counting_limit(radius) else { return Ok(()) };
    for target in targeted {
        let unseen = replicas(fleet, target);
        if !unseen.is_empty() {
            let service = &target.service;
            return Err(Refusal::limits(format!(
                "`{limit}` counts every instance of `{service}`, and {}; leave `{limit}` out, or have all of `{service}` run where \
                 they are seen",
                not_seen(&unseen)
            )));
        }
    }
    Ok(())
}

/// Whether a choice that is about all instances, or a share of them, or whole zones, has seen them all.
///
/// # Errors
/// Where it has not: what is left out would go on serving.
pub(super) fn none_is_left_out(
    radius: &BlastRadius,
    injection: &Injection,
    fleet: &[Instance],
    picked: &[&Instance],
) -> Result<(), Refusal> {
    let selector = injection.target.selector();
    let is_meant = |i: &&Instance| match injection.pick() {
        Pick::All | Pick::Share(_) => true,
        // What runs elsewhere is on a node of its own.
        Pick::Count(_) | Pick::Nodes(_) => false,
        Pick::Zones(_) => i.zone.is_some() && picked.iter().any(|p| p.zone == i.zone),
    };
    let meant = |i: &&Instance| selector.matches(i) && protected_by(radius, i).is_none() && is_meant(i);
    let unseen: Vec<&Instance> = elsewhere(fleet).filter(meant).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    Err(Refusal::limits(format!(
        "`pick: {}` is about all that match the target ({selector}), and {}; say how many are to be targeted of those that are seen \
         (`pick: 1`)",
        injection.pick(),
        not_seen(&unseen)
    )))
}

/// Whether every peer that a setting of traffic is about is seen, and shares a network with the instance: of others the addresses are
/// not known.
///
/// # Errors
/// Where one does not.
pub(crate) fn peers_are_seen(
    fault: &str,
    targets_zones: bool,
    to: &Setting,
    instance: &Instance,
    peers: &[Instance],
) -> Result<(), Refusal> {
    let about = |what: fn(&Peers) -> bool| to.traffic().iter().any(|traffic| what(&traffic.peers));
    let (these, all_but) = (about(|p| matches!(p, Peers::These(_))), about(|p| matches!(p, Peers::AllBut(_))));
    let meant = |i: &&Instance| {
        let is_of_its_zone = i.zone == instance.zone;
        these && (!targets_zones || i.zone.is_some() && !is_of_its_zone) || all_but && is_of_its_zone
    };
    let unseen: Vec<&Instance> = elsewhere(peers).filter(meant).collect();
    if unseen.is_empty() {
        let is_apart = |i: &&Instance| i.is_on_another_node_than(instance) && i.is_running() && i.addresses.is_empty();
        return match peers.iter().filter(meant).find(is_apart) {
            Some(apart) => Err(Refusal::limits(format!(
                "`{fault}` is about the traffic of {} with {}, which is on another machine, and they share no network: what address one \
                 has for the other is not known; name it (`cidr`, `host`) instead",
                instance.name, apart.name
            ))),
            None => Ok(()),
        };
    }
    Err(Refusal::limits(format!(
        "`{fault}` is about the traffic of {} with instances of which {}, so that it would meet a part of that traffic alone; name \
         their addresses (`cidr`, `host`) instead",
        instance.name,
        not_seen(&unseen)
    )))
}

/// Where those run that match a target and are not seen, for the error that there is none; empty if there are none.
pub(super) fn told(injection: &Injection, fleet: &[Instance]) -> String {
    let selector = injection.target.selector();
    let unseen: Vec<&Instance> = elsewhere(fleet).filter(|i| selector.matches(i)).collect();
    if unseen.is_empty() { String::new() } else { format!("; {}", not_seen(&unseen)) }
}

/// What people should know of the services that are targeted, each once: what runs elsewhere, or why that is not known.
#[must_use]
pub(crate) fn warnings(fleet: &[Instance], targeted: &[Instance]) -> Vec<String> {
    let mut warned: BTreeMap<(&str, Option<&str>), String> = BTreeMap::new();
    for target in targeted {
        let (unseen, service) = (replicas(fleet, target), &target.service);
        let warning = match target.others_unknown() {
            _ if !unseen.is_empty() => {
                format!("of `{service}` {}: they are neither targeted nor looked at", not_seen(&unseen))
            }
            Some(why) => format!(
                "whether more instances of `{service}` run on other machines is not known ({why}): only those that are seen here count"
            ),
            None => continue,
        };
        warned.insert((service, target.project.as_deref()), warning);
    }
    warned.into_values().collect()
}

fn elsewhere(fleet: &[Instance]) -> impl Iterator<Item = &Instance> {
    fleet.iter().filter(|i| i.elsewhere().is_some())
}

fn replicas<'a>(fleet: &'a [Instance], of: &Instance) -> Vec<&'a Instance> {
    elsewhere(fleet).filter(|i| i.is_replica_of(of)).collect()
}

/// How many they are and on which machines, in words.
fn not_seen(unseen: &[&Instance]) -> String {
    let mut per_node: BTreeMap<&str, usize> = BTreeMap::new();
    for node in unseen.iter().filter_map(|i| i.elsewhere()) {
        *per_node.entry(node).or_default() += 1;
    }
    let nodes: Vec<&str> = per_node.into_keys().collect();
    let run = if unseen.len() == 1 { "runs" } else { "run" };
    let are = if nodes.len() == 1 { "is" } else { "are" };
    format!("{} {run} on {}, which {are} not seen from here", unseen.len(), few(&nodes, 4))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::experiment::Experiment;
    use crate::model::instance::{Aspect, Health, Trait};
    use crate::model::network::{Direction, Flow, Network, Traffic, Treatment};
    use crate::run::target::choose;

    /// Two of `web` that are seen, and one each on n2 and n3; one of `store` on n2 alone.
    fn fleet() -> Vec<Instance> {
        let all =
            [("web.1", None), ("web.2", None), ("web.3", Some("n2")), ("web.4", Some("n3")), ("store.1", Some("n2"))];
        all.map(|(name, node)| {
            let service = name.split('.').next().unwrap_or_default();
            let mut i = Instance::new(name, name, service);
            i.zone = Some("a".to_owned());
            i.traits.insert(Trait::Orchestrated("Docker Swarm".to_owned()));
            if let Some(node) = node {
                i.traits.insert(Trait::Elsewhere(node.to_owned()));
                i.health = Some(Health::Healthy);
            } else {
                i.settings.insert(Aspect::Running, Setting::Running(true));
            }
            i
        })
        .to_vec()
    }

    fn chosen(target: &Value, radius: &Value) -> Result<Vec<String>, String> {
        let x: Experiment = serde_json::from_value(json!({
            "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "fault": { "pause": {} }, "target": target,
            "blast-radius": radius,
        }))
        .expect("it is an experiment");
        let targets = choose(&x, &fleet(), 1).map_err(|r| r.text)?;
        Ok(targets.targeted.into_iter().map(|i| i.name).collect())
    }

    #[test]
    fn a_limit_that_counts_what_is_not_seen_is_refused_with_the_machines() {
        for (limit, radius) in [
            ("min-healthy", json!({ "max-instances": 1, "min-healthy": 1 })),
            ("max-percent", json!({ "max-percent": "50%" })),
        ] {
            let why = chosen(&json!({ "service": "web" }), &radius).unwrap_err();
            let says =
                format!("`{limit}` counts every instance of `web`, and 2 run on n2, n3, which are not seen from here");
            assert!(why.contains(&says), "{why}");
        }
        let one = chosen(&json!({ "service": "web" }), &json!({ "max-instances": 1 })).expect("nothing counts them");
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn what_is_about_all_of_them_is_refused_and_no_choice_takes_one_that_is_not_seen() {
        let radius = json!({ "max-instances": 9, "max-zones": 9 });
        for pick in [json!("all"), json!("50%"), json!({ "zones": 1 })] {
            let why = chosen(&json!({ "service": "web", "pick": pick }), &radius).unwrap_err();
            assert!(why.contains("2 run on n2, n3, which are not seen from here"), "{pick}: {why}");
        }
        let two = chosen(&json!({ "service": "web", "pick": 2 }), &radius).expect("two are seen");
        assert_eq!(two, ["web.1", "web.2"]);
        let three = chosen(&json!({ "service": "web", "pick": 3 }), &radius).unwrap_err();
        assert!(three.contains("only 2 match"), "{three}");
        let nowhere = chosen(&json!({ "service": "store" }), &radius).unwrap_err();
        assert!(nowhere.contains("1 runs on n2, which is not seen from here"), "{nowhere}");
    }

    #[test]
    fn peers_that_are_not_seen_are_refused() {
        let fleet = fleet();
        let cut = |peers: Peers| {
            let traffic = Traffic { peers, ..Traffic::all(Direction::Egress) };
            let flows = vec![Flow { traffic, treatment: Treatment::Drop }];
            Setting::Network(Box::new(Network { flows, mechanism: None, seed: 1 }))
        };
        let refusal = |zones: bool, to: &Setting, peers: &[Instance]| {
            peers_are_seen("partition", zones, to, &fleet[0], peers).err().map(|r| r.text).unwrap_or_default()
        };
        let these = cut(Peers::These(Vec::new()));
        let why = refusal(false, &these, &fleet[1..]);
        assert!(
            why.contains("the traffic of web.1 with instances of which 3 run on n2, n3, which are not seen"),
            "{why}"
        );
        assert_eq!(refusal(false, &these, &fleet[1..2]), "", "all of them are seen");
        assert_eq!(refusal(false, &cut(Peers::Everybody), &fleet[1..]), "", "it does not matter who they are");
        assert_eq!(refusal(true, &these, &fleet[1..]), "", "none of them is in another zone");
    }

    #[test]
    fn what_is_not_seen_or_not_known_is_warned_of_once() {
        let mut fleet = fleet();
        let warned = warnings(&fleet, &fleet[..2]);
        assert_eq!(
            warned,
            ["of `web` 2 run on n2, n3, which are not seen from here: they are neither targeted nor looked at"]
        );
        fleet.truncate(2);
        assert!(warnings(&fleet, &fleet).is_empty(), "all are seen");
        fleet[0].traits.insert(Trait::OthersUnknown("a worker".to_owned()));
        let warned = warnings(&fleet, &fleet);
        assert!(warned[0].contains("not known (a worker): only those that are seen here count"), "{warned:?}");
    }
}
