//! Outputs that nobody reads, or that are closed: every command ends as it would have, and none of them panics.

use std::process::{Command, Stdio};

use crate::console::{EXPERIMENT, STACK};
use crate::harness::Squall;

const SCHEDULE: &str = "version: 1\nname: s\nentries:\n  it: { experiments: x.yaml, cron: '0 9 * * *' }\n";

/// Every command, but for those that mean the whole machine (`halt`, `resume`) or never end, each with and without mistakes.
const COMMANDS: [&[&str]; 26] = [
    &[],
    &["--help"],
    &["nonsense"],
    &["plan", "x.yaml", "--engine", "sim"],
    &["plan", "none.yaml"],
    &["run", "x.yaml", "--engine", "sim", "--stack", "stack.yaml"],
    &["run", "x.yaml", "--engine", "sim", "--format", "json"],
    &["run", "wrong.yaml"],
    &["validate", "x.yaml", "wrong.yaml", "none.yaml"],
    &["schema"],
    &["recover"],
    &["report", "last"],
    &["compare", "last", "last"],
    &["list"],
    &["list", "--json"],
    &["schedule", "s.yaml", "--next", "3"],
    &["gameday", "list"],
    &["gameday", "status"],
    &["gameday", "run", "wrong.yaml"],
    &["history"],
    &["history", "due", "x.yaml", "wrong.yaml"],
    &["weaknesses", "--all"],
    &["doctor", "--docker-host", "unix:///no/such.sock"],
    &["demo", "--down", "--engine", "local"],
    &["stack", "status", "wrong.yaml"],
    &["completions", "bash"],
];

fn squall(args: &[&str]) -> (Command, tempfile::TempDir) {
    Squall::new(args)
        .file("x.yaml", EXPERIMENT)
        .file("stack.yaml", STACK)
        .file("s.yaml", SCHEDULE)
        .file("wrong.yaml", "what: is this\n")
        .env("DOCKER_HOST", "unix:///no/such.sock")
        .command()
}

/// A pipe whose reader is gone.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn no_command_minds_an_output_that_is_closed() {
    for args in COMMANDS {
        let code = |out: Stdio, err: Stdio| {
            let (mut command, _dir) = squall(args);
            command.stdout(out).stderr(err).status().expect("the binary starts").code()
        };
        let read = code(Stdio::null(), Stdio::null());
        assert!(read.is_some_and(|code| code <= 4), "{args:?}: {read:?}");
        // A busy machine may keep a run from a verdict, now or then.
        let is_one = |code: Option<i32>| {
            code == read || args[0] == "run" && [code, read].map(|c| matches!(c, Some(0 | 3))) == [true; 2]
        };
        assert!(is_one(code(unread(), Stdio::null())), "{args:?} | head -0");
        assert!(is_one(code(Stdio::null(), unread())), "{args:?} 2>&1 >/dev/null | head -0");
        assert!(is_one(code(unread(), unread())), "{args:?} 2>&1 | head -0");
        // Not open at all, as with `2>&-`.
        for redirect in ["2>&-", ">&-", ">&- 2>&-"] {
            let (command, dir) = squall(args);
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirect}")]).arg(command.get_program());
            shell.args(command.get_args()).current_dir(dir.path()).stdin(Stdio::null());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => shell.env(name, value),
                    None => shell.env_remove(name),
                };
            }
            let ended = shell.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a shell").code();
            assert_eq!(ended, read, "{args:?} {redirect}");
        }
    }
}
