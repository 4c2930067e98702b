//! The start of what is due: what may be in its way, and the process that it becomes.

use std::process::Stdio;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use tokio::process::Command;

use super::item::{advance, tell_missed};
use super::tell::{self, Listeners};
use super::{AGAIN, ChildTask, Daemon, Going, ask, say};
use crate::command::{halt, load};
use crate::occasions::history::{self, Filter, History, Status};
use crate::occasions::schedule::{Missed, Mode, Timetable};
use crate::report::follow;

impl Daemon {
    /// Starts the entry that is due, where there is one and nothing is in its way.
    pub(super) async fn start_what_is_due(&mut self) -> anyhow::Result<()> {
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
            let left = rows.map(|rows| budget.left_after(history::bad_since(&rows, since)));
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
    pub(super) fn squall(&self, args: &[&str]) -> anyhow::Result<Command> {
        let exe = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(exe);
        command.arg("--state").arg(self.state.root()).args(args).stdin(Stdio::null());
        let engine = &self.args.engine;
        command.args(engine.engine.map(|kind| format!("--engine={kind}")));
        command.args(engine.stack.iter().map(|stack| format!("--stack={}", stack.display())));
        command.args(engine.docker.again());
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
}
