//! Game days, by the binary: files, the walk-through at a terminal and without one, and what people say meanwhile.
#![expect(clippy::disallowed_methods, reason = "no runtime here: these tests wait for processes of their own")]

mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use squall::occasions::gameday::event::List;
use squall::occasions::gameday::state::GamedayState;

use crate::gate::{STACK, broken, held};
use crate::harness::{Ended, Squall, repository};

/// A game day of three scenarios; the second breaks.
const DAY: &str = "
version: 1
name: autumn
title: Autumn in the shop
objective: Whether anybody notices that a shop is lost.
owner: ana
participants: { commander: ben, observer: [cleo, dan] }
checklist:
  before: [The dashboard is open, The on-call knows]
  during: [Look at the dashboard]
  after: [Say that it is over]
scenarios:
  - experiment: a.yaml
  - { experiment: b.yaml, title: Losing too much }
  - experiment: c.yaml
goals: { detected: 1m }
follow-up: 2026-12-15
due: every quarter
";

fn gameday(args: &[&str]) -> Squall {
    let squall = Squall::new(["gameday", "run", "day.yaml", "--engine", "sim", "--stack", "stack.yaml"]).args(args);
    let files = [("a", held("fine")), ("b", broken("weak")), ("c", held("fine-too"))];
    let squall = squall.file("stack.yaml", STACK).file("day.yaml", DAY);
    files.iter().fold(squall, |squall, (name, text)| squall.file(&format!("{name}.yaml"), text))
}

/// The newest game day under a directory, as its timeline tells it.
fn day(dir: &Path) -> GamedayState {
    let state = dir.join("state/gamedays");
    let mut ids: Vec<PathBuf> = std::fs::read_dir(state).expect("a game day").map(|e| e.expect("it").path()).collect();
    ids.retain(|id| id.is_dir());
    ids.sort();
    let path = ids.last().expect("a game day").join("timeline.ndjson");
    GamedayState::of(&squall::occasions::gameday::timeline::read(&path).expect("a timeline"))
}

/// The process that guards the one run there is.
fn guard(dir: &Path) -> Pid {
    let run = std::fs::read_dir(dir.join("state/runs")).expect("a run").next().expect("a run").expect("it").path();
    let state = squall::record::journal::replay(&run.join("journal.ndjson")).expect("a journal");
    let guard = state.guards.last().expect("a guard");
    Pid::from_raw(guard.id.parse().expect("a PID")).expect("a PID")
}

fn runs(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("state/runs")).map_or(0, Iterator::count)
}

