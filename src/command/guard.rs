//! `squall guard`: waits for a runner's end in any way, or for its deadline, and rolls everything back.
//!
//! The journal's lock tells of the end: the kernel frees it when its holder dies. No poll, no signal, no trust. What the journal
//! says is read meanwhile, so that the plan is known whatever becomes of the file.

use std::fs::File;
use std::future::pending;
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::connect::{ConnectedEngine, reach_again, ready_file};
use super::recover::{came_to, engine_of};
use super::unlock::this_process;
use crate::command::cli;
use crate::engine::Description;
use crate::host::clock::since_boot;
use crate::host::process::{Process, stat};
use crate::host::store::private_file;
use crate::host::worker;
use crate::record::event::{Actor, Event, Phase, Reason, TakenOver};
use crate::record::journal::{Recorder, Watch};
use crate::record::state::RunState;
use crate::report;
use crate::run::recover;

/// How long an engine that is down is waited for.
const ENGINE: Duration = Duration::from_mins(10);

/// How long a runner may take from the recovery to its end.
const REPORTS: Duration = Duration::from_secs(10);

pub(super) async fn run(args: cli::Guard) -> anyhow::Result<ExitCode> {
    // A session of its own: a Ctrl-C or a terminal that closes means the runner, not its guard.
    let _ = rustix::process::setsid();
    // Nor does a polite end of everything: the guard ends when its work is done.
    let _deaf: Vec<_> =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal).into_iter().collect();
    let held = async {
        let (watch, runner) = held(&args)?;
        let way = way_to(&engine_of(&watch.state()?)?).await?;
        anyhow::Ok((watch, runner, way))
    };
    let held = held.await;
    let (watch, runner, way) = worker::stand(|| held)?;
    if args.runner_container.is_some() {
        let ready = private_file().write(true).truncate(true).open(ready_file(&args.journal));
        ready.and_then(|mut file| file.write_all(b"ready\n")).context("cannot say that the guard stands")?;
    }

    let engine = engine_of(&watch.state()?)?;
    let mut waiting = Waiting::behind(watch)?;
    let mut is_late = false;
    if !waiting.freed(until(args.deadline)).await? {
        if !comes_to_its_end(&args, &mut waiting, runner.as_ref()).await? {
            end_runner(runner.as_ref(), args.runner_container.as_deref(), &engine).await;
            is_late = true;
        }
        waiting.freed(pending()).await?;
    }
    let watch = waiting.watch;
    let state = watch.state()?;
    if recover::is_unsettled(&state) {
        let rec = Recorder::take_over(watch)?;
        // So that a process that meets the journal's lock knows what for, and waits.
        rec.note(Event::TakenOver(TakenOver { by: Actor::Guard, process: this_process() }));
        if is_late {
            let text = "the runner went on past its deadline, and its guard ended it".to_owned();
            rec.note(Event::Stopping { why: Reason::DeadlinePassed, text });
        }
        let connected = reached(way.as_ref(), &engine).await?;
        connected.entrust(&rec).await;
        recover::finish(&rec, connected.engine().as_ref(), Actor::Guard).await;
        if let Some(dir) = args.journal.parent() {
            let _ = rec.read(|s| report::write_all(s, dir));
        }
        complain!("{}", rec.read(|s| finished(&args.journal, s)));
        watch_on(&rec, &connected).await;
        connected.close(rec.read(RunState::is_settled)).await;
    } else if recover::may_come_late(&state) {
        let rec = Recorder::take_over(watch)?;
        let connected = reached(way.as_ref(), &engine).await?;
        connected.entrust(&rec).await;
        watch_on(&rec, &connected).await;
        connected.close(rec.read(RunState::is_settled)).await;
    }
    if args.runner_container.is_some() {
        let _ = std::fs::remove_file(ready_file(&args.journal));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is held from the start, so that it can never mean another file or another process: the journal, and the runner if it can be
/// seen from here.
fn held(args: &cli::Guard) -> anyhow::Result<(Watch, Option<Process>)> {
    let watch = Watch::open(&args.journal)?;
    let runner = args.runner.map(Process::open).transpose().context("cannot hold the runner")?;
    Ok((watch, runner.flatten()))
}

/// The way to an engine that takes what may be gone by the time it is needed, such as an agent of ssh that the runner's terminal has: it is
/// made while that is there, and kept. A guard that has none is none.
async fn way_to(engine: &Description) -> anyhow::Result<Option<ConnectedEngine>> {
    if !engine.is_by_keys() {
        return Ok(None);
    }
    let way = reach_again(engine).await?;
    if let Some(machine) = way.unreached() {
        anyhow::bail!("cannot reach the engine of {machine}");
    }
    Ok(Some(way))
}

/// The engine, as soon as it answers.
async fn reached(way: Option<&ConnectedEngine>, engine: &Description) -> anyhow::Result<ConnectedEngine> {
    patiently(|| async {
        let Some(way) = way else { return reach_again(engine).await };
        if let Some(docker) = way.docker() {
            docker.details().await?;
        }
        Ok(way.clone())
    })
    .await
}

/// A run that its guard has finished, for people.
fn finished(journal: &Path, s: &RunState) -> String {
    let how = s.finished.as_ref().map_or("", |f| f.text.as_str());
    let report = journal.with_file_name("report.html");
    format!("{how}\n{}\nreport: {}", came_to(journal, s).1, report.display())
}

/// Watches for injections that may come late, where there are any.
async fn watch_on(rec: &Recorder, connected: &ConnectedEngine) {
    if rec.read(recover::may_come_late) {
        // The run is over: a reader of what it says is not to wait for this.
        if let Ok(nowhere) = File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stderr(nowhere);
        }
        recover::watch_on(rec, connected.engine().as_ref()).await;
    }
}

