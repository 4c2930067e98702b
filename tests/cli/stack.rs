//! `squall stack` and the engine on it: real processes on ports of their own.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use squall::engine::local::Local;
use squall::engine::{Ability, Apply as _, Engine as _, Execute as _, Observe as _, Outcome, Tag};
use squall::host::store::StateDir;
use squall::model::instance::{self, Change, CommandLocation, Instance, InstanceId, Kill, Setting, Signal, Trait, Via};

use crate::harness::Squall;

/// Ports in a row that nobody listens on, below those that the kernel gives to clients; none is given twice.
pub(crate) fn ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 12_000 + u16::try_from(std::process::id() % 150).unwrap() * 100;
    loop {
        let first = begin + NEXT.fetch_add(count, Ordering::Relaxed);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}

/// What an HTTP service answers, if it does within a second.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A stack file in a directory of its own; the stack is taken down with this value, however the test ends.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(services: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.yaml"), format!("version: 1\nname: s\nservices:\n{services}\n")).unwrap();
        Self { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("s.yaml")
    }

    fn state_file(&self) -> PathBuf {
        self.dir.path().join("state/stacks/s/state.json")
    }

    fn squall(&self, verb: &str) -> crate::harness::Ended {
        Squall::new(["stack", verb]).arg(self.file()).env("SQUALL_STATE", self.dir.path().join("state")).run()
    }

    fn engine(&self) -> Local {
        let state = StateDir::find(Some(self.dir.path().join("state"))).unwrap();
        Local::open(&state, &self.file()).unwrap().with_binary(env!("CARGO_BIN_EXE_squall").into())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let down = self.squall("down");
        assert!(down.code == Some(0) || std::thread::panicking(), "{}", down.stderr);
    }
}

fn pids(world: &World) -> Vec<i32> {
    pids_of(&world.state_file())
}

/// The PIDs of the processes of a stack with this state file, children included.
pub(crate) fn pids_of(state_file: &Path) -> Vec<i32> {
    let mark = format!("SQUALL_PROCESS={}#", state_file.display());
    let has_mark = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|e| e.split(|b| *b == 0).any(|v| v.starts_with(mark.as_bytes())))
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    all.filter(has_mark).collect()
}

fn state_of(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-')
}