/// Another call with the same state directory, from another terminal, so to say: its exit code and what it said.
fn beside(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(args).current_dir(dir).env("SQUALL_STATE", dir.join("state")).stdin(Stdio::null());
    let output = command.output().expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn says(dir: &Path, args: &[&str], code: i32, text: &str) {
    let (came, said) = beside(dir, args);
    assert!(came == Some(code) && said.contains(text), "{args:?}: {came:?}, not {code} with {text:?}:\n{said}");
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn unattended_it_walks_through_all_of_it() {
    let ended = gameday(&["--unattended", "--yes"]).run().exits(1).says("scenario 2 of 3  Losing too much");
    let day = day(ended.dir.path());
    let verdicts: Vec<&str> =
        day.scenarios.values().map(|s| s.ended.as_ref().expect("an end").verdict.words()).collect();
    assert_eq!(verdicts, ["rehearsed: would hold", "rehearsed: would break", "rehearsed: would hold"]);
    assert_eq!(day.verdict.map(squall::model::exit::Verdict::words), Some("rehearsed: would break"));
    assert!(day.ended.is_some() && day.stopped.is_none() && day.unattended && day.rehearsal);
    let ticked: Vec<(List, bool)> = day.ticks.iter().map(|(item, tick)| (item.list, tick.done)).collect();
    assert_eq!(ticked, [(List::Before, true), (List::Before, true)], "nobody saw to the other lists");
    assert_eq!(runs(ended.dir.path()), 3);
    for it in day.scenarios.values() {
        let journal = ended.dir.path().join("state/runs").join(it.run.as_ref().expect("a run")).join("journal.ndjson");
        assert!(squall::record::journal::replay(&journal).expect("a journal").finished.is_some());
    }
    assert_eq!(day.actions, [], "a rehearsal finds no weakness");

    says(ended.dir.path(), &["gameday", "list"], 0, "rehearsed: would break  3 of 3");
    says(ended.dir.path(), &["gameday", "note", "later"], 0, "which is over");
    says(ended.dir.path(), &["gameday", "mark", "detected"], 2, "no game day is going on");
    says(ended.dir.path(), &["gameday", "action", "x", "--scenario", "4"], 2, "there is no scenario 4");
    says(ended.dir.path(), &["gameday", "status"], 0, "later");
}

#[test]
fn its_report_is_there_and_is_held_against_the_last_one() {
    let ended = gameday(&["--unattended", "--yes"]).run().exits(1).says("report of the game day: ");
    let dir = ended.dir.path();
    let first = day(dir).id;
    let of = |id: &str, file: &str| std::fs::read_to_string(dir.join("state/gamedays").join(id).join(file));
    let page = of(&first, "report.html").expect("a page");
    assert!(
        page.contains("Autumn in the shop") && page.contains("Rehearsed: 2 of 3 scenarios would hold, 1 would break."),
        "{page}"
    );
    // What is said later is in it, too.
    says(dir, &["gameday", "action", "A fourth shop", "--owner", "cleo", "--due", "2026-12-15"], 0, "");
    assert!(of(&first, "report.md").expect("for the wiki").contains("| A fourth shop | cleo | 2026-12-15 |"));

    let again = ["gameday", "run", "day.yaml", "--engine", "sim", "--stack", "stack.yaml", "--unattended", "--yes"];
    assert_eq!(beside(dir, &again).0, Some(1));
    let (code, text) = beside(dir, &["gameday", "report", "--format", "json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["verdict"]), (Some(0), &"rehearsed-broken".into()), "{report:#}");
    assert_eq!(report["compared"]["gameday"], first.as_str(), "{report:#}");
    assert_eq!(report["compared"]["scenarios"][1]["verdict"], "same");
    let clocks = &report["scenarios"][1]["clocks"];
    assert!(clocks["mitigated"]["machine-ms"].is_u64() && clocks["detected"]["goal-ms"] == 60_000, "{clocks:#}");
    says(dir, &["gameday", "report", &first], 0, "report.html");
    says(dir, &["gameday", "report", "nothing"], 2, "there is no game day `nothing`");
}

#[test]
fn what_a_day_cannot_begin_without() {
    let ended = gameday(&[]).run().exits(2).complains("there is no terminal").complains("--unattended");
    assert!(!ended.dir.path().join("state/gamedays").exists());
    let halted = gameday(&["--unattended"]);
    std::fs::create_dir_all(halted.dir().join("state")).expect("a directory");
    std::fs::write(halted.dir().join("state/halt"), "a release").expect("a note");
    let ended = halted.run().exits(3).complains("halted: a release");
    assert!(!ended.dir.path().join("state/gamedays").exists());
    for what in [&["gameday", "status"][..], &["gameday", "note", "x"], &["gameday", "mark", "detected"]] {
        Squall::new(what).run().exits(2).complains("there is no game day");
    }
    Squall::new(["gameday", "list"]).run().exits(0).says("no game day");
}

/// On real processes: a file that is there while the fault is on.
const TOUCH: &str = "
version: 1
name: touch
hypothesis: It holds.
steady-state: { alive: { exec: ['true'], rate: 20/s, expect: { success: 50% } } }
target: { service: idle }
fault: { exec: { run: [touch, on], undo: [rm, -f, on], place: here } }
blast-radius: { max-instances: 1 }
timing: { baseline: 200ms, duration: 1m, recovery: 5s }
";

#[test]
fn killed_in_the_middle_it_is_unfinished_and_rolled_back() {
    let squall = Squall::new(["gameday", "run", "day.yaml", "--stack", "idle.yaml", "--unattended"])
        .file("idle.yaml", "version: 1\nname: idle-gameday\nservices:\n  idle: { command: [sleep, '83'] }\n")
        .file("day.yaml", DAY.replace("b.yaml", "a.yaml").replace("c.yaml", "a.yaml"))
        .file("a.yaml", TOUCH);
    let (mut command, dir) = squall.command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let on = dir.path().join("on");
    until("the fault", || on.exists());
    // Its stack goes with it, here before the guard does anything: what was done outside of the stack is undone all the
    // same.
    let guard = guard(dir.path());
    kill_process(guard, Signal::STOP).expect("a guard");
    child.kill().expect("a child");
    child.wait().expect("a child");
    until("the stack's end", || beside(dir.path(), &["stack", "status", "idle.yaml"]).1.contains("not up"));
    assert!(on.exists());
    kill_process(guard, Signal::CONT).expect("a guard");
    until("its end", || !on.exists());
    says(dir.path(), &["gameday", "status"], 0, "unfinished: its process is dead");
    says(dir.path(), &["gameday", "list"], 0, "unfinished");
    says(dir.path(), &["gameday", "mark", "detected"], 2, "its process is dead");
    says(dir.path(), &["gameday", "note", "the laptop died"], 0, "its process is dead");
    // The lock was freed, and what was done is rolled back before anything begins.
    let short = TOUCH.replace("duration: 1m", "duration: 300ms");
    std::fs::write(dir.path().join("a.yaml"), short).expect("a file");
    until("the guard's end", || beside(dir.path(), &["recover"]).1.contains("nothing to roll back"));
    says(dir.path(), &["gameday", "run", "day.yaml", "--stack", "idle.yaml", "--unattended"], 0, "HELD (exit 0)");
    assert!(!on.exists());
    assert_eq!(runs(dir.path()), 4);
}

#[test]
fn a_real_one_counts_as_held_and_its_actions_are_those_of_weaknesses() {
    let broken = TOUCH.replace("['true'], rate: 20/s, expect: { success: 50% }", "[test, '!', -e, 'on'], rate: 20/s");
    let (scenarios, rest) = DAY.split_once("scenarios:").expect("scenarios");
    let rest = rest.split_once("goals:").expect("goals").1;
    let day = format!("{scenarios}scenarios: [{{ experiment: a.yaml }}]\ngoals:{rest}");
    let ended = Squall::new(["gameday", "run", "day.yaml", "--stack", "idle.yaml", "--unattended"])
        .file("idle.yaml", "version: 1\nname: idle-weak\nservices:\n  idle: { command: [sleep, '83'] }\n")
        .file("day.yaml", day)
        .file("a.yaml", broken)
        .run()
        .exits(1);
    let dir = ended.dir.path();
    says(dir, &["gameday", "action", "Do not look", "--owner", "dan", "--scenario", "1"], 0, "action noted");
    let (_, said) = beside(dir, &["weaknesses"]);
    assert!(said.contains("owner   dan") && said.contains("action  Do not look"), "{said}");
    let line: Value = serde_json::from_str(beside(dir, &["history", "due", "--json"]).1.trim()).expect("JSON");
    assert_eq!((&line["gameday"], &line["overdue"]), (&"autumn".into(), &false.into()));
}

#[test]
fn due_game_days_are_told() {
    let ended = gameday(&["--unattended"]).run().exits(1);
    let (_, said) = beside(ended.dir.path(), &["history", "due", "--json"]);
    let line: Value = serde_json::from_str(said.trim()).expect("JSON");
    assert_eq!((&line["gameday"], &line["overdue"]), (&"autumn".into(), &true.into()), "a rehearsal is none");
    says(ended.dir.path(), &["history", "due"], 0, "autumn (game day)");
    says(ended.dir.path(), &["history", "due"], 0, "never");
    let never = Squall::new(["history", "due", "day.yaml"]).file("day.yaml", DAY);
    let files = [("a", held("fine")), ("b", broken("weak")), ("c", held("fine-too"))];
    let never = files.iter().fold(never, |squall, (name, text)| squall.file(&format!("{name}.yaml"), text));
    never.run().exits(0).says("overdue: never");
}

#[test]
fn messages_arrive_and_who_is_dead_is_in_nobodys_way() {
    // It listens and never answers.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/{}", dead.local_addr().expect("an address"), "hunter2");
    let notify = format!("notify: [{{ webhook: '{url}' }}, {{ file: told.ndjson }}]\nfollow-up");
    let ended = gameday(&["--unattended"]).file("day.yaml", DAY.replace("follow-up", &notify)).run().exits(1);
    let told = ended.written("told.ndjson");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let stages: Vec<&str> = told.iter().filter_map(|m| m["stage"].as_str()).collect();
    assert_eq!(stages, ["initial", "update", "update", "update", "resolution"]);
    assert_eq!((&told[2]["verdict"], &told[2]["severity"]), (&"rehearsed-broken".into(), &"info".into()));
    assert!(told.iter().all(|m| m["key"] == told[0]["key"] && m["gameday"] == "autumn"), "{told:?}");
    let it = day(ended.dir.path());
    let failed: Vec<&str> = it.told.iter().filter(|t| t.error.is_some()).map(|t| t.recipient.as_str()).collect();
    assert!(failed.len() == 5 && failed.iter().all(|who| who.starts_with("webhook")), "{:?}", it.told);
    let ended = ended.complains("was not told");
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

/// Name, and what is replaced by what.
type Slip = (&'static str, &'static [(&'static str, &'static str)]);

const SLIPS: &[Slip] = &[
    ("keys", &[("objective:", "objektive:"), ("owner: ana\n", ""), ("follow-up: 2026-12-15", "follow-up: 15.12.")]),
    (
        "scenarios-none",
        &[(
            "  - experiment: a.yaml\n  - { experiment: b.yaml, title: Losing too much }\n  - experiment: c.yaml\n",
            "  []\n",
        )],
    ),
    ("experiments-wrong", &[("a.yaml", "nowhere.yaml"), ("c.yaml", "wrong.yaml")]),
    (
        "overrides-wrong",
        &[
            ("- experiment: a.yaml", "- { experiment: two.yaml, overrides: { pick: 2 } }"),
            ("title: Losing too much", "overrides: { pick: 3, duration: 0s }"),
        ],
    ),
    (
        "goals-and-budget",
        &[(
            "{ detected: 1m }",
            "{ detected: 1m, recovered: 10s }\nbudget: { objective: 100% }\nnotify: [{ command: [] }]",
        )],
    ),
];

#[test]
fn every_mistake_is_explained_where_it_stands() {
    let two = held("two").replace("target: { service: shop }\nfault: kill\n", "faults:\n  - { fault: pause, target: { service: shop } }\n  - { fault: kill, target: { service: shop }, after: 100ms }\n");
    let with = |squall: Squall| {
        let squall = squall.file("two.yaml", &two).file("wrong.yaml", "version: 1\nnaem: x\n");
        let files = [("a", held("fine")), ("b", broken("weak")), ("c", held("fine-too"))];
        files.iter().fold(squall, |squall, (name, text)| squall.file(&format!("{name}.yaml"), text))
    };
    let good = |squall: Squall| -> Ended { with(squall).file("day.yaml", DAY).run().exits(0) };
    good(Squall::new(["validate", "day.yaml", "two.yaml"])).says("ok     day.yaml").without_complaint();
    for (name, replaced) in SLIPS {
        let text = replaced.iter().fold(DAY.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{name}: {from:?}");
            text.replacen(from, to, 1)
        });
        let ended = with(Squall::new(["validate", "day.yaml"])).file("day.yaml", text).run().exits(2);
        let mut settings = insta::Settings::clone_current();
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!(format!("gameday-{name}"), ended.stderr));
    }
}

#[test]
fn what_is_warned_of_an_experiment_or_of_its_overrides_is_said_of_the_day() {
    let x = |name: &str, success: &str| {
        format!(
            "version: 1\nname: {name}\nhypothesis: H.\n\
             steady-state:\n  c: {{ tcp: shop:81, rate: 5/s, timeout: 1s, expect: {{ success: {success} }} }}\n\
             target: {{ service: shop }}\nfault: kill\nblast-radius: {{ max-instances: 1 }}\n\
             timing: {{ baseline: 4s, duration: 5s, recovery: 5s }}\n"
        )
    };
    let validate = |scenario: &str| {
        let day = DAY.replace("- experiment: c.yaml", scenario);
        Squall::new(["validate", "day.yaml"])
            .file("day.yaml", day)
            .file("a.yaml", x("a", "90%"))
            .file("b.yaml", x("b", "90%"))
            .file("c.yaml", x("c", "90%"))
            .file("warns.yaml", x("warns", "99%"))
            .run()
    };
    validate("- experiment: c.yaml").exits(0).says("ok     day.yaml\n").without_complaint();
    // One failure aborts it: a matter of its own file.
    validate("- experiment: warns.yaml")
        .exits(0)
        .says("ok     day.yaml (1 warning)")
        .complains("warning: warns.yaml has 1 warning")
        .complains("day.yaml:15:17");
    // Shorter than the timeout, on this day alone.
    validate("- { experiment: c.yaml, overrides: { duration: 800ms } }")
        .exits(0)
        .says("ok     day.yaml (2 warnings)")
        .complains("c.yaml: with these overrides, the timeout of `c` (1s) is longer than the fault (800ms)");
    validate("- { experiment: c.yaml, overrides: { duration: 100ms } }")
        .exits(2)
        .complains("`steady-state.c` is not asked once in `duration` (100ms)");
}

#[test]
fn the_schema_fits_the_example_and_the_one_in_the_docs() {
    let printed = Squall::new(["schema", "--of", "gameday"]).run().exits(0).stdout;
    let schema: Value = serde_json::from_str(&printed).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let example = repository("examples/gameday/gameday.yaml");
    let docs = std::fs::read_to_string(repository("docs/gameday.md")).expect("it is there");
    let docs = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of YAML");
    for text in [std::fs::read_to_string(&example).expect("it is there"), docs.to_owned(), DAY.to_owned()] {
        let value: Value = serde_yaml::from_str(&text).expect("it is YAML");
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{text}");
    }
    let docs = Squall::new(["validate", "day.yaml"]).env("SLACK_WEBHOOK", "https://x/y").env("PAGERDUTY_KEY", "x");
    let docs = docs.file("day.yaml", docs_beside_experiments());
    docs.run().exits(0);
    let example = example.to_str().expect("text").to_owned();
    Squall::new(["validate", &example]).run().exits(0).without_complaint();
}

/// The file of the docs, with the experiments where they are.
fn docs_beside_experiments() -> String {
    let docs = std::fs::read_to_string(repository("docs/gameday.md")).expect("it is there");
    let text = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of YAML");
    text.replace("../../experiments", &repository("experiments").display().to_string())
}
