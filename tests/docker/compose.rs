//! `squall run --stack compose.yaml`: a project of its own is brought up by Compose, seen alone, and taken away however it ends.

use std::process::Stdio;
use std::time::Duration;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder};
use rustix::process::Signal;
use squall::engine::docker::PROGRAM;
use squall::model::instance::Trait;
use tokio::process::Child;

use crate::harness::{Sandbox, Spec};
use crate::scene::{Scene, eventually, lonely, send};

const LABEL: &str = "com.docker.compose.project";

/// Two stores with a volume, whose health check is a command of the binary.
fn file(scene: &Scene, health: &str, interval: &str) -> std::path::PathBuf {
    let image = &scene.sandbox.image;
    // Marked, so that this test finds its own project whatever it is called.
    let mark = &scene.sandbox.prefix;
    scene.file(
        "compose.yaml",
        &format!(
            "version: '3.7'\nservices:\n  store:\n    image: {image}\n    command: serve store --listen 0.0.0.0:8080\n    \
             labels: {{ squall.mark: {mark} }}\n    volumes: ['data:/data']\n    healthcheck: {{ test: [CMD, {PROGRAM}, {health}], \
             interval: {interval}, retries: 1 }}\nvolumes: {{ data: {{ labels: {{ squall.mark: {mark} }} }} }}\nnetworks: \
             {{ default: {{ labels: {{ squall.mark: {mark} }} }} }}\n"
        ),
    )
}

fn experiment(scene: &Scene, duration: &str) -> std::path::PathBuf {
    scene.file(
        "x.yaml",
        &format!(
            "version: 1\nname: {}\nhypothesis: It is seen alone.\nsteady-state:\n  stores: {{ engine: {{ service: store, \
             count: running }}, rate: 10/s, expect: {{ value: {{ at-most: 1 }} }} }}\ntarget: {{ service: store, pick: all }}\nfault: pause\n\
             blast-radius: {{ max-instances: 1 }}\ntiming: {{ baseline: 1s, duration: {duration}, recovery: 10s }}\n",
            scene.sandbox.name("x")
        ),
    )
}

fn run(scene: &Scene, file: &std::path::Path, x: &std::path::Path) -> Child {
    let mut squall = scene.squall("state");
    squall.arg("run").arg(x).arg("--stack").arg(file);
    squall.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// The containers, networks and volumes of this test's projects.
async fn projects(scene: &Scene) -> (usize, usize, usize) {
    let mark = format!("squall.mark={}", scene.sandbox.prefix);
    let marked = std::collections::HashMap::from([("label", vec![mark.as_str()])]);
    let api = &scene.sandbox.api;
    let options = ListContainersOptionsBuilder::new().all(true).filters(&marked).build();
    let containers = api.list_containers(Some(options)).await.expect("an answer");
    let networks = api.list_networks(Some(ListNetworksOptionsBuilder::new().filters(&marked).build())).await;
    let volumes = api.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(&marked).build())).await;
    let volumes = volumes.expect("an answer").volumes.unwrap_or_default();
    (containers.len(), networks.expect("an answer").len(), volumes.len())
}

async fn up(scene: &Scene) {
    eventually("its containers", || async { (projects(scene).await.0 == 1).then_some(()) }).await;
}

async fn gone(scene: &Scene) {
    eventually("the end of the project", || async { (projects(scene).await == (0, 0, 0)).then_some(()) }).await;
}

#[tokio::test]
async fn a_project_is_brought_up_seen_alone_and_taken_away() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    // Another one's, of a service of the same name: neither targeted nor counted.
    let mut other = Spec { labels: vec![("com.docker.compose.service", "store".to_owned())], ..lonely() };
    other.labels.push((LABEL, scene.sandbox.name("other")));
    let other = Box::pin(scene.sandbox.start("other", other)).await;
    let before = scene.sandbox.look(&other).await;
    let stack = file(&scene, "--version", "1s");
    let x = std::fs::read_to_string(experiment(&scene, "2s")).expect("it is there");
    // Here the experiment names its stack; elsewhere the command line does.
    let named = scene.file("named.yaml", &format!("{x}stack: {}\n", stack.display()));
    let mut squall = scene.squall("state");
    squall.arg("run").arg(named).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = squall.spawn().expect("it starts").wait_with_output().await;
    let output = output.expect("a child");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the stack is up as the project squall-"), "{said}");
    assert_eq!(projects(&scene).await, (0, 0, 0), "{said}");
    let after = scene.sandbox.look(&other).await;
    assert_eq!((&before.settings, &before.epoch), (&after.settings, &after.epoch));
}

