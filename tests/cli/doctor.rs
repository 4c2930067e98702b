//! `squall doctor` and `squall completions`.

use crate::harness::{Squall, repository};

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

/// An engine that tells its version to everybody, and its containers to nobody: as behind a proxy that allows little.
#[test]
fn an_engine_that_does_not_let_this_user_list_is_none_to_run_on() {
    use std::io::{Read as _, Write as _};
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("engine.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut peer in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && peer.read(&mut byte).is_ok_and(|n| n > 0) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let (status, body) = match request.split_whitespace().nth(1).unwrap_or_default() {
                path if path.ends_with("/version") => (200, r#"{"Version":"20.10.24","ApiVersion":"1.41"}"#),
                path if path.ends_with("/info") => (200, "{}"),
                _ => (403, r#"{"message":"forbidden by the proxy"}"#),
            };
            let head = "Content-Type: application/json\r\nConnection: close";
            let _ = write!(peer, "HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let host = format!("unix://{}", socket.display());
    let ended = Squall::new(["doctor", "--docker-host", &host]).env("NO_COLOR", "1").run().exits(3);
    let said: String = ended.stdout.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(said.contains("✗ docker engine 20.10.24") && said.contains("forbidden by the proxy"), "{said}");
    assert!(said.contains("unknown: no container runs") && said.contains("Experiments cannot run here"), "{said}");
    // The file is as it should be: an engine that fails is no verdict.
    let file = repository("experiments/kill-one-shop.yaml");
    Squall::new(["plan", "--docker-host", &host]).arg(file).run().exits(3).complains("forbidden by the proxy");
}

#[test]
fn a_dead_run_is_a_leftover_and_its_exit_code_says_so() {
    let left = format!("{STARTED}\n{PLANNED}\n");
    let ended = doctor([]).file(JOURNAL, &left).run().exits(4);
    ended.says("20261121-100000-7f3a: 1 change not rolled back").says("`squall recover`");
    // A torn last line is no plan, so nothing was changed; but nobody has closed that run.
    doctor([]).file(JOURNAL, &left[..left.len() - 30]).run().exits(4).says("0 changes not rolled back");
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

#[test]
fn alone_it_shows_its_help_and_nothing_that_is_hidden() {
    let bare = Squall::new::<[&str; 0], &str>([]).run().exits(2).complains("Usage: squall").complains("Exit codes:");
    Squall::new(["stack"]).run().exits(2).complains("Usage: squall stack");
    let nested = Squall::new(["stack"]).run().stderr;
    assert!(nested.contains("status") && !nested.contains("spawn"), "{nested}");
    let help = Squall::new(["--help"]).run().exits(0).says("Usage: squall");
    for text in [&bare.stderr, &help.stdout] {
        let commands: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).collect();
        assert!(
            commands.contains(&"recover") && !commands.contains(&"guard") && !commands.contains(&"serve"),
            "{text}"
        );
    }
}
