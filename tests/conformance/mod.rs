//! What every engine must do, asked of each in the same words.
//!
//! A test binary takes it in with `#[path = "../conformance/mod.rs"] mod conformance;`, implements [`World`] for its
//! engine and calls [`conforms`].

mod running;
mod shown;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::docker::PROGRAM;
use squall::engine::{Ability, Claim, Engine, EngineError, Holder, Outcome, ProcessId, Tag};
use squall::model::disk::{Fill, Goal, Mount, MountKind};
use squall::model::instance::{
    Aspect, Change, Command, CommandLocation, Instance, InstanceId, Kill, RestartPolicy, Rollback, Setting, Signal, Via,
};
use squall::model::machine::{Limit, Quota};
use squall::model::network::{Direction, Flow, Network, Shape, Traffic, Treatment};
use squall::model::stressor::{Goal as Use, MemoryLoad, Oom, StressSpec, Stressor};

use running::{
    a_disk_is_filled_and_freed, a_restart_policy_is_the_instances_own, is_limited_and_set_back,
    traffic_is_disturbed_and_left_alone,
};

/// An engine with something in it that may be disturbed.
#[async_trait]
pub(crate) trait World: Send {
    /// The engine.
    fn engine(&self) -> &dyn Engine;

    /// An instance that is up, called by this name or one like it. Each call gives another one.
    async fn instance(&mut self, name: &str) -> InstanceId;

    /// Takes an instance away for good, behind the engine's back. Says whether this world can do that.
    async fn remove(&mut self, id: &InstanceId) -> bool;

    /// Commands to run inside an instance, of Squall's own program unless it has others; `None` where the engine runs none.
    fn commands(&self) -> Option<Commands> {
        let command = |words: &[&str]| [PROGRAM].iter().chain(words).map(|w| (*w).to_owned()).collect::<Vec<_>>();
        Some(Commands {
            succeeds: (command(&["--version"]), "squall".to_owned()),
            fails: (command(&["no-such-command"]), 2),
            lasts: command(&["serve", "store", "--listen", "127.0.0.1:9999"]),
        })
    }

    /// A service that nobody else marks meanwhile.
    fn service(&self) -> String;
}

/// Commands that an instance has.
pub(crate) struct Commands {
    /// One that ends well, and what its output contains.
    pub(crate) succeeds: (Vec<String>, String),
    /// One that ends with another exit status than 0, and which.
    pub(crate) fails: (Vec<String>, i32),
    /// One that takes longer than a minute.
    pub(crate) lasts: Vec<String>,
}

const T: Duration = Duration::from_secs(2);

/// Asks everything. Panics where the engine is not as it must be.
pub(crate) async fn conforms(world: &mut dyn World) {
    let id = world.instance("target").await;
    is_observed(world.engine(), &id).await;
    let target = look(world.engine(), &id).await;
    for to in lives() {
        let Some(to) = feasible(world.engine(), &target, &to).await else { continue };
        is_set_and_set_back(world.engine(), &id, &to).await;
    }
    let target = look(world.engine(), &id).await;
    for to in others(&target) {
        let Some(to) = feasible(world.engine(), &target, &to).await else { continue };
        match to {
            Setting::RestartPolicy(_) if !target.settings.contains_key(&Aspect::RestartPolicy) => {}
            Setting::RestartPolicy(_) => a_restart_policy_is_the_instances_own(world.engine(), &id).await,
            Setting::Network(_) => traffic_is_disturbed_and_left_alone(world.engine(), &id).await,
            Setting::Filled(_) => a_disk_is_filled_and_freed(world.engine(), &id, &to).await,
            to => is_limited_and_set_back(world.engine(), &id, &to).await,
        }
    }
    shown::what_is_done_shows(world.engine(), &id).await;
    restarts_give_another_life(world.engine(), &id).await;
    if feasible(world.engine(), &target, &Setting::Paused(true)).await.is_some() {
        a_freeze_ends_with_the_life(world.engine(), &id).await;
        what_cannot_be_is_refused(world.engine(), &id).await;
    }
    if let Some(commands) = world.commands() {
        commands_run(world.engine(), &id, &commands).await;
    }
    services_are_marked_by_one_run(world.engine(), &world.service()).await;
    a_person_could_do_it(world.engine(), &id).await;
    if world.remove(&id).await {
        what_is_gone_is_gone(world.engine(), &target).await;
    }
}

