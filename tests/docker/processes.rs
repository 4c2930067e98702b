//! Processes beside a container's main one: held still, killed, and told apart from what the engine starts there.

use std::time::Duration;

use squall::engine::{Apply as _, Outcome};
use squall::host::cgroup::Cgroup;
use squall::host::load;
use squall::host::process::{self, Process};
use squall::model::instance::{Aspect, InstanceId, Setting, Signal, Signalled};
use squall::model::stressor::StressSpec;
use squall::model::stressor::called::Which;

use crate::harness::{Sandbox, Spec};
use crate::load::{cgroup, loads, none, small, stressor};
use crate::scene::eventually;

/// A main process that has workers beside it: as many as files of these names are in its root directory.
#[test]
#[ignore = "runs inside a container that another test makes"]
#[expect(clippy::disallowed_methods, reason = "a process without a runtime")]
fn with_workers() {
    let mut workers = Vec::new();
    loop {
        if std::path::Path::new(&format!("/{}.worker", workers.len())).exists() {
            let mut worker = std::process::Command::new(squall::engine::docker::PROGRAM);
            worker.args(["--ignored", "--exact", "processes::worker"]);
            workers.push(worker.spawn().expect("it starts"));
        }
        for worker in &mut workers {
            let _ = worker.try_wait();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "runs inside a container that another test makes"]
#[expect(clippy::disallowed_methods, reason = "a process without a runtime")]
fn worker() {
    std::thread::sleep(Duration::from_mins(10));
}

/// A container whose main process can have workers.
async fn with_workers_in(sandbox: &mut Sandbox, name: &str) -> InstanceId {
    let image = sandbox.docker.own_image(&sandbox.prefix).await.expect("an image of this test program");
    sandbox.extra_images.push(image.clone());
    let command = ["--ignored", "--exact", "processes::with_workers"].map(str::to_owned).to_vec();
    sandbox.start(name, Spec { image: Some(image), command, ..small() }).await
}

/// How many processes a container has beside its main one: of the service, and in sessions.
fn beside(instance: &squall::model::instance::Instance) -> (usize, usize) {
    let count = |session| instance.processes.iter().flatten().filter(|p| p.session == session).map(|p| p.count).sum();
    (count(false), count(true))
}

/// Has the main process start another worker, and waits until it is there.
async fn hire(sandbox: &Sandbox, id: &InstanceId) {
    let (workers, sessions) = beside(&sandbox.look(id).await);
    let file = format!("/proc/{}/root/{workers}.worker", sandbox.pid(id).await);
    std::fs::write(file, "").expect("a file in the container");
    sandbox.until(id, "another worker", |i| beside(i) == (workers + 1, sessions)).await;
}

/// Starts what workers are, too, by `docker exec`.
async fn exec(sandbox: &Sandbox, id: &InstanceId) {
    use bollard::exec::{CreateExecOptions, StartExecOptions};
    let (workers, sessions) = beside(&sandbox.look(id).await);
    let command = [squall::engine::docker::PROGRAM, "--ignored", "--exact", "processes::worker"].map(str::to_owned);
    let options = CreateExecOptions { cmd: Some(command.to_vec()), ..CreateExecOptions::default() };
    let made = sandbox.api.create_exec(&id.0, options).await.expect("it is made");
    let start = StartExecOptions { detach: true, ..StartExecOptions::default() };
    sandbox.api.start_exec(&made.id, Some(start)).await.expect("it starts");
    // Until it is the program that it is started as, it is another one.
    sandbox
        .until(id, "a session", |i| {
            beside(i) == (workers, sessions + 1) && i.processes.iter().flatten().all(|p| p.is_called("squall"))
        })
        .await;
}

/// The states of a container's processes beside its main one, in order.
fn states(group: &Cgroup, main: &Process) -> String {
    load::inside::all(main, group).expect("its processes").iter().map(|p| p.stat.state).collect()
}

#[tokio::test]
async fn processes_are_stopped_and_go_on() {
    let mut sandbox = Sandbox::new().await;
    let id = with_workers_in(&mut sandbox, "stopped").await;
    let (group, main) = (cgroup(&sandbox, &id).await, Process::open(sandbox.pid(&id).await).unwrap().unwrap());
    let tag = sandbox.tag(0);
    let to = stressor(StressSpec::Stop(Which::named("squ*")));
    let nobody = sandbox.docker.set(&tag, &id, &to).await.unwrap_err().to_string();
    assert!(nobody.contains("no process `squ*` beside its main one"), "{nobody}");

    hire(&sandbox, &id).await;
    hire(&sandbox, &id).await;
    let before = sandbox.look(&id).await;
    assert_eq!(before.settings[&Aspect::Processes], none(Aspect::Processes));
    assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Done);
    assert_eq!(states(&group, &main), "TT");
    assert_ne!(process::stat(main.pid()).unwrap().state, 'T', "the main one runs");
    let on = sandbox.look(&id).await;
    assert_eq!(Some(&on.settings[&Aspect::Processes]), to.observed_as().as_ref());
    assert!(on.sees[&Aspect::Processes].contains("stopped: 2 × squall"), "{:?}", on.sees);
    hire(&sandbox, &id).await;
    assert_eq!(states(&group, &main).matches('T').count(), 2, "those that come later run");

    assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::Processes)).await.unwrap(), Outcome::Done);
    eventually("all go on", || async { (!states(&group, &main).contains('T')).then_some(()) }).await;
    assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::Processes)).await.unwrap(), Outcome::Already);
    assert_eq!(sandbox.look(&id).await.settings, before.settings);

    // The process that held them is killed: that is no untouched container, and a rollback finds what to do.
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &to).await.unwrap(), Outcome::Done);
    for ours in loads(&sandbox.tag(1)) {
        ours.signal(rustix::process::Signal::KILL).unwrap();
    }
    sandbox
        .until(&id, "unfinished", |i| {
            ![Some(&none(Aspect::Processes)), to.observed_as().as_ref()]
                .contains(&Some(&i.settings[&Aspect::Processes]))
        })
        .await;
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &none(Aspect::Processes)).await.unwrap(), Outcome::Done);
    eventually("all go on", || async { (!states(&group, &main).contains('T')).then_some(()) }).await;
}

