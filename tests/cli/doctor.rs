//! `squall doctor` and `squall completions`.

use crate::harness::Squall;

/// A doctor's call where no engine is.
fn doctor<const N: usize>(args: [&str; N]) -> Squall {
    Squall::new(["doctor", "--docker-host", "unix:///no/such.sock"]).env("NO_COLOR", "1").args(args)
}

const STARTED: &str = r#"{"seq":0,"at":"2026-11-21T10:00:00Z","event":"started","format":1,"version":"0.1.0","run":"20261121-100000-7f3a","experiment":{"version":1,"name":"x","hypothesis":"h","steady-state":{"c":{"tcp":{"address":"127.0.0.1:1"}}},"target":{},"fault":{"pause":{}},"blast-radius":{}},"file":"x.yaml","seed":1,"engine":{"kind":"docker","address":"unix:///no/such.sock","version":"1"},"owner":"ada@lab"}"#;
const PLANNED: &str = r#"{"seq":1,"at":"2026-11-21T10:00:01Z","event":"planned","changes":[{"n":0,"instance":"a","name":"shop-2","epoch":"1","before":{"paused":false},"to":{"paused":true},"back":{"to":{"paused":false}}}],"deadline":"2026-11-21T10:01:00Z"}"#;
const JOURNAL: &str = "state/runs/20261121-100000-7f3a/journal.ndjson";

#[test]
fn without_docker_and_root_it_says_what_still_works_and_touches_nothing() {
    let ended = doctor([]).run().exits(0).without_complaint();
    let ended = ended.says("! │ docker engine").says("✓ │ local engine").says("Experiments can run here");
    assert!(!ended.dir.path().join("state").exists(), "it made the state directory");
    for line in ended.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}

#[test]
fn an_engine_that_was_asked_for_must_be_there() {
    doctor(["--engine", "docker"]).run().exits(3).says("✗ │ docker engine").says("cannot run here");
    doctor(["--engine", "sim"]).run().exits(0);
}

#[test]
fn a_dead_run_is_a_leftover_and_its_exit_code_says_so() {
    let left = format!("{STARTED}\n{PLANNED}\n");
    let ended = doctor([]).file(JOURNAL, &left).run().exits(4);
    ended.says("20261121-100000-7f3a: 1 change not taken back").says("`squall recover`");
    // A torn last line is no plan, so nothing was changed; but nobody has closed that run.
    doctor([]).file(JOURNAL, &left[..left.len() - 30]).run().exits(4).says("0 changes not taken back");
    doctor([]).file(JOURNAL, "what is this\n").run().exits(4).says("line 1");
}

#[test]
fn a_halt_note_is_told_with_its_text() {
    doctor([]).file("state/halt", "release day\n").run().exits(3).says("release day").says("squall resume");
}

#[test]
fn a_state_directory_that_cannot_be_is_told() {
    doctor([]).file("state", "a file").run().exits(3).says("✗ │ state directory");
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        Squall::new(["completions", shell]).run().exits(0).without_complaint().says("doctor");
    }
}
