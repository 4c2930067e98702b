//! Commands of a person's whose programs are not in the container: refused before anything is touched, and never undone.

use std::time::Duration;

use squall::engine::docker::PROGRAM;
use squall::engine::{Apply as _, EngineError, Outcome};
use squall::model::instance::{Command, CommandLocation, Setting};

use crate::scene::{Scene, lonely};

const SHORT: &str = "baseline: 500ms, duration: 500ms, recovery: 1s";

fn command(run: &[&str]) -> Command {
    Command {
        run: run.iter().map(|word| (*word).to_owned()).collect(),
        place: CommandLocation::Target,
        timeout: Duration::from_secs(20),
        variables: std::collections::BTreeMap::new(),
        directory: None,
    }
}

#[tokio::test]
async fn a_command_or_an_undo_that_is_not_in_the_target_is_refused_by_the_plan() {
    let scene = Scene::of(1, lonely()).await;
    let there = format!("[{PROGRAM}, --version]");
    for (run, undo) in [("[bash, -c, 'true']", there.as_str()), (there.as_str(), "[bash, -c, 'true']")] {
        let ended = scene.run(&scene.experiment(&format!("exec: {{ run: {run}, undo: {undo} }}"), SHORT)).await;
        ended.is(3, "refused");
        let text = ended.report["text"].as_str().unwrap_or_default();
        assert!(text.contains("cannot be started: there is no program `bash`"), "{text}");
        std::fs::remove_dir_all(scene.dir.path().join("state")).expect("the state of one run");
    }
    let fine = format!("exec: {{ run: {there}, undo: {there} }}");
    scene.run(&scene.experiment(&fine, SHORT)).await.is(0, "hypothesis-held");
}

#[tokio::test]
async fn what_the_runtime_cannot_start_never_began() {
    let scene = Scene::of(1, lonely()).await;
    let (docker, id) = (&scene.sandbox.docker, &scene.targeted[0]);
    let run = |words: &[&str]| Setting::Ran(command(words));
    let error = docker.set(&scene.sandbox.tag(0), id, &run(&["bash"])).await.expect_err("it is not there");
    assert!(matches!(error, EngineError::NotBegun { .. }) && error.to_string().contains("bash"), "{error}");
    let fails = docker.set(&scene.sandbox.tag(0), id, &run(&[PROGRAM, "--no-such-flag"])).await.expect_err("it fails");
    assert!(matches!(fails, EngineError::Refused { .. }), "{fails}");
    // The engine refuses to begin anything in a container that is paused.
    docker.set(&scene.sandbox.tag(1), id, &Setting::Paused(true)).await.expect("it is paused");
    let paused = docker.set(&scene.sandbox.tag(0), id, &run(&[PROGRAM, "--version"])).await.expect_err("it is paused");
    assert!(matches!(paused, EngineError::NotBegun { .. }) && paused.to_string().contains("paused"), "{paused}");
    docker.set(&scene.sandbox.tag(1), id, &Setting::Paused(false)).await.expect("it goes on");
    let ran = docker.set(&scene.sandbox.tag(0), id, &run(&[PROGRAM, "--version"])).await.expect("it is there");
    assert_eq!(ran, Outcome::Done);
}
