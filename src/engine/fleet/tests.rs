//! Two simulated machines with the same names on each.

use super::*;
use crate::engine::sim::Sim;
use crate::experiment::stack::Stack;
use crate::model::instance::sharing::{Resource, Share, Side};
use crate::model::instance::{Aspect, Task, Trait};
use crate::model::node::Availability;

fn machine(name: &str) -> (Machine, Arc<Sim>) {
    let stack: Stack = serde_json::from_value(serde_json::json!({
        "version": 1, "name": "s", "services": { "web": { "command": ["web"], "replicas": 2 } },
    }))
    .expect("a stack");
    let sim = Sim::of_stack(&stack);
    (Machine { name: name.to_owned(), engine: Arc::<Sim>::clone(&sim) }, sim)
}

fn claim(service: &str, run: &str) -> Claim {
    Claim { service: service.to_owned(), run: run.to_owned(), owner: String::new(), at: String::new(), holder: None }
}

#[tokio::test]
async fn each_instance_is_found_and_set_on_its_own_machine() {
    let ((two, sim2), (one, sim1)) = (machine("n2"), machine("n1"));
    let fleet = Fleet::of(vec![two, one]);
    let all = fleet.observe().await.unwrap();
    let told: Vec<_> = all.iter().map(|i| (i.name.as_str(), i.node.as_deref().unwrap(), i.service.as_str())).collect();
    assert_eq!(
        told,
        [("n1/web-1", "n1", "web"), ("n1/web-2", "n1", "web"), ("n2/web-1", "n2", "web"), ("n2/web-2", "n2", "web")]
    );
    let id = &all[2].id;
    let frozen = Setting::Paused(true);
    assert_eq!(fleet.can_one(&all[2], &frozen).await.unwrap(), Ability::Yes);
    let tag = Tag { run: "r".to_owned(), change: 0 };
    assert_eq!(fleet.set(&tag, id, &frozen).await.unwrap(), Outcome::Done);
    let is_frozen = |all: Vec<Instance>| {
        all.into_iter().filter(|i| i.settings[&Aspect::Paused] == frozen).map(|i| i.name).collect::<Vec<_>>()
    };
    assert!(is_frozen(sim1.observe().await.unwrap()).is_empty());
    assert_eq!(is_frozen(sim2.observe().await.unwrap()), ["web-1"]);
    assert_eq!(fleet.look(id).await.unwrap().unwrap().id, *id);
    let unknown = fleet.look(&InstanceId("n9/web-1".to_owned())).await.unwrap_err().to_string();
    assert!(unknown.contains("n9/web-1") && unknown.contains("n1, n2"), "{unknown}");
}

/// Answers come in the order of the questions, whichever machine each was for.
#[tokio::test]
async fn what_each_can_do_is_asked_of_its_machine() {
    let fleet = Fleet::of(vec![machine("n1").0, machine("n2").0]);
    let all = fleet.observe().await.unwrap();
    let mark = Setting::Mark(Aspect::Network, Some("r.0".to_owned()));
    let asked: Vec<_> = [(3, mark.clone()), (0, Setting::Paused(true)), (2, Setting::Paused(true)), (1, mark)]
        .map(|(at, to)| (all[at].clone(), to))
        .to_vec();
    let can: Vec<bool> = fleet.can(&asked).await.unwrap().iter().map(|a| *a == Ability::Yes).collect();
    assert_eq!(can, [false, true, true, false]);
}

#[tokio::test]
async fn a_lock_is_on_every_machine_and_is_told_once() {
    let ((one, sim1), (two, sim2)) = (machine("n1"), machine("n2"));
    let fleet = Fleet::of(vec![one, two]);
    fleet.claim(&claim("web", "r")).await.unwrap();
    assert_eq!(fleet.claims().await.unwrap(), [claim("web", "r")]);
    for sim in [&sim1, &sim2] {
        assert!(matches!(sim.claim(&claim("web", "other")).await, Err(EngineError::Claimed(_))));
    }
    fleet.release(&claim("web", "r")).await.unwrap();
    // A lock on one machine alone is one.
    sim2.claim(&claim("web", "other")).await.unwrap();
    assert!(matches!(fleet.claim(&claim("web", "r")).await, Err(EngineError::Claimed(_))));
}

/// An instance of a Swarm's task, as its own engine tells it, or as the manager tells of it.
fn task(id: &str, slot: &str, node: Option<(&str, &str)>) -> Instance {
    let mut i = Instance::new(id, format!("web.{slot}.{id}"), "web");
    i.task = Some(Task { id: id.to_owned(), slot: Some(slot.to_owned()) });
    i.traits.insert(Trait::Orchestrated("Docker Swarm (web)".to_owned()));
    if let Some((node, host)) = node {
        i.labels.insert(crate::engine::NODE_LABEL.to_owned(), node.to_owned());
        i.traits.insert(Trait::Elsewhere(host.to_owned()));
    }
    i
}

