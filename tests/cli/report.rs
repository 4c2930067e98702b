//! `squall report` and `squall list` on journals as they lie on disk: their spelling is a promise to every later version.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::Squall;

const STARTED: &str = r#"{"seq":0,"at":"2026-11-20T09:30:00Z","event":"started","format":1,"version":"0.1.0","run":"RUN","experiment":{"version":1,"name":"kill-one-replica","hypothesis":"Losing one of three shop instances goes unnoticed.","steady-state":{"checkout":{"http":{"url":"http://127.0.0.1:8080/checkout","headers":{"Authorization":"Bearer ${TOKEN}"}},"rate":"50/s","timeout":"1s","expect":{"success":"99%"},"during":{"success":"95%"}}},"target":{"service":"shop","pick":1},"fault":{"kill":{"signal":"SIGKILL","via":"engine","heal":"squall"}},"blast-radius":{"max-instances":1},"timing":{"warm-up":"0s","baseline":"5s","duration":"20s","recovery":"30s"},"on-breach":"abort"},"file":"experiments/kill-one.yaml","seed":7,"engine":{"kind":"sim","address":"memory","version":"1"},"owner":"ana@staging"}
"#;
const BASELINE: &str = r#"{"seq":1,"at":"2026-11-20T09:30:00.1Z","event":"phase-began","phase":"baseline","planned-ms":5000}
{"seq":2,"at":"2026-11-20T09:30:00.6Z","event":"sampled","check":"checkout","phase":"baseline","from":"2026-11-20T09:30:00.1Z","length-ms":500,"samples":25,"failed":1,"unmeasured":0,"latency":{"p50":12.0,"p95":20.5,"p99":22.0,"max":31.0},"failures":{"timeout":1}}
"#;
const FINISHED: &str = r#"{"seq":3,"at":"2026-11-20T09:30:05Z","event":"finished","verdict":"no-verdict","reason":"baseline-not-met","text":"`checkout` was not healthy before anything was touched"}
"#;
const ID: &str = "20261120T093000Z-kill-one-replica-7f3a";

fn journal(id: &str, parts: &[&str]) -> (String, String) {
    (format!("state/runs/{id}/journal.ndjson"), parts.concat().replace("RUN", id))
}

fn over(args: &[&str], journals: &[(String, String)]) -> Squall {
    journals.iter().fold(Squall::new(args), |squall, (path, text)| squall.file(path, text))
}

#[test]
fn all_formats_are_written_beside_the_journal_and_named() {
    let ended = over(&["report", "last"], &[journal(ID, &[STARTED, BASELINE, FINISHED])]).run().exits(0);
    for name in ["report.html", "report.md", "report.json", "junit.xml"] {
        assert!(ended.stdout.lines().any(|l| l.ends_with(&format!("{ID}/{name}"))), "{}", ended.stdout);
        let text = ended.written(&format!("state/runs/{ID}/{name}"));
        assert!(text.contains("baseline-not-met"), "{name}");
        assert!(!text.contains("Bearer") || text.contains("Bearer ${TOKEN}"), "{name}");
        let path = ended.dir.path().join(format!("state/runs/{ID}/{name}"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644, "{name}");
    }
}

#[test]
fn one_format_is_printed_and_nothing_is_written() {
    let ended =
        over(&["report", ID, "--format", "json"], &[journal(ID, &[STARTED, BASELINE, FINISHED])]).run().exits(0);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["verdict"], "no-verdict");
    assert_eq!(report["exit-code"], 3);
    assert_eq!(report["samples"], 25);
    assert!(!ended.dir.path().join(format!("state/runs/{ID}/report.json")).exists());
    for (format, says) in [("html", "<h1>No verdict</h1>"), ("markdown", "### ⚪ No verdict"), ("junit", "<testsuites")]
    {
        let journals = [journal(ID, &[STARTED, BASELINE, FINISHED])];
        over(&["report", "7f3a", "--format", format], &journals).run().exits(0).says(says).without_complaint();
    }
}