/// What begins and ends an instance's lives, and what holds it still; a restart is asked for by itself.
pub(crate) fn lives() -> Vec<Setting> {
    vec![
        Setting::Paused(true),
        Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine }),
        Setting::Running(false),
        Setting::Stopped { timeout: T },
    ]
}

/// Whatever else is asked of an engine that is able to.
pub(crate) fn others(target: &Instance) -> Vec<Setting> {
    let machine =
        [Setting::ReadOnly(["/".to_owned()].into()), Setting::RestartPolicy(RestartPolicy::Never), filled(target)];
    [late(Duration::from_millis(1))].into_iter().chain(limits()).chain(loads()).chain(machine).collect()
}

/// Limits that are lower than what an instance has.
fn limits() -> Vec<Setting> {
    let limits = [
        Limit::Processes(Some(1)),
        Limit::Cpu(Quota { us: Some(20_000), period_us: 50_000 }),
        Limit::Memory(Some(200 << 20)),
        Limit::Descriptors(500),
        Limit::Ports { first: 40_000, last: 40_001 },
    ];
    limits.map(Setting::Limit).to_vec()
}

/// A little load.
fn loads() -> [Setting; 2] {
    let memory = MemoryLoad { goal: Use::Added(1 << 20), ramp: Duration::ZERO, oom: Oom::Avoid };
    [stressor(StressSpec::Cpu { cores: 0.05 }), stressor(StressSpec::Memory(memory))]
}

fn stressor(work: StressSpec) -> Setting {
    Setting::Stressor(Box::new(Stressor { work, at_most: Duration::from_mins(5) }))
}

pub(crate) fn tag() -> Tag {
    // Tests have threads of their own, and two of them must not take each other's processes back.
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    Tag { run: format!("conformance-{}-{thread}", std::process::id()), change: 0 }
}

async fn look(engine: &dyn Engine, id: &InstanceId) -> Instance {
    engine.look(id).await.expect("the engine answers").expect("the instance exists")
}

async fn settings(engine: &dyn Engine, id: &InstanceId) -> BTreeMap<Aspect, Setting> {
    look(engine, id).await.settings
}

async fn set(engine: &dyn Engine, id: &InstanceId, to: &Setting) -> Outcome {
    if let Some(instance) = engine.look(id).await.expect("the engine answers") {
        assert_eq!(feasible(engine, &instance, to).await.as_ref(), Some(to), "{to}");
    }
    engine.set(&tag(), id, to).await.unwrap_or_else(|e| panic!("{to}: {e}"))
}

/// The setting as this engine makes it so, where it leaves a choice; `None` where the engine is not able to.
async fn feasible(engine: &dyn Engine, instance: &Instance, to: &Setting) -> Option<Setting> {
    match engine.can_one(instance, to).await.expect("the engine answers") {
        Ability::Yes => Some(to.clone()),
        Ability::As(this) => Some(*this),
        Ability::No(_) => None,
    }
}

async fn is_observed(engine: &dyn Engine, id: &InstanceId) {
    let all = engine.observe().await.expect("the engine answers");
    let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
    assert!(names.is_sorted(), "ordered by name: {names:?}");
    let listed = all.iter().find(|i| i.id == *id).expect("it is observed");
    let looked = look(engine, id).await;
    // What it sees, uses and has counted is another moment's.
    let timeless = |i: &Instance| Instance { sees: BTreeMap::new(), allowance: None, counters: None, ..i.clone() };
    assert_eq!(timeless(listed), timeless(&looked), "both ways of asking give the same answer");
    assert!(looked.is_up(), "{looked:?}");
    assert!(!looked.epoch.0.is_empty() && !looked.service.is_empty());
    let unknown = InstanceId(none_beside(id));
    assert_eq!(engine.look(&unknown).await.expect("not there is no error"), None);
}

/// What no instance is called, on the machine of this one where it tells its machine.
fn none_beside(id: &InstanceId) -> String {
    let none = "no-such-instance";
    InstanceId::split(&id.0).map_or_else(|| none.to_owned(), |(node, _)| InstanceId::of_node(node, none))
}

