//! Schedule files and the daemon, by the binary.
#![expect(clippy::disallowed_methods, reason = "no runtime here: these tests wait for processes of their own")]

mod daemon;

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use daemon::{EXPERIMENT, Place, until};

use crate::gate::{STACK, broken, held};
use crate::harness::{Squall, repository};

fn text() -> String {
    std::fs::read_to_string(repository("examples/continuous/schedule.yaml")).expect("it is there")
}

#[test]
fn a_schedule_is_validated_beside_experiments() {
    let experiment = std::fs::read(repository("experiments/kill-one-shop.yaml")).expect("it is there");
    Squall::new(["validate", "s.yaml", "x.yaml"])
        .file("s.yaml", text())
        .file("x.yaml", experiment)
        .run()
        .exits(0)
        .says("ok     s.yaml")
        .says("ok     x.yaml")
        .without_complaint();
    let wrong = text().replace("jitter:", "jiter:").replace("time-zone: Europe/Berlin", "time-zone: Berlin");
    Squall::new(["validate", "s.yaml"])
        .file("s.yaml", wrong)
        .run()
        .exits(2)
        .complains("did you mean `jitter`?")
        .complains("there is no time zone `Berlin`");
}

#[test]
fn the_schema_fits_the_example_and_the_one_in_the_docs() {
    let ended = Squall::new(["schema", "--of", "schedule"]).run().exits(0);
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let docs = std::fs::read_to_string(repository("docs/schedules.md")).expect("it is there");
    let docs = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of YAML");
    for text in [text(), docs.to_owned()] {
        let value: serde_json::Value = serde_yaml::from_str(&text).expect("it is YAML");
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{text}");
        Squall::new(["validate", "s.yaml"]).file("s.yaml", text).run().exits(0);
    }
    let wrong: serde_json::Value = serde_yaml::from_str(&text().replace("mode: dry-run", "mode: loose")).expect("YAML");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn the_next_starts_are_printed_and_nothing_starts() {
    let ended = Squall::new(["schedule", "s.yaml", "--next", "6"]).file("s.yaml", text()).run().exits(0);
    assert_eq!(ended.stdout.lines().count(), 7, "{}", ended.stdout);
    let ended = ended.says("staging/every-morning").says("CE").without_complaint();
    assert!(!ended.dir.path().join("state").exists());
    Squall::new(["schedule", "s.yaml"]).file("s.yaml", "version: 1").run().exits(2).complains("entries");
}

#[test]
fn runs_start_figures_are_shown_and_nothing_can_be_changed() {
    let place = Place::new("random: { mean: 100ms }");
    let daemon = place.daemon();
    daemon.says("s/it: ended: rehearsed: would hold", 2);
    assert!(daemon.asked("GET /healthz").starts_with("HTTP/1.1 200 OK"), "{}", daemon.asked("GET /healthz"));
    let figures = daemon.asked("GET /metrics");
    for want in
        ["squall_schedule_next_start_timestamp_seconds{schedule=\"s\",entry=\"it\"} ", "# TYPE squall_runs gauge"]
    {
        assert!(figures.contains(want), "{want}\n{figures}");
    }
    assert!(daemon.asked("POST /metrics").starts_with("HTTP/1.1 405"));
    assert!(daemon.asked("DELETE /runs").starts_with("HTTP/1.1 405"));
    assert!(daemon.asked("GET /runs").starts_with("HTTP/1.1 404"));
    // A second one in the same state directory is refused.
    let second = place.daemon();
    second.says("another `squall schedule` is at work", 1);
    assert_eq!(second.ends(), Some(2));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends(), Some(0));
    assert!(place.runs().len() >= 2, "{:?}", place.runs());
}

