//! Real signals to the runner and its guard while a fault is on.

use std::time::Duration;

use rustix::process::Signal;
use squall::host::process::stat;
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, eventually, guard, journal_in, lonely, send};

/// Long enough that only what a test does can end it.
const LONG: &str = "baseline: 500ms, duration: 60s, recovery: 500ms";

#[tokio::test]
async fn a_signal_takes_everything_back() {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")] {
        let scene = Scene::of(1, lonely()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment("pause: {}", LONG));
        run.until_on().await;
        assert_ne!(scene.settings().await, before, "the fault is on");
        run.signal(signal);
        let ended = run.ends().await;
        ended.is(3, "interrupted").rolled_back_by("runner");
        assert!(ended.report["text"].as_str().is_some_and(|t| t.contains(name)), "{}", ended.report["text"]);
        assert!(ended.state.recovery.is_some(), "the recovery was measured");
        scene.is_as(&before).await;
    }
}

/// The rollback takes long: the stop is still going on, because the container does not listen to SIGTERM.
#[tokio::test]
async fn whoever_cannot_wait_leaves_at_once_and_the_guard_takes_everything_back() {
    let mut spec = lonely();
    spec.command = ["validate", "/dev/stdin"].map(str::to_owned).to_vec();
    spec.open_stdin = true;
    let scene = Scene::of(1, spec).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment("stop: { timeout: 5s }", LONG));
    run.until("the stop has begun", |s| s.changes.first().is_some_and(|c| c.injecting.is_some())).await;
    let end = Instant::now() + Duration::from_secs(4);
    let mut presses = 0;
    while !run.is_over() {
        assert!(Instant::now() < end, "it does not leave");
        run.signal(Signal::INT);
        presses += 1;
        sleep(Duration::from_millis(200)).await;
    }
    assert!(presses >= 3, "left after {presses} signals");
    assert!(run.so_far().finished.is_none(), "it left at once");
    let ended = run.ends().await;
    ended.is(3, "runner-died").rolled_back_by("guard");
    let said = String::from_utf8_lossy(&ended.output.stderr);
    assert!(said.contains("the guard rolls everything back"), "{said}");
    scene.is_as(&before).await;
}

#[tokio::test]
async fn when_the_runner_is_killed_its_guard_takes_everything_back() {
    for fault in ["kill: {}", "pause: {}"] {
        let scene = Scene::of(1, lonely()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, LONG));
        run.until_on().await;
        run.signal(Signal::KILL);
        let ended = run.ends().await;
        assert_eq!(ended.output.status.code(), None, "killed");
        assert_eq!(ended.report["reason"], "runner-died");
        let said = String::from_utf8_lossy(&ended.output.stderr);
        assert!(
            said.contains("the runner ended without a word; the guard rolled everything back")
                && said.contains("report.html"),
            "{said}"
        );
        ended.rolled_back_by("guard");
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_guard_that_is_killed_is_replaced_and_the_run_goes_on() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 3s, recovery: 2s");
    let mut run = scene.start(&x);
    let first = guard(&run.until_on().await);
    send(first, Signal::KILL);
    let second = guard(&run.until("another guard", |s| s.guards.len() == 2).await);
    assert_ne!(first, second);
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert!(ended.state.warnings.iter().any(|w| w.contains(&format!("guard {first} has exited"))));
    scene.is_as(&before).await;
}

