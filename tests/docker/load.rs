//! Load on real containers: as declared, and gone with whoever started it.

use std::time::{Duration, Instant};

use bollard::models::HostConfig;
use squall::engine::{Apply as _, Outcome, Tag};
use squall::host::Host;
use squall::host::cgroup::{Cgroup, Controller};
use squall::host::load;
use squall::host::memory;
use squall::host::process::{self, Process};
use squall::model::instance::{Aspect, InstanceId, Setting};
use squall::model::stressor::{Goal, MemoryLoad, Oom, StressSpec, Stressor};

use crate::harness::{Sandbox, Spec};
use crate::scene::{Scene, eventually, guard, send};

const MIB: u64 = 1 << 20;

pub(crate) fn stressor(work: StressSpec) -> Setting {
    Setting::Stressor(Box::new(Stressor { work, at_most: Duration::from_mins(5) }))
}

fn memory(goal: Goal, oom: Oom) -> Setting {
    stressor(StressSpec::Memory(MemoryLoad { goal, ramp: Duration::ZERO, oom }))
}

pub(crate) fn none(aspect: Aspect) -> Setting {
    Setting::Mark(aspect, None)
}

/// A container with half a core and 64 MiB, as it is by default.
pub(crate) fn small() -> Spec {
    let host = HostConfig {
        nano_cpus: Some(500_000_000),
        memory: Some(64 << 20),
        memory_swap: Some(64 << 20),
        ..HostConfig::default()
    };
    Spec { host, ..Spec::default() }
}

/// Squall's processes that carry a change's tag.
pub(crate) fn loads(tag: &Tag) -> Vec<Process> {
    process::with_variable("SQUALL_CHANGE", &tag.to_string())
}

pub(crate) async fn cgroup(sandbox: &Sandbox, id: &InstanceId) -> Cgroup {
    let main = Process::open(sandbox.pid(id).await).expect("it may be held").expect("it runs");
    Host::default().cgroups().of(&main, &id.0).expect("its control groups")
}

/// How much processor time a container has used, and memory.
fn used_time(cgroup: &Cgroup) -> Duration {
    let number = |controller: &str, read: &dyn Fn(&Controller) -> std::io::Result<Option<u64>>| {
        read(&cgroup.controller(controller)?).expect("its counters")
    };
    number("cpuacct", &|c| c.number("cpuacct.usage"))
        .map(Duration::from_nanos)
        .or_else(|| number("cpu", &|c| c.keyed("cpu.stat", "usage_usec")).map(Duration::from_micros))
        .expect("it is counted")
}

/// How many cores a group uses, over some time that ends when it is near enough to `want`; fails when it never is.
async fn uses(cgroup: &Cgroup, want: f64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (begin, before) = (Instant::now(), used_time(cgroup));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let cores = used_time(cgroup).saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
        if (cores - want).abs() <= want * 0.2 {
            return;
        }
        assert!(Instant::now() < deadline, "it uses {cores:.3} cores, not {want}");
    }
}

/// A process in a container's control group that uses so much memory until its input ends.
fn stranger(group: &Cgroup, main: u32, bytes: u64) -> std::process::Child {
    use std::io::Write as _;
    let load = MemoryLoad { goal: Goal::Added(bytes), ramp: Duration::ZERO, oom: Oom::Avoid };
    let order = load::Order {
        main,
        since: process::start_ticks(main).expect("it runs"),
        cgroup: group.clone(),
        stressor: Stressor { work: StressSpec::Memory(load), at_most: Duration::from_mins(1) },
    };
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_squall"))
        .arg(load::ARGUMENT)
        .env(load::VARIABLE, "stranger:0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let line = serde_json::to_string(&order).expect("JSON");
    writeln!(child.stdin.as_mut().expect("a pipe"), "{line}").expect("it reads");
    child
}

#[tokio::test]
async fn processor_time_is_used_as_declared_and_within_the_limit() {
    let sandbox = Sandbox::new().await;
    // Little enough to be had on a machine that is busy with other tests.
    let mut spec = small();
    spec.host.nano_cpus = Some(100_000_000);
    let id = sandbox.start("cpu", spec).await;
    let before = sandbox.look(&id).await;
    assert_eq!(before.settings[&Aspect::CpuLoad], none(Aspect::CpuLoad));
    let group = cgroup(&sandbox, &id).await;
    for (n, cores, uses_cores) in [(0, 0.08, 0.08), (1, 1.5, 0.1)] {
        let (tag, to) = (sandbox.tag(n), stressor(StressSpec::Cpu { cores }));
        assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Done);
        assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Already);
        assert_eq!(loads(&tag).len(), 1);
        let on =
            sandbox.until(&id, "loaded", |i| Some(&i.settings[&Aspect::CpuLoad]) == to.observed_as().as_ref()).await;
        assert!(on.sees[&Aspect::CpuLoad].contains("by the load"), "{:?}", on.sees);
        // More than the limit is asked for, and no more than the limit is had.
        uses(&group, uses_cores).await;
        assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::CpuLoad)).await.unwrap(), Outcome::Done);
        assert_eq!(loads(&tag).len(), 0);
        assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::CpuLoad)).await.unwrap(), Outcome::Already);
        assert_eq!(sandbox.look(&id).await.settings, before.settings);
    }
}