#[tokio::test]
async fn what_another_run_brought_up_is_nobodys_target() {
    let sandbox = Sandbox::new().await;
    let spec = Spec { labels: vec![(LABEL, "squall-0a1b2c3d".to_owned())], ..Spec::default() };
    let theirs = sandbox.start("theirs", spec).await;
    let ours = sandbox.start("ours", Spec { labels: vec![(LABEL, "shop".to_owned())], ..Spec::default() }).await;
    assert!(sandbox.look(&theirs).await.traits.contains(&Trait::Ours));
    assert!(!sandbox.look(&ours).await.traits.contains(&Trait::Ours));
}

#[tokio::test]
async fn one_that_is_unhealthy_is_no_verdict_and_is_taken_away() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    let output = run(&scene, &file(&scene, "nonsense", "1s"), &experiment(&scene, "2s")).wait_with_output().await;
    let output = output.expect("a child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("did not come up, and nothing of it is left") && said.contains("is unhealthy"), "{said}");
    assert_eq!(projects(&scene).await, (0, 0, 0), "{said}");
}

#[tokio::test]
async fn what_compose_cannot_read_is_told_in_its_words() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    let wrong = scene.file("compose.yaml", "version: '3.7'\nservices: { store: { imagination: 1 } }\n");
    let output = run(&scene, &wrong, &experiment(&scene, "2s")).wait_with_output().await.expect("a child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("imagination") && said.contains("compose.yaml"), "{said}");
}

#[tokio::test]
async fn a_signal_while_it_comes_up_takes_it_away() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    // Its first look at its health is an hour away.
    let child = run(&scene, &file(&scene, "--version", "1h"), &experiment(&scene, "2s"));
    up(&scene).await;
    send(child.id().expect("it runs"), Signal::TERM);
    let output = child.wait_with_output().await.expect("a child");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(projects(&scene).await, (0, 0, 0));
}

#[tokio::test]
async fn a_runner_that_is_killed_leaves_nothing() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    let mut child = run(&scene, &file(&scene, "--version", "1s"), &experiment(&scene, "60s"));
    up(&scene).await;
    eventually("the fault", || async { paused(&scene).await.then_some(()) }).await;
    child.kill().await.expect("it is there");
    gone(&scene).await;
    // And while Compose is still at work.
    let mut child = run(&scene, &file(&scene, "--version", "1h"), &experiment(&scene, "60s"));
    eventually("something of it", || async { (projects(&scene).await != (0, 0, 0)).then_some(()) }).await;
    child.kill().await.expect("it is there");
    gone(&scene).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(projects(&scene).await, (0, 0, 0), "nobody adds to it any more");
}

#[tokio::test]
async fn another_context_meanwhile_does_not_keep_a_dead_runs_project() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    let config = scene.file("config.json", "{}");
    let mut squall = scene.squall("state");
    squall.arg("run").arg(experiment(&scene, "60s")).arg("--stack").arg(file(&scene, "--version", "1s"));
    squall.env("DOCKER_CONFIG", config.parent().expect("a directory"));
    let mut child = squall.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    eventually("the fault", || async { paused(&scene).await.then_some(()) }).await;
    // As `docker context use elsewhere` does.
    std::fs::write(&config, r#"{ "currentContext": "elsewhere" }"#).expect("a file");
    child.kill().await.expect("it is there");
    gone(&scene).await;
}

async fn paused(scene: &Scene) -> bool {
    let mark = format!("squall.mark={}", scene.sandbox.prefix);
    let filters = std::collections::HashMap::from([("label", vec![mark.as_str()]), ("status", vec!["paused"])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    !scene.sandbox.api.list_containers(Some(options)).await.expect("an answer").is_empty()
}

/// The processes of this test's run: the runner, its guard, the stack's guard.
fn processes(scene: &Scene) -> Vec<u32> {
    let state = scene.file("x", "").with_file_name("state").display().to_string();
    let of_run = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| c.contains(&state) && c.contains("squall"))
    };
    let all = std::fs::read_dir("/proc").expect("it").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    all.filter(of_run).collect()
}

#[tokio::test]
async fn a_project_of_which_everybody_is_dead_is_taken_away_by_recover() {
    let scene = Box::pin(Scene::of(0, lonely())).await;
    for health in ["1s", "1h"] {
        let mut child = run(&scene, &file(&scene, "--version", health), &experiment(&scene, "60s"));
        up(&scene).await;
        if health == "1s" {
            eventually("the fault", || async { paused(&scene).await.then_some(()) }).await;
        }
        // Held still first: who notices another one's end acts on it.
        let all = processes(&scene);
        let mut mine: Vec<u32> = all.into_iter().chain(child.id()).collect();
        mine.sort_unstable();
        mine.dedup();
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in &mine {
                send(*pid, signal);
            }
        }
        child.wait().await.expect("a child");
        assert_ne!(projects(&scene).await, (0, 0, 0), "nobody is left to take it away");
        let output = scene.squall("state").arg("recover").output().await.expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("brought up this stack, and it is taken away"), "{said}");
        assert_eq!(projects(&scene).await, (0, 0, 0), "{said}");
    }
}
