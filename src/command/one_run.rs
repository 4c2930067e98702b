//! One experiment, with its journal, its guard, its followers and its reports.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::ConnectedEngine;
use super::stop::Signals;
use super::{halt, recover, unlock};
use crate::command::cli::{Format, GuardChoice};
use crate::experiment::Experiment;
use crate::host::store::StateDir;
use crate::host::user;
use crate::model::exit::Verdict;
use crate::occasions::gate::Attempt;
use crate::occasions::history::History;
use crate::record::event::Reason;
use crate::record::journal::Recorder;
use crate::record::state::RunState;
use crate::report;
use crate::report::follow::{self, Output, Style};
use crate::run::abort::{Abort, AbortHandle, Level, abort};
use crate::run::{self, RunContext, RunSpec};

/// How an experiment is run and shown.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    pub(crate) seed: Option<u64>,
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) guard: GuardChoice,
    pub(crate) grace: Duration,
    /// The run's id, for who has named it before.
    pub(crate) id: Option<String>,
    /// Set where a signal has come before the run heeds signals itself.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: None,
            format: Format::Text,
            quiet: false,
            guard: GuardChoice::Auto,
            grace: Duration::from_mins(1),
            id: None,
            stopped: Arc::default(),
        }
    }
}

/// Runs one experiment on an engine that answers: with its journal, its guard, its followers and its reports. What came of it;
/// where it did not begin, nothing was touched, and people have been told why.
///
/// # Errors
/// Where it cannot even begin; nothing has been touched then.
pub(super) async fn experiment(
    x: &Experiment,
    file: &str,
    connected: &ConnectedEngine,
    state: &StateDir,
    options: &RunOptions,
) -> anyhow::Result<Attempt> {
    if let Some(why) = halt::refusal(state) {
        return Ok(not_begun(Verdict::NoVerdict, why));
    }
    match recover::before_run(connected, state, x).await {
        Ok(lines) => lines.iter().for_each(|line| complain!("{line}")),
        Err(e) => {
            let why = format!("what an earlier run left in place cannot be rolled back: {e:#}");
            return Ok(not_begun(Verdict::LeftBehind, why));
        }
    }
    let context = RunContext {
        engine: connected.engine(),
        prober: connected.prober(x)?,
        launcher: connected.launcher(options.guard, state)?,
        owner: user::at_host(),
        process: unlock::this_process(),
        grace: options.grace,
    };
    let id = options.id.clone().unwrap_or_else(|| new_id(&x.name));
    let prepared =
        state.prepare().with_context(|| format!("cannot make the state directory {}", state.root().display()));
    let rec = match prepared.and_then(|()| Ok(Recorder::create(&state.journal(&id))?)) {
        Ok(rec) => rec,
        Err(e) => return Ok(no_journal(&e)),
    };
    connected.entrust(&rec).await;
    let dir = state.run_dir(&id);
    let mut followers = JoinSet::new();
    let (output, style) = match options.format {
        Format::Text => {
            let output = Output::stdout();
            let style = Style::of(&output, options.quiet);
            (output, style)
        }
        Format::Json => (Output::Lines(Box::new(std::io::stdout())), Style::default()),
    };
    match options.format {
        Format::Text => followers.spawn(follow::console(rec.follow(), output, style)),
        Format::Json => followers.spawn(follow::json(rec.follow(), output)),
    };

    let (handle, abort) = abort();
    let mut watchers = JoinSet::new();
    watchers.spawn(heed_signals(handle.clone())?);
    if options.stopped.load(Ordering::Relaxed) {
        handle.press(Reason::Interrupted, "stopped by a signal");
    }
    watchers.spawn(heed_halt(handle, state.clone()));
    let seed = options.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let spec = RunSpec { run: &id, experiment: x, file, seed };
    let verdict = tokio::select! {
        verdict = run::run(&spec, &context, &rec, &abort) => match verdict {
            Ok(verdict) => verdict,
            Err(e) => return Ok(no_journal(&e.into())),
        },
        () = left(&abort) => {
            complain!("left at once: the guard rolls everything back; `squall list` tells when it has");
            return Ok(came_to(Verdict::NoVerdict, &rec));
        }
    };
    watchers.shutdown().await;

    match rec.mend() {
        Ok(false) => {}
        Ok(true) => {
            complain!("warning: the journal was removed or damaged while the run was going on; it is written again");
        }
        Err(e) => complain!("warning: {e}"),
    }
    let reports = rec.read(|state| report::write_all(state, &dir));
    // The history is read from the journals; what is missed here is caught up on when somebody looks.
    if let Err(e) = History::open(state) {
        tracing::warn!("the history is not up to date: {e:#}");
    }
    rec.end_followers();
    // A terminal that is stuck does not hold the exit code back.
    let _ = timeout(Duration::from_secs(3), followers.join_all()).await;
    match reports {
        Ok(_) if options.format == Format::Text => {
            let report = dir.join("report.html");
            let topic = if options.quiet { "" } else { "report: " };
            follow::say(&format!("{topic}{}", report.display()));
            // Whoever wants the path alone gets it alone.
            if let Some(command) = super::report::for_caller(state, &id).filter(|_| !options.quiet) {
                follow::say(&format!("        root alone can read it; for a copy: {command}"));
            }
        }
        Ok(_) => {}
        Err(e) => complain!("warning: the reports could not be written: {e:#}; `squall report {id}` tries again"),
    }
    Ok(came_to(verdict, &rec))
}

/// What a run came to that has begun.
fn came_to(verdict: Verdict, rec: &Recorder) -> Attempt {
    let run = rec.read(RunState::clone);
    let why = run.finished.as_ref().map_or("it was left before its end", |f| f.text.as_str()).to_owned();
    Attempt { verdict, why, run: Some(Box::new(run)) }
}

/// Without a journal nothing may be touched; that says nothing about the file or the command line.
fn no_journal(e: &anyhow::Error) -> Attempt {
    let why = format!("{e:#}; nothing was touched, --state DIR names another place for the journal");
    not_begun(Verdict::NoVerdict, why)
}

/// A run that did not begin: tells people why.
pub(super) fn not_begun(verdict: Verdict, why: String) -> Attempt {
    no_verdict(&why);
    Attempt { verdict, why, run: None }
}

/// A new id. It begins with the time, so that the order of the names is that of the runs.
pub(super) fn new_id(name: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("{now}-{name}-{:04x}", rand::random::<u16>())
}

/// The first signal rolls everything back, the second does not wait for probes, the third leaves at once.
fn heed_signals(handle: AbortHandle) -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        loop {
            let name = signals.next().await;
            handle.press(Reason::Interrupted, &format!("stopped by {name}"));
        }
    })
}

async fn heed_halt(handle: AbortHandle, state: StateDir) {
    let note = halt::halted(&state).await;
    handle.stop(Level::RollBack, Reason::Halted, &format!("halted: {note}"));
}

async fn left(abort: &Abort) {
    abort.asked(Level::Leave).await;
}

pub(super) fn no_verdict(text: &str) -> ExitCode {
    complain!("no verdict: {text}");
    ExitCode::from(Verdict::NoVerdict.code())
}
