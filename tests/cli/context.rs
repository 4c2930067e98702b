//! The current Docker context: where `docker` would show another engine, Squall refuses before it reaches one.

use crate::harness::Squall;

const META: &str =
    r#"{ "Name": "staging", "Metadata": {}, "Endpoints": { "docker": { "Host": "tcp://127.0.0.1:18299" } } }"#;
const EXPERIMENT: &str = "version: 1
name: context
hypothesis: h
steady-state: { here: { exec: ['true'], rate: 5/s } }
target: { service: none }
fault: pause
blast-radius: { max-instances: 1 }
";

/// Every command that reaches an engine.
const COMMANDS: [&[&str]; 7] = [
    &["run", "x.yaml"],
    &["run", "x.yaml", "--stack", "compose.yaml"],
    &["plan", "x.yaml"],
    &["doctor"],
    &["demo"],
    &["demo", "--down"],
    &["recover", "--unlock"],
];

fn squall(args: &[&str], config: &str) -> Squall {
    Squall::new(args)
        .file("docker/config.json", config)
        .file("docker/contexts/meta/1a2b/meta.json", META)
        .file("x.yaml", EXPERIMENT)
        .file("compose.yaml", "services: { web: { image: nothing } }\n")
        .env("NO_COLOR", "1")
}

#[track_caller]
fn names_both(ended: &crate::harness::Ended) {
    let said: String = format!("{}{}", ended.stdout, ended.stderr).split_whitespace().filter(|w| *w != "│").collect();
    for part in ["`staging`", "tcp://127.0.0.1:18299", "unix:///var/run/docker.sock", "--docker-host"] {
        assert!(said.contains(part), "{part} is missing:\n{}\n{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_context_of_another_engine_is_refused_by_every_command() {
    for args in COMMANDS {
        names_both(&squall(args, r#"{ "currentContext": "staging" }"#).run().exits(3));
        names_both(&squall(args, "{}").env("DOCKER_CONTEXT", "staging").run().exits(3));
    }
}

#[test]
fn an_engine_that_is_named_overrules_the_context_as_it_does_for_docker() {
    let current = r#"{ "currentContext": "staging" }"#;
    let nowhere = "unix:///no/such.sock";
    squall(&["plan", "x.yaml", "--docker-host", nowhere], current).run().exits(3).complains(nowhere);
    squall(&["plan", "x.yaml"], current).env("DOCKER_HOST", nowhere).run().exits(3).complains(nowhere);
    let ended = squall(&["plan", "x.yaml", "--engine", "sim"], current).run().exits(0);
    assert!(!ended.stderr.contains("staging"), "another engine has no context: {}", ended.stderr);
}