/// The wait for a journal that no process has any more.
struct Waiting {
    watch: Watch,
    /// Until then.
    lock: Option<JoinHandle<io::Result<()>>>,
}

impl Waiting {
    fn behind(watch: Watch) -> anyhow::Result<Self> {
        let freed = watch.freed().context("cannot wait for the journal's lock")?;
        Ok(Self { watch, lock: Some(tokio::task::spawn_blocking(freed)) })
    }

    /// Reads on until no other process has the journal: then this one has it. `false` if something else comes first.
    async fn freed(&mut self, first: impl Future<Output = ()>) -> anyhow::Result<bool> {
        let mut first = pin!(first);
        while let Some(lock) = &mut self.lock {
            tokio::select! {
                freed = lock => {
                    self.lock = None;
                    freed?.context("cannot wait for the journal's lock")?;
                }
                () = &mut first => return Ok(false),
                () = sleep(READ_INTERVAL) => {}
            }
            // A plan that was read once is known, whatever becomes of the file.
            let _ = self.watch.read_on();
        }
        Ok(true)
    }
}

/// How often the journal is read.
const READ_INTERVAL: Duration = Duration::from_millis(50);

/// Whether a runner that is over its deadline needs no help. A fault that is still on is rolled back now, unless the runner is at
/// just that: one that waits for an engine says at its end what is left, and one that was killed does not. Where it is through with
/// that, it may still measure the recovery and write its reports. But whatever it is at, one that never ends would keep its fault,
/// or its locks, for ever; and one that is stopped by a signal is at nothing, and is not waited for.
async fn comes_to_its_end(args: &cli::Guard, waiting: &mut Waiting, runner: Option<&Process>) -> anyhow::Result<bool> {
    let mut end = args.deadline;
    loop {
        let s = waiting.watch.state()?;
        let is_stopped = runner.and_then(|p| stat(p.pid())).is_some_and(|stat| stat.state == 'T');
        if waits_until(&s, is_stopped, args.deadline, end).is_none_or(|end| since_boot() >= end) {
            return Ok(false);
        }
        if is_on(&s) {
            end = since_boot();
        }
        if waiting.freed(sleep(POLL_INTERVAL)).await? {
            return Ok(true);
        }
    }
}

/// Until when a runner that is over its deadline is waited for, where nothing was on since `rolled_back` at the latest; `None` if
/// not at all. Pure.
fn waits_until(s: &RunState, is_stopped: bool, deadline: Duration, rolled_back: Duration) -> Option<Duration> {
    match (is_on(s), s.reached(Phase::Rollback)) {
        _ if is_stopped => None,
        (true, false) => None,
        (true, true) => Some(deadline.saturating_add(recover::time_limit(s))),
        (false, _) => {
            let recovery = s.started.as_ref().map_or(Duration::ZERO, |s| s.experiment.timing.recovery.0);
            Some(rolled_back.saturating_add(recovery + REPORTS))
        }
    }
}

/// How often a runner that is over its deadline is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Whether a change is in place that its runner has not given up.
fn is_on(s: &RunState) -> bool {
    s.outstanding().iter().any(|c| c.stuck.is_none())
}

/// Returns at a moment of the clock that counts from the machine's boot, be it that the machine sleeps meanwhile.
async fn until(deadline: Duration) {
    while let Some(left) = deadline.checked_sub(since_boot()).filter(|left| !left.is_zero()) {
        sleep(left.min(Duration::from_secs(1))).await;
    }
}

/// Ends a runner that hangs or is stopped, so that it can never wake and inject again.
async fn end_runner(runner: Option<&Process>, container: Option<&str>, engine: &Description) {
    if let Some(runner) = runner {
        let _ = runner.signal(rustix::process::Signal::KILL);
    }
    if let Some(container) = container
        && let Ok(reached) = reach_again(engine).await
    {
        // It is one engine's, and no other has one of that id.
        join_all(reached.dockers().iter().map(|docker| docker.kill_container(container))).await;
    }
}

/// Tries again as long as the engine may still be starting.
pub(super) async fn patiently<T, F: Future<Output = anyhow::Result<T>>>(attempt: impl Fn() -> F) -> anyhow::Result<T> {
    let end = tokio::time::Instant::now() + ENGINE;
    loop {
        match attempt().await {
            Err(_) if tokio::time::Instant::now() < end => sleep(Duration::from_millis(500)).await,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::follow::fixture;

    #[test]
    fn a_runner_over_its_deadline_is_waited_for_as_long_as_it_is_at_something() {
        let tape = fixture::held();
        let at = |what: fn(&Event) -> bool| {
            let end = tape.iter().position(|stamped| what(&stamped.event)).expect("it happens");
            fixture::fold(&tape[..=end])
        };
        let is_on = at(|e| matches!(e, Event::Injected { .. }));
        let rolls_back = at(|e| matches!(e, Event::RollingBack { .. }));
        let recovers = at(|e| matches!(e, Event::RolledBack { .. }));
        let (deadline, rolled_back) = (Duration::from_secs(100), Duration::from_secs(90));
        let waits = |s: &RunState, is_stopped| waits_until(s, is_stopped, deadline, rolled_back);
        assert_eq!(waits(&is_on, false), None, "the fault is rolled back now");
        assert!(waits(&rolls_back, false).is_some_and(|end| end > deadline));
        assert_eq!(waits(&recovers, false), Some(rolled_back + Duration::from_secs(30) + REPORTS));
        for s in [is_on, rolls_back, recovers] {
            assert_eq!(waits(&s, true), None, "it is at nothing");
        }
    }
}
