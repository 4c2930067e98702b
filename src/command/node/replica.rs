//! The journal of a run as a node has it: the runner's lines, in a file behind a lock like any journal. What is not in it cannot be made
//! so there, and what is in it can be rolled back there alone. Knows no engine.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use crate::engine::Member;
use crate::engine::node::protocol::Found;
use crate::host::store::{JOURNAL, lock, private_dir, private_file};
use crate::model::instance::{InstanceId, Rollback, Setting};
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
    /// Something of it could not be written; of how many changes the rollback is on disk.
    torn: bool,
    written: usize,
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
        let found = if was_there { Some(found(&path, run, &salvage(&path)?)) } else { None };
        let is_over = |found: &Found| found.alone.is_some() && !found.outstanding;
        let over = found.as_ref().map_or(known, is_over);
        let mut replica = Self {
            path,
            file: file.try_clone()?,
            fold: Fold::default(),
            closed: over,
            torn: false,
            written: 0,
            deadline: None,
        };
        // What is there already stays, but for half a line: a full disk must not lose it.
        let there = if over { Vec::new() } else { std::fs::read(&replica.path)? };
        let whole = there.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let known = if journal.as_bytes().starts_with(&there[..whole]) { whole } else { 0 };
        if !over {
            file.set_len(known as u64)?;
            (&file).seek(SeekFrom::Start(known as u64))?;
        }
        let (before, new) = journal.split_at(known);
        for line in before.split_inclusive('\n') {
            replica.fold.line(line.as_bytes(), &replica.path)?;
        }
        replica.written = replica.fold.state().changes.len();
        for line in new.split_inclusive('\n') {
            replica.add(line);
        }
        replica.reckon();
        Ok((replica, found.filter(|found| found.alone.is_some())))
    }

    /// Adds a line: it is on disk before anything follows from it. Where it cannot be written, nothing new is begun.
    pub(super) fn add(&mut self, line: &str) {
        let attempt = || format!("cannot write to {}", self.path.display());
        if let Err(e) = self.fold.line(line.as_bytes(), &self.path) {
            complain!("{e}");
            self.torn = true;
        }
        if self.closed || self.torn {
            return;
        }
        let changes = self.fold.state().changes.len();
        let is_intent = changes > self.written;
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| if is_intent { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => self.written = changes,
            Err(e) => {
                // What follows would stand behind half a line.
                complain!("{}: {e}", attempt());
                self.torn = true;
            }
        }
        if self.deadline.is_none() {
            self.reckon();
        }
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
        let is_the_fault = |c: &ChangeState| c.change.to == *to && c.change.back != Rollback::To(to.clone());
        match self.fold.state().changes.get(change) {
            Some(c) if self.closed && is_the_fault(c) => {
                Err("the helper on the engine's host has heard no more of this run, and has rolled it back".to_owned())
            }
            // Another process may have made the node so when this was over; what is of no run's is left alone there.
            _ if self.closed && matches!(to, Setting::Availability(to) if !to.of_run) => Ok(Permit::Granted),
            _ if self.closed => Ok(Permit::Over),
            Some(c) if self.torn && change >= self.written && is_the_fault(c) => {
                Err("the node could not write down how to roll it back: is its disk full?".to_owned())
            }
            Some(_) => Ok(Permit::Granted),
            None => Err(format!("the node has not been told how to roll back change {change}")),
        }
    }

    /// What is on at this node, with the ids that instances have here.
    pub(super) fn on(&self) -> Vec<(InstanceId, Setting)> {
        let s = self.fold.state();
        let node = node(&self.path, s);
        let is_here = |c: &&ChangeState| {
            node.is_none_or(|node| InstanceId::split(&c.change.instance.0).is_some_and(|(on, _)| on == node))
        };
        let there = |c: &ChangeState| InstanceId(InstanceId::on_its_node(&c.change.instance.0).to_owned());
        s.on().filter(|_| !self.closed).filter(is_here).map(|c| (there(c), c.change.to.clone())).collect()
    }

    /// When it is rolled back, whatever the runner says. Who has taken over from the runner has all the time that it takes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let s = self.fold.state();
        let node = node(&self.path, s);
        self.deadline.filter(|_| !self.closed && s.taken_over.is_none() && is_left_on_node(s, node))
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
                Ok(s) => found(&path, &run, &s),
                Err(e) => Found { run, outstanding: true, is_unfinished: false, alone: Some(e.to_string()) },
            };
            all.push((path, found));
        }
    }
    Ok(all)
}

/// What the machine of a journal's helper is called in the run, where the run has several: its session is the journal's.
pub(super) fn node<'a>(journal: &Path, s: &'a RunState) -> Option<&'a str> {
    let session = journal.parent()?.parent()?.file_name()?.to_str()?;
    let members = &s.started.as_ref()?.engine.members;
    let is_here = |m: &&Member| m.engine.helper.as_ref().is_some_and(|helper| helper.session == session);
    members.iter().find(is_here).map(|m| m.name.as_str())
}