#[tokio::test]
async fn memory_is_used_up_to_the_goal_and_given_back_to_a_target_that_needs_it() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("memory", small()).await;
    let before = sandbox.look(&id).await;
    let group = cgroup(&sandbox, &id).await;
    let tag = sandbox.tag(0);
    let goal = 48 * MIB;
    let to = memory(Goal::Used(goal), Oom::Avoid);
    assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Done);
    let near = |used: u64| used.abs_diff(goal) <= 2 * MIB;
    eventually("at the goal", || async { near(load::used_memory(&group).unwrap().unwrap()).then_some(()) }).await;
    let ours = loads(&tag);
    let held = memory::held_by(ours[0].pid()).expect("it holds memory");
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", ours[0].pid())).unwrap();
    assert_eq!(score.trim(), "1000", "it is the first that the kernel would end");

    // Another process takes the part of a target that needs 12 MiB more: so much is given back, and nobody dies.
    let mut target = stranger(&group, sandbox.pid(&id).await, 12 * MIB);
    eventually("some is given back", || async {
        memory::held_by(ours[0].pid()).filter(|now| *now + 10 * MIB < held).map(drop)
    })
    .await;
    eventually("at the goal again", || async { near(load::used_memory(&group).unwrap().unwrap()).then_some(()) }).await;
    drop(target.stdin.take());
    target.wait().unwrap();
    eventually("taken again", || async { memory::held_by(ours[0].pid()).filter(|now| *now + MIB > held).map(drop) })
        .await;
    assert!(sandbox.look(&id).await.is_up() && ours[0].is_alive());

    assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::MemoryLoad)).await.unwrap(), Outcome::Done);
    assert!(loads(&tag).is_empty() && load::used_memory(&group).unwrap().unwrap() < 32 * MIB);
    assert_eq!(sandbox.look(&id).await.settings, before.settings);
}

/// Whether nothing of a run's changes is left, anywhere on this machine.
fn nothing_runs(state: &squall::record::state::RunState) -> bool {
    let run = &state.started.as_ref().expect("a start").run;
    (0..4).all(|change| loads(&Tag { run: run.clone(), change }).is_empty())
}

const LONG: &str = "baseline: 500ms, duration: 60s, recovery: 500ms";
const FAULTS: [&str; 2] = ["cpu: { load: 80%, idle: allowed }", "memory: { to: 70%, ramp: 200ms, idle: allowed }"];

