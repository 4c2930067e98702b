//! What people and programs see of a run, on pipes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::Squall;

pub(crate) const STACK: &str = "
version: 1
name: shop
services:
  shop: { command: [x], replicas: 3, port: 8081 }
";

/// A short run in the simulated world.
pub(crate) const EXPERIMENT: &str = "
version: 1
name: lose-one
hypothesis: Losing one of three goes unnoticed.
steady-state:
  running: { engine: { service: shop, count: running }, rate: 20/s, expect: { value: { at-least: 2 } } }
target: { service: shop }
fault: kill
blast-radius: { max-instances: 1 }
timing: { baseline: 300ms, duration: 300ms, recovery: 2s }
";

/// A short run in the simulated world.
fn run<const N: usize>(args: [&str; N]) -> Squall {
    Squall::new(["run", "x.yaml", "--engine", "sim", "--stack", "stack.yaml"])
        .args(args)
        .file("x.yaml", EXPERIMENT)
        .file("stack.yaml", STACK)
}

#[test]
fn a_pipe_gets_plain_lines_and_the_end() {
    let ended = run([]).run().exits(0);
    assert!(ended.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", ended.stdout);
    let lines: Vec<&str> = ended.stdout.lines().take_while(|l| !l.is_empty()).collect();
    assert!(lines.len() > 10 && lines.iter().all(|l| l.starts_with('+')), "{}", ended.stdout);
    ended
        .says("▼ fault in")
        .says("▲ rolled back")
        .says("~ REHEARSED: WOULD HOLD (hypothesis-held) lose-one")
        .says("report.html");
}

#[test]
fn quiet_says_the_verdict_and_where_the_report_is() {
    let ended = run(["--quiet"])
        .run()
        .exits(0)
        .says("~ REHEARSED: WOULD HOLD")
        .says("A rehearsal is no pass")
        .says("report.html");
    assert!(!ended.stdout.contains("fault in") && ended.stdout.lines().count() <= 7, "{}", ended.stdout);
}

#[test]
fn json_is_one_event_a_line_and_nothing_else() {
    let ended = run(["--format", "json"]).run().exits(0);
    let events: Vec<serde_json::Value> =
        ended.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    assert_eq!(events.first().unwrap()["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(events.last().unwrap()["verdict"], "rehearsed");
}

/// The page is root's, and the shell of the user of `sudo` is not.
#[test]
fn through_sudo_it_says_how_to_read_the_report_and_that_works() {
    let ended = run([]).env("SUDO_UID", "1000").run().exits(0);
    if !rustix::process::geteuid().is_root() {
        assert!(!ended.stdout.contains("sudo"), "{}", ended.stdout);
        return;
    }
    let (_, command) = ended.stdout.split_once("for a copy: sudo ").expect("a command");
    let command = command.lines().next().unwrap_or_default();
    let copied = std::process::Command::new("sh").args(["-c", command]).current_dir(ended.dir.path()).output().unwrap();
    assert!(copied.status.success(), "{command}: {copied:?}");
    let runs: Vec<_> = std::fs::read_dir(ended.dir.path().join("state/runs")).unwrap().map(Result::unwrap).collect();
    let page = std::fs::read_to_string(runs[0].path().join("report.html")).unwrap();
    assert!(page.contains("</html>") && ended.written("report.html") == page);

    let quiet = run([]).arg("--quiet").env("SUDO_UID", "1000").run().exits(0);
    assert!(!quiet.stdout.contains("sudo"), "{}", quiet.stdout);
    assert!(!run([]).run().exits(0).stdout.contains("sudo"));
}

#[test]
fn a_reader_that_goes_away_disturbs_nothing() {
    for args in [&[][..], &["--quiet"], &["--format", "json"]] {
        let (mut command, dir) = run([]).args(args).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        if !args.contains(&"--quiet") {
            let mut first = String::new();
            stdout.read_line(&mut first).unwrap();
            assert!(!first.is_empty());
        }
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {complaint}");
        assert!(!complaint.contains("panicked"), "{args:?}: {complaint}");
        let runs: Vec<_> = std::fs::read_dir(dir.path().join("state/runs")).unwrap().map(Result::unwrap).collect();
        assert!(runs[0].path().join("report.html").exists(), "the reports are written all the same");
    }
}