/// Each of them may take 5 s; one after the other, they would keep the next one waiting for minutes.
#[test]
fn clients_that_never_finish_keep_nobody_waiting() {
    let place = Place::new("cron: '0 0 1 1 *'");
    let daemon = place.daemon();
    let _slow: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut stream = daemon.connect();
            stream.write_all(b"GET /healthz").expect("it reads");
            stream
        })
        .collect();
    assert!(daemon.asked("GET /healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn sigterm_takes_the_run_back_first() {
    let place = Place::new("random: { mean: 100ms }");
    place.write("quick.yaml", &EXPERIMENT.replace("duration: 200ms", "duration: 5m"));
    let daemon = place.daemon();
    let journals = || {
        let runs = std::fs::read_dir(place.dir.path().join("state/runs")).into_iter().flatten().flatten();
        runs.map(|run| std::fs::read_to_string(run.path().join("journal.ndjson")).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let targeted = || journals().into_iter().find(|journal| journal.contains("\"injected\""));
    until("the fault", || daemon.said(), || targeted().is_some());
    daemon.signal(Signal::TERM);
    daemon.says("rolls everything back first", 1);
    assert_eq!(daemon.ends(), Some(0));
    let journal = targeted().expect("a run");
    assert!(journal.contains("\"interrupted\"") && journal.contains("\"rolled-back\""), "{journal}");
    let runs = place.runs();
    assert!(runs.iter().all(|run| run.1 == "no-verdict"), "{runs:?}");
    // On a machine that was too busy to ask, one that targeted nothing may have come before it.
    let others = journals().into_iter().filter(|journal| !journal.contains("\"injected\""));
    others.for_each(|journal| assert!(journal.contains("not-measured"), "{journal}"));
}

#[test]
fn an_invalid_file_leaves_what_it_said_and_says_so() {
    let place = Place::new("cron: '0 0 1 1 *'");
    let daemon = place.daemon();
    daemon.says("1 entry of 1 file", 1);
    place.schedule("cron: 'never'");
    daemon.signal(Signal::HUP);
    daemon.says("is no cron expression", 1);
    daemon.says("what it said before goes on", 1);
    until(
        "the figure",
        || daemon.asked("GET /metrics"),
        || daemon.asked("GET /metrics").contains("squall_schedule_file_valid{file=\"s.yaml\"} 0"),
    );
    assert!(daemon.asked("GET /healthz").starts_with("HTTP/1.1 200"));
    // No signal this time: it looks by itself.
    place.schedule("random: { mean: 100ms }");
    daemon.says("files read again", 1);
    daemon.says("s/it: ended: rehearsed: would hold", 1);
}

#[test]
fn what_must_be_so_before_a_start_is_looked_at() {
    let place = Place::new("random: { mean: 50ms }, only-while: { port: { tcp: '127.0.0.1:1' } }");
    let daemon = place.daemon();
    daemon.says("s/it: not started: `port`: connection refused", 2);
    assert!(daemon.asked("GET /metrics").contains("entry=\"it\",why=\"only-while\"}"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends(), Some(0));
    assert_eq!(place.runs(), []);

    // A run that spent 400 s of 0.1 % of 30 days: 85 % of the budget is left.
    for (left, starts) in [("90%", false), ("80%", true)] {
        let place = Place::new(&format!("random: {{ mean: 50ms }}, budget: {{ objective: 99.9%, left: {left} }}"));
        let at = Timestamp::now();
        let journal = format!(
            r#"{{"seq":0,"at":"{at}","event":"started","format":1,"version":"0.1.0","run":"r","experiment":{{"version":1,"name":"a","hypothesis":"It holds.","steady-state":{{"up":{{"tcp":{{"address":"x:80"}},"rate":"1/s"}}}},"target":{{"service":"shop"}},"fault":{{"kill":{{}}}},"blast-radius":{{"max-instances":1}}}},"file":"a.yaml","seed":7,"engine":{{"kind":"docker","address":"unix:///x","version":"1"}},"owner":"a@b"}}
{{"seq":1,"at":"{at}","event":"sampled","check":"up","phase":"during","from":"{at}","length-ms":400000,"samples":400,"failed":400,"unmeasured":0}}
{{"seq":2,"at":"{at}","event":"finished","verdict":"broken","reason":"hypothesis-broken","text":"why"}}
"#
        );
        std::fs::create_dir_all(place.dir.path().join("state/runs/r")).expect("a directory");
        place.write("state/runs/r/journal.ndjson", &journal);
        let daemon = place.daemon();
        if starts {
            daemon.says("s/it: ended: rehearsed: would hold", 1);
        } else {
            daemon.says("85% of the error budget is left, not 90%", 2);
        }
        assert!(
            daemon.asked("GET /metrics").contains("squall_budget_spent_seconds 400\n"),
            "{}",
            daemon.asked("GET /metrics")
        );
    }
}

#[test]
fn a_dry_run_touches_nothing_and_is_no_pass() {
    let place = Place::new("random: { mean: 50ms }, mode: dry-run");
    let daemon = place.daemon();
    daemon.says("dry run: nothing is touched", 1);
    daemon.says("shop-1", 1);
    daemon.says("s/it: ended: dry run: it could be run; nothing was touched", 1);
    assert!(!daemon.said().contains("held"), "{}", daemon.said());
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends(), Some(0));
    assert_eq!(place.runs(), []);
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new("cron: '0 0 1 1 *'");
    let path = place.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let hears = |what: &str| {
        let mut buffer = [0; 500];
        loop {
            let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{what}: {e}"));
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if text.starts_with(what) {
                return text;
            }
        }
    };
    let daemon = place.daemon_with(|c| {
        c.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    place.schedule("cron: '0 0 2 1 *'");
    daemon.signal(Signal::HUP);
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    daemon.signal(Signal::TERM);
    hears("STOPPING=1");
    assert_eq!(daemon.ends(), Some(0));
}

#[test]
fn killed_at_any_moment_it_loses_and_doubles_nothing() {
    let place = Place::new("random: { mean: 300ms }");
    let mut n = 0_u64;
    while place.runs().iter().filter(|run| !run.1.is_empty()).count() < 8 {
        n += 1;
        let daemon = place.daemon();
        daemon.says("starts ", usize::try_from(n).expect("a few"));
        std::thread::sleep(Duration::from_millis(n * 137 % 1000));
        daemon.kill();
    }
    let daemon = place.daemon();
    // Its own word, not one of those before it.
    daemon.says("figures: ", usize::try_from(n).expect("a few") + 1);
    daemon.signal(Signal::TERM);
    let said = daemon.said();
    assert_eq!(daemon.ends(), Some(0));
    // Each start that was announced has a seed of its own, and at most one run has it. What the last daemon has begun may have
    // been ended by the same signal before it was a run.
    let (killed, _) = said.rsplit_once("figures: ").expect("the last one's own word");
    let announced: Vec<&str> =
        killed.split("with seed ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    let runs = place.runs();
    let mut seeds = Vec::new();
    for (run, _) in &runs {
        let journal = place.dir.path().join("state/runs").join(run).join("journal.ndjson");
        let state = squall::record::journal::replay(&journal).expect("a journal");
        seeds.extend(state.started.map(|s| s.seed.to_string()));
    }
    let distinct: std::collections::BTreeSet<&String> = seeds.iter().collect();
    assert_eq!(distinct.len(), seeds.len(), "none is doubled: {seeds:?}");
    let known = announced.iter().filter(|seed| seeds.iter().any(|s| s == *seed)).count();
    assert!(runs.len() >= announced.len() && known == announced.len(), "none is lost: {announced:?} {seeds:?}");
}

#[test]
fn trouble_is_told_and_its_end_and_a_deaf_receiver_delays_nothing() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = Place::new("random: { mean: 100ms }");
    let text = std::fs::read_to_string(place.dir.path().join("s.yaml")).expect("it is there");
    let notify = format!(
        "notify:\n  - file: messages.ndjson\n  - webhook: http://{}/${{HOOK}}\n",
        deaf.local_addr().expect("an address")
    );
    place.write("s.yaml", &(text + &notify));
    place.write("quick.yaml", &broken("quick"));
    let messages = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(place.dir.path().join("messages.ndjson")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    place.write("stack.yaml", STACK);
    // On real processes: of a rehearsal nothing is told.
    let daemon = place.daemon_on(&["--stack", "stack.yaml"], |command| {
        command.env("HOOK", "s3cret");
    });
    // Nobody answers at the webhook's end, and runs go on.
    daemon.says("s/it: ended: broken", 2);
    place.write("quick.yaml", &held("quick"));
    daemon.says("s/it: ended: held", 2);
    daemon.signal(Signal::TERM);
    daemon.says("messages were still on their way", 1);
    assert!(!daemon.said().contains("s3cret"), "{}", daemon.said());
    assert_eq!(daemon.ends(), Some(0));

    let messages = messages();
    let stages: Vec<&str> = messages.iter().filter_map(|m| m["stage"].as_str()).collect();
    let (last, before) = stages.split_last().expect("some messages");
    assert_eq!((before[0], *last), ("initial", "resolution"), "{messages:#?}");
    assert!(before.len() >= 2 && before[1..].iter().all(|stage| *stage == "update"), "{messages:#?}");
    let first = &messages[0];
    assert_eq!((&first["verdict"], &first["severity"]), (&"broken".into(), &"error".into()), "{first:#}");
    assert_eq!((&first["experiment"], &first["key"]), (&"quick".into(), &"squall/schedule/s/it".into()), "{first:#}");
    assert!(Path::new(first["report"].as_str().expect("a report")).exists(), "{first:#}");
    assert!(messages.iter().all(|m| m["key"] == first["key"]), "{messages:#?}");
}

#[test]
fn mistakes_in_recipients_are_told_with_their_place() {
    let wrong = "version: 1\nname: s\nnotify:\n  - slack: hooks.slack.com/services/T0\n  - pagerduty: 0123456789\n  - command: []\n  \
                 - webhook: { url: 'https://a.example', secret: hunter2 }\nentries:\n  it: { experiments: quick.yaml, random: { mean: 1h } }\n";
    Squall::new(["validate", "s.yaml"])
        .file("s.yaml", wrong)
        .run()
        .exits(2)
        .complains("this is not a URL to tell")
        .complains("`command` names no program")
        .complains("this is a secret, and it stands in the file")
        .complains("write `${PAGERDUTY_KEY}`");
}