async fn is_set_and_set_back(engine: &dyn Engine, id: &InstanceId, to: &Setting) {
    let before = settings(engine, id).await;
    assert_eq!(set(engine, id, to).await, Outcome::Done, "{to}");
    let during = look(engine, id).await;
    assert!(!during.is_up(), "{to}: {during:?}");
    assert_eq!(set(engine, id, to).await, Outcome::Already, "{to} a second time");
    assert_eq!(settings(engine, id).await, during.settings, "{to} a second time changes nothing");

    let back = &before[&to.aspect()];
    assert_eq!(set(engine, id, back).await, Outcome::Done, "back from {to}");
    assert_eq!(settings(engine, id).await, before, "back from {to}");
    assert_eq!(set(engine, id, back).await, Outcome::Already, "back from {to} a second time");
    assert_eq!(settings(engine, id).await, before);
}

/// All that leaves an instance is late.
fn late(delay: Duration) -> Setting {
    let treatment = Treatment::Shape(Box::new(Shape { delay, ..Shape::default() }));
    let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }];
    Setting::Network(Box::new(Network { flows, mechanism: None, seed: 1 }))
}

/// A little of the root file system.
fn filled(target: &Instance) -> Setting {
    let root = || Mount::new("/", MountKind::Root, None, false);
    let mount = squall::model::disk::holding(&target.mounts, "/").cloned().unwrap_or_else(root);
    let place = squall::model::disk::DiskLocation { path: "/".to_owned(), mount, filesystem: None };
    Setting::Filled(Box::new(Fill { place, goal: Goal::Size(1 << 20), rate: None, shared_with: Vec::new() }))
}

async fn restarts_give_another_life(engine: &dyn Engine, id: &InstanceId) {
    let before = look(engine, id).await;
    let restarted = Setting::Restarted { timeout: T };
    assert_eq!(set(engine, id, &restarted).await, Outcome::Done);
    let after = look(engine, id).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.settings, after.id), (before.settings, before.id), "another life of the same instance");
    assert_eq!(set(engine, id, &restarted).await, Outcome::Done, "what is momentary happens again");
    assert_ne!(look(engine, id).await.epoch, after.epoch);
}

async fn a_freeze_ends_with_the_life(engine: &dyn Engine, id: &InstanceId) {
    let before = look(engine, id).await;
    assert_eq!(set(engine, id, &Setting::Paused(true)).await, Outcome::Done);
    assert_eq!(look(engine, id).await.epoch, before.epoch, "a freeze is no new life");
    assert_eq!(set(engine, id, &Setting::Restarted { timeout: T }).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before.settings);
    assert_eq!(set(engine, id, &Setting::Paused(false)).await, Outcome::Already, "nothing is left to thaw");

    assert_eq!(set(engine, id, &Setting::Paused(true)).await, Outcome::Done);
    assert_eq!(set(engine, id, &Setting::Running(false)).await, Outcome::Done, "what is frozen can be killed");
    assert!(!look(engine, id).await.is_running());
    assert_eq!(set(engine, id, &Setting::Paused(false)).await, Outcome::Already);
    assert_eq!(set(engine, id, &Setting::Running(true)).await, Outcome::Done);
    assert_eq!(settings(engine, id).await, before.settings);
}

async fn what_cannot_be_is_refused(engine: &dyn Engine, id: &InstanceId) {
    let name = look(engine, id).await.name;
    set(engine, id, &Setting::Running(false)).await;
    let error = engine.set(&tag(), id, &Setting::Paused(true)).await.expect_err("what does not run cannot be frozen");
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(InstanceId::on_its_node(&name)), "it says on whom: {error}");
    set(engine, id, &Setting::Running(true)).await;
}

async fn commands_run(engine: &dyn Engine, id: &InstanceId, commands: &Commands) {
    let name = look(engine, id).await.name;
    let (command, says) = &commands.succeeds;
    let ran = engine.exec(&name, command, T * 5).await.expect("it runs");
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains(says), "{ran:?}");
    let (failing, status) = &commands.fails;
    let ran = engine.exec(&name, failing, T * 5).await.expect("a command that fails has run");
    assert_eq!(ran.status, *status, "{ran:?}");
    let error = engine.exec(&name, &commands.lasts, T / 4).await.expect_err("it takes too long");
    assert!(matches!(error, EngineError::TimedOut { .. }), "{error:?}");
    let error = engine.exec(&none_beside(id), command, T).await.expect_err("there is no such instance");
    assert!(error.to_string().contains("no-such-instance"), "{error}");

    let variables = look(engine, id).await.variables();
    let ran = |run: &[String], timeout| {
        let variables = variables.clone();
        Setting::Ran(Command {
            run: run.to_vec(),
            place: CommandLocation::Target,
            timeout,
            variables,
            directory: std::env::current_dir().ok(),
        })
    };
    assert_eq!(set(engine, id, &ran(command, T * 5)).await, Outcome::Done);
    let error = engine.set(&tag(), id, &ran(failing, T * 5)).await.expect_err("it fails");
    assert!(error.to_string().contains(&format!("exit status {status}")), "{error}");
    let error = engine.set(&tag(), id, &ran(&commands.lasts, T / 4)).await.expect_err("it takes too long");
    // It is killed then; its own end by that signal may be heard of first.
    let killed = error.to_string().contains("exit status 137");
    assert!(killed || matches!(error, EngineError::TimedOut { .. }), "{error:?}");
    let unset = ran(&["${SQUALL_NO_SUCH_VARIABLE}".to_owned()], T);
    let error = engine.set(&tag(), id, &unset).await.expect_err("the variable is not set");
    assert!(error.to_string().contains("SQUALL_NO_SUCH_VARIABLE"), "{error}");
}

