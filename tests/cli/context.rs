//! Docker contexts: every command reaches the engine that `docker` would, and names the rule that chose it.

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
fn names(ended: &crate::harness::Ended, parts: &[&str]) {
    let said: String = format!("{}{}", ended.stdout, ended.stderr).split_whitespace().filter(|w| *w != "│").collect();
    for part in parts {
        let part: String = part.split_whitespace().collect();
        assert!(said.contains(&part), "{part} is missing:\n{}\n{}", ended.stdout, ended.stderr);
    }
}

/// What is not there is no reason to take another engine.
#[test]
fn a_context_that_does_not_exist_is_refused_by_every_command() {
    for args in COMMANDS {
        let parts = ["no Docker context `gone`", "there are: default, staging"];
        names(&squall(args, r#"{ "currentContext": "gone" }"#).run().exits(3), &parts);
        names(&squall(args, "{}").env("DOCKER_CONTEXT", "gone").run().exits(3), &parts);
    }
}

#[test]
fn a_context_is_followed_and_the_rule_is_named() {
    let current = r#"{ "currentContext": "staging" }"#;
    for args in [&["run", "x.yaml"][..], &["run", "x.yaml", "--stack", "compose.yaml"], &["plan", "x.yaml"]] {
        let address = "tcp://127.0.0.1:18299";
        names(
            &squall(args, current).run().exits(3),
            &[address, "the current Docker context `staging`", "--docker-host"],
        );
        let by_variable = squall(args, "{}").env("DOCKER_CONTEXT", "staging").run().exits(3);
        names(&by_variable, &[address, "the context `staging` of DOCKER_CONTEXT"]);
    }
    let ended = squall(&["plan", "x.yaml", "--context", "staging"], "{}").env("DOCKER_HOST", "unix:///no/such.sock");
    names(&ended.run().exits(3), &["tcp://127.0.0.1:18299", "--context staging"]);
    let both = ["plan", "x.yaml", "--context", "staging", "--docker-host", "unix:///no/such.sock"];
    squall(&both, "{}").run().exits(2).complains("cannot be used with");
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
