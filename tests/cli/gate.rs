//! The gate of a pipeline: what each outcome means for the exit code, the `JUnit` file, the summary and the remarks.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{Ended, Squall};
use crate::junit_schema::suites;

pub(crate) const STACK: &str = "
version: 1
name: shop
services:
  shop: { command: [sleep, '85'], replicas: 3 }
";

/// An experiment that loses one of three, where `at_least` have to be left.
fn lose_one(name: &str, at_least: u32, more: &str) -> String {
    format!(
        "
version: 1
name: {name}
hypothesis: Losing one of three goes unnoticed.
{more}
steady-state:
  running:
    engine: {{ service: shop, count: running }}
    rate: 20/s
    expect: {{ value: {{ at-least: 3 }} }}
    during: {{ value: {{ at-least: {at_least} }} }}
target: {{ service: shop }}
fault: kill
blast-radius: {{ max-instances: 1 }}
timing: {{ baseline: 200ms, duration: 300ms, recovery: 2s }}
"
    )
}

pub(crate) fn held(name: &str) -> String {
    lose_one(name, 2, "")
}

pub(crate) fn broken(name: &str) -> String {
    lose_one(name, 3, "")
}

/// Several experiments on processes of their own, by file name and text.
fn gate(files: &[(&str, String)], args: &[&str]) -> Squall {
    let names = files.iter().map(|(name, _)| format!("{name}.yaml"));
    let squall = Squall::new(["run"]).args(names).args(["--stack", "stack.yaml"]).args(args);
    let squall = squall.file("stack.yaml", STACK);
    files.iter().fold(squall, |squall, (name, text)| squall.file(&format!("{name}.yaml"), text))
}

fn runs(ended: &Ended) -> usize {
    std::fs::read_dir(ended.dir.path().join("state/runs")).map_or(0, Iterator::count)
}

/// How the cases of an experiment came out: passed, failure, error, skipped.
fn counts(junit: &str, experiment: &str) -> [usize; 4] {
    let suites = suites(junit);
    let cases = suites.get(experiment).unwrap_or_else(|| panic!("no suite {experiment}:\n{junit}"));
    ["passed", "failure", "error", "skipped"].map(|how| cases.iter().filter(|(_, came)| came == how).count())
}

#[test]
fn the_worst_verdict_is_the_exit_code() {
    let no_target = lose_one("nobody", 2, "").replace("target: { service: shop }", "target: { service: nosuch }");
    let files = [("a", held("fine")), ("b", broken("weak")), ("c", no_target)];
    let ended = gate(&files, &["--junit", "out.xml", "--summary", "out.md"]).run().exits(1);
    assert_eq!(runs(&ended), 3, "each is a run of its own");
    let junit = ended.written("out.xml");
    assert!(matches!(counts(&junit, "fine"), [(5..), 0, 0, 0]), "{junit}");
    assert!(matches!(counts(&junit, "weak"), [(1..), (1..), 0, _]), "{junit}");
    assert!(matches!(counts(&junit, "nobody"), [_, 0, (1..), _]), "{junit}");
    let summary = ended.written("out.md");
    for row in ["| fine | ✅ held |", "| weak | ❌ broken |", "| nobody | ⚪ no verdict |", "## ❌ 3 experiments"] {
        assert!(summary.contains(row), "{row}:\n{summary}");
    }
    ended.says("1 of 3  fine").says("BROKEN (exit 1), 3 experiments: 1 broken, 1 no verdict, 1 held");
}

#[test]
fn one_file_alone_is_shown_as_ever_and_has_its_files_too() {
    let ended = gate(&[("a", held("fine"))], &["--junit", "deep.xml"]).run().exits(0);
    assert!(!ended.stdout.contains("1 of 1") && !ended.stdout.contains("exit 0"), "{}", ended.stdout);
    assert!(matches!(counts(&ended.written("deep.xml"), "fine"), [(5..), 0, 0, 0]));
}

#[test]
fn one_wrong_file_and_nothing_is_touched() {
    let files = [("a", held("fine")), ("b", "version: 1\nnaem: b\n".to_owned())];
    let ended = gate(&files, &["--junit", "out.xml"]).run().exits(2).complains("b.yaml");
    assert_eq!(runs(&ended), 0);
    let twins = gate(&[("a", held("same")), ("b", held("same"))], &[]).run().exits(2);
    assert_eq!(runs(&twins), 0);
    twins.complains("both called `same`");
    let once = gate(&[("a", held("fine"))], &["./a.yaml"]).run().exits(0);
    assert_eq!(runs(&once), 1, "a file that is named twice is one experiment");
}

