//! `squall schedule`: the daemon that starts experiments when a file says so.
//!
//! Each run is a process of its own, `squall run`, in a process group of its own: a daemon that dies leaves it and its guard
//! alone, and a run that dies is the guard's business. One run at a time.

mod ask;
mod files;
mod memory;
mod page;
mod tell;
mod view;

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::files::Source;
use self::memory::Memory;
use self::tell::{Listeners, Messages};
use self::view::View;
use super::connect::kind;
use super::stop::Signals;
use super::table::{column, table};
use super::{halt, load};
use crate::command::cli;
use crate::engine::Kind;
use crate::host::store::StateDir;
use crate::host::systemd::Notify;
use crate::model::exit::{INVALID, Verdict};
use crate::occasions::history::{Filter, History, Row, Status};
use crate::occasions::notify::Recipient;
use crate::occasions::schedule::{Entry, Missed, Mode, Past, Tell, Timetable};
use crate::report::Format;
use crate::report::follow;
use crate::text::units;

/// How often the daemon looks whether files have changed.
const ROUND: Duration = Duration::from_secs(5);

/// How long after one attempt to roll back what was left behind the next one comes.
const AGAIN: Duration = Duration::from_mins(1);

/// How old the figures of runs that are not over may be.
const STALE: Duration = Duration::from_secs(30);

pub(super) async fn run(args: cli::Schedule, state: StateDir) -> anyhow::Result<ExitCode> {
    let sources = match files::read(&args.files) {
        Ok(sources) => sources,
        Err(why) => {
            complain!("{why}");
            return Ok(ExitCode::from(INVALID));
        }
    };
    match args.next {
        Some(n) => show(&sources, n, args.seed.or_else(|| memory::seed(&state)).unwrap_or_default()),
        None => Daemon::new(args, state, sources)?.work().await,
    }
}

/// Prints the next starts of all entries, as if they were first seen now.
fn show(sources: &[Source], n: usize, seed: u64) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let mut starts: Vec<(Timestamp, String, String)> = Vec::new();
    for source in sources {
        for (name, entry) in &source.schedule.entries {
            let Some(times) = Timetable::of(&source.schedule, name, entry, seed) else { continue };
            let zone = source.schedule.time_zone.clone().unwrap_or_default().0;
            let mut past = Past { settled: now, starts: Vec::new() };
            for _ in 0..n {
                let Some(next) = times.next(&past) else { break };
                past.settled = next;
                past.starts.push(next);
                let local = next.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string();
                starts.push((next, local, format!("{}/{name}", source.schedule.name)));
            }
        }
    }
    starts.sort();
    starts.truncate(n);
    let columns = vec![column("START", &starts, |s| s.1.clone()), column("ENTRY", &starts, |s| s.2.clone())];
    super::show(&format!("{}\n", table(columns, &[(1, 12)])))?;
    Ok(ExitCode::SUCCESS)
}

/// An entry of a file.
struct Item {
    schedule: String,
    name: String,
    dir: PathBuf,
    entry: Entry,
    opt_out: Vec<String>,
    notify: Vec<Recipient>,
    tell: Tell,
    times: Timetable,
    next: Option<Timestamp>,
}

impl Item {
    fn key(&self) -> String {
        format!("{}/{}", self.schedule, self.name)
    }
}

/// What a process of Squall's is for.
enum ChildTask {
    /// It rolls back what dead runs left behind.
    Recover,
    /// It is a run.
    Run(Going),
}

/// A run that goes on.
struct Going {
    /// Who wants to know what it comes to.
    listeners: Listeners,
    /// The experiment's name.
    experiment: String,
    began: Timestamp,
    /// Whether this daemon has stopped it, so that having no verdict is no trouble.
    stopped: bool,
    /// Whether it was only planned: such a one comes to nothing that could be told.
    dry_run: bool,
}

