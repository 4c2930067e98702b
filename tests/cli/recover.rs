//! Commands that disturb, on local processes: what `squall recover` does beside a guard that is still at work, what never began,
//! and what only a person can see to. The fault is a file, and its undo waits for another one.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

mod damage;
mod stack;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use squall::engine::local::Local;
use squall::engine::{Engine as _, Outcome};
use squall::host::store::StateDir;
use squall::model::exit::Verdict;
use squall::model::instance::{self, Change, CommandLocation, Epoch, InstanceId, Rollback, Setting};
use squall::record::event::{Actor, Event, FORMAT, Phase, Reason, Started};
use squall::record::journal::{self, Recorder};
use squall::record::state::RunState;

use crate::harness::Squall;

const STACK: &str = "version: 1\nname: s\nservices:\n  shop: { command: [sleep, '87'] }\n";

const EXPERIMENT: &str = "
version: 1
name: slow-undo
hypothesis: h
steady-state: { here: { exec: ['true'], rate: 10/s } }
target: { service: shop }
fault:
  exec:
    place: here
    run: [touch, fault]
    undo: [sh, -c, 'until [ -e go ]; do sleep 0.02; done; rm -f fault']
    timeout: 60s
blast-radius: { max-instances: 1 }
timing: { baseline: 1s, duration: 60s, recovery: 1s }
";

/// Nothing that is awaited here takes longer.
const LONGEST: Duration = Duration::from_secs(30);

/// A run whose runner was killed while its fault was on, and whose guard is rolling it back.
struct Scene {
    dir: tempfile::TempDir,
    guard: u32,
}

impl Scene {
    fn new() -> Self {
        let mut scene = scene(EXPERIMENT);
        let mut run = scene.squall(&["run", "x.yaml", "--stack", "s.yaml", "--quiet"]).spawn().unwrap();
        scene.until("the fault is on", |s| s.changes.iter().any(|c| c.injected.is_some()));
        run.kill().unwrap();
        run.wait().unwrap();
        let s = scene.until("the guard is at work", |s| s.taken_over.as_ref().is_some_and(|t| t.by == Actor::Guard));
        scene.guard = s.guards.last().unwrap().id.parse().unwrap();
        scene
    }

    fn squall(&self, args: &[&str]) -> Command {
        let (mut command, _) = Squall::new(args).command();
        command.current_dir(self.dir.path()).env("SQUALL_STATE", self.path("state"));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state of the only run, as soon as it is so.
    fn until(&self, what: &str, is: impl Fn(&RunState) -> bool) -> RunState {
        eventually(what, || {
            let run = std::fs::read_dir(self.path("state/runs")).ok()?.next()?.ok()?.path();
            journal::replay(&run.join("journal.ndjson")).ok().filter(|s| is(s))
        })
    }

    fn let_it_undo(&self) {
        std::fs::write(self.path("go"), "").unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.let_it_undo();
        // What was never there cannot be rolled back.
        let _ = self.squall(&["recover", "--settle", RUN, "it never was"]).output();
        let _ = self.squall(&["recover"]).output();
        let _ = self.squall(&["stack", "down", "s.yaml"]).output();
    }
}

#[expect(clippy::disallowed_methods, reason = "no runtime here")]
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn line(from: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

fn ends(mut child: Child, mut rest: impl std::io::Read) -> (Option<i32>, String) {
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap()
}

#[test]
fn a_rollback_that_another_process_is_at_is_waited_for() {
    let scene = Scene::new();
    let mut recover = scene.squall(&["recover"]).spawn().unwrap();
    let mut said = BufReader::new(recover.stdout.take().unwrap());
    let first = line(&mut said);
    assert!(first.contains(&format!("is being rolled back by process {} (its guard)", scene.guard)), "{first}");
    assert!(is_there(&scene.path("fault")) && recover.try_wait().unwrap().is_none(), "it waits");

    scene.let_it_undo();
    let (code, rest) = ends(recover, said);
    assert_eq!((code, is_there(&scene.path("fault"))), (Some(0), false), "{rest}");
    assert!(rest.contains("nothing is left"), "{rest}");
    let by = scene.until("the end", |s| s.finished.is_some()).changes[0].rolled_back.as_ref().map(|r| r.by);
    assert_eq!(by, Some(Actor::Guard));
}

#[test]
fn a_rollback_that_does_not_end_in_time_is_incomplete_with_what_is_left() {
    let scene = Scene::new();
    let recover = scene.squall(&["recover", "--wait", "300ms"]).output().unwrap();
    let said = String::from_utf8_lossy(&recover.stdout);
    assert_eq!(recover.status.code(), Some(4), "{said}");
    assert!(said.contains("by hand") && said.contains("rm -f fault"), "{said}");
    assert!(is_there(&scene.path("fault")));
}

/// A run that goes on is not what `recover` is for; it says so, and touches nothing.
#[test]
fn a_run_that_goes_on_is_left_alone() {
    let scene = scene(EXPERIMENT);
    let mut run = scene.squall(&["run", "x.yaml", "--stack", "s.yaml", "--quiet"]).spawn().unwrap();
    scene.until("the fault is on", |s| s.changes.iter().any(|c| c.injected.is_some()));
    let recover = scene.squall(&["recover"]).output().unwrap();
    let said = String::from_utf8_lossy(&recover.stdout);
    assert_eq!(recover.status.code(), Some(0), "{said}");
    assert!(said.contains("going on") && said.contains(&format!("process {} ", run.id())), "{said}");
    assert!(is_there(&scene.path("fault")));
    run.kill().unwrap();
    run.wait().unwrap();
}

/// A fault of another command, and how it is undone.
fn exec(run: &str, undo: &str) -> String {
    let begin = EXPERIMENT.split("fault:").next().unwrap();
    let end = &EXPERIMENT[EXPERIMENT.find("blast-radius").unwrap()..].replace("60s", "300ms");
    format!("{begin}fault: {{ exec: {{ place: here, run: {run}, undo: {undo} }} }}\n{end}")
}

/// A stack that is up, and an experiment on it.
fn scene(experiment: &str) -> Scene {
    let up = Squall::new(["stack", "up", "s.yaml"]).file("s.yaml", STACK).file("x.yaml", experiment).run();
    Scene { dir: up.exits(0).dir, guard: 0 }
}

fn output(mut command: Command) -> (Option<i32>, String) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.code(), said)
}

