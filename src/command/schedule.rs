//! `squall schedule`: the daemon that starts experiments when a file says so.
//!
//! Each run is a process of its own, `squall run`, in a process group of its own: a daemon that dies leaves it and its guard
//! alone, and a run that dies is the guard's business. One run at a time.

mod ask;
mod ended;
mod files;
mod item;
mod memory;
mod page;
mod start;
mod tell;
mod view;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::ended::end;
use self::files::Source;
use self::item::{Item, advance, tell_missed};
use self::memory::Memory;
use self::tell::{Listeners, Messages};
use self::view::View;
use super::connect::pin;
use super::stop::Signals;
use super::table::{column, table};
use crate::command::cli;
use crate::host::store::StateDir;
use crate::host::systemd::Notify;
use crate::model::exit::INVALID;
use crate::occasions::history::{Filter, History, Status};
use crate::occasions::schedule::{Past, Timetable};
use crate::report::follow;
use crate::text::units;

/// How often the daemon looks whether files have changed.
const ROUND: Duration = Duration::from_secs(5);

/// How long after one attempt to roll back what was left behind the next one comes.
const AGAIN: Duration = Duration::from_mins(1);

/// How old the figures of runs that are not over may be.
const STALE: Duration = Duration::from_secs(30);

pub(super) async fn run(mut args: cli::Schedule, state: StateDir) -> anyhow::Result<ExitCode> {
    let sources = match files::read(&args.files) {
        Ok(sources) => sources,
        Err(why) => {
            complain!("{why}");
            return Ok(ExitCode::from(INVALID));
        }
    };
    if let Some(n) = args.next {
        return show(&sources, n, args.seed.or_else(|| memory::seed(&state)).unwrap_or_default());
    }
    pin(&mut args.engine)?;
    Daemon::new(args, state, sources)?.work().await
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

/// A line with its time, for a log.
fn say(text: &str) {
    let _ = super::show(&format!("{} {text}\n", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")));
}
