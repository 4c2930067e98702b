//! The values of variables are in nothing that a run stores or shows, although others repeat them: commands that fail, answers, undos.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::path::Path;

use crate::harness::{Ended, Squall};

const SECRET: &str = "hunter2%and&more of it";

const STACK: &str = "version: 1\nname: s\nservices:\n  shop: { command: [sleep, '88'] }\n";

fn experiment(check: &str, fault: &str) -> String {
    format!(
        "version: 1\nname: secrets\nhypothesis: h\nsteady-state: {{ here: {check} }}\ntarget: {{ service: shop }}\n\
         fault: {fault}\nblast-radius: {{ max-instances: 1 }}\ntiming: {{ baseline: 1s, duration: 1s, recovery: 1s }}\n"
    )
}

/// Every file below a directory that repeats the secret.
fn repeating(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains("hunter2") {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn ran(check: &str, fault: &str) -> Ended {
    let ended = Squall::new(["run", "x.yaml", "--stack", "s.yaml", "--junit", "out.xml"])
        .file("x.yaml", experiment(check, fault))
        .file("s.yaml", STACK)
        .env("PLANTED", SECRET)
        .run();
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(repeating(ended.dir.path()), Vec::<String>::new(), "{said}");
    ended
}

#[test]
fn what_a_run_repeats_of_a_variable_is_its_name() {
    let well = "{ exec: ['true'], rate: 10/s }";
    for (check, fault, code) in [
        // An answer is the secret, and not what was expected.
        ("{ exec: [echo, '${PLANTED}'], rate: 5/s, expect: { value: other } }", "pause", 3),
        // A sample fails, and says with what.
        ("{ exec: [sh, -c, 'echo no $0 >&2; exit 3', '${PLANTED}'], rate: 5/s, expect: { success: 90% } }", "pause", 3),
        // A fault fails, and says with what.
        (well, "{ exec: { place: here, run: [sh, -c, 'echo no $0 >&2; exit 3', '${PLANTED}'], undo: ['true'] } }", 3),
    ] {
        let ended = ran(check, fault).exits(code);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("${PLANTED}"), "{check} {fault}: {said}");
    }
}
