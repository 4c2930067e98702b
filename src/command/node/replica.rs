//! The journal of a run as a node has it: the runner's lines, in a file behind a lock like any journal. What is not in it cannot be made
//! so there, and what is in it can be rolled back there alone. Knows no engine.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use crate::engine::node::protocol::Found;
use crate::host::store::{JOURNAL, lock, private_dir, private_file};
use crate::model::instance::{Rollback, Setting};
use crate::record::event::Actor;
use crate::record::journal::{Fold, salvage};
use crate::record::state::{ChangeState, RunState};
use crate::run::recover::{is_left_on_node, time_limit};
use crate::text::units::count;

/// How often a lock that an earlier helper still has is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a node knows of a run.
pub(super) struct Replica {
    path: PathBuf,
    file: File,
    fold: Fold,
    /// The node has rolled it back alone, or another process has settled it: nothing of it is touched any more.
    closed: bool,
    /// Something of it could not be written.
    torn: bool,
    /// When the node rolls it back, whatever the runner says.
    deadline: Option<Instant>,
}

/// What becomes of a setting of a run's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Its rollback is held here.
    Granted,
    /// It is over: all is as it was.
    Over,
}

impl Replica {
    /// Takes a run into care, as soon as no earlier helper is at it; what such a one has done alone.
    pub(super) async fn take(
        session: &Path,
        run: &str,
        journal: &str,
        known: bool,
    ) -> anyhow::Result<(Self, Option<Found>)> {
        let path = path(session, run)?;
        let was_there = path.exists();
        if let Some(dir) = path.parent() {
            private_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let file = private_file().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let end = Instant::now() + if was_there { time_limit(&salvage(&path)?) } else { Duration::ZERO };
        while !lock(&file).with_context(|| format!("cannot lock {}", path.display()))? {
            if Instant::now() >= end {
                bail!("an earlier helper on this node still has the run {run}");
            }
            sleep(POLL_INTERVAL).await;
        }
        let found = if was_there { Some(found(run, &salvage(&path)?)) } else { None };
        let is_over = |found: &Found| found.alone.is_some() && !found.outstanding;
        let over = found.as_ref().map_or(known, is_over);
        let mut replica =
            Self { path, file: file.try_clone()?, fold: Fold::default(), closed: over, torn: false, deadline: None };
        if !over {
            file.set_len(0)?;
        }
        for line in journal.split_inclusive('\n') {
            replica.add(line)?;
        }
        replica.reckon();
        Ok((replica, found.filter(|found| found.alone.is_some())))
    }

    /// Adds a line: it is on disk before anything follows from it.
    pub(super) fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let before = self.fold.state().changes.len();
        self.fold.line(line.as_bytes(), &self.path)?;
        if self.closed || self.torn {
            return Ok(());
        }
        let new = self.fold.state().changes.len() > before;
        let written =
            self.file.write_all(line.as_bytes()).and_then(|()| if new { self.file.sync_data() } else { Ok(()) });
        if let Err(e) = written {
            // What follows would stand behind half a line.
            self.torn = true;
            return Err(e).with_context(|| format!("cannot write to {}", self.path.display()));
        }
        if self.deadline.is_none() {
            self.reckon();
        }
        Ok(())
    }

    /// Reckons the deadline from the newest line: by the runner's clock, since this machine's may be another.
    fn reckon(&mut self) {
        let s = self.fold.state();
        if let (Some(deadline), Some(now)) = (s.deadline, s.last) {
            let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
            self.deadline = Some(Instant::now() + left);
        }
    }

    /// Whether a change of it may be made so: only one whose rollback is here, unless it is made already and only rolled back.
    pub(super) fn permit(&self, change: usize, to: &Setting) -> Result<Permit, String> {
        match self.fold.state().changes.get(change) {
            Some(c) if self.closed && c.change.to == *to && c.change.back != Rollback::To(to.clone()) => {
                Err("the helper on the engine's host has heard no more of this run, and has rolled it back".to_owned())
            }
            _ if self.closed => Ok(Permit::Over),
            Some(c) if self.torn && c.injecting.is_none() => {
                Err("the node could not write down how to roll it back: is its disk full?".to_owned())
            }
            Some(_) => Ok(Permit::Granted),
            None => Err(format!("the node has not been told how to roll back change {change}")),
        }
    }

    /// When it is rolled back, whatever the runner says. Who has taken over from the runner has all the time that it takes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let s = self.fold.state();
        self.deadline.filter(|_| !self.closed && s.taken_over.is_none() && is_left_on_node(s))
    }
}

/// The runs of a session of which something is here, and what became of each. Of one that cannot be read nothing is known to be rolled
/// back.
pub(super) fn all(session: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(session)? {
        let entry = entry?;
        let (path, run) = (entry.path().join(JOURNAL), entry.file_name().to_string_lossy().into_owned());
        if path.exists() {
            let found = match salvage(&path) {
                Ok(s) => found(&run, &s),
                Err(e) => Found { run, outstanding: true, is_unfinished: false, alone: Some(e.to_string()) },
            };
            all.push((path, found));
        }
    }
    Ok(all)
}

/// What is found of a run.
fn found(run: &str, s: &RunState) -> Found {
    let by_node = s.taken_over.as_ref().filter(|t| t.by == Actor::Node).map(|_| {
        let is_its = |c: &&ChangeState| c.rolled_back.as_ref().is_some_and(|r| r.by == Actor::Node);
        let rolled_back = s.changes.iter().filter(is_its).count();
        let why = s.stopping.as_ref().map_or("it heard no more of its runner", |s| s.text.as_str());
        format!("{why}; it rolled back {}", count(rolled_back, "change"))
    });
    let is_over = s.finished.is_some() && s.is_rolled_back();
    Found {
        run: run.to_owned(),
        outstanding: is_left_on_node(s) || s.damage().is_some_and(|_| !is_over),
        is_unfinished: !is_over && (by_node.is_none() || is_left_on_node(s)),
        alone: by_node.or_else(|| s.damage()),
    }
}

/// Where a run's journal is. Its name comes from outside.
fn path(session: &Path, run: &str) -> anyhow::Result<PathBuf> {
    let fit =
        !run.is_empty() && !run.starts_with('.') && run.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !fit {
        bail!("`{run}` is no run's id");
    }
    Ok(session.join(run).join(JOURNAL))
}
