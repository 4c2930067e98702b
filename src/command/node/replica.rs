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
use crate::record::event::Actor;
use crate::record::journal::{Fold, salvage};
use crate::record::state::RunState;
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
        let over = found.as_ref().map_or(known, |found| found.alone.is_some() && !found.outstanding);
        let mut replica =
            Self { path, file: file.try_clone()?, fold: Fold::default(), closed: over, torn: false, deadline: None };
        if !over {
            file.set_len(0)?;
            for line in journal.split_inclusive('\n') {
                replica.add(line)?;
            }
            replica.reckon();
        }
        Ok((replica, found.filter(|found| found.alone.is_some())))
    }

    /// Adds a line: it is on disk before anything follows from it.
    pub(super) fn add(&mut self, line: &str) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let attempt = || format!("cannot write to {}", self.path.display());
        self.file.write_all(line.as_bytes()).with_context(attempt)?;
        let before = self.fold.state().changes.len();
        self.fold.line(line.as_bytes(), &self.path)?;
        let s = self.fold.state();
        if s.changes.len() > before {
            self.file.sync_data().with_context(attempt)?;
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

    /// A line could not be written: what follows would have a gap before it.
    pub(super) fn add_no_more(&mut self) {
        self.torn = true;
    }

    /// Whether a change of it may be touched: only one whose rollback is here.
    pub(super) fn permit(&self, change: usize) -> Result<Permit, String> {
        match self.fold.state().changes.get(change) {
            _ if self.closed => Ok(Permit::Over),
            // What is there can still be rolled back.
            _ if self.torn => Err("the node could not write down how to roll it back".to_owned()),
            Some(_) => Ok(Permit::Granted),
            None => Err(format!("the node has not been told how to roll back change {change}")),
        }
    }

    /// When it is rolled back, whatever the runner says.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.closed && is_left_on_node(self.fold.state()))
    }

    /// The journal, let go for who rolls back; none where it is over.
    pub(super) fn let_go(self) -> Option<PathBuf> {
        (!self.closed).then_some(self.path)
    }
}

/// The runs of a session of which something is here, and what became of each.
pub(super) fn all(session: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(session)? {
        let entry = entry?;
        let path = entry.path().join(JOURNAL);
        if let (Ok(s), Ok(run)) = (salvage(&path), entry.file_name().into_string()) {
            all.push((path, found(&run, &s)));
        }
    }
    Ok(all)
}

/// What is found of a run.
pub(super) fn found(run: &str, s: &RunState) -> Found {
    let by_node = s.taken_over.as_ref().filter(|t| t.by == Actor::Node).map(|_| {
        let rolled_back = s.changes.iter().filter(|c| c.rolled_back.is_some()).count();
        let why = s.stopping.as_ref().map_or("it heard no more of its runner", |s| s.text.as_str());
        format!("{why}; it rolled back {}", count(rolled_back, "change"))
    });
    Found { run: run.to_owned(), outstanding: is_left_on_node(s), alone: by_node }
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
