//! A fault that starves Squall itself, because what is disturbed and who asks share a machine: that says nothing of the system.

use squall::host::Host;
use squall::host::process::Process;

use crate::runs::published;
use crate::scene::{Scene, lonely};

/// While the target is throttled, the runner is put into its control group, as if both were confined to the same core: it has next
/// to no processor time. The system answers as fast as before.
#[tokio::test]
async fn a_runner_without_processor_time_could_not_ask_and_takes_back_all_the_same() {
    let scene = Scene::of(1, lonely()).await;
    let (spec, port) = published();
    scene.sandbox.start("server", spec).await;
    let before = scene.settings().await;
    let check = format!(
        "stock: {{ http: 'http://127.0.0.1:{port}/stock', rate: 900/s, timeout: 10s, expect: {{ success: 90% }} }}"
    );
    let x =
        scene.checked(&check, "throttle: { cores: 0.1 }", "warm-up: 500ms, baseline: 1s, duration: 10s, recovery: 5s");
    let mut run = scene.start(&x);
    run.until_on().await;
    let main = Process::open(scene.sandbox.pid(&scene.targeted[0]).await).expect("it may be held").expect("it runs");
    let cpu = Host::default()
        .cgroups()
        .of(&main, &scene.targeted[0].0)
        .expect("its control groups")
        .controller("cpu")
        .expect("one for cpu");
    cpu.write("cgroup.procs", &run.pid().to_string()).expect("the runner is put beside its target");

    let ended = run.ends().await;
    ended.is(3, "not-measured").rolled_back_by("runner");
    assert!(ended.state.breaches.is_empty(), "nobody says that the system failed: {:?}", ended.state.breaches);
    assert!(ended.report["text"].as_str().is_some_and(|t| t.contains("sent late")), "{}", ended.report["text"]);
    scene.is_as(&before).await;
}
