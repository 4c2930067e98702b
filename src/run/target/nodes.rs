//! Machines that are out as a whole: everything that runs on one is a target, or its outage is refused by name. Pure.

use std::collections::BTreeSet;

use super::{Refusal, obstacle};
use crate::experiment::{BlastRadius, Injection};
use crate::model::instance::{Instance, Trait};
use crate::text::units::few;

/// Why instances are on no node, for people who want one to be out.
pub(super) const UNKNOWN: &str =
    "; a node is known where an engine names its machine and all of its containers are seen";

/// Whether everything that runs on the nodes of these targets is a target of the same fault.
///
/// # Errors
/// Where something is not: it would go down with the node, and was not meant. By name, with the reason.
pub(crate) fn are_whole(
    radius: &BlastRadius,
    injection: &Injection,
    targeted: &[&Instance],
    fleet: &[Instance],
) -> Result<(), Refusal> {
    if !injection.fault.disturb().targets_nodes() {
        return Ok(());
    }
    let selector = injection.target.selector();
    let nodes: BTreeSet<&String> = targeted.iter().filter_map(|i| i.node.as_ref()).collect();
    for node in nodes {
        let there = |i: &&Instance| i.node.as_ref() == Some(node) && goes_on(i);
        let others = fleet.iter().filter(there).filter(|i| !targeted.iter().any(|t| t.id == i.id));
        let named = others.map(|i| {
            let why = if selector.matches(i) { obstacle(radius, i) } else { None };
            format!("{} ({})", i.name, why.unwrap_or_else(|| "not selected".to_owned()))
        });
        let named: Vec<String> = named.collect();
        if !named.is_empty() {
            return Err(Refusal::limits(format!(
                "everything on the node {node} would be out, and not everything there is a target: {}; select all of it, or move \
                 the rest to another node",
                few(&named.iter().map(String::as_str).collect::<Vec<_>>(), 4)
            )));
        }
    }
    Ok(())
}

/// Whether the outage of its node would be felt there: it runs, or is about to, or is not known not to.
fn goes_on(i: &Instance) -> bool {
    let is_there = i.is_running() || i.unsteady().is_some() || i.unanswered().is_some();
    // The stack of another run is that run's, and would be out, too.
    let is_squall = i.traits.contains(&Trait::Ours) && i.project.is_none();
    is_there && i.elsewhere().is_none() && !is_squall
}

