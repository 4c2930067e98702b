//! `squall demo` on local processes: what people see, and that nothing of it stays whoever is killed.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::Squall;
use crate::stack::{eventually, pids_of};

fn pids(state: &Path) -> Vec<i32> {
    pids_of(&state.join("stacks/squall-demo/state.json"))
}

/// One at a time: two that begin at once may choose the same ports.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A demonstration that has got as far as the first fault.
struct Begun {
    dir: tempfile::TempDir,
    child: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Begun {
    fn new() -> Self {
        let alone = alone();
        let (mut command, dir) = Squall::new(["demo", "--engine", "local"]).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("fault in")), "it ended before its first fault");
        // Whatever it says from now on, nobody listens: that must stop nothing.
        Self { dir, child, _alone: alone }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn nothing_is_left(&self) {
        let state = self.dir.path().join("state");
        eventually("its processes are gone", || pids(&state).is_empty());
        eventually("its stack is gone", || !state.join("stacks/squall-demo").exists());
    }
}

#[test]
fn without_docker_one_experiment_holds_one_breaks_and_nothing_is_left() {
    let _alone = alone();
    let ended = Squall::new(["demo"]).env("DOCKER_HOST", "tcp://127.0.0.1:1").run();
    let ended = ended.says("No Docker here").says("kill-one-shop   held        as expected");
    let ended = ended.says("freeze-store    broken      as expected").says("nothing of it is left").exits(0);
    let state = ended.dir.path().join("state");
    assert_eq!(pids(&state), [] as [i32; 0]);
    let reports = std::fs::read_dir(state.join("runs")).unwrap().map(|run| run.unwrap().path().join("report.html"));
    // More than two where the machine was too busy at first, so that one was begun again.
    assert!(reports.filter(|report| report.exists()).count() >= 2);
}

#[test]
fn a_demonstration_that_is_killed_is_taken_away_by_its_guard() {
    let mut begun = Begun::new();
    assert!(!pids(&begun.dir.path().join("state")).is_empty());
    begun.signal("KILL");
    begun.child.wait().unwrap();
    begun.nothing_is_left();
}

#[test]
fn a_demonstration_that_is_asked_to_stop_takes_its_stack_away_itself() {
    let mut begun = Begun::new();
    begun.signal("INT");
    // As with `squall run`.
    assert_eq!(begun.child.wait().unwrap().code(), Some(3));
    begun.nothing_is_left();
}

#[test]
fn there_may_be_nothing_to_take_away() {
    let down = Squall::new(["demo", "--down", "--engine", "local"]).run();
    down.exits(0).says("There is no squall-demo to take away.");
    Squall::new(["demo", "--engine", "sim"]).run().exits(2).complains("--engine local");
}
