//! The state directory: whatever a command leaves there is this user's alone, whatever the user's umask is.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::gate::{STACK, broken};
use crate::harness::Squall;

/// Everything in a directory, itself included, with its rights.
fn walk(path: &Path, found: &mut Vec<(PathBuf, u32)>) {
    found.push((path.to_owned(), path.symlink_metadata().unwrap().permissions().mode() & 0o777));
    if path.is_dir() {
        for entry in path.read_dir().unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn what_a_command_leaves_in_the_state_directory_is_this_users_alone() {
    const DAY: &str =
        "version: 1\nname: autumn\ntitle: t\nobjective: o\nowner: ana\nscenarios: [{ experiment: x.yaml }]\n";
    const COMMANDS: &str = "
        umask 0
        squall=$1
        trap '\"$squall\" stack down stack.yaml' EXIT
        \"$squall\" stack up stack.yaml
        \"$squall\" run x.yaml --stack stack.yaml --junit junit.xml
        \"$squall\" weaknesses note weak --owner ana
        \"$squall\" gameday run day.yaml --unattended --yes --engine sim --stack stack.yaml
        \"$squall\" report last
        cp -a state copy";
    let (call, dir) = Squall::new(["--version"])
        .file("stack.yaml", STACK)
        .file("x.yaml", broken("weak"))
        .file("day.yaml", DAY)
        .command();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", COMMANDS]).arg("sh").arg(call.get_program());
    shell.current_dir(dir.path()).env("SQUALL_STATE", dir.path().join("state"));
    let ended = shell.output().unwrap();

    let mut found = Vec::new();
    walk(&dir.path().join("copy"), &mut found);
    let names: Vec<_> = found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    for name in
        ["journal.ndjson", "report.html", "history.sqlite", "weaknesses.ndjson", "timeline.ndjson", "shop-1.log"]
    {
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(names.contains(&name), "no {name} among {names:?}:\n{said}");
    }
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    let asked_for = dir.path().join("junit.xml").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(asked_for, 0o644, "others were meant to have it");
}
