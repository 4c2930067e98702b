//! A stack that a run has brought up, when everything that could take it away is dead: it goes, unless a person has it up.

use super::{Scene, at_once, exec, is_there, output, scene, send};
use crate::stack::pids_of;

/// The process that takes the stack away when its run is gone.
fn stack_guard(scene: &Scene) -> Option<String> {
    let state = scene.path("state").display().to_string();
    let is_it = |command: &str| command.contains("stack\0keep") && command.contains(&state);
    let mut all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    all.find(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| is_it(&c)))
}

/// A stack that its run has brought up, and of which everybody who could take it away is dead.
fn orphan() -> Scene {
    let scene = scene(&at_once());
    assert_eq!(output(scene.squall(&["stack", "down", "s.yaml"])).0, Some(0));
    let mut run = scene.squall(&["run", "x.yaml", "--stack", "s.yaml", "--quiet"]).spawn().unwrap();
    let s = scene.until("the fault is on", |s| s.changes.iter().any(|c| c.injected.is_some()));
    let (code, said) = output(scene.squall(&["recover"]));
    assert!(code == Some(0) && !said.contains("stack"), "its run is alive: {said}");
    let (guard, stack_guard) = (s.guards.last().unwrap().id.clone(), stack_guard(&scene).expect("a stack's guard"));
    send("-STOP", &run.id().to_string());
    send("-KILL", &guard);
    send("-KILL", &stack_guard);
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(pids_of(&scene.path("state/stacks/s/state.json")).len(), 1);
    scene
}

#[test]
fn a_stack_whose_run_and_guard_are_dead_is_taken_away() {
    let scene = orphan();
    let (code, said) = output(scene.squall(&["recover"]));
    assert!(code == Some(0) && said.contains("brought up this stack, and it is taken away"), "{code:?} {said}");
    assert_eq!(pids_of(&scene.path("state/stacks/s/state.json")), [] as [i32; 0]);
    assert!(!is_there(&scene.path("state/stacks/s")) && !is_there(&scene.path("fault")), "{said}");
    let (code, said) = output(scene.squall(&["recover"]));
    assert!(code == Some(0) && said.contains("nothing to roll back"), "{code:?} {said}");
}

#[test]
fn a_dead_runs_stack_is_no_stack_of_the_next_run() {
    let scene = orphan();
    std::fs::write(scene.path("x.yaml"), exec("['true']", "['true']")).unwrap();
    let (code, said) = output(scene.squall(&["run", "x.yaml", "--stack", "s.yaml"]));
    assert!(code == Some(0) && said.contains("which a dead run had brought up, is taken away"), "{code:?} {said}");
    assert!(!is_there(&scene.path("state/stacks/s")), "{said}");
}

#[test]
fn a_stack_that_a_person_brings_up_stays() {
    let scene = orphan();
    assert_eq!(output(scene.squall(&["stack", "up", "s.yaml"])).0, Some(0));
    let (code, said) = output(scene.squall(&["recover"]));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(pids_of(&scene.path("state/stacks/s/state.json")).len(), 1, "{said}");
}