async fn services_are_marked_by_one_run(engine: &dyn Engine, service: &str) {
    let claim = |run: &str| Claim {
        service: service.to_owned(),
        run: run.to_owned(),
        owner: format!("{run}@here"),
        at: "2026-01-01T00:00:00Z".to_owned(),
        holder: Some(Holder {
            journal: "/var/lib/squall/runs/x/journal.ndjson".into(),
            process: ProcessId { boot: "b".to_owned(), namespace: "n".to_owned(), pid: 1, start_ticks: 2 },
            until: jiff::Timestamp::UNIX_EPOCH,
        }),
    };
    let taken = || async {
        let all = engine.claims().await.expect("the engine answers");
        all.into_iter().filter(|c| c.service == service).collect::<Vec<_>>()
    };
    assert_eq!(taken().await, []);
    engine.claim(&claim("first")).await.expect("it is free");
    engine.claim(&claim("first")).await.expect("a run may take what it has");
    match engine.claim(&claim("second")).await {
        Err(EngineError::Claimed(other)) => assert_eq!(*other, claim("first"), "it says who has it"),
        other => panic!("a second run got {other:?}"),
    }
    engine.release(&claim("second")).await.expect("letting go what one does not have is no error");
    assert_eq!(taken().await, [claim("first")], "and does nothing");
    engine.release(&claim("first")).await.expect("its owner lets it go");
    engine.release(&claim("first")).await.expect("once more is no error");
    engine.claim(&claim("second")).await.expect("it is free again");
    engine.release(&claim("second")).await.expect("its owner lets it go");
    assert_eq!(taken().await, []);
}

async fn a_person_could_do_it(engine: &dyn Engine, id: &InstanceId) {
    let now = look(engine, id).await;
    let (before, to) = (Setting::Paused(false), Setting::Paused(true));
    let change = Change {
        n: 0,
        fault: 0,
        instance: id.clone(),
        name: now.name.clone(),
        epoch: now.epoch,
        before: Some(before.clone()),
        back: Rollback::To(before.clone()),
        to,
    };
    assert!(engine.by_hand(&change, &before).contains(InstanceId::on_its_node(&now.name)));
}

async fn what_is_gone_is_gone(engine: &dyn Engine, target: &Instance) {
    let id = &target.id;
    assert_eq!(engine.look(id).await.expect("not there is no error"), None);
    assert!(engine.observe().await.expect("the engine answers").iter().all(|i| i.id != *id));
    for to in [
        Setting::Running(true),
        Setting::Running(false),
        Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine }),
        Setting::Stopped { timeout: T },
        Setting::Restarted { timeout: T },
        Setting::Paused(true),
        Setting::Paused(false),
        Setting::Mark(Aspect::Network, None),
    ] {
        let Some(to) = feasible(engine, target, &to).await else { continue };
        assert_eq!(set(engine, id, &to).await, Outcome::Gone, "{to}");
    }
    let command = ["true"].map(str::to_owned).to_vec();
    let undo = Command {
        run: command,
        place: CommandLocation::Here,
        timeout: T * 5,
        variables: target.variables(),
        directory: std::env::current_dir().ok(),
    };
    assert_eq!(set(engine, id, &Setting::Ran(undo)).await, Outcome::Done, "what was done here is undone here");
    let limit = Setting::Limit(Limit::Processes(Some(1)));
    for to in [late(T), limit] {
        let Some(to) = feasible(engine, target, &to).await else { continue };
        assert_eq!(set(engine, id, &to).await, Outcome::Gone, "{to}");
    }
}
