//! A game day at a terminal: what the commander types and is shown, and what people say at other terminals meanwhile.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use squall::occasions::gameday::event::Mark;

use super::{DAY, beside, day, gameday, runs, says, until};
use crate::gate::held;
use crate::harness::Squall;

/// The binary at a terminal of its own, which somebody types at.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    seen: usize,
    dir: tempfile::TempDir,
}

impl Terminal {
    fn open(squall: Squall) -> Self {
        let (inner, dir) = squall.command();
        let words = std::iter::once(inner.get_program()).chain(inner.get_args());
        let line: Vec<String> = words.map(|w| format!("'{}'", w.to_str().expect("text"))).collect();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &format!("exec {}", line.join(" ")), "/dev/null"]);
        command.current_dir(dir.path()).env("SQUALL_STATE", dir.path().join("state")).env("TERM", "dumb");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is there");
        let (keys, mut screen) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
        let shown = Arc::new(Mutex::new(String::new()));
        let copy = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                copy.lock().expect("it").push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
        Self { child, keys, shown, seen: 0, dir }
    }

    /// Waits until it shows something after what was last waited for.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let shown = self.shown.lock().expect("it").clone();
            if let Some(at) = shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(Instant::now() < end, "waited in vain for {text:?}:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it reads");
    }

    #[track_caller]
    fn answers(&mut self, question: &str, answer: &str) {
        self.shows(question);
        self.types(&format!("{answer}\n"));
    }

    /// Waits for its end.
    #[track_caller]
    fn ends(mut self, code: i32) -> tempfile::TempDir {
        let status = self.child.wait().expect("a child");
        let shown = self.shown.lock().expect("it").clone();
        assert_eq!(status.code(), Some(code), "{shown}");
        self.dir
    }
}

#[test]
fn the_commander_and_people_at_other_terminals() {
    let mut terminal = Terminal::open(gameday(&[]));
    let dir = terminal.dir.path().to_owned();
    terminal.shows("Autumn in the shop");
    says(&dir, &["gameday", "mark", "detected"], 2, "no scenario has begun yet");
    terminal.answers("done? [y]es", "perhaps");
    terminal.shows("y, n or q");
    terminal.answers("done? [y]es", "y");
    terminal.answers("done? [y]es", "n");
    terminal.answers("go? [y]es", "y");
    terminal.answers("done? [y]es", "y");
    terminal.answers("go? [y]es", "y");
    terminal.shows("Look at the dashboard");
    // The second scenario is over, and the commander is looking at the dashboard.
    says(&dir, &["gameday", "mark", "detected", "--by", "cleo"], 0, "(goal: 1m, met)");
    says(&dir, &["gameday", "mark", "detected", "--by", "dan"], 2, "is marked already");
    says(&dir, &["gameday", "note", "checkout shows errors", "--by", "cleo"], 0, "scenario 2 of 3, Losing too much");
    says(&dir, &["gameday", "action", "A fourth shop", "--owner", "dan", "--due", "2026-12-15"], 0, "action noted");
    says(&dir, &["gameday", "action", "x", "--due", "15.12."], 2, "is no day");
    says(&dir, &["gameday", "run", "day.yaml", "--unattended", "--engine", "sim"], 2, "is going on");
    let status: Value = serde_json::from_str(&beside(&dir, &["gameday", "status", "--json"]).1).expect("JSON");
    assert_eq!(
        (&status["status"], &status["scenarios"][1]["verdict"]),
        (&"going-on".into(), &"rehearsed-broken".into())
    );
    assert_eq!(status["scenarios"][2]["status"], "to come");
    assert!(status["scenarios"][1]["detected"]["after-ms"].as_u64().is_some_and(|ms| ms > 0), "{status}");
    terminal.answers("done? [y]es", "y");
    terminal.answers("go? [y]es", "n");
    terminal.answers("done? [y]es", "y");
    let dir = terminal.ends(1);
    let day = day(dir.path());
    assert_eq!(runs(dir.path()), 2, "the third was left out");
    assert!(day.scenarios[&2].skipped.is_some());
    let ticks: Vec<bool> = day.ticks.values().map(|tick| tick.done).collect();
    assert_eq!(ticks, [true, false, true, true, true]);
    assert_eq!(day.scenarios[&1].marks[&Mark::Detected].by.as_deref(), Some("cleo"), "the first word stands");
    assert_eq!(day.notes[0].text, "checkout shows errors");
    let actions: Vec<(&str, bool)> = day.actions.iter().map(|a| (a.text.as_str(), a.suggested)).collect();
    assert_eq!(actions, [("A fourth shop", false)], "nothing needs to be suggested");
}

#[test]
fn what_breaks_or_is_left_out_is_no_pass() {
    let stop = DAY.replace("follow-up", "stop-on: breach\nfollow-up");
    let ended = gameday(&["--unattended"]).file("day.yaml", stop).run().exits(1).says("no further scenario");
    let it = day(ended.dir.path());
    assert_eq!((runs(ended.dir.path()), it.scenarios.len()), (2, 2));
    assert!(it.stopped.is_some_and(|s| s.why.contains("stop-on: breach")));
    assert_eq!(it.ticks.len(), 0, "without --yes, nobody has seen to the list before either");

    let quit = DAY.replace("b.yaml", "a.yaml");
    let mut terminal = Terminal::open(gameday(&["--yes"]).file("day.yaml", quit));
    terminal.answers("go? [y]es", "y");
    terminal.answers("done? [y]es", "y");
    terminal.answers("go? [y]es", "q");
    terminal.answers("done? [y]es", "y");
    let dir = terminal.ends(3);
    assert_eq!(runs(dir.path()), 1);
    assert_eq!(day(dir.path()).ticks.len(), 4, "what is to be done at the end was asked, too");
}

#[test]
fn nothing_goes_on_after_ctrl_c() {
    let mut terminal = Terminal::open(gameday(&["--yes"]).file("a.yaml", slow("fine")));
    let dir = terminal.dir.path().to_owned();
    terminal.answers("go? [y]es", "y");
    terminal.shows("fault in");
    until("a mark", || beside(&dir, &["gameday", "mark", "detected"]).0 == Some(0));
    says(&dir, &["gameday", "status"], 0, "fault in for");
    terminal.types("\u{3}");
    let dir = terminal.ends(3);
    let it = day(dir.path());
    assert!(it.ended.is_some() && it.stopped.expect("stopped").why.contains("signal"));
    assert_eq!(it.scenarios[&0].ended.as_ref().expect("an end").reason, "interrupted");
    assert_eq!(runs(dir.path()), 1);

    let mut terminal = Terminal::open(gameday(&["--yes"]));
    terminal.shows("go? [y]es");
    terminal.types("\u{3}");
    let dir = terminal.ends(3);
    assert!(day(dir.path()).ended.is_some());
    assert_eq!(runs(dir.path()), 0);
}

#[test]
fn a_halt_ends_it_while_the_commander_thinks() {
    let mut terminal = Terminal::open(gameday(&["--yes"]));
    terminal.shows("go? [y]es");
    // Not by `squall halt`, which root's other runs would heed, too.
    std::fs::write(terminal.dir.path().join("state/halt"), "a release").expect("a note");
    let dir = terminal.ends(3);
    assert_eq!(day(dir.path()).stopped.expect("stopped").why, "halted: a release");
    assert_eq!(runs(dir.path()), 0);
}

/// An experiment whose fault is on for a minute.
fn slow(name: &str) -> String {
    held(name).replace("duration: 300ms", "duration: 1m")
}