#[tokio::test]
async fn processes_are_killed_and_the_main_one_lives() {
    let mut sandbox = Sandbox::new().await;
    let id = with_workers_in(&mut sandbox, "killed").await;
    let before = sandbox.look(&id).await;
    hire(&sandbox, &id).await;
    let kill =
        |name: &str| Setting::Signalled(Box::new(Signalled { which: Which::named(name), signal: Signal::SigKill }));
    let nobody = sandbox.docker.set(&sandbox.tag(0), &id, &kill("worker*")).await.unwrap_err().to_string();
    assert!(nobody.contains("no process `worker*`"), "{nobody}");
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &kill("squall")).await.unwrap(), Outcome::Done);
    let after = sandbox.look(&id).await;
    assert_eq!(after.processes, Some(Vec::new()));
    assert!(after.is_up() && after.epoch == before.epoch);
}

#[tokio::test]
async fn what_the_engine_starts_beside_the_main_process_is_not_targeted() {
    let mut sandbox = Sandbox::new().await;
    let id = with_workers_in(&mut sandbox, "session").await;
    exec(&sandbox, &id).await;
    let which = || Which::named("squall");
    let kill = Setting::Signalled(Box::new(Signalled { which: which(), signal: Signal::SigKill }));
    let stop = stressor(StressSpec::Stop(which()));
    for to in [&kill, &stop] {
        let nobody = sandbox.docker.set(&sandbox.tag(0), &id, to).await.unwrap_err().to_string();
        assert!(nobody.contains("except in sessions"), "{nobody}");
    }
    hire(&sandbox, &id).await;
    let (group, main) = (cgroup(&sandbox, &id).await, Process::open(sandbox.pid(&id).await).unwrap().unwrap());
    let all = load::inside::all(&main, &group).unwrap();
    let session = all.iter().find(|p| p.called.session).expect("it goes on").pid;

    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &stop).await.unwrap(), Outcome::Done);
    let states: Vec<_> =
        load::inside::all(&main, &group).unwrap().iter().map(|p| (p.pid, p.stat.state == 'T')).collect();
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|(pid, stopped)| *stopped == (*pid != session)), "{session}: {states:?}");
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &none(Aspect::Processes)).await.unwrap(), Outcome::Done);

    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &kill).await.unwrap(), Outcome::Done);
    let left: Vec<u32> = load::inside::all(&main, &group).unwrap().iter().map(|p| p.pid).collect();
    assert_eq!(left, [session], "the worker alone is gone");
}
