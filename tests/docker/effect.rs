//! Faults of the machine that meet nothing, or are not had, are no verdict; those that are met say what shows it.

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use squall::host::Host;
use squall::host::process::Process;
use squall::model::effect::Effect;
use squall::model::instance::Instance;

use crate::disk::bound;
use crate::harness::{Sandbox, Spec};
use crate::scene::{Ended, Scene, lonely};

const TIMING: &str = "warm-up: 100ms, baseline: 500ms, duration: 3s, recovery: 5s";

fn limited() -> Spec {
    let mut spec = lonely();
    (spec.host.memory, spec.host.nano_cpus) = (Some(64 << 20), Some(500_000_000));
    spec
}

/// Runs an experiment with a state directory of its own.
async fn run(scene: &Scene, fault: &str) -> Ended {
    let state = fault.replace(|c: char| !c.is_alphanumeric(), "-");
    scene.start_in(&state, &scene.experiment(fault, TIMING)).ends().await
}

fn text(ended: &Ended) -> &str {
    ended.report["text"].as_str().expect("a text")
}

/// A service that is asked nothing.
#[tokio::test]
async fn what_meets_nothing_is_no_verdict() {
    let scene = Scene::of(1, limited()).await;
    let before = scene.settings().await;
    for (fault, seen) in [
        ("pids: { leave: 0 }", "it asked for no process beyond the limit"),
        ("throttle: { cores: 0.4 }", "it was never held back"),
        ("cpu: { cores: 0.1 }", "the load had"),
    ] {
        let ended = run(&scene, fault).await;
        ended.is(3, "no-effect").rolled_back_by("runner");
        assert!(text(&ended).contains(seen) && text(&ended).contains("`idle: allowed`"), "{fault}: {}", text(&ended));
    }
    run(&scene, "throttle: { cores: 0.4, idle: allowed }").await.is(0, "held-without-effect");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn what_is_met_says_so_and_what_no_kernel_counts_as_well() {
    let scene = Scene::of(1, limited()).await;
    let main = Process::open(scene.sandbox.pid(&scene.targeted[0]).await).expect("it may be held").expect("it runs");
    let cpu = Host::default()
        .cgroups()
        .of(&main, &scene.targeted[0].0)
        .expect("its control groups")
        .controller("cpu")
        .expect("one for cpu");
    let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("it starts");
    cpu.write("cgroup.procs", &busy.id().to_string()).expect("it is put beside the target");
    let ended = run(&scene, "throttle: { cores: 0.02 }").await;
    busy.kill().and_then(|()| busy.wait()).expect("it ends");
    ended.is(0, "hypothesis-held");
    let effect = ended.state.changes[0].effect.clone().expect("it is known");
    assert!(effect.is_affected() && effect.to_string().contains("it was held back"), "{effect}");
    let ended = run(&scene, "file-descriptors: { leave: 4 }").await;
    ended.is(0, "hypothesis-held");
    assert!(matches!(ended.state.changes[0].effect, Some(Effect::Unknown { .. })));
    assert!(text(&ended).contains("cannot be known"), "{}", text(&ended));
}

#[tokio::test]
async fn memory_that_is_not_there_is_refused_with_the_numbers() {
    let scene = Scene::of(1, limited()).await;
    for (fault, want) in
        [("memory: { size: 60MiB }", "can be loaded"), ("memory: { to: 1% }", "nothing would be loaded")]
    {
        let ended = run(&scene, fault).await;
        ended.is(3, "refused");
        assert!(text(&ended).contains("are in use") && text(&ended).contains(want), "{}", text(&ended));
    }
    let ended = run(&scene, "memory: { size: 40MiB }").await;
    assert_eq!(ended.output.status.code(), Some(0), "{}", text(&ended));
    let effect = ended.state.changes[0].effect.clone().expect("it is known");
    assert!(effect.to_string().contains("40 MiB of 40 MiB"), "{effect}");
    let ended = run(&scene, "memory: { size: 4MiB }").await;
    ended.is(3, "no-effect");
    assert!(text(&ended).contains("of the 64 MiB that it may use were in use: less than half"), "{}", text(&ended));
}

/// Control groups of version 1 count what a program waits for as its own; what it leaves in the page cache, they do not.
#[tokio::test]
async fn what_is_synced_is_limited_and_counted_as_the_targets() {
    let sandbox = Sandbox::new().await;
    let own = tempfile::Builder::new().prefix("squall-test-").tempdir().expect("a directory");
    let id = sandbox.start("synced", bound(own.path())).await;
    let written = |i: &Instance| i.counters.iter().flat_map(|c| c.disks.values()).map(|rates| rates[1]).sum::<u64>();
    let before = written(&sandbox.look(&id).await);
    let main = Process::open(sandbox.pid(&id).await).expect("it may be held").expect("it runs");
    let group = Host::default().cgroups().of(&main, &id.0).expect("its control groups");
    let Some(io) = group.controller("blkio") else { return };
    // Since Linux 6.10 a disk's traffic is counted from the first limit on.
    let disk = std::fs::metadata(own.path()).expect("it is there").dev();
    let limit = format!("{}:{} {}", rustix::fs::major(disk), rustix::fs::minor(disk), u64::MAX >> 1);
    std::fs::write(io.dir().join("blkio.throttle.write_bps_device"), limit).expect("a limit that is never met");
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec dd if=/dev/zero of={}/synced bs=64k count=32 oflag=dsync",
        io.dir().display(),
        own.path().display()
    );
    // Where others write much, the kernel writes some of it in the background, for which no process is held to account.
    let mut counted = 0;
    for _ in 0..50 {
        let status = std::process::Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        assert!(status.expect("it starts").success());
        counted = written(&sandbox.look(&id).await) - before;
        if counted >= 1 << 20 {
            return;
        }
    }
    panic!("{counted} of 100 MiB were counted");
}