/// Whether so many nodes may be targeted. What an instance on no node shares its fate with is not known, so it counts for itself.
///
/// # Errors
/// Where there are more.
pub(super) fn within(radius: &BlastRadius, targeted: &[&Instance]) -> Result<(), Refusal> {
    let Some(max) = radius.max_nodes else { return Ok(()) };
    let nodes: BTreeSet<&String> = targeted.iter().filter_map(|i| i.node.as_ref()).collect();
    let alone = targeted.iter().filter(|i| i.node.is_none()).count();
    let all = nodes.len() + alone;
    if all <= max {
        return Ok(());
    }
    let of_none = if alone == 0 { String::new() } else { format!(" ({alone} of them instances on no node)") };
    Err(Refusal::limits(format!("{all} nodes would be targeted{of_none}, and `max-nodes` is {max}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::experiment::Experiment;
    use crate::model::instance::{Aspect, Setting};
    use crate::run::target::{Targets, choose};

    /// Two instances of `web` and one of `db` on n1, one of `web` on n2, and one on no node; all up.
    fn fleet() -> Vec<Instance> {
        let all = [
            ("web-1", Some("n1")),
            ("web-2", Some("n1")),
            ("db-1", Some("n1")),
            ("web-3", Some("n2")),
            ("web-4", None),
        ];
        all.map(|(name, node)| {
            let mut i = Instance::new(name, name, name.split('-').next().unwrap_or_default());
            i.node = node.map(str::to_owned);
            i.settings.insert(Aspect::Running, Setting::Running(true));
            i
        })
        .into()
    }

    fn chosen(fleet: &[Instance], target: &Value, limits: &Value) -> Result<Targets, String> {
        let x: Experiment = serde_json::from_value(json!({
            "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "fault": { "node-outage": {} },
            "target": target, "blast-radius": limits,
        }))
        .expect("it is an experiment");
        choose(&x, fleet, 1).map_err(|r| r.text)
    }

    fn names(targets: &Targets) -> Vec<&str> {
        targets.targeted.iter().map(|i| i.name.as_str()).collect()
    }

    #[test]
    fn a_part_of_a_node_is_refused_by_name() {
        let fleet = fleet();
        let limits = || json!({ "max-nodes": 1 });
        assert_eq!(names(&chosen(&fleet, &json!({ "node": "n1" }), &limits()).unwrap()), ["db-1", "web-1", "web-2"]);
        let why = chosen(&fleet, &json!({ "node": "n1", "service": "web" }), &limits()).unwrap_err();
        assert!(why.contains("everything on the node n1 would be out") && why.contains("db-1 (not selected)"), "{why}");
        let mut guarded = fleet.clone();
        guarded[2].labels.insert("keep".to_owned(), String::new());
        let why =
            chosen(&guarded, &json!({ "node": "n1" }), &json!({ "max-nodes": 1, "protect": ["keep"] })).unwrap_err();
        assert!(why.contains("db-1 (protected by keep)"), "{why}");
        let mut paused = fleet.clone();
        paused[0].settings.insert(Aspect::Paused, Setting::Paused(true));
        let why = chosen(&paused, &json!({ "node": "n1" }), &limits()).unwrap_err();
        assert!(why.contains("web-1 (paused)"), "{why}");
        // What does not run, and what is Squall's, is not felt.
        let mut quiet = fleet;
        quiet[0].settings.insert(Aspect::Running, Setting::Running(false));
        quiet[2].traits.insert(Trait::Ours);
        assert_eq!(names(&chosen(&quiet, &json!({ "node": "n1" }), &limits()).unwrap()), ["web-2"]);
        // The stack of another run is part of Squall for everybody else, and would be out nevertheless.
        quiet[2].project = Some("squall-0a1b2c3d".to_owned());
        let why = chosen(&quiet, &json!({ "node": "n1" }), &limits()).unwrap_err();
        assert!(why.contains("db-1 (not selected)") || why.contains("db-1 (it is part of Squall"), "{why}");
    }

    #[test]
    fn no_more_nodes_are_out_than_allowed() {
        let fleet = fleet();
        let all = json!({ "name": "*", "pick": "all" });
        let why = chosen(&fleet, &all, &json!({ "max-nodes": 1 })).unwrap_err();
        assert!(why.contains("2 nodes would be targeted, and `max-nodes` is 1"), "{why}");
        assert_eq!(chosen(&fleet, &all, &json!({ "max-nodes": 2 })).unwrap().targeted.len(), 4, "web-4 is on none");
        let why = chosen(&fleet, &json!({ "pick": { "nodes": 3 } }), &json!({ "max-nodes": 3 })).unwrap_err();
        assert!(why.contains("3 nodes are to be picked, but the matching instances are on 2"), "{why}");
        let nowhere: Vec<Instance> = fleet.into_iter().map(|i| Instance { node: None, ..i }).collect();
        let why = chosen(&nowhere, &json!({ "name": "*" }), &json!({ "max-nodes": 1 })).unwrap_err();
        assert!(why.contains("each is on no node that is known, ") && why.contains(UNKNOWN), "{why}");
    }

    /// By chance, and always whole.
    #[test]
    fn one_of_the_nodes_is_picked_with_everything_on_it() {
        for seed in 0..8 {
            let x: Experiment = serde_json::from_value(json!({
                "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "fault": { "node-outage": {} },
                "target": { "pick": { "nodes": 1 } }, "blast-radius": { "max-nodes": 1 },
            }))
            .expect("it is an experiment");
            let targets = choose(&x, &fleet(), seed).expect("a choice");
            assert!(
                [vec!["db-1", "web-1", "web-2"], vec!["web-3"]].contains(&names(&targets)),
                "{:?}",
                names(&targets)
            );
        }
    }
}
