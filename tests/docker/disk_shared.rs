//! A disk that other containers write to as well is not filled for them, by whatever path they have it.

use squall::engine::Observe as _;
use squall::engine::docker::Docker;
use squall::model::disk::sharing::Common;

use crate::disk::{DATA, Loop, MIB, bound, on_volume};
use crate::harness::Sandbox;
use crate::scene::Scene;

const TIMING: &str = "warm-up: 100ms, baseline: 500ms, duration: 1s, recovery: 5s";

/// Two directories of one data disk, and one of them by a symbolic link.
#[tokio::test]
async fn who_writes_to_the_same_disk_keeps_room() {
    let own = Loop::new(48 * MIB);
    let top = own.top();
    let (a, b, link) = (top.join("a"), top.join("b"), own.dir.path().join("link"));
    for dir in [&a, &b] {
        std::fs::create_dir(dir).expect("a directory");
    }
    std::os::unix::fs::symlink(&b, &link).expect("a link");
    for (source, want) in [(&a, "shares the file system of"), (&link, "shares the files of")] {
        let scene = Scene::of(1, bound(source)).await;
        scene.sandbox.start("other", bound(&b)).await;
        let before = scene.settings().await;
        for how in ["to: 100%", "size: 1MiB"] {
            let x = scene.experiment(&format!("disk-fill: {{ path: {DATA}, {how} }}"), TIMING);
            let ended = scene.start_in(&how.replace(|c: char| !c.is_alphanumeric(), "-"), &x).ends().await;
            ended.is(3, "refused");
            let text = ended.report["text"].as_str().expect("a text");
            assert!(text.contains(want) && text.contains(&scene.sandbox.name("other")), "{text}");
        }
        scene.is_as(&before).await;
    }
    // Alone on it, it may be filled to the last byte.
    let scene = Scene::of(1, bound(&a)).await;
    let ended = scene.run(&scene.experiment(&format!("disk-fill: {{ path: {DATA}, to: 100% }}"), TIMING)).await;
    assert_ne!(ended.report["reason"], "refused", "{:?}", ended.report["text"]);
    assert!(ended.state.changes[0].injected.is_some());
}

/// Where one project is all that is seen, the others have disks, too.
#[tokio::test]
async fn who_is_out_of_sight_has_a_disk_as_well() {
    let sandbox = Sandbox::new().await;
    let shared = sandbox.name("shared");
    let mut spec = on_volume(shared.clone(), false);
    spec.labels.push(("squall.service", sandbox.name("seen")));
    sandbox.start("seen", spec).await;
    sandbox.start("prod", on_volume(shared, false)).await;
    let only = format!("squall.service={}", sandbox.name("seen"));
    let docker = Docker::connect(None).await.expect("a Docker Engine is there").with_label_filter(Some(only));
    let fleet = docker.observe().await.expect("the engine answers");
    let [seen] = fleet.as_slice() else { panic!("one is seen: {fleet:?}") };
    let outsiders = |path: &str| &seen.mounts.iter().find(|m| m.path == path).expect("a mount").outsiders;
    let prod = |path: &str| outsiders(path).iter().find(|o| o.name == sandbox.name("prod")).map(|o| o.common);
    assert_eq!((prod(DATA), prod("/")), (Some(Common::Directory), Some(Common::FileSystem)));
}
