//! `squall history`, `squall weaknesses` and `squall list` on journals as they lie on disk.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};

use crate::harness::{Ended, Squall};

/// A run so many days ago that came to something: `held`, `broken`, `no-verdict`, `left-behind`; nothing: it died.
pub(crate) fn journal(experiment: &str, days: i64, verdict: Option<(&str, &str)>) -> (String, String) {
    let at = |more| Timestamp::now() - SignedDuration::from_hours(24 * days) + SignedDuration::from_secs(more);
    let id = format!("{}-{experiment}-{:04x}", at(0).strftime("%Y%m%dT%H%M%SZ"), 0xa000 + days);
    let mut text = format!(
        r#"{{"seq":0,"at":"{}","event":"started","format":1,"version":"0.1.0","run":"{id}","experiment":{{"version":1,"name":"{experiment}","hypothesis":"It holds.","tags":["shop"],"due":"every month","steady-state":{{"checkout":{{"http":{{"url":"http://x/"}},"rate":"50/s","expect":{{"success":"99%"}}}}}},"target":{{"service":"shop"}},"fault":{{"kill":{{}}}},"blast-radius":{{"max-instances":1}}}},"file":"a.yaml","seed":7,"engine":{{"kind":"docker","address":"unix:///x","version":"1"}},"owner":"ana@staging"}}
{{"seq":1,"at":"{}","event":"judged","check":"checkout","phase":"during","samples":50,"failed":0,"unmeasured":0,"latency":{{"p50":1.0,"p95":2.0,"p99":{}.5,"max":400.0}},"standings":[]}}
{{"seq":2,"at":"{}","event":"recovery","rto-ms":{},"checks":{{}}}}
"#,
        at(0),
        at(1),
        200 + days,
        at(2),
        1000 + 10 * days
    );
    if let Some((verdict, reason)) = verdict {
        let end = at(5);
        let end = format!(
            r#"{{"seq":3,"at":"{end}","event":"finished","verdict":"{verdict}","reason":"{reason}","text":"`checkout` failed beyond its budget"}}"#
        );
        text.extend([end.as_str(), "\n"]);
    }
    (format!("state/runs/{id}/journal.ndjson"), text)
}

const HELD: Option<(&str, &str)> = Some(("held", "hypothesis-held"));
pub(crate) const BROKEN: Option<(&str, &str)> = Some(("broken", "hypothesis-broken"));
const NONE: Option<(&str, &str)> = Some(("no-verdict", "baseline-not-met"));

/// A past with a regression, a weakness that was closed, and an experiment that is overdue.
fn past() -> Vec<(String, String)> {
    vec![
        journal("kill-one-of-the-three-replicas-of-the-shop", 9, HELD),
        journal("kill-one-of-the-three-replicas-of-the-shop", 6, HELD),
        journal("kill-one-of-the-three-replicas-of-the-shop", 3, NONE),
        journal("kill-one-of-the-three-replicas-of-the-shop", 2, BROKEN),
        journal("dns-store", 80, BROKEN),
        journal("dns-store", 70, BROKEN),
        journal("dns-store", 60, HELD),
    ]
}

fn over(args: &[&str], journals: &[(String, String)]) -> Squall {
    journals.iter().fold(Squall::new(args), |squall, (path, text)| squall.file(path, text))
}

/// The same in a state directory that is there already.
fn again(dir: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(args).current_dir(dir).env("SQUALL_STATE", dir.join("state")).output().expect("the binary starts")
}

