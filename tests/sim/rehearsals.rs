//! Every experiment of the repository, on the stack that it is for and without any: it comes to what its first lines say.

use std::path::{Path, PathBuf};

use squall::engine::sim::Sim;
use squall::experiment::stack::Stack;
use squall::experiment::{Experiment, read};
use squall::model::quantity;

use crate::harness::{RunResult, Scenario};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every experiment, with the name of its file and the verdict that its first lines promise.
fn experiments() -> Vec<(String, bool, Experiment)> {
    let entries = std::fs::read_dir(repository("experiments")).expect("a directory");
    let mut all: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("it reads");
            let promise = text.split_once("verdict `").map(|(_, rest)| rest.starts_with("held"));
            let reading = read::experiment("x", text.as_bytes(), &quantity::unset).unwrap_or_else(|m| panic!("{m}"));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name.clone(), promise.unwrap_or_else(|| panic!("{name} promises no verdict")), reading.value)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

async fn come(name: &str, scenario: &Scenario) -> RunResult {
    let ran = scenario.run().await.expect("no process dies");
    scenario.assert_restored(name).await;
    ran
}

#[tokio::test(start_paused = true)]
async fn every_experiment_comes_to_what_it_says_on_its_stack() {
    let text = std::fs::read(repository("examples/shop/stack.yaml")).expect("the stack");
    let stack: Stack = read::stack("stack", &text, &quantity::unset).unwrap_or_else(|m| panic!("{m}")).value;
    for (name, held, x) in experiments() {
        let ran = come(&name, &Scenario::within(Sim::of_stack(&stack), x)).await;
        // No orchestrator moves what is of this stack.
        if name == "node-drain" {
            assert!(ran.code() == 3 && ran.text().contains("by a manager of its Swarm alone"), "{}", ran.text());
            continue;
        }
        assert_eq!(ran.code(), u8::from(!held), "{name}: {}: {}", ran.reason(), ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn every_experiment_can_be_rehearsed_without_a_stack() {
    for (name, _, mut x) in experiments() {
        // Three of each stand here, wherever the experiment expects one.
        x.blast_radius.max_instances = None;
        let ran = come(&name, &Scenario::within(Sim::of_experiment(&x), x)).await;
        assert!(ran.code() <= 1, "{name}: {}: {}", ran.reason(), ran.text());
    }
}
