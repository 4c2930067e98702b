//! What an orchestrator replaces: containers with the labels of a Swarm's tasks, and the test in the place of the Swarm.

use crate::harness::Spec;
use crate::scene::{Scene, lonely};

const TIMING: &str = "baseline: 500ms, duration: 1s, recovery: 20s";

#[tokio::test]
async fn a_task_is_replaced_and_never_started_again() {
    let labels = ["com.docker.swarm.service.name", "com.docker.swarm.task.id"];
    let mut spec = Spec { labels: labels.map(|key| (key, "web".to_owned())).to_vec(), ..lonely() };
    let scene = Box::pin(Scene::of(2, spec.clone())).await;
    let mut run = scene.start(&scene.experiment("kill: { heal: self }", TIMING));
    let state = run.until_on().await;
    let ended = state.targeted[0].id.clone();
    spec.labels.push(("squall.service", scene.service.clone()));
    let successor = Box::pin(scene.sandbox.start("targeted-3", spec)).await;
    let done = run.ends().await;
    done.is(0, "hypothesis-held");
    assert!(!scene.sandbox.look(&ended).await.is_running(), "it runs beside its successor");
    assert!(scene.sandbox.look(&successor).await.is_up());
    scene.is_clear().await;
}
