//! The journal: a run's events in a file, one a line, behind an operating system's lock.
//!
//! Two verbs, because they fail differently. `commit` is for intents: it is on disk when it returns, and where it fails
//! nothing may be changed. `note` is for facts: a disk that is full does not change what happened, so it never fails;
//! what could not be written is kept and written with the next event that can be.
//!
//! The lock is freed by the kernel when its holder dies in any way: a journal that can be locked has no living runner.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::Clock;
use crate::event::{Event, FORMAT, Stamped};
use crate::state::{Illegal, RunState};

/// Why a journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be made, read or written.
    #[error("cannot {attempt} the journal {}: {source}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A living process has it.
    #[error("the journal {} belongs to a run that is going on", .0.display())]
    Locked(PathBuf),
    /// A line is no event.
    #[error("line {line} of the journal {} is damaged: {why}", path.display())]
    Damaged {
        /// In which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a newer program.
    #[error("the journal {} has format {found}; this program reads up to {FORMAT}: use a newer squall", path.display())]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Where a journal's bytes go. A trait only because tests need a disk that is full.
pub trait Storage: Send {
    /// Writes all bytes at an offset.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when all that was written is on disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes events down, folds them in, and tells the followers: in this order.
pub struct Recorder {
    inner: Mutex<Inner>,
    clock: Clock,
    path: PathBuf,
}

struct Inner {
    storage: Box<dyn Storage>,
    /// How much of the file is good; a torn write is overwritten by the next one.
    written: u64,
    /// What could not be written yet.
    unwritten: Vec<u8>,
    state: RunState,
    followers: Vec<UnboundedSender<Arc<Stamped>>>,
}

impl Recorder {
    /// Begins the journal of a new run, and takes its lock.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let io = |attempt| move |source| JournalError::Io { attempt, path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(io("make the directory of"))?;
        }
        let file = File::options().create_new(true).read(true).write(true).open(path).map_err(io("create"))?;
        lock(&file, path)?;
        if let Some(dir) = path.parent().and_then(|d| File::open(d).ok()) {
            // So that the file's name survives a power cut, too. Not every file system can.
            let _ = dir.sync_all();
        }
        Ok(Self::over(Box::new(file), 0, RunState::default(), Clock::start(None), path))
    }

    /// Takes over the journal of a dead run, behind its lock.
    ///
    /// # Errors
    /// Where a living process has it, or it cannot be read.
    pub fn resume(path: &Path) -> Result<Self, JournalError> {
        let io = |attempt| move |source| JournalError::Io { attempt, path: path.to_owned(), source };
        let file = File::options().read(true).write(true).open(path).map_err(io("open"))?;
        lock(&file, path)?;
        let bytes = std::fs::read(path).map_err(io("read"))?;
        let (state, good) = fold(&bytes, path)?;
        let clock = Clock::start(state.last);
        // A torn last line goes, so that the next one does not begin in the middle of it.
        file.set_len(good).map_err(io("mend"))?;
        Ok(Self::over(Box::new(file), good, state, clock, path))
    }

    /// A recorder over any storage. For tests.
    #[must_use]
    pub fn over(storage: Box<dyn Storage>, written: u64, state: RunState, clock: Clock, path: &Path) -> Self {
        let inner = Inner { storage, written, unwritten: Vec::new(), state, followers: Vec::new() };
        Self { inner: Mutex::new(inner), clock, path: path.to_owned() }
    }

    /// Records an intent. It is on disk when this returns; where it fails, change nothing.
    ///
    /// # Errors
    /// Where it cannot be written; then it has not happened.
    pub fn commit(&self, event: Event) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let (stamped, line) = self.stamp(&inner, event);
        let failed = |source| Err(JournalError::Io { attempt: "write to", path: self.path.clone(), source });
        let before = inner.unwritten.len();
        inner.unwritten.extend_from_slice(&line);
        if let Err(source) = inner.flush() {
            inner.unwritten.truncate(before);
            return failed(source);
        }
        // From here on it is in the file, and a recovery may read it: it counts, even where it may not be durable.
        let synced = inner.storage.sync();
        inner.tell(stamped);
        synced.or_else(failed)
    }

    /// Records a fact. It happened, whether or not it can be written.
    pub fn note(&self, event: Event) {
        let mut inner = self.lock();
        let (stamped, line) = self.stamp(&inner, event);
        inner.unwritten.extend_from_slice(&line);
        if let Err(e) = inner.flush() {
            tracing::warn!("the journal cannot be written: {e}");
        }
        inner.tell(stamped);
    }

    /// Reads the state.
    pub fn read<T>(&self, look: impl FnOnce(&RunState) -> T) -> T {
        look(&self.lock().state)
    }

    /// Another reader of events, from the next one on.
    #[must_use]
    pub fn follow(&self) -> UnboundedReceiver<Arc<Stamped>> {
        let (sender, receiver) = unbounded_channel();
        self.lock().followers.push(sender);
        receiver
    }

    /// Lets the followers come to their end.
    pub fn dismiss(&self) {
        self.lock().followers.clear();
    }

    /// The clock that stamps the events.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn stamp(&self, inner: &Inner, event: Event) -> (Stamped, Vec<u8>) {
        let stamped = Stamped { seq: inner.state.seq, at: self.clock.now(), event };
        // Plain data with text keys always serialises.
        let mut line = serde_json::to_vec(&stamped).unwrap_or_default();
        line.push(b'\n');
        (stamped, line)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere must not keep the way back from being recorded.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn flush(&mut self) -> io::Result<()> {
        self.storage.write_at(&self.unwritten, self.written)?;
        self.written += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    fn tell(&mut self, stamped: Stamped) {
        if let Err(e) = self.state.apply(&stamped) {
            // A bug of ours; the event still happened, and the way back must go on.
            debug_assert!(false, "{e}");
            tracing::error!("{e}");
            self.state.seq += 1;
        }
        let stamped = Arc::new(stamped);
        self.followers.retain(|f| f.send(stamped.clone()).is_ok());
    }
}