#[test]
fn a_command_or_an_undo_that_cannot_be_started_is_refused_by_the_plan() {
    for (run, undo) in [("[no-such]", "['true']"), ("['true']", "[no-such]"), ("['true']", "[/no/such]")] {
        let scene = scene(&exec(run, undo));
        for verb in ["plan", "run"] {
            let (code, said) = output(scene.squall(&[verb, "x.yaml", "--stack", "s.yaml"]));
            assert_eq!(code, Some(3), "{verb}: {said}");
            assert!(said.contains("cannot be started") && said.contains("no program"), "{verb}: {said}");
        }
        assert_eq!(output(scene.squall(&["recover"])).0, Some(0));
    }
}

/// Only the kernel knows that the interpreter of a script is missing.
#[test]
fn what_never_began_is_not_undone() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = scene(&exec("[./script]", "[touch, undone]"));
    std::fs::write(scene.path("script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(scene.path("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = output(scene.squall(&["run", "x.yaml", "--stack", "s.yaml"]));
    assert_eq!(code, Some(3), "{said}");
    let s = scene.until("the end", |s| s.finished.is_some());
    assert_eq!(s.finished.as_ref().map(|f| f.reason), Some(Reason::NotInjected));
    assert!(s.is_settled() && !is_there(&scene.path("undone")), "{said}");
}

const RUN: &str = "20260101T000000Z-left-0001";

/// The journal of a run that has left something behind on a service, because its undo fails.
fn left_behind(scene: &Scene, service: &str) {
    let state = StateDir::find(Some(scene.path("state"))).unwrap();
    let engine = Local::open(&state, &scene.path("s.yaml")).unwrap().describe();
    let rec = Recorder::create(&state.journal(RUN)).unwrap();
    let experiment = serde_json::from_value(serde_yaml::from_str(crate::locks::EXPERIMENT).unwrap()).unwrap();
    let (format, version, run) = (FORMAT, "0".to_owned(), RUN.to_owned());
    let (file, owner) = ("x.yaml".to_owned(), "ada@lab".to_owned());
    let started = Started { format, version, run, experiment, file, seed: 1, engine, owner, process: None };
    rec.commit(Event::Started(Box::new(started))).unwrap();
    rec.commit(Event::Claiming { claims: vec![crate::locks::claim(service, RUN, None)] }).unwrap();
    let command = |program: &str| {
        Setting::Ran(instance::Command {
            run: vec![program.to_owned()],
            place: CommandLocation::Here,
            timeout: Duration::from_secs(1),
            variables: std::collections::BTreeMap::new(),
            directory: None,
        })
    };
    let change = Change {
        n: 0,
        fault: 0,
        instance: InstanceId(format!("{service}-1")),
        name: format!("{service}-1"),
        epoch: Epoch(String::new()),
        before: None,
        to: command("true"),
        back: Rollback::To(command("false")),
    };
    rec.commit(Event::Planned { changes: vec![change], deadline: jiff::Timestamp::now() }).unwrap();
    rec.note(Event::Injecting { n: 0 });
    rec.note(Event::Injected { n: 0, outcome: Outcome::Done, took_us: 1 });
    rec.note(Event::RollingBack { n: 0 });
    rec.note(Event::Stuck { n: 0, by_hand: "false".to_owned() });
    let (verdict, reason) = (Verdict::LeftBehind, Reason::LeftBehind);
    rec.note(Event::Finished { verdict, reason, text: "1 change could not be rolled back".to_owned() });
}

#[test]
fn what_was_left_behind_stops_only_who_meets_it() {
    let scene = scene(&exec("['true']", "['true']"));
    left_behind(&scene, "store");
    let journal = || std::fs::read(scene.path("state/runs").join(RUN).join("journal.ndjson")).unwrap();
    let before = journal();
    let (code, said) = output(scene.squall(&["run", "x.yaml", "--stack", "s.yaml"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{RUN} has left something behind, which this run does not meet")), "{said}");
    assert_eq!(journal(), before, "it is not tried again");
}

#[test]
fn a_person_closes_what_nothing_can_take_back() {
    let scene = scene(&exec("['true']", "['true']"));
    left_behind(&scene, "shop");
    let (code, said) = output(scene.squall(&["recover", "--settle", RUN, "  "]));
    assert!(code == Some(2) && said.contains("say what you did"), "{said}");

    let (code, said) = output(scene.squall(&["recover", "--settle", RUN, "restored it by hand"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("settled by") && said.contains("restored it by hand"), "{said}");
    let (code, said) = output(scene.squall(&["recover"]));
    assert!(code == Some(0) && said.contains("nothing to roll back"), "{said}");

    let dir = scene.path("state/runs").join(RUN);
    let s = journal::replay(&dir.join("journal.ndjson")).unwrap();
    assert_eq!(s.settled.as_ref().map(|settled| settled.why.as_str()), Some("restored it by hand"));
    assert_eq!(s.finished.as_ref().map(|f| f.verdict), Some(Verdict::LeftBehind), "what it came to stays");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["settled"]["why"], "restored it by hand");
    let (_, listed) = output(scene.squall(&["list"]));
    assert!(listed.contains("settled by hand"), "{listed}");
    let (code, said) = output(scene.squall(&["run", "x.yaml", "--stack", "s.yaml"]));
    assert!(code == Some(0) && !said.contains("left something behind"), "{said}");
    let (code, said) = output(scene.squall(&["recover", "--settle", RUN, "again"]));
    assert!(code == Some(0) && said.contains("nothing to settle"), "{said}");
}

/// The same fault with an undo that waits for nothing.
fn at_once() -> String {
    EXPERIMENT.replace("until [ -e go ]; do sleep 0.02; done; rm -f fault", "rm -f fault")
}

/// A run of which a fault is on, for long enough that its guard has read of it.
fn with_fault_on() -> (Scene, Child) {
    let scene = scene(&at_once());
    let run = scene.squall(&["run", "x.yaml", "--stack", "s.yaml", "--quiet"]).spawn().unwrap();
    scene.until("the fault is on for a while", |s| {
        s.checks.values().any(|c| c.windows.iter().filter(|w| w.phase == Phase::During).count() > 2)
    });
    (scene, run)
}

fn send(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success(), "{signal} {pid}");
}

#[test]
fn a_guard_that_is_held_still_is_replaced() {
    let (scene, mut run) = with_fault_on();
    let guard = scene.until("a guard", |s| !s.guards.is_empty()).guards[0].id.clone();
    send("-STOP", &guard);
    let s = scene.until("another guard", |s| s.guards.len() > 1);
    eventually("the end of the first", || (!is_there(Path::new(&format!("/proc/{guard}")))).then_some(()));
    // The second one is a guard.
    send("-KILL", &run.id().to_string());
    run.wait().unwrap();
    eventually("the rollback", || (!is_there(&scene.path("fault"))).then_some(()));
    assert_ne!(s.guards[0].id, s.guards[1].id);
}