#[test]
fn experiments_are_chosen_by_name_and_by_tag() {
    let files = || [("a", lose_one("shop-a", 2, "tags: [nightly]")), ("b", held("shop-b")), ("c", broken("store-c"))];
    let of = |args: &[&str]| runs(&gate(&files(), args).run().exits(0));
    assert_eq!(of(&["--only", "shop-*"]), 2);
    assert_eq!(of(&["--tag", "nightly"]), 1);
    assert_eq!(of(&["--only", "shop-*", "--tag", "nightly", "--tag", "weekly"]), 1);
    let none = gate(&files(), &["--tag", "nigthly"]).run().exits(2).complains("shop-a [nightly]");
    assert_eq!(runs(&none), 0, "nothing chosen is a mistake, not a pass");
}

#[test]
fn fail_fast_starts_no_further_one() {
    let files = || [("a", broken("weak")), ("b", held("fine"))];
    let ended = gate(&files(), &["--fail-fast", "--junit", "out.xml"]).run().exits(1);
    assert_eq!(runs(&ended), 1);
    assert_eq!(counts(&ended.written("out.xml"), "fine")[..3], [0, 0, 1], "what was not run is no pass");
    ended.says("not run").says("--fail-fast");
    let slow = gate(&files(), &[]).run().exits(1);
    assert_eq!(runs(&slow), 2);
}

#[test]
fn a_known_weakness_fails_nothing_and_is_told() {
    let known = lose_one("weak", 3, "known-weakness: there is one store");
    let ended =
        gate(&[("a", known), ("b", held("fine"))], &["--junit", "out.xml", "--summary", "out.md"]).run().exits(0);
    assert!(matches!(counts(&ended.written("out.xml"), "weak"), [(1..), 0, 0, (1..)]), "{}", ended.written("out.xml"));
    assert!(ended.written("out.md").contains("⚠️ known weakness"), "{}", ended.written("out.md"));
    ended.says("known weakness").says("there is one store").says("HELD (exit 0)");
}

#[test]
fn a_known_weakness_that_holds_is_told_too() {
    let known = lose_one("cured", 2, "known-weakness: there is one store");
    let ended = gate(&[("a", known)], &["--junit", "out.xml"]).run().exits(0);
    assert!(matches!(counts(&ended.written("out.xml"), "cured"), [(5..), 0, 0, 0]));
    ended.says("held unexpectedly").says("known-weakness");
}

#[test]
fn a_known_weakness_excuses_no_missing_verdict() {
    let known = lose_one("weak", 3, "known-weakness: there is one store");
    let files = [("a", known.replace("target: { service: shop }", "target: { service: nosuch }"))];
    let ended = gate(&files, &["--junit", "out.xml"]).run().exits(3);
    assert!(matches!(counts(&ended.written("out.xml"), "weak"), [_, 0, (1..), _]));
}

/// On real processes: the second run breaks, the others hold.
fn flaky(args: &[&str]) -> Squall {
    let experiment = "
version: 1
name: flaky
hypothesis: It holds.
steady-state:
  alive: { exec: [sh, -c, test ! -e broken], rate: 20/s, expect: { success: 100% } }
target: { service: idle }
fault:
  exec:
    run: [sh, -c, 'echo x >> n; if [ $(wc -l < n) = 2 ]; then touch broken; fi']
    undo: [rm, -f, broken]
    place: here
blast-radius: { max-instances: 1 }
timing: { baseline: 200ms, duration: 500ms, recovery: 5s }
";
    let stack = "version: 1\nname: idle\nservices:\n  idle: { command: [sleep, '83'] }\n";
    let args = ["run", "x.yaml", "--stack", "idle.yaml", "--junit", "out.xml"].iter().chain(args);
    Squall::new(args).file("x.yaml", experiment).file("idle.yaml", stack)
}

#[test]
fn flaky_ground_is_outvoted() {
    let ended = flaky(&["--repeat", "3", "--require", "2"]).run().exits(0).says("held (flaky)");
    assert_eq!(runs(&ended), 3);
    let suites = suites(&ended.written("out.xml"));
    let vote = suites["flaky"].iter().find(|(name, _)| name == "held at least 2 of 3 times").unwrap();
    assert_eq!(vote.1, "passed");
}

#[test]
fn a_result_that_cannot_be_written_is_known_before_anything_is_run() {
    for place in [["--junit", "no/such/out.xml"], ["--summary", "."]] {
        Squall::new(["run", "x.yaml", "--engine", "sim"]).args(place).run().exits(2).complains("cannot write");
    }
}