#[test]
fn a_torn_last_line_is_no_obstacle_and_a_damaged_one_is_named() {
    let torn = &BASELINE[..BASELINE.len() - 40];
    over(&["report", ID, "--format", "markdown"], &[journal(ID, &[STARTED, torn])]).run().exits(0).says("Unfinished");
    let journals = [journal(ID, &[STARTED, "{\"seq\":1}\n", FINISHED])];
    over(&["report", ID], &journals).run().exits(2).complains("line 2 of the journal");
}

#[test]
fn a_run_that_is_not_there_is_said_so() {
    Squall::new(["report", "nosuch"]).run().exits(2).complains("there is no run `nosuch`").complains("squall list");
}

#[test]
fn the_list_fits_a_terminal_and_tells_the_dead_from_the_living() {
    let dead = "20261120T093100Z-kill-one-replica-dead";
    let alive = "20261120T093200Z-kill-one-replica-beef";
    let torn = "20261120T093300Z-kill-one-replica-0bad";
    let journals = [
        journal(ID, &[STARTED, BASELINE, FINISHED]),
        journal(dead, &[STARTED, BASELINE]),
        journal(alive, &[STARTED, BASELINE]),
        journal(torn, &["nonsense\n"]),
    ];
    let squall = over(&["list"], &journals);
    let lock = File::open(squall.dir().join(&journals[2].0)).unwrap();
    lock.lock().unwrap();
    let ended = squall.run().exits(0);
    let line = |word: &str| {
        let found = ended.stdout.lines().find(|l| l.starts_with(word));
        found.unwrap_or_else(|| panic!("{word}:\n{}", ended.stdout)).to_owned()
    };
    for (word, says) in [
        ("7f3a", ["kill-one-replica", "no verdict", "baseline-not-met"]),
        ("dead", ["kill-one-replica", "unfinished", "squall recover"]),
        ("beef", ["kill-one-replica", "running", ""]),
        ("0bad", ["", "unreadable", "squall report"]),
    ] {
        assert!(says.iter().all(|text| line(word).contains(text)), "{word}:\n{}", ended.stdout);
    }
    for line in ended.stdout.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    drop(lock);
}

#[test]
fn the_list_begins_with_the_newest_and_says_how_many_more_there_are() {
    let id = |n: usize| format!("202611{:02}T093000Z-kill-one-replica-{:04x}", n + 1, 0xa000 + n);
    let journals: Vec<_> = (0..23).map(|n| journal(&id(n), &[STARTED, BASELINE, FINISHED])).collect();
    let runs = |args: &[&str]| -> (Vec<String>, String) {
        let ended = over(args, &journals).run().exits(0);
        let lines = ended.stdout.lines().filter(|l| l.contains("kill-one-replica"));
        (lines.map(|l| l.split(' ').next().unwrap_or_default().to_owned()).collect(), ended.stdout)
    };
    let short = |n: usize| format!("{:04x}", 0xa000 + n);
    let (shown, text) = runs(&["list"]);
    assert_eq!(shown, (3..23).rev().map(short).collect::<Vec<_>>(), "{text}");
    assert!(text.contains("… and 3 runs before these") && text.lines().all(|l| l.chars().count() <= 80), "{text}");
    let (shown, text) = runs(&["list", "--limit", "22"]);
    assert!(shown.len() == 22 && text.contains("… and 1 run before these"), "{text}");
    for args in [&["list", "--limit", "0"][..], &["list", "--limit", "99"]] {
        let (shown, text) = runs(args);
        assert!(shown.len() == 23 && !text.contains('…'), "{text}");
    }
    let (all, _) = runs(&["list", "--json"]);
    assert_eq!(all.len(), 23, "programs get all of them");
    let (_, some) = runs(&["list", "--json", "--limit", "1"]);
    assert!(some.lines().count() == 1 && some.contains(&id(22)), "{some}");
}

#[test]
fn the_list_for_programs_is_one_object_a_line() {
    let ended = over(&["list", "--json"], &[journal(ID, &[STARTED, BASELINE, FINISHED])]).run().exits(0);
    let row: serde_json::Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!(row["run"], ID);
    assert_eq!(row["status"], "finished");
    assert_eq!(row["reason"], "baseline-not-met");
    assert_eq!(row["exit-code"], 3);
}

#[test]
fn an_empty_list_says_what_to_do() {
    Squall::new(["list"]).run().exits(0).says("squall run FILE").without_complaint();
}