/// Waits until something is so; a bound, not a pace.
pub(crate) fn eventually(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn store(port: u16) -> String {
    format!("  store: {{ command: [squall, serve, store, --listen, '127.0.0.1:{{port}}'], port: {port}, zones: [a] }}")
}

fn tag() -> Tag {
    Tag { run: "test".into(), change: 0 }
}

async fn look(engine: &Local, name: &str) -> Instance {
    engine.look(&InstanceId(name.into())).await.unwrap().expect("the instance")
}

async fn set(engine: &Local, name: &str, to: Setting) -> Outcome {
    engine.set(&tag(), &InstanceId(name.into()), &to).await.unwrap()
}

fn killed(signal: Signal) -> Setting {
    Setting::Killed(Kill { signal, via: Via::Engine })
}

#[test]
fn up_starts_what_is_missing_and_down_leaves_nothing() {
    let first = ports(3);
    let shops = format!(
        "  shop: {{ command: [squall, serve, shop, --name, '{{name}}', --listen, '127.0.0.1:{{port}}', --upstream, \
         'localhost:{first}'], replicas: 2, port: {}, zones: [a, b] }}",
        first + 1
    );
    let world = World::new(&format!("{}\n{shops}", store(first)));
    world.squall("status").exits(0).says("the stack is not up");
    world.squall("up").exits(0).says("3 processes started");
    assert!(get(first + 2, "/checkout").unwrap().contains("\"shop\":\"shop-2\""));
    let before = pids(&world);
    assert_eq!(before.len(), 3);

    world.squall("up").exits(0).says("0 processes started");
    assert_eq!(pids(&world), before, "nothing was touched");
    let id = before[1].to_string();
    assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    eventually("it is gone", || pids(&world).len() == 2);
    world.squall("status").exits(0).says("not running");
    world.squall("up").exits(0).says("1 process started");
    assert_eq!(pids(&world).len(), 3);

    world.squall("down").exits(0).says("3 processes ended");
    assert_eq!(pids(&world), [] as [i32; 0]);
    assert!(!world.state_file().exists());
    assert!(get(first, "/health").is_none());
}

#[tokio::test]
async fn a_killed_process_is_gone_and_comes_back_as_another_one() {
    let port = ports(1);
    let world = World::new(&store(port));
    let engine = world.engine();
    assert_eq!(engine.up().await.unwrap(), ["store-1"]);
    let before = look(&engine, "store-1").await;
    assert!(before.is_up());
    assert_eq!(before.zone.as_deref(), Some("a"));

    assert_eq!(set(&engine, "store-1", killed(Signal::SigKill)).await, Outcome::Done);
    let gone = look(&engine, "store-1").await;
    assert!(!gone.is_running());
    assert_eq!(gone.epoch, before.epoch, "it has not lived since");
    assert!(get(port, "/health").is_none());
    assert_eq!(set(&engine, "store-1", killed(Signal::SigKill)).await, Outcome::Already);

    // Another process, which knows no more than the journal does, rolls it back.
    let other = Local::from_description(&engine.describe()).unwrap().with_binary(env!("CARGO_BIN_EXE_squall").into());
    assert_eq!(set(&other, "store-1", Setting::Running(true)).await, Outcome::Done);
    assert!(get(port, "/health").unwrap().contains("200 OK"), "it answers as soon as it is said to run");
    let after = look(&engine, "store-1").await;
    assert_eq!(after.settings, before.settings);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(set(&other, "store-1", Setting::Running(true)).await, Outcome::Already);

    assert_eq!(engine.down().await.unwrap(), 1);
    assert_eq!(set(&other, "store-1", Setting::Running(true)).await, Outcome::Gone);
    assert_eq!(engine.look(&InstanceId("store-1".into())).await.unwrap(), None);
}

#[tokio::test]
async fn a_paused_instance_is_frozen_with_its_children_and_answers_nothing() {
    let port = ports(1);
    let family = "  family: { command: [sh, -c, 'sleep 71 & sleep 72 & wait'] }";
    let world = World::new(&format!("{}\n{family}", store(port)));
    let engine = world.engine();
    engine.up().await.unwrap();
    eventually("a shell and two children", || pids(&world).len() == 4);

    for name in ["store-1", "family-1"] {
        assert_eq!(set(&engine, name, Setting::Paused(true)).await, Outcome::Done);
        assert_eq!(set(&engine, name, Setting::Paused(true)).await, Outcome::Already);
        let frozen = look(&engine, name).await;
        assert!(frozen.is_running() && !frozen.is_up());
    }
    assert!(pids(&world).iter().all(|pid| state_of(*pid) == 'T'));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "the kernel still accepts");
    assert_eq!(get(port, "/health"), None, "and nobody answers");

    for name in ["store-1", "family-1"] {
        assert_eq!(set(&engine, name, Setting::Paused(false)).await, Outcome::Done);
        assert_eq!(set(&engine, name, Setting::Paused(false)).await, Outcome::Already);
    }
    assert!(pids(&world).iter().all(|pid| state_of(*pid) != 'T'));
    assert!(get(port, "/health").is_some());

    set(&engine, "family-1", killed(Signal::SigKill)).await;
    assert_eq!(pids(&world).len(), 1, "its children end with it");
    let refused = engine.set(&tag(), &InstanceId("family-1".into()), &Setting::Paused(true)).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot pause family-1: it is not running");
    assert_eq!(set(&engine, "family-1", Setting::Paused(false)).await, Outcome::Already);
}