fn told<'a>(machine: &'a str, swarm: Option<&SwarmNode>, instances: Vec<Instance>) -> Told<'a> {
    Told { machine, swarm: swarm.cloned(), availability: None, instances }
}

#[test]
fn what_a_manager_tells_of_machines_that_are_asked_themselves_is_left_out() {
    let swarm =
        |id: &str, manages, manager: &str| SwarmNode { id: id.to_owned(), manages, managers: vec![manager.to_owned()] };
    let (n1, n2) = (swarm("id1", true, "id1"), swarm("id2", false, "id1"));
    let told_by_n1 =
        || vec![task("t1", "1", None), task("t2", "2", Some(("id2", "n2"))), task("t3", "3", Some(("id3", "n3")))];
    let mut of_n2 = task("t2", "2", None);
    of_n2.traits.insert(Trait::OthersUnknown("a worker".to_owned()));
    let by_n2 = || told("n2", Some(&n2), vec![of_n2.clone()]);
    let names = |all: &[Instance]| all.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    let all = joined(vec![told("n1", Some(&n1), told_by_n1()), by_n2()]);
    assert_eq!(names(&all), ["n1/web.1.t1", "n2/web.2.t2", "web.3.t3"]);
    assert!(all.iter().all(|i| i.others_unknown().is_none()), "the manager knows");
    let all = joined(vec![told("n1", Some(&n1), Vec::new()), by_n2()]);
    assert!(all[0].others_unknown().is_some(), "one that has nothing of its own and tells nothing may be silent");
    // Where it does not tell, what the others do not know stays unknown.
    let mut silent = task("t1", "1", None);
    silent.traits.insert(Trait::OthersSilent("no quorum".to_owned()));
    let all = joined(vec![told("n1", Some(&n1), vec![silent]), by_n2()]);
    assert!(all.iter().all(|i| i.others_unknown().is_some()), "{all:?}");
    assert!(all.iter().all(|i| i.others_silent() == Some("no quorum")), "{all:?}");
    let stranger = swarm("id9", true, "id9");
    let all = joined(vec![told("n9", Some(&stranger), vec![task("t9", "1", None)]), by_n2()]);
    let unknown = |all: &[Instance], name: &str| all.iter().any(|i| i.name == name && i.others_unknown().is_some());
    assert!(unknown(&all, "n2/web.2.t2"), "a manager of another Swarm knows nothing of this one");
}

#[test]
fn what_a_manager_tells_of_a_node_is_told_of_what_is_on_it() {
    let is = NodeAvailability { node: "id2".to_owned(), is: Availability::Drain, of_run: false };
    let of_n2 = Told { availability: Some(is.clone()), ..told("n2", None, vec![task("t2", "2", None)]) };
    let all = joined(vec![told("n1", None, vec![task("t1", "1", None)]), of_n2]);
    let known: Vec<_> = all.iter().map(|i| i.settings.get(&Aspect::NodeAvailability)).collect();
    assert_eq!(known, [None, Some(&Setting::Availability(is))]);
}

#[test]
fn what_is_shared_on_a_machine_is_called_as_all_are() {
    let mut i = Instance::new("c1", "web-1", "web");
    let with = InstanceId("c2".to_owned());
    let share = Share { what: Resource::Network, side: Side::Lender, with, name: "store".to_owned(), runs: true };
    i.shares.insert(share);
    let named = joined::named("n1", i.clone());
    let share = named.shares.first().unwrap();
    assert_eq!((share.with.0.as_str(), share.name.as_str()), ("n1/c2", "n1/store"));
    let back = joined::there(&named);
    assert_eq!((&back.id, &back.name, &back.shares), (&i.id, &i.name, &i.shares));
}

/// Its instances would count twice for every limit.
#[test]
fn one_engine_under_two_names_is_found_by_its_containers() {
    let id = |n: char| n.to_string().repeat(64);
    let of = |machine, ids: &[String]| {
        told(machine, None, ids.iter().map(|id| Instance::new(id.clone(), "web", "web")).collect())
    };
    let twins = |a: &[String], b: &[String]| joined::twins(&[of("a", a), of("b", b)]).is_some();
    assert_eq!(joined::twins(&[of("a", &[id('1'), id('2')]), of("b", &[id('2')])]), Some(("a", "b")));
    assert!(!twins(&[id('1')], &[id('2')]));
    let names = ["web-1".to_owned()];
    assert!(!twins(&names, &names), "a name is no proof");
}
