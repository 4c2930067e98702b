//! The sim does what every engine must do.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use squall::engine::Engine;
use squall::engine::sim::{ExternalAction, Sim};
use squall::experiment::fault::{Context, Fault};
use squall::experiment::{Experiment, read};
use squall::model::instance::{Instance, InstanceId, Setting};
use squall::model::quantity;

use crate::conforms::{Commands, World, conforms, lives, others};
use crate::harness::STACK;

struct SimWorld {
    sim: Arc<Sim>,
    given: usize,
}

#[async_trait]
impl World for SimWorld {
    fn engine(&self) -> &dyn Engine {
        self.sim.as_ref()
    }

    async fn instance(&mut self, _: &str) -> InstanceId {
        self.given += 1;
        InstanceId(format!("shop-{}", self.given))
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.sim.act_on(id, ExternalAction::Remove);
        true
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn service(&self) -> String {
        "shop".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn the_sim_conforms() {
    conforms(&mut SimWorld { sim: Sim::of_stack(&serde_yaml::from_str(STACK).unwrap()), given: 0 }).await;
}

/// What kind of setting it is, as the journal calls it.
fn kind(setting: &Setting) -> String {
    let name = |value: serde_json::Value| match value {
        serde_json::Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    match setting {
        Setting::Limit(limit) => format!("limit {}", name(serde_json::to_value(limit).expect("JSON"))),
        Setting::Stressor(stressor) => format!("load {}", name(serde_json::to_value(&stressor.work).expect("JSON"))),
        other => name(serde_json::to_value(other).expect("JSON")),
    }
}

/// The experiments of the repository have every fault, and what each one sets is asked of every engine.
#[test]
fn whatever_a_fault_sets_is_asked_of_every_engine() {
    // What the engines' own tests show, since it takes more than an instance and an engine.
    const ELSEWHERE: [(&str, &str); 7] = [
        ("restarted", "a function of its own, since it gives another life"),
        ("limit io", "a disk of its own: `tests/docker/machine.rs`"),
        ("signalled", "processes inside of the instance: `tests/docker/processes.rs`"),
        ("load stop", "processes inside of the instance: `tests/docker/processes.rs`"),
        ("load connections", "a server of its own: `tests/docker/connections.rs`"),
        ("isolated", "a machine of its own: `tests/docker/outage.rs`"),
        ("connections-reset", "connections of the instance: `tests/docker/traffic.rs`"),
    ];
    let i = Instance::new("shop-1", "shop-1", "shop");
    let asked: BTreeSet<String> = lives().iter().chain(&others(&i)).map(kind).collect();
    let mut seen = BTreeSet::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    for entry in std::fs::read_dir(folder).expect("a directory") {
        let text = std::fs::read(entry.expect("an entry").path()).expect("it reads");
        let Ok(reading) = read::experiment("it", &text, &quantity::unset) else { continue };
        for injection in Experiment::faults(&reading.value) {
            seen.insert(injection.fault.name());
            for to in injection.fault.disturb().settings(&i, &Context::default()) {
                let kind = kind(&to);
                // A command is the user's own.
                let known = kind == "ran" || ELSEWHERE.iter().any(|(of, _)| *of == kind);
                assert!(
                    known || asked.contains(&kind),
                    "`{}` sets `{kind}`, which no engine is asked for",
                    injection.fault.name()
                );
            }
        }
    }
    assert_eq!(seen, BTreeSet::from(Fault::NAMES));
}