/// How long whoever only asks whether there is a lock ([`is_locked`]) may hold one.
const GLANCE: Duration = Duration::from_millis(200);

#[expect(clippy::disallowed_methods, reason = "a moment, and only where somebody else has the lock")]
fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let end = Instant::now() + GLANCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(GLANCE / 20),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::Io { attempt: "lock", path: path.to_owned(), source });
            }
        }
    }
}

/// Whether a living process has the journal.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The state of a run, living or dead, from its journal.
///
/// # Errors
/// Where the file cannot be read, or is damaged anywhere but in a torn last line.
pub fn replay(path: &Path) -> Result<RunState, JournalError> {
    let bytes =
        std::fs::read(path).map_err(|source| JournalError::Io { attempt: "read", path: path.to_owned(), source })?;
    fold(&bytes, path).map(|(state, _)| state)
}

/// Folds a journal's bytes; also tells how many of them are whole lines.
///
/// # Errors
/// Where they are damaged anywhere but in a torn last line.
pub fn fold(bytes: &[u8], path: &Path) -> Result<(RunState, u64), JournalError> {
    let mut state = RunState::default();
    let mut good = 0;
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        if line.last() != Some(&b'\n') {
            break;
        }
        let damaged = |why: String| JournalError::Damaged { path: path.to_owned(), line: i + 1, why };
        let stamped: Stamped = serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
        if let Event::Started(started) = &stamped.event
            && started.format > FORMAT
        {
            return Err(JournalError::TooNew { path: path.to_owned(), found: started.format });
        }
        state.apply(&stamped).map_err(|Illegal { why, .. }| damaged(why))?;
        good += line.len() as u64;
    }
    Ok((state, good))
}
