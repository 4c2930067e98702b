//! What the daemon must remember over its own end: the seed, and up to when each entry is settled.
//!
//! It is on disk before anything is started, so that a daemon that dies and is started again never starts the same twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::host::store::{StateDir, private_file};
use crate::occasions::schedule::Past;

/// What is remembered.
pub(super) struct Memory {
    path: PathBuf,
    stored: Stored,
    /// Held as long as the daemon lives.
    _lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    seed: u64,
    /// By `schedule/entry`.
    entries: BTreeMap<String, Past>,
    /// Those of which trouble was told last.
    #[serde(default)]
    troubled: BTreeSet<String>,
}

/// The seed that a daemon in this state directory has; nothing where there was none yet.
pub(super) fn seed(state: &StateDir) -> Option<u64> {
    let stored: Stored = serde_json::from_slice(&std::fs::read(path(state)).ok()?).ok()?;
    Some(stored.seed)
}

fn path(state: &StateDir) -> PathBuf {
    state.root().join("schedule.json")
}

impl Memory {
    /// Takes over what an earlier daemon remembered in this state directory.
    ///
    /// # Errors
    /// Where another daemon is there, or the file cannot be read.
    pub(super) fn open(state: &StateDir, seed: Option<u64>) -> anyhow::Result<Self> {
        let path = path(state);
        state.prepare().with_context(|| format!("cannot make {}", state.root().display()))?;
        let lock = private_file().append(true).open(state.root().join("schedule.lock"))?;
        if lock.try_lock().is_err() {
            bail!(
                "another `squall schedule` is at work in {}; it takes several files: squall schedule FILE FILE",
                state.root().display()
            );
        }
        let mut stored = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("cannot read {}; where it is removed, every entry begins anew from now", path.display())
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Stored { seed: u64::from(rand::random::<u32>()), entries: BTreeMap::new(), troubled: BTreeSet::new() }
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        stored.seed = seed.unwrap_or(stored.seed);
        Ok(Self { path, stored, _lock: lock })
    }

    pub(super) fn seed(&self) -> u64 {
        self.stored.seed
    }

    /// The past of an entry; one that was never seen begins now.
    pub(super) fn past(&mut self, key: &str, now: Timestamp) -> &Past {
        let past =
            self.stored.entries.entry(key.to_owned()).or_insert_with(|| Past { settled: now, starts: Vec::new() });
        // A clock that was far ahead once must not silence an entry for years.
        if past.settled.duration_since(now) > SignedDuration::from_hours(1) {
            past.settled = now;
        }
        past
    }

    /// All up to a moment is settled; with a start, or without.
    pub(super) fn settle(&mut self, key: &str, at: Timestamp, started: Option<Timestamp>) {
        let past = self.stored.entries.entry(key.to_owned()).or_default();
        past.settled = past.settled.max(at);
        past.starts.extend(started);
        past.starts.retain(|start| at.duration_since(*start) < SignedDuration::from_hours(50));
    }

    /// Remembers whether an entry's last run was trouble: whether the one before it was.
    pub(super) fn set_troubled(&mut self, key: &str, is: bool) -> bool {
        if is { !self.stored.troubled.insert(key.to_owned()) } else { self.stored.troubled.remove(key) }
    }

    /// Puts it on disk.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing may be started.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let write = || -> anyhow::Result<()> {
            let dir = self.path.parent().context("the file is in no directory")?;
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(&serde_json::to_vec(&self.stored)?)?;
            file.as_file().sync_data()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}
