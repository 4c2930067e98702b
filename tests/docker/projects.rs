//! Two projects with a service of the same name on one engine: only that one is targeted which is meant.

use crate::harness::{Sandbox, Spec};
use crate::scene::{Scene, lonely};

const TIMING: &str = "baseline: 500ms, duration: 1s, recovery: 5s";

fn of(project: &str, service: &str) -> Spec {
    let labels = [("com.docker.compose.project", project), ("com.docker.compose.service", service)];
    Spec { labels: labels.map(|(key, value)| (key, value.to_owned())).to_vec(), ..lonely() }
}

#[tokio::test]
async fn the_service_of_another_project_is_neither_targeted_nor_counted() {
    let sandbox = Sandbox::new().await;
    let (one, other) = (sandbox.name("one"), sandbox.name("other"));
    let mut scene = Box::pin(Scene::in_sandbox(sandbox, 0, lonely())).await;
    scene.targeted.push(Box::pin(scene.sandbox.start("one", of(&one, &scene.service))).await);
    let theirs = Box::pin(scene.sandbox.start("other", of(&other, &scene.service))).await;
    let before = scene.settings().await;
    let life = scene.sandbox.look(&theirs).await.epoch;

    let text = scene.experiment("kill: {}", TIMING).replace("at-least: 0", "at-most: 1");
    let refused = scene.start_in("refused", &text).ends().await;
    refused.is(3, "refused");
    let why = refused.report["text"].as_str().expect("a text").to_owned();
    assert!(why.contains(&format!("`project: {one}` or `project: {other}`")), "{why}");
    assert!(refused.state.changes.is_empty());

    let ended = scene.run(&format!("project: {one}\n{text}")).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert_eq!(ended.state.targeted.iter().map(|i| &i.id).collect::<Vec<_>>(), [&scene.targeted[0]]);
    assert!(ended.state.spared.is_empty(), "nothing of another project: {:?}", ended.state.spared);
    assert_eq!(scene.sandbox.look(&theirs).await.epoch, life);
    scene.is_as(&before).await;

    // The file above the experiment says it for all of them.
    scene.file("squall.yaml", &format!("version: 1\nproject: {other}\n"));
    let ended = scene.start_in("above", &text).ends().await;
    ended.is(0, "hypothesis-held");
    assert_eq!(ended.state.targeted.iter().map(|i| &i.id).collect::<Vec<_>>(), [&theirs]);
    scene.is_as(&before).await;
}
