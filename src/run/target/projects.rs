//! Selections in a fleet of several projects: each takes instances of one of them, or says of which ones. Pure.

use std::collections::BTreeSet;

use super::{Refusal, protected_by};
use crate::experiment::{Experiment, Injection};
use crate::model::instance::project::{NONE, by_project};
use crate::model::instance::{Instance, InstanceId, Trait};

/// Whether no target of the experiment, and no probe that asks the engine, means instances of several projects without saying so.
///
/// # Errors
/// The first that does.
pub(super) fn are_said(x: &Experiment, fleet: &[Instance]) -> Result<(), Refusal> {
    for injection in x.faults() {
        let selector = injection.target.selector();
        // A stopped one counts, too: it may be the one that was meant.
        let meant = fleet.iter().filter(|i| selector.matches(i) && protected_by(&x.blast_radius, i).is_none());
        said(&format!("the target ({selector})"), &selector.project, meant)?;
    }
    for (name, check) in x.all_checks() {
        if let Some((probe, projects)) = check.asks_engine() {
            let meant = fleet.iter().filter(|i| i.is_of_service(probe));
            said(&format!("the probe `{name}` (service {probe})"), projects, meant)?;
        }
    }
    Ok(())
}

/// Everybody else whom a fault may be about: those of its target's projects, unless it says of its peers itself which they are.
///
/// # Errors
/// Where its peers are of several projects and nothing says which are meant.
pub(crate) fn others(fleet: &[Instance], instance: &Instance, injection: &Injection) -> Result<Vec<Instance>, Refusal> {
    let (target, peering) = (&injection.target.project, injection.fault.disturb().peers());
    let others = fleet.iter().filter(|i| i.id != instance.id);
    let Some(peering) = peering else {
        // A zone is that of the target's project.
        let own = |i: &&Instance| if target.is_empty() { i.project == instance.project } else { i.is_of(target) };
        return Ok(others.filter(own).map(|i| i.reached_from(instance)).collect());
    };
    let mut meant: BTreeSet<&InstanceId> = BTreeSet::new();
    let others: Vec<&Instance> = others.collect();
    for who in peering.all().iter().filter(|who| who.is_of_instances()) {
        let named = if who.project.is_empty() { target } else { &who.project };
        let of = || others.iter().copied().filter(|i| i.is_of(named) && who.means(i));
        said(&format!("`{}` ({peering})", injection.fault.name()), named, of())?;
        meant.extend(of().map(|i| &i.id));
    }
    Ok(others.into_iter().filter(|i| meant.contains(&i.id)).map(|i| i.reached_from(instance)).collect())
}

/// Whether a fault that targets these could have meant this instance as well, by its project.
pub(crate) fn could_mean(injection: &Injection, targeted: &[&Instance], i: &Instance) -> bool {
    let named = &injection.target.project;
    if named.is_empty() { targeted.iter().any(|h| h.project == i.project) } else { i.is_of(named) }
}

/// What else would match in other projects, where a selection says its own and finds nothing.
pub(super) fn elsewhere(injection: &Injection, fleet: &[Instance]) -> String {
    let mut selector = injection.target.selector();
    if std::mem::take(&mut selector.project).is_empty() {
        return String::new();
    }
    let found = by_project(fleet.iter().filter(|i| selector.matches(i) && !i.traits.contains(&Trait::Ours)));
    if found.is_empty() { String::new() } else { format!("; without its project it would match in {}", told(&found)) }
}

/// Whether these are of one project, or of several that are named.
fn said<'a>(what: &str, named: &[String], meant: impl Iterator<Item = &'a Instance>) -> Result<(), Refusal> {
    // The stack of another run is never meant.
    let found = by_project(meant.filter(|i| !i.traits.contains(&Trait::Ours)));
    if !named.is_empty() || found.len() < 2 {
        return Ok(());
    }
    let lines: Vec<String> = found.keys().map(|p| format!("`project: {}`", p.unwrap_or(NONE))).collect();
    Err(Refusal::limits(format!(
        "{what} matches instances of several projects: {}; add {} at the top of the file, or beside what it selects; \
         `project: \"*\"` takes all of them",
        told(&found),
        lines.join(" or ")
    )))
}