#[tokio::test]
async fn stop_asks_first_and_restart_gives_another_process() {
    let world = World::new(
        "  kind: { command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.1; done'] }\n  \
         stubborn: { command: [sh, -c, 'trap \"\" TERM INT; touch deaf; while :; do sleep 0.1; done'] }",
    );
    let engine = world.engine();
    engine.up().await.unwrap();
    let timeout = Duration::from_secs(20);
    let began = Instant::now();
    assert_eq!(set(&engine, "kind-1", Setting::Stopped { timeout }).await, Outcome::Done);
    assert!(began.elapsed() < timeout / 2, "it went when it was asked");
    assert!(!look(&engine, "kind-1").await.is_running());
    assert_eq!(set(&engine, "kind-1", Setting::Stopped { timeout }).await, Outcome::Already);

    while !world.dir.path().join("deaf").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(set(&engine, "stubborn-1", killed(Signal::SigInt)).await, Outcome::Done);
    assert!(look(&engine, "stubborn-1").await.is_running(), "it has trapped that");
    let before = look(&engine, "stubborn-1").await;
    let timeout = Duration::from_millis(200);
    assert_eq!(set(&engine, "stubborn-1", Setting::Restarted { timeout }).await, Outcome::Done);
    let after = look(&engine, "stubborn-1").await;
    assert!(after.is_up());
    assert_ne!(after.epoch, before.epoch);
}

#[tokio::test]
async fn a_process_whose_starter_died_before_he_wrote_it_down_is_found() {
    let world = World::new(&store(ports(1)));
    let engine = world.engine();
    engine.up().await.unwrap();
    let before = look(&engine, "store-1").await;
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(world.state_file()).unwrap()).unwrap();
    state["processes"]["store-1"]["life"] = serde_json::Value::Null;
    std::fs::write(world.state_file(), state.to_string()).unwrap();
    assert!(!look(&engine, "store-1").await.is_running(), "nobody was starting it");

    state["processes"]["store-1"]["starting"] = true.into();
    std::fs::write(world.state_file(), state.to_string()).unwrap();
    assert_eq!(look(&engine, "store-1").await, before);
    assert_eq!(set(&engine, "store-1", Setting::Running(true)).await, Outcome::Already);
    assert_eq!(pids(&world).len(), 1, "there is no second one");
    assert_eq!(look(&engine, "store-1").await, before);
}

#[tokio::test]
async fn a_pid_that_belongs_to_somebody_else_now_is_neither_seen_nor_targeted() {
    let world = World::new("  idle: { command: [sleep, '73'] }");
    let engine = world.engine();
    engine.up().await.unwrap();
    let mut stranger = Command::new("sleep").arg("74").spawn().unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(world.state_file()).unwrap()).unwrap();
    state["processes"]["idle-1"]["life"]["pid"] = stranger.id().into();
    std::fs::write(world.state_file(), state.to_string()).unwrap();

    let seen = look(&engine, "idle-1").await.is_running();
    let outcome = set(&engine, "idle-1", killed(Signal::SigKill)).await;
    let lives = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!seen && lives && outcome == Outcome::Already);
}

#[tokio::test]
async fn commands_run_here_with_the_instance_in_their_environment() {
    let world = World::new("  idle: { command: [sleep, '75'], zones: [b], environment: { COLOUR: blue } }");
    let engine = world.engine();
    engine.up().await.unwrap();
    let proof = world.dir.path().join("proof");
    let script = format!("echo $SQUALL_NAME $SQUALL_SERVICE $SQUALL_ZONE > {}", proof.display());
    let command = instance::Command {
        run: ["sh", "-c", &script].map(str::to_owned).to_vec(),
        place: CommandLocation::Target,
        timeout: Duration::from_secs(10),
        variables: look(&engine, "idle-1").await.variables(),
        directory: None,
    };
    assert_eq!(set(&engine, "idle-1", Setting::Ran(command)).await, Outcome::Done);
    assert_eq!(std::fs::read_to_string(proof).unwrap(), "idle-1 idle b\n");

    let asked = ["sh", "-c", "echo $COLOUR; exit 4"].map(str::to_owned);
    let ran = engine.exec("idle-1", &asked, Duration::from_secs(10)).await.unwrap();
    assert_eq!((ran.status, ran.stdout.as_str()), (4, "blue\n"));
    set(&engine, "idle-1", killed(Signal::SigKill)).await;
    assert!(engine.exec("idle-1", &asked, Duration::from_secs(10)).await.is_err(), "nobody is in there");
}