#[test]
fn too_flaky_is_broken() {
    let ended = flaky(&["--repeat", "3"]).run().exits(1).says("held 2 of 3 times, 3 required");
    assert_eq!(runs(&ended), 3);
    assert!(matches!(counts(&ended.written("out.xml"), "flaky"), [_, (1..), 0, _]));
    let fast = flaky(&["--repeat", "3", "--fail-fast"]).run().exits(1);
    assert_eq!(runs(&fast), 2, "a third one could change nothing");
    flaky(&["--repeat", "2", "--require", "3"]).run().exits(2).complains("--require 3 is more than --repeat 2");
}

#[test]
fn an_engine_that_is_down_is_no_verdict_for_any() {
    let files = [("a", held("fine")), ("b", broken("weak"))];
    let squall = files.iter().fold(Squall::new(["run", "a.yaml", "b.yaml"]), |squall, (name, text)| {
        squall.file(&format!("{name}.yaml"), text)
    });
    let ended = squall.args(["--docker-host", "unix:///nonexistent.sock", "--junit", "out.xml"]).run().exits(3);
    let junit = ended.written("out.xml");
    assert_eq!((counts(&junit, "fine"), counts(&junit, "weak")), ([0, 0, 1, 0], [0, 0, 1, 0]));
    assert_eq!(runs(&ended), 0);
    ended.says("NO VERDICT (exit 3), 2 experiments: 2 no verdict").complains("nonexistent.sock");
}

#[test]
fn a_signal_ends_the_run_and_starts_no_further_one() {
    let files = [("a", held("first").replace("duration: 300ms", "duration: 1m")), ("b", held("second"))];
    let (mut command, dir) = gate(&files, &["--junit", "out.xml"]).command();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("fault in")), "the first one is on");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{rest:?}");
    let junit = std::fs::read_to_string(dir.path().join("out.xml")).unwrap();
    assert_eq!(counts(&junit, "second")[2], 1, "{junit}");
    assert_eq!(std::fs::read_dir(dir.path().join("state/runs")).unwrap().count(), 1);
}

#[test]
fn github_gets_a_summary_and_remarks_beside_the_lines() {
    let files = [("chaos/a", broken("weak")), ("chaos/b", held("fine"))];
    let squall = gate(&files, &["--format", "json"]).file("page.md", "# What was there before\n");
    let page = squall.dir().join("page.md");
    let root = squall.dir().canonicalize().unwrap();
    let squall = squall.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &page).env("GITHUB_WORKSPACE", root);
    let ended = squall.run().exits(1).complains("::error file=chaos/a.yaml,line=11,title=weak%3A broken::");
    assert!(!ended.stderr.contains("chaos/b.yaml"), "{}", ended.stderr);
    for line in ended.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    let page = ended.written("page.md");
    assert!(page.starts_with("# What was there before\n") && page.contains("| weak | ❌ broken |"), "{page}");
}

/// An experiment that says what it runs on, seen from its own directory.
fn on(name: &str, stack: &str) -> String {
    format!(
        "version: 1\nname: {name}\nhypothesis: It holds.\nstack: {stack}\ntarget: {{ service: idle }}\nfault: pause\n\
         steady-state: {{ alive: {{ exec: ['true'], rate: 20/s, expect: {{ success: 50% }} }} }}\n\
         blast-radius: {{ max-instances: 1 }}\ntiming: {{ baseline: 200ms, duration: 300ms, recovery: 5s }}\n"
    )
}

#[test]
fn experiments_may_name_the_stack_that_they_run_on() {
    let idle = "version: 1\nname: idle-named\nservices:\n  idle: { command: [sleep, '84'] }\n";
    let call = |args: &[&str], b: &str| {
        Squall::new(["run", "chaos/a.yaml", "chaos/b.yaml"])
            .args(args)
            .file("stacks/idle.yaml", idle)
            .file("chaos/a.yaml", on("one", "../stacks/idle.yaml"))
            .file("chaos/b.yaml", b)
            .run()
    };
    let ended = call(&[], &on("two", "../chaos/../stacks/idle.yaml")).exits(0).says("2 experiments: 2 held");
    assert!(ended.stdout.contains("engine      local"), "{}", ended.stdout);
    let mut status = std::process::Command::new(env!("CARGO_BIN_EXE_squall"));
    let dir = ended.dir.path();
    let status =
        status.current_dir(dir).args(["--state", "state", "stack", "status", "stacks/idle.yaml"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&status.stdout), "the stack is not up\n");

    call(&[], &on("two", "other.yaml"))
        .exits(2)
        .complains("`two` on the stack chaos/other.yaml")
        .complains("run them apart");
    call(&[], &on("two", "x").replace("stack: x\n", "")).exits(2).complains("`two` on whatever runs");
    // Each is rehearsed on the stack that it names, not on one that is made up for it.
    call(&["--engine", "sim"], &on("two", "other.yaml")).exits(3).complains("chaos/other.yaml");
    call(&["--engine", "sim"], &on("two", "../stacks/idle.yaml")).exits(0).says("sim").says("the stack `idle-named`");

    // The journal says what it ran on, so that it can be repeated.
    let run = std::fs::read_dir(dir.join("state/runs")).unwrap().next().unwrap().unwrap().path();
    let report = std::fs::read_to_string(run.join("report.md")).unwrap();
    assert!(report.contains("--stack chaos/../stacks/idle.yaml"), "{report}");
}