#[tokio::test]
async fn a_load_ends_with_the_runner_that_is_killed() {
    for fault in FAULTS {
        let scene = Scene::of(1, small()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, LONG));
        let state = run.until_on().await;
        let id = &state.started.as_ref().unwrap().run;
        let ours = loads(&Tag { run: id.clone(), change: 0 });
        assert_eq!(ours.len(), 1);
        // Its guard cannot have been it.
        let guard = guard(&state);
        send(guard, rustix::process::Signal::STOP);
        run.signal(rustix::process::Signal::KILL);
        assert!(ours[0].ended_within(Duration::from_secs(20)).await.unwrap(), "it outlives its runner");
        send(guard, rustix::process::Signal::CONT);
        let ended = run.ends().await;
        ended.rolled_back_by("guard");
        assert!(nothing_runs(&ended.state));
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_load_that_is_gone_by_itself_is_no_verdict() {
    for fault in FAULTS {
        let scene = Scene::of(1, small()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, LONG));
        let state = run.until_on().await;
        for ours in loads(&Tag { run: state.started.as_ref().unwrap().run.clone(), change: 0 }) {
            ours.signal(rustix::process::Signal::KILL).unwrap();
        }
        let ended = run.ends().await;
        ended.is(3, "fault-vanished").rolled_back_by("runner");
        assert!(nothing_runs(&ended.state));
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_target_that_restarts_is_loaded_again() {
    for fault in FAULTS {
        let scene = Scene::of(1, small()).await;
        let before = scene.settings().await;
        let mut run = scene.start(&scene.experiment(fault, "baseline: 500ms, duration: 6s, recovery: 2s"));
        run.until_on().await;
        let options = bollard::query_parameters::RestartContainerOptionsBuilder::new().t(0).build();
        scene.sandbox.api.restart_container(&scene.targeted[0].0, Some(options)).await.unwrap();
        run.until("it is loaded again", |s| s.changes.len() == 2 && s.changes[1].is_verified()).await;
        let ended = run.ends().await;
        // Its targets do next to nothing, so a load of the processor may have had no effect.
        assert_eq!(ended.output.status.code(), Some(0), "{:#}", ended.report["text"]);
        ended.rolled_back_by("runner");
        assert!(nothing_runs(&ended.state));
        scene.is_as(&before).await;
    }
}

#[tokio::test]
async fn a_load_ends_with_its_container() {
    let sandbox = Sandbox::new().await;
    for (n, to) in
        [stressor(StressSpec::Cpu { cores: 0.2 }), memory(Goal::Added(16 * MIB), Oom::Avoid)].into_iter().enumerate()
    {
        let id = sandbox.start(&format!("gone-{n}"), small()).await;
        assert_eq!(sandbox.docker.set(&sandbox.tag(n), &id, &to).await.unwrap(), Outcome::Done);
        let ours = loads(&sandbox.tag(n));
        let options = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
        sandbox.api.remove_container(&id.0, Some(options)).await.unwrap();
        assert!(ours[0].ended_within(Duration::from_secs(20)).await.unwrap());
        assert_eq!(sandbox.docker.set(&sandbox.tag(n), &id, &none(to.aspect())).await.unwrap(), Outcome::Gone);
    }
}

/// The memory counts as the target's, so that it is the target that the kernel ends.
#[tokio::test]
async fn a_target_that_may_run_out_of_memory_does() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("oom", small()).await;
    let tag = sandbox.tag(0);
    let before = sandbox.look(&id).await;
    let to = memory(Goal::Used(64 * MIB), Oom::Allow);
    if let squall::engine::Ability::No(why) = sandbox.docker.ability(&before, &to) {
        // Where the kernel would choose the load, it is not begun.
        assert!(why.contains("SYS_RESOURCE"), "{why}");
        let error = sandbox.docker.set(&tag, &id, &to).await.unwrap_err().to_string();
        assert!(error.contains("oom_score_adj"), "{error}");
        assert!(loads(&tag).is_empty() && sandbox.look(&id).await.settings == before.settings);
        return;
    }
    assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Done);
    sandbox.until(&id, "out of memory", |i| !i.is_running()).await;
    eventually("its load is gone", || async { loads(&tag).is_empty().then_some(()) }).await;
    sandbox.docker.set(&tag, &id, &Setting::Running(true)).await.unwrap();
    assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::MemoryLoad)).await.unwrap(), Outcome::Already);
    assert_eq!(sandbox.look(&id).await.settings, before.settings);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let scene = Scene::of(1, crate::scene::lonely()).await;
    let limited = Scene::of(1, small()).await;
    let refused = [
        (&scene, "memory: { to: 50% }", "has no limit of memory"),
        (&scene, "memory: { size: 4000GiB }", "reserve"),
        (&limited, "memory: { size: 63MiB }", "its limit of memory is 64 MiB"),
        (&limited, "cpu: { cores: 0.8 }", "it may use 0.5 cores of processor time"),
        (&limited, "process: { name: worker }", "has no process `worker`"),
    ];
    for (n, (scene, fault, says)) in refused.into_iter().enumerate() {
        let ended = scene.start_in(&format!("state-{n}"), &scene.experiment(fault, LONG)).ends().await;
        let (code, text) = (ended.output.status.code(), ended.report["text"].as_str().unwrap_or_default());
        assert!(code == Some(3) && text.contains(says), "{fault}: {code:?} {text}");
        assert!(ended.state.changes.is_empty(), "{fault}");
    }
}