#[tokio::test]
async fn what_a_person_would_type_does_it() {
    let world = World::new("  idle: { command: [sleep, '76'] }");
    let engine = world.engine();
    engine.up().await.unwrap();
    set(&engine, "idle-1", Setting::Paused(true)).await;
    let idle = look(&engine, "idle-1").await;
    let change = |to: Setting| Change {
        n: 0,
        fault: 0,
        instance: idle.id.clone(),
        name: idle.name.clone(),
        epoch: idle.epoch.clone(),
        before: None,
        to,
        back: instance::Rollback::Nothing,
    };
    let type_it = |to: &Setting| {
        let line = engine.by_hand(&change(Setting::Paused(true)), to);
        let bin = Path::new(env!("CARGO_BIN_EXE_squall")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let done = Command::new("sh").args(["-c", &line]).env("PATH", path).stdout(Stdio::null()).status();
        assert!(done.unwrap().success(), "{line}");
    };
    type_it(&Setting::Paused(false));
    eventually("it goes on", || pids(&world).iter().all(|pid| state_of(*pid) != 'T'));
    set(&engine, "idle-1", killed(Signal::SigKill)).await;
    type_it(&Setting::Running(true));
    assert!(look(&engine, "idle-1").await.is_up());
}

#[test]
fn a_stack_that_does_not_come_up_says_why_and_leaves_nothing() {
    let port = ports(2);
    let broken = "  broken: { command: [sh, -c, 'echo the valve is shut; exit 3'] }";
    let world = World::new(&format!("{}\n{broken}", store(port)));
    world.squall("up").exits(2).complains("cannot start broken-1: it ended at once").complains("the valve is shut");
    assert_eq!(pids(&world), [] as [i32; 0], "what came up is down again");
    assert!(!world.state_file().exists());

    let missing = World::new("  x: { command: [/no/such/program] }");
    missing.squall("up").exits(2).complains("cannot start x-1: cannot run /no/such/program");

    let listener = TcpListener::bind(("127.0.0.1", port + 1)).unwrap();
    let taken = World::new(&store(port + 1));
    let why = format!("something else listens on port {} already", port + 1);
    taken.squall("up").exits(2).complains(&why);
    drop(listener);

    let secret = World::new("  x: { command: [echo, '${NO_SUCH_VARIABLE}'] }");
    secret.squall("up").exits(2).complains("error: `${NO_SUCH_VARIABLE}`: no such variable");
}

#[test]
fn a_stacks_guard_takes_it_away_when_its_starter_is_gone() {
    let world = World::new("  idle: { command: [sleep, '77'] }");
    world.squall("up").exits(0);
    let (mut guard, _dir) = Squall::new(["stack", "keep"]).arg(world.file()).command();
    guard.env("SQUALL_STATE", world.dir.path().join("state")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut guard = guard.spawn().unwrap();
    assert_eq!(pids(&world).len(), 1);
    drop(guard.stdin.take());
    assert!(guard.wait().unwrap().success());
    assert_eq!(pids(&world), [] as [i32; 0]);
}

#[test]
fn a_worker_that_cannot_stand_says_why() {
    let guard = ["guard", "--journal", "none.ndjson", "--deadline", "1s"];
    Squall::new(guard).run().exits(2).says("cannot open the journal none.ndjson");
    Squall::new(["stack", "keep", "none.yaml"]).run().says("none.yaml").complains("none.yaml");
}

#[tokio::test]
async fn traffic_that_is_everybodys_is_not_disturbed() {
    let world = World::new("  idle: { command: [sleep, '78'] }");
    let engine = world.engine();
    let everything = serde_json::from_str(r#"{"direction":"both"}"#).unwrap();
    let reset = Setting::ConnectionsReset(Box::new(everything));
    engine.up().await.unwrap();
    let idle = look(&engine, "idle-1").await;
    let Ability::No(why) = engine.ability(&idle, &reset) else { panic!("it would affect this machine") };
    assert!(why.contains("`network: 10.213.7.0/24` in its file"), "{why}");
    assert!(idle.traits.contains(&Trait::HostNetwork));
}