fn told(found: &std::collections::BTreeMap<Option<&str>, Vec<&str>>) -> String {
    let each = found.iter().map(|(project, names)| {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let project = project.map_or_else(|| "no project".to_owned(), |p| format!("`{p}`"));
        format!("{project} ({})", super::list(&names))
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::instance::{Aspect, Setting};
    use crate::run::target::choose;

    /// An instance of `service` in zone b, up, in this project.
    fn of(project: Option<&str>, service: &str) -> Instance {
        let name = format!("{}{service}-1", project.map(|p| format!("{p}-")).unwrap_or_default());
        let mut i = Instance::new(&name, &name, service);
        i.zone = Some("b".to_owned());
        i.project = project.map(str::to_owned);
        i.labels.extend(project.map(|p| ("com.docker.compose.project".to_owned(), p.to_owned())));
        i.settings.insert(Aspect::Running, Setting::Running(true));
        i
    }

    /// Two projects with a `web` each, one with a `db`, and a `web` in none.
    fn fleet() -> Vec<Instance> {
        vec![of(Some("shop"), "web"), of(Some("shop"), "db"), of(Some("billing"), "web"), of(None, "web")]
    }

    fn experiment(target: &Value, more: &Value) -> Experiment {
        let mut all = json!({
            "version": 1, "name": "x", "hypothesis": "", "steady-state": {}, "fault": { "pause": {} }, "target": target,
            "blast-radius": { "max-instances": 9 },
        });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            all[key] = value;
        }
        serde_json::from_value(all).expect("it is an experiment")
    }

    /// Whom it targets, or why it targets none.
    fn targeted(fleet: &[Instance], target: &Value, more: &Value) -> Result<Vec<String>, String> {
        let targets = choose(&experiment(target, more), fleet, 1).map_err(|r| r.text)?;
        Ok(targets.targeted.into_iter().map(|i| i.name).collect())
    }

    #[test]
    fn a_selection_of_several_projects_is_refused_with_the_line_to_add() {
        for target in [json!({ "service": "web" }), json!({ "name": "*web*" }), json!({ "zone": "b" })] {
            let why = targeted(&fleet(), &target, &json!({})).unwrap_err();
            assert!(why.contains("matches instances of several projects"), "{target}: {why}");
            for part in [
                "no project (web-1)",
                "`billing` (billing-web-1)",
                "`shop` (shop-",
                "`project: shop`",
                "`project: none`",
            ] {
                assert!(why.contains(part), "{target}: {part}: {why}");
            }
        }
        assert_eq!(
            targeted(&fleet(), &json!({ "service": "db" }), &json!({})).unwrap(),
            ["shop-db-1"],
            "there is only one"
        );
        // The one that is meant may be the one that does not run.
        let mut stopped = fleet();
        stopped.pop();
        stopped[2].settings.insert(Aspect::Running, Setting::Running(false));
        targeted(&stopped, &json!({ "service": "web" }), &json!({})).unwrap_err();
        // What is protected, or the stack of another run, is never meant.
        stopped[2].traits.insert(Trait::Ours);
        assert_eq!(targeted(&stopped, &json!({ "service": "web" }), &json!({})).unwrap(), ["shop-web-1"]);
    }

    #[test]
    fn a_project_is_said_at_the_top_or_beside_the_selection() {
        for (here, top, want) in [
            (json!("shop"), Value::Null, &["shop-web-1"][..]),
            (Value::Null, json!("billing"), &["billing-web-1"]),
            (json!("none"), json!("shop"), &["web-1"]),
            (json!("*"), json!("shop"), &["billing-web-1", "shop-web-1", "web-1"]),
        ] {
            let list = |named: &Value| if named.is_null() { json!([]) } else { json!([named]) };
            let target = json!({ "service": "web", "pick": "all", "project": list(&here) });
            assert_eq!(targeted(&fleet(), &target, &json!({ "project": list(&top) })).unwrap(), want, "{here} {top}");
        }
        let why = targeted(&fleet(), &json!({ "service": "db" }), &json!({ "project": ["billing"] })).unwrap_err();
        assert!(
            why.contains("(service db, project billing)") && why.contains("it would match in `shop` (shop-db-1)"),
            "{why}"
        );
    }

    #[test]
    fn only_what_could_have_been_meant_is_spared() {
        let choice = choose(&experiment(&json!({ "service": "web" }), &json!({ "project": ["shop"] })), &fleet(), 1);
        let spared: Vec<String> = choice.unwrap().spared.into_iter().map(|s| s.name).collect();
        assert_eq!(spared, ["shop-db-1"]);
        let choice = choose(&experiment(&json!({ "service": "db" }), &json!({})), &fleet(), 1);
        let spared: Vec<String> = choice.unwrap().spared.into_iter().map(|s| s.name).collect();
        assert_eq!(spared, ["shop-web-1"]);
    }

    #[test]
    fn a_probe_of_the_engine_counts_one_project() {
        let steady = |project: Value| json!({ "webs": { "engine": { "service": "web", "count": "running", "project": project } } });
        let target = json!({ "service": "db" });
        let why = targeted(&fleet(), &target, &json!({ "steady-state": steady(json!([])) })).unwrap_err();
        assert!(why.contains("the probe `webs` (service web) matches instances of several projects"), "{why}");
        targeted(&fleet(), &target, &json!({ "steady-state": steady(json!(["billing"])) })).unwrap();
        let x = experiment(&target, &json!({ "steady-state": steady(json!([])), "project": ["shop"] }));
        let crate::experiment::probe::Probe::Engine(probe) = &x.all_checks()["webs"].probe else { panic!("{x:?}") };
        let read = |fleet: &[Instance]| match probe.read(fleet) {
            crate::experiment::probe::Answer::Good { value, .. } => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(&fleet()).as_deref(), Some("1"));
    }

    #[test]
    fn peers_are_of_the_targets_project_or_of_one_that_is_said() {
        let fleet = fleet();
        let peers = |to: Value, project: Value| {
            let fault = json!({ "fault": { "latency": { "delay": "1s", "to": to } }, "project": project });
            let x = experiment(&json!({ "service": "db" }), &fault);
            let found = others(&fleet, &fleet[1], &x.faults()[0]).map_err(|r| r.text)?;
            Ok::<_, String>(found.into_iter().map(|i| i.name).collect::<Vec<_>>())
        };
        let why = peers(json!({ "service": "web" }), json!([])).unwrap_err();
        assert!(why.contains("`latency` (to service web) matches instances of several projects"), "{why}");
        assert_eq!(peers(json!({ "service": "web" }), json!(["shop"])).unwrap(), ["shop-web-1"]);
        assert_eq!(
            peers(json!({ "service": "web", "project": ["billing"] }), json!(["shop"])).unwrap(),
            ["billing-web-1"]
        );
        peers(json!({ "host": "example.com" }), json!([])).expect("an address is in no project");
        let several =
            json!([{ "instance": ["shop-*", "nobody"], "zone": "b" }, { "service": "web", "project": ["none"] }]);
        assert_eq!(peers(several, json!(["shop"])).unwrap(), ["shop-web-1", "web-1"], "each with its own project");
        let labelled = json!({ "labels": ["com.docker.compose.project=billing"], "project": ["*"] });
        assert_eq!(peers(labelled, json!([])).unwrap(), ["billing-web-1"]);
    }

    #[test]
    fn the_zone_that_is_out_is_that_of_the_targets_project() {
        let fleet = fleet();
        let x = experiment(&json!({ "service": "db" }), &json!({ "fault": { "zone-outage": { "mode": "isolate" } } }));
        let found = others(&fleet, &fleet[1], &x.faults()[0]).unwrap();
        assert_eq!(found.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["shop-web-1"]);
    }
}
