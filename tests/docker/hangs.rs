//! An engine that hangs: with one container, or on the rollback.

use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::Spec;
use crate::proxy::Proxy;
use crate::scene::{Scene, eventually, lonely};

const SHORT: &str = "baseline: 500ms, duration: 500ms, recovery: 1s";

/// Longer than anything here is tried.
const LONGEST: Duration = Duration::from_mins(5);

async fn said(mut squall: Command) -> (Option<i32>, String) {
    let ended = timeout(LONGEST, squall.output()).await.expect("an end").expect("it starts");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (ended.status.code(), said)
}

#[tokio::test]
async fn a_container_that_hangs_is_named_and_stops_only_whom_it_concerns() {
    let scene = Scene::of(2, lonely()).await;
    let labels = vec![("squall.service", scene.sandbox.name("other"))];
    let other = scene.sandbox.start("other", Spec { labels, ..lonely() }).await;
    let proxy = Proxy::new(scene.dir.path());
    proxy.hold_up(format!("GET /containers/{}/json", other.0));
    let squall = |args: &[&str]| {
        let mut squall = scene.squall("state");
        squall.env("DOCKER_HOST", proxy.host()).args(args);
        squall
    };
    let name = scene.sandbox.name("other");
    let x = scene.file("x.yaml", &scene.experiment("pause: {}", SHORT));
    let x = x.to_str().expect("text");
    let (code, text) = said(squall(&["run", x])).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("does not tell how {name} is")), "it is named: {text}");

    // It could be a target.
    proxy.hold_up(format!("GET /containers/{}/json", scene.targeted[1].0));
    let name = scene.sandbox.name("targeted-2");
    for verb in ["plan", "run"] {
        let (code, text) = said(squall(&[verb, x])).await;
        assert_eq!(code, Some(3), "{verb}: {text}");
        assert!(text.contains(&name) && text.contains("could be a target"), "{verb}: {text}");
    }
}

/// The guard's deadline comes while the runner is still trying.
#[tokio::test]
async fn who_rolls_back_on_an_engine_that_hangs_says_at_its_end_what_is_left() {
    let mut scene = Scene::of(1, lonely()).await;
    scene.grace = "1s";
    let before = scene.settings().await;
    let proxy = Proxy::new(scene.dir.path());
    let mut squall = scene.squall("state");
    squall.env("DOCKER_HOST", proxy.host());
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 60s, recovery: 1s");
    let mut run = scene.start_by(squall, &x, scene.dir.path().join("state"));
    run.until_on().await;
    proxy.hold_up(format!("POST /containers/{}/unpause", scene.targeted[0].0));
    run.signal(Signal::INT);
    let ended = run.ends_within(LONGEST).await;
    let text = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(4), "{text}");
    assert!(text.contains("unpause") && text.contains("still in place"), "{text}");
    assert_ne!(scene.settings().await, before, "it is still on");

    // The engine answers again. The guard may have begun to try.
    proxy.let_through();
    let mut recover = scene.squall("state");
    recover.arg("recover");
    let (code, text) = said(recover).await;
    assert_eq!(code, Some(0), "{text}");
    scene.is_as(&before).await;
}

/// The engine hears of a pause when its caller has long given it up.
#[tokio::test]
async fn an_injection_that_comes_late_is_rolled_back_again() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let proxy = Proxy::new(scene.dir.path());
    proxy.delay(format!("POST /containers/{}/pause", scene.targeted[0].0), Duration::from_secs(4));
    let mut squall = scene.squall("state");
    squall.env("DOCKER_HOST", proxy.host());
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 500ms, recovery: 1s");
    let run = scene.start_by(squall, &x, scene.dir.path().join("state"));
    let ended = run.ends_within(LONGEST).await;
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert_eq!(proxy.delivered(), 1, "the engine has paused it: {said}");
    scene.is_as(&before).await;
}

/// A stop that comes while an injection is on its way, over a network that loses it for a while: the run is over by then.
#[tokio::test]
async fn an_injection_that_comes_when_the_run_is_over_is_rolled_back_by_the_guard() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let proxy = Proxy::new(scene.dir.path());
    proxy.delay(format!("POST /containers/{}/pause", scene.targeted[0].0), Duration::from_secs(20));
    let mut squall = scene.squall("state");
    squall.env("DOCKER_HOST", proxy.tcp_host());
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 60s, recovery: 1s");
    let mut run = scene.start_by(squall, &x, scene.dir.path().join("state"));
    run.until("it is on its way", |s| s.changes.iter().any(|c| c.injecting.is_some())).await;
    run.signal(Signal::INT);
    let ended = run.ends_within(LONGEST).await;
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("1 change may still be made by the engine"), "{said}");
    assert_eq!(proxy.delivered(), 0, "not yet");
    eventually("the late pause", || async { (proxy.delivered() == 1).then_some(()) }).await;
    eventually("its rollback", || async { (scene.settings().await == before).then_some(()) }).await;
    scene.is_as(&before).await;
}
