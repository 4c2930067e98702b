//! `squall guard`: waits for a runner's end in any way, or for its deadline, and takes everything back.
//!
//! The journal's lock tells of the end: the kernel frees it when its holder dies. No poll, no signal, no trust.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::connect::{reach_again, ready_file};
use super::recover::engine_of;
use crate::cli;
use crate::event::Actor;
use crate::host::process::Process;
use crate::journal::{self, JournalError};
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
    // Held from the start, so that it can never mean another process.
    let runner = args.runner.map(Process::open).transpose().context("cannot hold the runner")?.flatten();
    // A runner that has died meanwhile hears nothing, and needs its guard all the more.
    let _ = writeln!(std::io::stdout(), "ready").and_then(|()| std::io::stdout().flush());
    if args.runner_container.is_some() {
        std::fs::write(ready_file(&args.journal), "ready\n").context("cannot say that the guard stands")?;
    }

    let engine = engine_of(&args.journal)?;
    loop {
        tokio::select! {
            freed = freed(&args.journal) => freed?,
            () = until(args.deadline) => {
                // A fault that is still on is taken back now. Where none is, the runner may still measure the recovery
                // and write its reports; but one that never ends would keep its markers for ever.
                if is_on(&args.journal) || !ends_by_itself(&args).await? {
                    end_runner(runner.as_ref(), args.runner_container.as_deref(), &engine).await;
                }
                freed(&args.journal).await?;
            }
        }
        if !recover::needs_recovery(&args.journal) {
            break;
        }
        let reached = patiently(|| reach_again(&engine)).await?;
        match recover::recover(&args.journal, reached.engine().as_ref(), Actor::Guard).await {
            Ok(rec) => {
                if let Some(dir) = args.journal.parent() {
                    let _ = rec.read(|s| report::write_all(s, dir));
                }
                break;
            }
            // `squall recover` was faster, or the runner lives after all: wait for the lock again.
            Err(JournalError::Locked(_)) => {}
            Err(e) => return Err(e.into()),
        }
    }
    if args.runner_container.is_some() {
        let _ = std::fs::remove_file(ready_file(&args.journal));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns when nobody has the journal any more.
async fn freed(journal: &Path) -> anyhow::Result<()> {
    let file = File::open(journal).with_context(|| format!("cannot open {}", journal.display()))?;
    tokio::task::spawn_blocking(move || file.lock()).await?.context("cannot wait for the journal's lock")
}

/// Whether a fault may still be on. A journal that cannot be read may hide one.
fn is_on(journal: &Path) -> bool {
    journal::replay(journal).map_or(true, |s| !s.outstanding().is_empty())
}

/// Whether a runner that has taken everything back comes to its end in the time that it should need.
async fn ends_by_itself(args: &cli::Guard) -> anyhow::Result<bool> {
    let recovery = journal::replay(&args.journal)?.started.map_or(Duration::ZERO, |s| s.experiment.timing.recovery.0);
    let end = args.deadline + SignedDuration::try_from(recovery + REPORTS)?;
    tokio::select! {
        freed = freed(&args.journal) => freed.map(|()| true),
        () = until(end) => Ok(false),
    }
}

async fn until(deadline: Timestamp) {
    sleep(Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default()).await;
}

/// Ends a runner that hangs or is stopped, so that it can never wake and inject again.
async fn end_runner(runner: Option<&Process>, container: Option<&str>, engine: &crate::engine::Description) {
    if let Some(runner) = runner {
        let _ = runner.signal(rustix::process::Signal::KILL);
    }
    if let Some(container) = container
        && let Ok(super::connect::Reached::Docker(docker)) = reach_again(engine).await
    {
        let _ = docker.kill_container(container).await;
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