struct Daemon {
    args: cli::Schedule,
    state: StateDir,
    sources: Vec<Source>,
    items: Vec<Item>,
    memory: Memory,
    view: Arc<View>,
    messages: Messages,
    notify: Notify,
    /// What goes on.
    child: Option<(Child, ChildTask)>,
    /// When leftovers were last looked for.
    recovering: Option<Instant>,
    trouble: Option<String>,
    /// Whether a start waits for a run that is not this daemon's.
    waits: bool,
    learned: Option<(Instant, Option<SystemTime>, bool)>,
}

impl Daemon {
    fn new(args: cli::Schedule, state: StateDir, sources: Vec<Source>) -> anyhow::Result<Self> {
        let memory = Memory::open(&state, args.seed)?;
        let mut daemon = Self {
            args,
            state,
            sources,
            items: Vec::new(),
            memory,
            view: Arc::new(View::new()),
            messages: Messages::default(),
            notify: Notify::from_env().context("cannot reach the service manager")?,
            child: None,
            recovering: None,
            trouble: None,
            waits: false,
            learned: None,
        };
        daemon.plan(Timestamp::now())?;
        Ok(daemon)
    }

    async fn work(mut self) -> anyhow::Result<ExitCode> {
        let mut stop = Signals::but_hangup()?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot heed SIGHUP")?;
        let mut pages = JoinSet::new();
        if self.args.listen != "off" {
            let listener = TcpListener::bind(&self.args.listen).await.with_context(|| {
                format!("cannot listen on {}; --listen names another place, or `off`", self.args.listen)
            })?;
            say(&format!("figures: http://{}/metrics", listener.local_addr()?));
            pages.spawn(page::serve(listener, self.view.clone()));
        }
        self.recover();
        let entries = units::count(self.items.len(), "entry");
        say(&format!("{entries} of {}", units::count(self.sources.len(), "file")));
        self.notify.ready(&entries);
        let mut asked = false;
        loop {
            self.learn();
            self.view.round(self.child.is_some(), self.trouble.as_deref());
            self.notify.alive();
            if asked && self.child.is_none() {
                self.messages.last_words().await;
                say("stopped");
                return Ok(ExitCode::SUCCESS);
            }
            if !asked {
                self.start_what_is_due().await?;
            }
            let pause = self.pause();
            tokio::select! {
                ended = end(&mut self.child) => self.ended(ended),
                _ = stop.next() => {
                    asked = true;
                    self.notify.stopping();
                    self.stop_run();
                }
                _ = hangup.recv() => self.reread()?,
                () = sleep(pause) => self.reread()?,
            }
        }
    }