/// What is found of a run.
fn found(journal: &Path, run: &str, s: &RunState) -> Found {
    let node = node(journal, s);
    let by_node = s.taken_over.as_ref().filter(|t| t.by == Actor::Node).map(|_| {
        let is_its = |c: &&ChangeState| c.rolled_back.as_ref().is_some_and(|r| r.by == Actor::Node);
        let rolled_back = s.changes.iter().filter(is_its).count();
        let why = s.stopping.as_ref().map_or("it heard no more of its runner", |s| s.text.as_str());
        format!("{why}; it rolled back {}", count(rolled_back, "change"))
    });
    let is_over = s.finished.is_some() && s.is_rolled_back();
    Found {
        run: run.to_owned(),
        outstanding: is_left_on_node(s, node) || s.damage().is_some_and(|_| !is_over),
        is_unfinished: !is_over && (by_node.is_none() || is_left_on_node(s, node)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::node::{Availability, NodeAvailability};
    use crate::record::event::Event;
    use crate::record::journal::Recorder;
    use crate::report::follow::fixture;

    /// A run's journal, until such an event.
    fn journal(until: fn(&Event) -> bool) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.ndjson");
        let rec = Recorder::create(&path).unwrap();
        for stamped in fixture::held() {
            let is_last = until(&stamped.event);
            rec.note(stamped.event);
            if is_last {
                break;
            }
        }
        std::fs::read_to_string(path).unwrap()
    }

    /// What the first change of that run makes so, and what rolls it back.
    fn first_change(journal: &str) -> (Setting, Setting) {
        let mut fold = Fold::default();
        journal.split_inclusive('\n').for_each(|line| fold.line(line.as_bytes(), Path::new("")).unwrap());
        let change = fold.state().changes[0].change.clone();
        let Rollback::To(back) = change.back else { panic!("it has a rollback") };
        (change.to, back)
    }

    #[tokio::test]
    async fn what_it_was_not_told_of_is_not_made_so() {
        let session = tempfile::tempdir().unwrap();
        let whole = journal(|e| matches!(e, Event::Planned { .. }));
        let (to, back) = first_change(&whole);
        let (planned, before): (Vec<&str>, Vec<&str>) =
            whole.split_inclusive('\n').partition(|line| line.contains("\"planned\""));
        let (mut replica, found) = Replica::take(session.path(), "r", &before.concat(), false).await.unwrap();
        assert_eq!(found, None);
        assert!(replica.permit(0, &to).is_err());
        for line in planned {
            replica.add(line);
        }
        assert_eq!((replica.permit(0, &to), replica.permit(0, &back)), (Ok(Permit::Granted), Ok(Permit::Granted)));
        assert!(replica.permit(99, &to).is_err());
        assert!(replica.deadline().is_some(), "the node knows when it is over, whatever the runner says");
        let here = all(session.path()).unwrap();
        assert!(here.iter().all(|(_, found)| found.outstanding && found.is_unfinished), "{here:?}");
    }

    /// A runner that comes back must not disturb what others do by then.
    #[tokio::test]
    async fn a_run_that_another_process_has_settled_is_not_touched() {
        let session = tempfile::tempdir().unwrap();
        let whole = journal(|e| matches!(e, Event::Planned { .. }));
        let (to, back) = first_change(&whole);
        let (replica, _) = Replica::take(session.path(), "r", &whole, true).await.unwrap();
        assert_eq!(replica.permit(0, &back), Ok(Permit::Over));
        let node = |of_run| NodeAvailability { node: "n".to_owned(), is: Availability::Active, of_run };
        let free = replica.permit(0, &Setting::Availability(node(false)));
        assert_eq!(free, Ok(Permit::Granted), "what a manager elsewhere has made of a node is not known here");
        assert!(replica.permit(0, &to).unwrap_err().contains("has rolled it back"), "the fault itself is not");
    }

    /// What is written on a full disk must not be lost, nor keep what is there from being rolled back.
    #[tokio::test]
    async fn a_node_that_cannot_write_begins_nothing_and_rolls_back() {
        let session = tempfile::tempdir().unwrap();
        let whole = journal(|e| matches!(e, Event::Injecting { .. }));
        let (to, back) = first_change(&whole);
        let (mut replica, _) = Replica::take(session.path(), "r", &whole, false).await.unwrap();
        replica.file = File::open("/dev/null").unwrap();
        replica.add(&whole);
        assert_eq!(replica.permit(0, &back), Ok(Permit::Granted), "it was begun");
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let (before, later) = lines.split_at(lines.iter().position(|line| line.contains("\"planned\"")).unwrap());
        let (mut replica, _) = Replica::take(session.path(), "s", &before.concat(), false).await.unwrap();
        replica.file = File::open("/dev/null").unwrap();
        for line in later {
            replica.add(line);
        }
        assert!(replica.permit(0, &to).unwrap_err().contains("disk full"), "though its begin was told");
        assert_eq!(replica.permit(0, &back), Ok(Permit::Granted), "there is nothing to keep from being rolled back");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_settled() {
        let session = tempfile::tempdir().unwrap();
        let newer = journal(|e| matches!(e, Event::Started(_))).replace("\"format\":", "\"format\":9");
        let newer = format!("{}}}\n", newer.split(",\"sum\"").next().unwrap());
        for (run, text) in [("newer", newer.as_str()), ("damaged", "{}\nrubbish\n")] {
            std::fs::create_dir_all(session.path().join(run)).unwrap();
            std::fs::write(session.path().join(run).join(JOURNAL), text).unwrap();
        }
        let found = all(session.path()).unwrap();
        assert!(found.len() == 2 && found.iter().all(|(_, f)| f.outstanding && f.alone.is_some()), "{found:?}");
    }

    #[test]
    fn a_run_is_no_path() {
        for run in ["", ".", "..", "../x", "a/b", "a b", "ü"] {
            assert!(path(Path::new("/s"), run).is_err(), "{run}");
        }
        assert!(path(Path::new("/s"), "20261130T122158Z-latency-9842").is_ok());
    }
}
