//! One experiment, with its journal, its guard, its followers and its reports.
#![expect(clippy::print_stderr, reason = "what people see")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connect::Reached;
use super::{halt, recover};
use crate::cli::{Format, GuardChoice};
use crate::event::Reason;
use crate::exit::Verdict;
use crate::experiment::Experiment;
use crate::follow::{self, Output, Style};
use crate::history::History;
use crate::journal::Recorder;
use crate::report;
use crate::run::abort::{Abort, AbortHandle, Level, abort};
use crate::run::{self, Task, World};
use crate::store::StateDir;

/// How an experiment is run and shown.
#[derive(Debug, Clone)]
pub(crate) struct How {
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

impl Default for How {
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

/// What came of an experiment.
#[derive(Debug)]
pub(crate) enum Came {
    /// It was run.
    Run {
        verdict: Verdict,
        /// The run's directory.
        dir: PathBuf,
    },
    /// It did not begin, and touched nothing; people have been told why.
    NotBegun { verdict: Verdict, why: String },
}

/// Runs one experiment on an engine that answers: with its journal, its guard, its followers and its reports. Tells the
/// verdict and the run's directory.
///
/// # Errors
/// Where it cannot even begin; nothing has been touched then.
pub(crate) async fn experiment(
    x: &Experiment,
    file: &str,
    reached: &Reached,
    state: &StateDir,
    how: &How,
) -> anyhow::Result<(Verdict, Option<PathBuf>)> {
    Ok(match attempt(x, file, reached, state, how).await? {
        Came::Run { verdict, dir } => (verdict, Some(dir)),
        Came::NotBegun { verdict, .. } => (verdict, None),
    })
}

/// The same, and why where it did not begin.
///
/// # Errors
/// As [`experiment`].
pub(super) async fn attempt(
    x: &Experiment,
    file: &str,
    reached: &Reached,
    state: &StateDir,
    how: &How,
) -> anyhow::Result<Came> {
    if let Some(note) = halt::note(state) {
        return Ok(not_begun(
            Verdict::NoVerdict,
            format!("runs are halted: {note}; `squall resume` allows them again"),
        ));
    }
    match recover::before_run(reached, state).await {
        Ok(lines) => lines.iter().for_each(|line| eprintln!("{line}")),
        Err(e) => {
            let why = format!("what an earlier run left behind cannot be taken back: {e:#}");
            return Ok(not_begun(Verdict::LeftBehind, why));
        }
    }
    let world = World {
        engine: reached.engine(),
        senses: reached.senses(x)?,
        sentry: reached.sentry(how.guard, state)?,
        owner: owner(),
        grace: how.grace,
    };
    let id = how.id.clone().unwrap_or_else(|| new_id(&x.name));
    let rec = match Recorder::create(&state.journal(&id)) {
        Ok(rec) => rec,
        Err(e) => return Ok(no_journal(&e.into())),
    };
    let dir = state.run_dir(&id);
    let mut followers = JoinSet::new();
    let (output, style) = match how.format {
        Format::Text => {
            let output = Output::stdout();
            let style = Style::of(&output, how.quiet);
            (output, style)
        }
        Format::Json => (Output::Lines(Box::new(std::io::stdout())), Style::default()),
    };
    match how.format {
        Format::Text => followers.spawn(follow::console(rec.follow(), output, style)),
        Format::Json => followers.spawn(follow::json(rec.follow(), output)),
    };

    let (handle, abort) = abort();
    let mut watchers = JoinSet::new();
    watchers.spawn(heed_signals(handle.clone())?);
    if how.stopped.load(Ordering::Relaxed) {
        handle.press(Reason::Interrupted, "stopped by a signal");
    }
    watchers.spawn(heed_halt(handle, state.clone()));
    let seed = how.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let task = Task { run: &id, experiment: x, file, seed };
    let verdict = tokio::select! {
        verdict = run::run(&task, &world, &rec, &abort) => match verdict {
            Ok(verdict) => verdict,
            Err(e) => return Ok(no_journal(&e.into())),
        },
        () = left(&abort) => {
            eprintln!("left at once: the guard takes everything back; `squall list` tells when it has");
            return Ok(Came::Run { verdict: Verdict::NoVerdict, dir });
        }
    };
    watchers.shutdown().await;

    let reports = rec.read(|state| report::write_all(state, &dir));
    // The history is read from the journals; what is missed here is caught up on when somebody looks.
    if let Err(e) = History::open(state) {
        tracing::warn!("the history is not up to date: {e:#}");
    }
    rec.dismiss();
    // A terminal that is stuck does not hold the exit code back.
    let _ = timeout(Duration::from_secs(3), followers.join_all()).await;
    match reports {
        Ok(_) if how.format == Format::Text => {
            let report = dir.join("report.html");
            let topic = if how.quiet { "" } else { "report: " };
            follow::say(&format!("{topic}{}", report.display()));
        }
        Ok(_) => {}
        Err(e) => eprintln!("warning: the reports could not be written: {e:#}; `squall report {id}` tries again"),
    }
    Ok(Came::Run { verdict, dir })
}

/// Without a journal nothing may be touched; that says nothing about the file or the command line.
fn no_journal(e: &anyhow::Error) -> Came {
    let why = format!("{e:#}; nothing was touched, --state DIR names another place for the journal");
    not_begun(Verdict::NoVerdict, why)
}

fn not_begun(verdict: Verdict, why: String) -> Came {
    no_verdict(&why);
    Came::NotBegun { verdict, why }
}

/// A new id. It begins with the time, so that the order of the names is that of the runs.
pub(super) fn new_id(name: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("{now}-{name}-{:04x}", rand::random::<u16>())
}

/// The first signal takes everything back, the second does not wait for probes, the third leaves at once.
fn heed_signals(handle: AbortHandle) -> anyhow::Result<impl Future<Output = ()>> {
    let mut int = signal(SignalKind::interrupt()).context("cannot heed SIGINT")?;
    let mut term = signal(SignalKind::terminate()).context("cannot heed SIGTERM")?;
    let mut hup = signal(SignalKind::hangup()).context("cannot heed SIGHUP")?;
    Ok(async move {
        loop {
            let name = tokio::select! {
                Some(()) = int.recv() => "SIGINT",
                Some(()) = term.recv() => "SIGTERM",
                Some(()) = hup.recv() => "SIGHUP",
                else => return,
            };
            handle.press(Reason::Interrupted, &format!("stopped by {name}"));
        }
    })
}

/// How often the halt note is looked for.
const HALT: Duration = Duration::from_millis(100);

async fn heed_halt(handle: AbortHandle, state: StateDir) {
    loop {
        sleep(HALT).await;
        if let Some(note) = halt::note(&state) {
            handle.stop(Level::TakeBack, Reason::Halted, &format!("halted: {note}"));
            return;
        }
    }
}

async fn left(abort: &Abort) {
    abort.asked(Level::Leave).await;
}

/// Who runs it, for others who meet its marker: user and host.
fn owner() -> String {
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

pub(super) fn no_verdict(text: &str) -> ExitCode {
    eprintln!("no verdict: {text}");
    ExitCode::from(Verdict::NoVerdict.code())
}