    /// Until the next start, a look at the files, or a word to the service manager.
    fn pause(&self) -> Duration {
        let now = Timestamp::now();
        let next = self.items.iter().filter_map(|item| item.next).min().filter(|_| self.child.is_none());
        let until = next.map_or(ROUND, |next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        let word = self.notify.watchdog().map_or(ROUND, |every| every / 2);
        // Not at once, where a start is due that has to wait for another's run.
        let least = if self.waits { Duration::from_secs(1) } else { Duration::from_millis(10) };
        until.min(ROUND).min(word).max(least)
    }

    /// Begins to roll back what dead runs left behind. Nothing else starts meanwhile.
    fn recover(&mut self) {
        self.recovering = Some(Instant::now());
        match self.squall(&["recover"]).and_then(|mut command| Ok(command.spawn()?)) {
            Ok(child) => self.child = Some((child, ChildTask::Recover)),
            Err(e) => self.trouble = Some(format!("`squall recover` cannot be started: {e:#}")),
        }
    }

    /// Makes the items anew from what the files say.
    fn plan(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.items.clear();
        for source in &self.sources {
            for (name, entry) in &source.schedule.entries {
                let Some(times) = Timetable::of(&source.schedule, name, entry, self.memory.seed()) else { continue };
                let mut item = Item {
                    schedule: source.schedule.name.clone(),
                    name: name.clone(),
                    dir: source.dir(),
                    entry: entry.clone(),
                    opt_out: source.schedule.opt_out.clone(),
                    notify: source.schedule.notify.clone(),
                    tell: source.schedule.tell,
                    times,
                    next: None,
                };
                if let Some(missed) = advance(&mut item, &mut self.memory, now) {
                    tell_missed(&item, missed, &self.view);
                }
                self.items.push(item);
            }
        }
        self.memory.save()?;
        self.planned();
        Ok(())
    }

    fn planned(&self) {
        let next = self.items.iter().map(|item| (item.schedule.clone(), item.name.clone(), item.next)).collect();
        let files = self.sources.iter().map(|s| (s.path.display().to_string(), s.valid)).collect();
        self.view.planned(next, files);
    }

    fn reread(&mut self) -> anyhow::Result<()> {
        let (changed, troubles) = files::reread(&mut self.sources);
        for trouble in &troubles {
            follow::complain_styled(trouble);
        }
        if changed {
            self.notify.reloading();
            self.plan(Timestamp::now())?;
            say(&format!("files read again: {} entries", self.items.len()));
            self.notify.ready(&format!("{} entries", self.items.len()));
        } else if !troubles.is_empty() {
            self.planned();
        }
        Ok(())
    }

    /// Starts the entry that is due, where there is one and nothing is in its way.
    async fn start_what_is_due(&mut self) -> anyhow::Result<()> {
        let now = Timestamp::now();
        if self.child.is_some() || !self.items.iter().any(|item| item.next.is_some_and(|next| next <= now)) {
            return Ok(());
        }
        if self.trouble.is_some() && self.recovering.is_none_or(|began| began.elapsed() > AGAIN) {
            self.recover();
            return Ok(());
        }
        self.waits = self.is_busy()?;
        if self.waits {
            return Ok(());
        }
        while self.child.is_none() {
            let due = self.items.iter().enumerate().filter_map(|(i, item)| Some((item.next.filter(|n| *n <= now)?, i)));
            let Some((at, i)) = due.min() else { break };
            let item = &mut self.items[i];
            let late = Timetable::is_late(at, now);
            let starts = !late || item.entry.missed == Missed::CatchUp;
            // On disk before anything starts: a daemon that dies after this has started it, or never will.
            self.memory.settle(&item.key(), if late { now } else { at }, starts.then_some(now));
            advance(item, &mut self.memory, now);
            self.memory.save()?;
            if starts {
                self.start(i, now).await;
            } else {
                tell_missed(item, at, &self.view);
            }
        }
        self.planned();
        Ok(())
    }

    /// Whether a run goes on in this state directory: one of an earlier daemon, or one of a person's.
    fn is_busy(&self) -> anyhow::Result<bool> {
        Ok(History::open(&self.state)?.rows(&Filter::default())?.iter().any(|row| row.status == Status::Running))
    }

    async fn start(&mut self, i: usize, now: Timestamp) {
        let item = &self.items[i];
        if let Some(trouble) = &self.trouble {
            let why = format!("not started: {trouble}");
            return self.skip(i, "left-behind", &why);
        }
        if let Some(note) = halt::note(&self.state) {
            return self.skip(i, "halted", &format!("not started: runs are halted: {note}"));
        }
        if let Some(budget) = &item.entry.budget {
            let since = now - SignedDuration::try_from(budget.window.0).unwrap_or(SignedDuration::MAX);
            let rows = History::open(&self.state).and_then(|history| history.rows(&Filter::default()));
            let left = rows.map(|rows| budget.left_after(crate::occasions::history::bad_since(&rows, since)));
            match left {
                Ok(left) if left >= budget.left.0 => {}
                Ok(left) => {
                    let why =
                        format!("not started: {:.0}% of the error budget is left, not {}", 100.0 * left, budget.left);
                    return self.skip(i, "budget", &why);
                }
                Err(e) => return self.skip(i, "budget", &format!("not started: the budget is not known: {e:#}")),
            }
        }
        if let Err(why) = ask::all(&item.entry.only_while, &self.args.engine, &self.state).await {
            return self.skip(i, "only-while", &format!("not started: {why}"));
        }
        let mut dice = item.times.dice(now);
        let mut eligible = Vec::new();
        for name in &item.entry.experiments {
            let path = item.dir.join(name);
            match load::experiment(&path) {
                Ok(reading) => eligible.push((path, reading.value.name)),
                Err(trouble) => follow::complain_styled(&trouble.to_string()),
            }
        }
        let Some((file, experiment)) = eligible.choose(&mut dice).cloned() else {
            return self.skip(i, "invalid", "not started: none of its experiments can be read");
        };
        let seed = u64::from(dice.random::<u32>()).to_string();
        let file_text = file.display().to_string();
        let mut args = match item.entry.mode {
            Mode::Run => vec!["run", "--quiet"],
            Mode::DryRun => vec!["plan"],
        };
        args.extend([file_text.as_str(), "--seed", &seed]);
        for label in &item.opt_out {
            args.extend(["--protect", label]);
        }
        let key = item.key();
        let dry_run = item.entry.mode == Mode::DryRun;
        let how = if dry_run { " (dry run: nothing is touched)" } else { "" };
        let spawned = self.squall(&args).and_then(|mut command| Ok(command.spawn()?));
        match spawned {
            Ok(child) => {
                say(&format!("{key}: starts {file_text} with seed {seed}{how}"));
                let recipients = if dry_run { Vec::new() } else { item.notify.clone() };
                let listeners = Listeners { key, recipients, tell: item.tell };
                if let Some(message) = tell::begins(&listeners, &experiment, now) {
                    self.messages.send(&listeners.recipients, &message);
                }
                self.child =
                    Some((child, ChildTask::Run(Going { listeners, experiment, began: now, stopped: false, dry_run })));
            }
            Err(e) => self.skip(i, "failed", &format!("cannot be started: {e:#}")),
        }
    }

    /// A call of this very program, on the same state directory and engine.
    fn squall(&self, args: &[&str]) -> anyhow::Result<Command> {
        let exe = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(exe);
        command.arg("--state").arg(self.state.root()).args(args).stdin(Stdio::null());
        let engine = &self.args.engine;
        command.args(engine.engine.map(|kind| format!("--engine={kind}")));
        command.args(engine.stack.iter().map(|stack| format!("--stack={}", stack.display())));
        command.args(engine.docker_host.iter().map(|host| format!("--docker-host={host}")));
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        // Not in this one's group: a Ctrl-C means the daemon, which passes it on once.
        command.process_group(0);
        Ok(command)
    }

    fn skip(&self, i: usize, word: &'static str, why: &str) {
        let item = &self.items[i];
        say(&format!("{}: {why}", item.key()));
        self.view.skipped(&item.schedule, &item.name, word);
    }

    fn ended(&mut self, ended: std::io::Result<std::process::ExitStatus>) {
        self.learned = None;
        let going = match self.child.take() {
            Some((_, ChildTask::Run(going))) => going,
            Some((_, ChildTask::Recover)) => {
                self.trouble = match ended {
                    Ok(status) if status.success() => None,
                    Ok(status) => Some(format!("`squall recover` ended with {status}: its rollback may be incomplete")),
                    Err(e) => Some(format!("the end of `squall recover` cannot be seen: {e}")),
                };
                if let Some(trouble) = &self.trouble {
                    say(trouble);
                }
                return;
            }
            None => return,
        };
        let key = &going.listeners.key;
        let code = ended.as_ref().ok().and_then(std::process::ExitStatus::code);
        let verdict = Verdict::ALL.into_iter().find(|verdict| Some(i32::from(verdict.code())) == code);
        let simulated = kind(&self.args.engine) == Kind::Sim;
        let verdict = verdict.map(|verdict| if simulated { verdict.rehearsed() } else { verdict });
        if going.dry_run {
            let came = match code {
                Some(0) => "dry run: it could be run; nothing was touched".to_owned(),
                Some(_) => "dry run: it could not be run, as said above; nothing was touched".to_owned(),
                None => "dry run: stopped; nothing was touched".to_owned(),
            };
            say(&format!("{key}: ended: {came}"));
            return;
        }
        match ended {
            Ok(status) => {
                let came = verdict.map_or_else(|| status.to_string(), |verdict| verdict.words().to_owned());
                say(&format!("{key}: ended: {came}"));
                if !matches!(status.code(), Some(0..=3)) {
                    self.trouble = Some(format!("a run of {key} ended with {status}: its rollback may be incomplete"));
                }
            }
            Err(e) => say(&format!("{key}: its end cannot be seen: {e}")),
        }
        // One that had not even begun to heed signals ends by them, and has touched nothing.
        if !(going.stopped && matches!(verdict, None | Some(Verdict::NoVerdict))) {
            self.tell(&going, verdict);
        }
    }

    /// Tells who wants to know what a run came to.
    fn tell(&mut self, going: &Going, verdict: Option<Verdict>) {
        let (listeners, now) = (&going.listeners, Timestamp::now());
        let rows = History::open(&self.state).and_then(|history| history.rows(&Filter::default())).unwrap_or_default();
        let its_own = |row: &&Row| {
            row.experiment.as_ref() == Some(&going.experiment) && row.began.is_some_and(|began| began >= going.began)
        };
        let row = rows.iter().filter(its_own).max_by_key(|row| row.began);
        let row = row.map(|row| (row, self.state.run_dir(&row.run).join(Format::Html.file())));
        let row = row.as_ref().map(|(row, report)| (*row, report.as_path()));
        // A rehearsal neither begins trouble nor ends it.
        let rehearsal = verdict.is_some_and(Verdict::is_rehearsal);
        let troubled = !rehearsal && self.memory.set_troubled(&listeners.key, verdict != Some(Verdict::Held));
        if let Some(message) = tell::ends(listeners, &going.experiment, now, verdict, troubled, row) {
            self.messages.send(&listeners.recipients, &message);
        }
        if let Err(e) = self.memory.save() {
            say(&format!("{e:#}"));
        }
    }

    /// Passes the wish to stop on to the run, which rolls everything back.
    fn stop_run(&mut self) {
        // What rolls back is not stopped; it is waited for.
        let run = self.child.as_ref().filter(|(_, work)| matches!(work, ChildTask::Run(_)));
        let pid = run.and_then(|(child, _)| child.id()).and_then(|pid| i32::try_from(pid).ok());
        if let Some((_, ChildTask::Run(going))) = &mut self.child {
            going.stopped = true;
        }
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            say("the run that goes on rolls everything back first");
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Reads the history again, where something may have changed in it.
    fn learn(&mut self) {
        let changed = std::fs::metadata(self.state.runs_dir()).and_then(|m| m.modified()).ok();
        let fresh =
            self.learned.is_some_and(|(at, before, settled)| before == changed && (settled || at.elapsed() < STALE));
        if fresh {
            return;
        }
        match History::open(&self.state).and_then(|history| history.rows(&Filter::default())) {
            Ok(rows) => {
                let settled = rows.iter().all(|row| row.status == Status::Finished);
                self.view.learned(&rows, Timestamp::now());
                self.learned = Some((Instant::now(), changed, settled));
            }
            Err(e) => {
                say(&format!("the history cannot be read: {e:#}"));
                self.learned = Some((Instant::now(), changed, false));
            }
        }
    }
}

/// Sets when an entry starts next. Where starts were missed and are left out, all up to now is settled; the first of them.
fn advance(item: &mut Item, memory: &mut Memory, now: Timestamp) -> Option<Timestamp> {
    let key = item.key();
    let next = item.times.next(memory.past(&key, now));
    let missed = next.filter(|next| Timetable::is_late(*next, now) && item.entry.missed == Missed::Skip);
    if missed.is_some() {
        memory.settle(&key, now, None);
    }
    item.next = item.times.from_now(memory.past(&key, now), now);
    missed
}

fn tell_missed(item: &Item, at: Timestamp, view: &View) {
    say(&format!("{}: missed its start at {}", item.key(), at.strftime("%Y-%m-%dT%H:%M:%SZ")));
    view.skipped(&item.schedule, &item.name, "missed");
}

/// The end of the run that goes on; never, where none does.
async fn end(child: &mut Option<(Child, ChildTask)>) -> std::io::Result<std::process::ExitStatus> {
    match child {
        Some((child, _)) => child.wait().await,
        None => std::future::pending().await,
    }
}

/// A line with its time, for a log.
fn say(text: &str) {
    let _ = super::show(&format!("{} {text}\n", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")));
}