fn fits(ended: &Ended) {
    for line in ended.stdout.lines().filter(|line| !line.starts_with("regression")) {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn the_overview_has_a_line_for_each_experiment() {
    let ended = over(&["history"], &past()).run().exits(0).without_complaint();
    fits(&ended);
    let line = |word: &str| ended.stdout.lines().find(|l| l.starts_with(word)).unwrap_or_default().to_owned();
    for (word, says) in [
        ("kill-one", ["✓✓?✗", "2 d ago", "1.02 s", "202 ms", "59"]),
        // Held, after two breaks: 1 of 1 + 0.8 + 0.64, and late by nearly a month.
        ("dns-store", ["✗✗✓", "60 d ago", "1.60 s", "260 ms", "  2"]),
        ("regression", ["kill-one", "-a002", "after it had held 2 times", "", ""]),
        ("open weaknesses: 1", [""; 5]),
        ("overdue: 1", [""; 5]),
        ("resilience score", ["of 100, over 2 experiments", "", "", "", ""]),
    ] {
        assert!(says.iter().all(|text| line(word).contains(text)), "{word}: {says:?}\n{}", ended.stdout);
    }
}

#[test]
fn steady_state_that_was_never_lost_is_no_gap_in_the_trend() {
    let (path, text) = journal("kill-one", 1, HELD);
    let never =
        text.replace(r#""rto-ms":1010,"checks":{}"#, r#""rto-ms":0,"checks":{"checkout":0},"never-lost":["checkout"]"#);
    let past = [journal("kill-one", 2, HELD), (path, never)];
    let ended = over(&["history"], &past).run().exits(0).says("█▁ never lost");
    assert!(!ended.stdout.contains("regression"), "{}", ended.stdout);
    over(&["list"], &past).run().exits(0).says("never lost").says("1.02 s");
    over(&["list", "--json"], &past).run().exits(0).says(r#""recovery-ms":0,"never-lost":true"#);
}

#[test]
fn filters_choose_runs_and_one_experiment_shows_each_of_its_runs() {
    let ended = over(&["history", "--experiment", "dns-*"], &past()).run().exits(0);
    fits(&ended);
    let ended = ended.says("hypothesis-held").says("a050").says("recovery: ").says("resilience score");
    assert!(!ended.stdout.contains("kill-one"), "{}", ended.stdout);
    let count = |args: &[&str]| {
        let ended = over(&[&["history", "--json"], args].concat(), &past()).run().exits(0);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
        let experiments = told["experiments"].as_array().expect("a list").clone();
        experiments.iter().map(|x| x["runs"].as_array().expect("a list").len()).sum::<usize>()
    };
    assert_eq!(count(&[]), 7);
    assert_eq!(count(&["--verdict", "broken"]), 3);
    assert_eq!(count(&["--verdict", "broken", "--verdict", "held"]), 6);
    assert_eq!(count(&["--since", "65d"]), 5);
    assert_eq!(count(&["--until", "65d"]), 2);
    assert_eq!(count(&["--tag", "shop"]), 7);
    assert_eq!(count(&["--tag", "store"]), 0);
    over(&["history", "--tag", "store"], &past()).run().exits(0).says("no such runs");
    over(&["history", "--since", "yesterday"], &past()).run().exits(2).complains("write `30d` (ago)");
    Squall::new(["history"]).run().exits(0).says("no runs in").without_complaint();
}

#[test]
fn json_has_the_flags() {
    let ended = over(&["history", "--json"], &past()).run().exits(0);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    let (dns, kill) = (&told["experiments"][0], &told["experiments"][1]);
    assert_eq!(kill["regression"]["held-before"], 2);
    assert_eq!((&kill["open-weakness"], &kill["overdue"]), (&true.into(), &false.into()));
    assert_eq!((&dns["open-weakness"], &dns["overdue"]), (&false.into(), &true.into()));
    assert_eq!(dns["regression"], serde_json::Value::Null);
    assert_eq!(dns["runs"][2]["recovery-ms"], 1600);
    assert!(told["score"].as_f64().is_some_and(|s| s > 0.0 && s < 100.0), "{told}");
}

#[test]
fn a_weakness_is_noted_on_and_closed_by_a_run_that_holds() {
    let ended = over(&["weaknesses"], &past()).run().exits(0).says("open for 2 d").says("`checkout` failed beyond");
    fits(&ended);
    let name = "kill-one-of-the-three-replicas-of-the-shop";
    let note = ["weaknesses", "note", name, "--owner", "ana", "--action", "a fourth replica"];
    let noted = again(ended.dir.path(), &note);
    assert!(noted.status.success(), "{noted:?}");
    let told = |dir: &Path, args: &[&str]| String::from_utf8(again(dir, args).stdout).expect("text");
    let open = told(ended.dir.path(), &["weaknesses"]);
    assert!(open.contains("owner   ana") && open.contains("action  a fourth replica"), "{open}");
    // The notes are no part of the database.
    fs::remove_file(ended.dir.path().join("state/history.sqlite")).expect("it is there");
    assert_eq!(told(ended.dir.path(), &["weaknesses"]), open);

    let (path, text) = journal(name, 0, HELD);
    let path = ended.dir.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, text).expect("a journal");
    assert_eq!(told(ended.dir.path(), &["weaknesses"]), "no open weakness\n");
    let all = told(ended.dir.path(), &["weaknesses", "--all", "--json"]);
    let closed = all.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
    let closed = closed.filter(|w| w["experiment"] == name).collect::<Vec<_>>();
    let [closed] = &closed[..] else { panic!("{all}") };
    assert_eq!((&closed["open"], &closed["owner"]), (&false.into(), &"ana".into()));
    assert!((172_700..172_900).contains(&closed["open-seconds"].as_i64().expect("a number")), "{closed}");
    assert!(closed["closed-by"].as_str().is_some_and(|run| run.ends_with("a000")), "{closed}");

    let late = again(ended.dir.path(), &note);
    assert!(String::from_utf8_lossy(&late.stderr).contains("has no open weakness"), "{late:?}");
}

#[test]
fn due_lists_what_is_overdue_and_what_never_ran() {
    let file = "version: 1\nname: never-run\nhypothesis: It holds.\ndue: every quarter\n\
                steady-state: { up: { tcp: 'x:80' } }\ntarget: { service: shop }\nfault: kill\n\
                blast-radius: { max-instances: 1 }\n";
    let ended = over(&["history", "due", "never.yaml"], &past()).file("never.yaml", file).run().exits(0);
    fits(&ended);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[1].starts_with("never-run") && lines[1].contains("every quarter"), "{lines:?}");
    assert!(lines[1].ends_with("overdue: never run to a verdict"), "{lines:?}");
    assert!(lines[2].starts_with("dns-store") && lines[2].contains("overdue for"), "{lines:?}");
    assert!(lines[3].starts_with("kill-one") && lines[3].contains(" in "), "{lines:?}");
    let wrong = file.replace("every quarter", "quarterly");
    over(&["history", "due", "never.yaml"], &past())
        .file("never.yaml", wrong)
        .run()
        .exits(2)
        .complains("write for example `every quarter`");
}

/// The runs that have a directory, and those that have a row; nothing waits to be removed.
fn there(dir: &Path) -> Vec<String> {
    let state = dir.join("state");
    let listed = String::from_utf8(again(dir, &["list", "--json"]).stdout).expect("text");
    let mut rows: Vec<String> = listed
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON")["run"].as_str().expect("an id").to_owned())
        .collect();
    rows.sort();
    let mut dirs: Vec<String> = fs::read_dir(state.join("runs"))
        .expect("a directory")
        .map(|e| e.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    dirs.sort();
    assert_eq!(rows, dirs);
    rows
}

#[test]
fn pruning_leaves_no_orphan_and_nothing_outstanding_goes() {
    let mut journals = past();
    journals.push(journal("died", 100, None));
    journals.push(journal("left", 100, Some(("left-behind", "left-behind"))));
    journals.push(journal("left", 1, HELD));
    let ended = over(&["history", "prune", "--older-than", "1d", "--dry-run"], &journals).run().exits(0);
    let dir = ended.dir.path();
    assert_eq!(ended.stdout.matches("would remove").count(), 7, "{}", ended.stdout);
    assert_eq!(there(dir).len(), 10, "nothing went");
    assert!(again(dir, &["report", "a050"]).status.success(), "reports to go with it");

    let pruned = again(dir, &["history", "prune", "--older-than", "1d", "--keep", "1"]);
    let text = String::from_utf8(pruned.stdout).expect("text");
    assert!(text.contains("removed 5 runs"), "{text}");
    assert!(text.contains("kept 1 run though old: not over, or not rolled back"), "{text}");
    let left = there(dir);
    assert_eq!(left.iter().map(|id| &id[id.len() - 4..]).collect::<Vec<_>>(), ["a064", "a064", "a03c", "a002", "a001"]);
    assert_eq!(fs::read_dir(dir.join("state/pruned")).map_or(0, Iterator::count), 0);

    // A run that is going on stays, whatever its journal says so far.
    let held = dir.join(format!("state/runs/{}/journal.ndjson", left[2]));
    let lock = File::open(held).expect("its journal");
    lock.lock().expect("nobody has it");
    again(dir, &["history", "prune", "--older-than", "1s"]);
    assert_eq!(there(dir).iter().filter(|id| **id == left[2]).count(), 1);
    drop(lock);
    // What a call that died had moved away goes with the next one.
    fs::create_dir_all(dir.join("state/pruned/x")).expect("a directory");
    again(dir, &["history", "prune", "--keep", "100"]);
    assert!(!dir.join("state/pruned/x").exists());
    Squall::new(["history", "prune"]).run().exits(2).complains("--older-than");
}

#[test]
fn killed_while_it_reads_it_loses_and_doubles_nothing() {
    let journals: Vec<_> = (1..1500).map(|day| journal("kill-one", day, HELD)).collect();
    let squall = over(&["list"], &journals);
    let dir = squall.dir().to_owned();
    let mut killed = 0;
    // Each child is given a little longer, so that the kill meets it at another moment each time.
    for ms in (0..).map(|n| 20 + 15 * n) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.arg("history").env("SQUALL_STATE", dir.join("state")).stdout(Stdio::null()).stdin(Stdio::null());
        let mut child = command.spawn().expect("the binary starts");
        let end = std::time::Instant::now() + std::time::Duration::from_millis(ms);
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a child of this test") {
                break Some(status);
            }
            if std::time::Instant::now() >= end {
                break None;
            }
            std::thread::yield_now();
        };
        if let Some(status) = ended {
            assert!(status.success(), "{status}");
            break;
        }
        child.kill().expect("a child of this test");
        child.wait().expect("a child of this test");
        killed += 1;
    }
    assert!(killed > 2, "it was killed {killed} times");
    assert_eq!(there(&dir).len(), journals.len());
}
