//! Texts from outside (labels, zones, names, notes, arguments) that would steer a terminal, make lines of their own, or be
//! commands to the pipeline that reads them: every command shows them as what they are.

use std::process::Command;

use crate::harness::Squall;
use crate::history::{BROKEN, journal};

/// Colours, a screen that is cleared, lines that GitHub takes for commands, the direction of reading.
const EVIL: &str = "\x1b[31m\u{9b}2J\n::error::x\n##[error]y\u{202e}";

/// The same in quotes of YAML and JSON.
const ESCAPED: &str = r"\u001b[31m\u009b2J\n::error::x\n##[error]y\u202e";

#[track_caller]
fn is_fit(text: &str) {
    // As far as there is room; clap leaves colours out.
    assert!(text.contains("\\x1b") || text.contains("\\x9b"), "it is shown: {text}");
    let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(steers), "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")) && !text.contains("##["), "{text}");
}

#[test]
fn a_plan_shows_labels_and_zones_as_what_they_are() {
    let stack = format!(
        "version: 1\nname: shop\nservices:\n  shop: {{ command: [x], replicas: 3, port: 81, zones: [\"a{ESCAPED}\"], labels: {{ \"k{ESCAPED}\": \"v{ESCAPED}\" }} }}\n"
    );
    let experiment = format!(
        "version: 1\nname: x\nhypothesis: \"H{ESCAPED}\"\nsteady-state:\n  c: {{ tcp: shop:81, rate: 10/s, expect: {{ success: 90% }} }}\n\
         target: {{ service: shop, labels: [\"k{ESCAPED}\"], pick: 1 }}\nfault: kill\nblast-radius: {{ max-instances: 1 }}\n"
    );
    let plan = |args: &[&str], experiment: &str| {
        let args = [&["plan", "x.yaml", "--engine", "sim"], args].concat();
        Squall::new(args).file("x.yaml", experiment).file("stack.yaml", &stack).run()
    };
    let ended = plan(&["--stack", "stack.yaml"], &experiment).exits(0).says("Would be targeted");
    is_fit(&ended.stdout);
    // The whole name of a zone stands in one cell: it makes no row of its own.
    let rows = |text: &str| text.lines().filter(|line| line.starts_with('├')).count();
    assert_eq!(rows(&ended.stdout), 2, "{}", ended.stdout);
    // And where nothing matches, in the message.
    let ended = plan(&["--stack", "stack.yaml"], &experiment.replace("[\"k", "[\"none")).exits(3);
    is_fit(&ended.stderr);
    // JSON is for programs, which get them as they are.
    let json = plan(&["--stack", "stack.yaml", "--json"], &experiment).exits(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["targeted"][0]["zone"], format!("a{EVIL}"));
}

#[test]
fn weaknesses_show_names_reasons_and_notes_as_what_they_are() {
    let (path, text) = journal("dns-store", 2, BROKEN);
    let text = text.replace("`checkout` failed", &format!("{ESCAPED} failed"));
    let text = text.replace("\"name\":\"dns-store\"", &format!("\"name\":\"dns{ESCAPED}\""));
    let ended = Squall::new(["weaknesses"]).file(&path, text).run().exits(0).says("open for 2 d");
    is_fit(&ended.stdout);
    let again = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        let dir = ended.dir.path();
        let output = command.args(args).current_dir(dir).env("SQUALL_STATE", dir.join("state")).output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let name = format!("dns{EVIL}");
    is_fit(&again(&["weaknesses", "note", &name, "--owner", EVIL, "--action", EVIL]));
    let shown = again(&["weaknesses"]);
    is_fit(&shown);
    for of in ["what", "owner", "action"] {
        assert!(
            shown.lines().any(|line| line.starts_with(&format!("  {of}")) && line.contains("\\x1b")),
            "{of}: {shown}"
        );
    }
    is_fit(&again(&["list"]));
}

#[test]
fn what_was_typed_is_shown_as_what_it_is() {
    for args in [&["run", "x.yaml", "--seed", EVIL][..], &["validate", EVIL], &["report", EVIL], &[EVIL]] {
        let ended = Squall::new(args).run().exits(2);
        assert!(!ended.stdout.contains("error::x\n"), "no name of a file makes a line of its own: {}", ended.stdout);
        is_fit(&format!("{}{}", ended.stdout, ended.stderr));
    }
}