#[test]
fn a_stack_that_does_not_come_up_says_nothing_about_a_hypothesis() {
    let ended = Squall::new(["run", "a.yaml", "--junit", "out.xml"])
        .file("s.yaml", "version: 1\nname: broken-stack\nservices:\n  idle: { command: [/no/such/program] }\n")
        .file("a.yaml", on("one", "s.yaml"))
        .run()
        .exits(3)
        .complains("no verdict: ");
    assert_eq!(counts(&ended.written("out.xml"), "one"), [0, 0, 1, 0]);
    assert_eq!(runs(&ended), 0);
}

#[test]
fn a_rehearsal_is_neither_a_pass_nor_a_weakness() {
    let files = || [("a", held("fine")), ("b", lose_one("weak", 3, "known-weakness: there is one store"))];
    let args = ["--engine", "sim", "--junit", "out.xml", "--summary", "out.md"];
    let ended = gate(&files(), &args).run().exits(1);
    let junit = ended.written("out.xml");
    assert!(matches!(counts(&junit, "fine"), [0, 0, 0, (5..)]), "{junit}");
    assert!(matches!(counts(&junit, "weak"), [0, (1..), 0, (1..)]), "{junit}");
    let summary = ended.written("out.md");
    for text in
        ["| fine | 🎭 rehearsed: would hold |", "| weak | 🎭 rehearsed: would break |", "A rehearsal is no pass"]
    {
        assert!(summary.contains(text), "{text}:\n{summary}");
    }
    let state = ended.dir.path().join("state");
    let again = |args: &[&str]| Squall::new(args).env("SQUALL_STATE", &state).run();
    again(&["weaknesses"]).exits(0).says("no open weakness");
    let baseline = gate(&[("a", held("fine"))], &["--engine", "sim", "--baseline", "last"]).run();
    let baseline = baseline.complains("a rehearsal is compared with no earlier run");
    assert!(!baseline.stderr.contains("its first"), "{}", baseline.stderr);
    again(&["list"]).exits(0).says("rehearsed  would hold").says("rehearsed  would break");
    assert!(!again(&["history"]).exits(0).stdout.contains("score:"), "nothing was shown of a real system");
    again(&["compare", "last", "last"]).exits(3).complains("is a rehearsal");
    ended.says("REHEARSED: WOULD BREAK (exit 1)").says("A rehearsal is no pass");
}

#[test]
fn a_rehearsal_finds_a_mistyped_service_where_a_stack_is_named_and_else_says_that_it_cannot() {
    let typo = held("typo").replace("target: { service: shop }", "target: { service: shpo }");
    gate(&[("a", typo.clone())], &["--engine", "sim"]).run().exits(3).says("NO VERDICT (no-target)");
    for (file, text) in [
        ("stack.yaml", STACK.to_owned()),
        ("compose.yaml", "services:\n  shop: { image: x, deploy: { replicas: 3 } }\n".to_owned()),
    ] {
        let on = |text: &str| text.replace("steady-state:", &format!("stack: {file}\nsteady-state:"));
        let run = |experiment: &str| {
            Squall::new(["run", "a.yaml", "--engine", "sim"]).file("a.yaml", on(experiment)).file(file, &text).run()
        };
        run(&typo).exits(3).says("(no-target)");
        let told = run(&held("fine")).exits(0).says("REHEARSED: WOULD HOLD");
        assert!(!told.stdout.contains("invented"), "{}", told.stdout);
    }
    let alone = Squall::new(["run", "a.yaml", "--engine", "sim", "--quiet"]);
    let alone = alone.file("a.yaml", held("typo").replace("service: shop", "service: shpo")).run().exits(0);
    alone.says("~ REHEARSED: WOULD HOLD").says("A rehearsal is no pass");
}