#[tokio::test]
async fn when_both_are_killed_recover_takes_everything_back() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment("kill: {}", LONG));
    let guard = guard(&run.until_on().await);
    // A runner that is stopped first cannot replace its guard.
    run.signal(Signal::STOP);
    send(guard, Signal::KILL);
    run.signal(Signal::KILL);
    let (_, state) = run.dies().await;
    assert_ne!(scene.settings().await, before, "nobody was there to take it back");

    let recovered = scene.squall("state").arg("recover").output().await.unwrap();
    assert_eq!(recovered.status.code(), Some(0));
    let journal = crate::scene::journal_in(&state).expect("a journal");
    let state = squall::record::journal::replay(&journal).unwrap();
    assert!(
        state
            .changes
            .iter()
            .all(|c| c.rolled_back.as_ref().is_some_and(|r| r.by == squall::record::event::Actor::Recover))
    );
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(journal.with_file_name("report.json")).unwrap()).unwrap();
    assert_eq!((report["reason"].as_str(), report["exit-code"].as_u64()), (Some("runner-died"), Some(3)));
    scene.is_as(&before).await;

    let again = scene.squall("state").arg("recover").output().await.unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("nothing to roll back"), "{said}");
}

/// A runner that hangs must never wake and inject again: its guard ends it before it rolls everything back.
#[tokio::test]
async fn a_runner_that_is_stopped_is_ended_at_its_deadline() {
    let mut scene = Scene::of(1, lonely()).await;
    scene.grace = "1s";
    let before = scene.settings().await;
    let x = scene.experiment("pause: {}", "baseline: 500ms, duration: 1s, recovery: 2s");
    let mut run = scene.start(&x);
    let deadline = run.until_on().await.deadline.expect("a deadline");
    run.signal(Signal::STOP);
    let pid = run.pid();
    eventually("the runner is stopped", || async { stat(pid).filter(|s| s.state == 'T').map(|_| ()) }).await;
    let ended = run.ends().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.output.status), Some(9));
    assert_eq!(ended.report["reason"], "deadline-passed");
    let said = String::from_utf8_lossy(&ended.output.stderr);
    assert!(said.contains("the runner went on past its deadline, and its guard ended it"), "{said}");
    ended.rolled_back_by("guard");
    let rolled_back = ended.state.changes[0].rolled_back.as_ref().expect("rolled back").at;
    let late = rolled_back.duration_since(deadline).as_secs_f64();
    assert!((0.0..20.0).contains(&late), "taken back {late} s after the deadline");
    scene.is_as(&before).await;
}

/// Nothing is on any more, and the runner is at its measuring; it would be waited for much longer if it were not stopped.
#[tokio::test]
async fn a_runner_that_is_stopped_with_nothing_on_is_ended_at_its_deadline() {
    let mut scene = Scene::of(1, lonely()).await;
    scene.grace = "1s";
    let before = scene.settings().await;
    let x = scene.experiment("pause: {}", "baseline: 3s, duration: 1s, recovery: 60s");
    let mut run = scene.start(&x);
    let is_back = |s: &squall::record::state::RunState| s.changes.first().is_some_and(|c| c.rolled_back.is_some());
    let deadline = run.until("it is rolled back", is_back).await.deadline.expect("a deadline");
    run.signal(Signal::STOP);
    let ended = run.ends().await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.output.status), Some(9));
    ended.rolled_back_by("runner");
    let end = ended.state.finished.as_ref().expect("its guard has finished it").at;
    let late = end.duration_since(deadline).as_secs_f64();
    assert!((0.0..30.0).contains(&late), "ended {late} s after the deadline, where a recovery may take 60 s");
    scene.is_as(&before).await;
}

/// A runner that dies while it starts a guard leaves one whose output is read by no process.
#[tokio::test]
async fn a_guard_that_nobody_hears_takes_back_all_the_same() {
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    let mut run = scene.start(&scene.experiment("pause: {}", "baseline: 500ms, duration: 20s, recovery: 1s"));
    let state = run.until_on().await;
    send(guard(&state), Signal::KILL);
    run.signal(Signal::KILL);
    let (_, dir) = run.dies().await;
    let journal = journal_in(&dir).expect("a journal");
    let (hears, says) = std::io::pipe().unwrap();
    drop(hears);
    let mut unheard = scene.squall("state");
    unheard.arg("guard").arg("--journal").arg(&journal).args(["--deadline", "100years"]);
    let ended = unheard.stdout(says).status().await.unwrap();
    assert!(ended.success(), "{ended}");
    scene.is_as(&before).await;
}
