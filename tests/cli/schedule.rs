//! Schedule files and the daemon, by the binary.
#![expect(clippy::disallowed_methods, reason = "no runtime here: these tests wait for processes of their own")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

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

/// A daemon on the simulated engine, in a directory of its own; killed when it is dropped.
struct Daemon {
    child: Child,
    dir: PathBuf,
    log: PathBuf,
}

/// The state directory and the files of several daemons, one after the other.
struct Place {
    dir: tempfile::TempDir,
}

const EXPERIMENT: &str = "
version: 1
name: quick
hypothesis: It holds.
steady-state: { up: { http: 'http://127.0.0.1:8080/', rate: 20/s, expect: { success: 90% }, during: { success: 1% } } }
target: { service: shop }
fault: pause
blast-radius: { max-instances: 1 }
timing: { baseline: 200ms, duration: 200ms, recovery: 5s }
";

impl Place {
    fn new(entry: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let place = Self { dir };
        place.write("quick.yaml", EXPERIMENT);
        place.schedule(entry);
        place
    }

    fn write(&self, name: &str, text: &str) {
        // In one step, as editors do: nobody reads half a file.
        let new = self.dir.path().join("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.dir.path().join(name)).expect("a file");
    }

    fn schedule(&self, entry: &str) {
        self.write("s.yaml", &format!("version: 1\nname: s\nentries:\n  it: {{ experiments: quick.yaml, {entry} }}\n"));
    }

    fn daemon(&self) -> Daemon {
        self.daemon_with(|_| {})
    }

    fn daemon_with(&self, more: impl FnOnce(&mut Command)) -> Daemon {
        self.daemon_on(&["--engine", "sim"], more)
    }

    fn daemon_on(&self, engine: &[&str], more: impl FnOnce(&mut Command)) -> Daemon {
        let dir = self.dir.path().to_owned();
        let log = dir.join("log");
        let out = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command
            .args(["schedule", "s.yaml", "--listen", "127.0.0.1:0"])
            .args(engine)
            .current_dir(&dir)
            .env("SQUALL_STATE", dir.join("state"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out);
        more(&mut command);
        Daemon { child: command.spawn().expect("it starts"), dir, log }
    }

    /// The runs in the history: their ids and verdicts.
    fn runs(&self) -> Vec<(String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["list", "--json"]).env("SQUALL_STATE", self.dir.path().join("state"));
        let listed = command.output().expect("the binary starts").stdout;
        let rows = listed.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        rows.map(|line| {
            let row: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            (row["run"].as_str().expect("an id").to_owned(), row["verdict"].as_str().unwrap_or("").to_owned())
        })
        .collect()
    }
}

impl Daemon {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has said something so many times.
    #[track_caller]
    fn says(&self, text: &str, times: usize) {
        until(&format!("{times} × {text:?}"), || self.said(), || self.said().matches(text).count() >= times);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a PID")).expect("a PID");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end.
    fn ends(mut self) -> Option<i32> {
        until("its end", String::new, || self.child.try_wait().expect("a child").is_some());
        self.child.wait().expect("a child").code()
    }

    fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    fn connect(&self) -> TcpStream {
        self.says("figures: http://", 1);
        let said = self.said();
        let address =
            said.rsplit("figures: http://").next().and_then(|rest| rest.split('/').next()).expect("an address");
        TcpStream::connect(address).expect("it listens")
    }

    /// What it answers to a request: the whole of it.
    fn asked(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A run that outlives its daemon ends by itself: its world is simulated and short. The directory waits for it.
        let busy = || {
            std::fs::read_dir(self.dir.join("state/runs")).into_iter().flatten().flatten().any(|e| is_locked(&e.path()))
        };
        for _ in 0..600 {
            if !busy() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_locked(run: &Path) -> bool {
    squall::record::journal::is_locked(&run.join("journal.ndjson"))
}

#[track_caller]
fn until(what: &str, told: impl Fn() -> String, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is() {
        assert!(Instant::now() < end, "waited in vain for {what}:\n{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
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
