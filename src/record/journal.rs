//! The journal: a run's events in a file, one a line, behind an operating system's lock.
//!
//! Two verbs, because they fail differently. `commit` is for intents: it is on disk when it returns, and where it fails
//! nothing may be changed. `note` is for facts: a disk that is full does not change what happened, so it never fails;
//! what could not be written is kept and written with the next event that can be.
//!
//! The lock is freed by the kernel when its holder dies in any way: a journal that can be locked has no living runner.
//!
//! The process that writes keeps a copy of what is written, and writes the file again if another hand has removed or damaged it.

mod read;
mod watch;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use read::{Fold, fold, replay, salvage};
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::host::clock::Clock;
use crate::host::store::{self, private_dir, private_file};
use crate::record::event::{Event, FORMAT, Stamped};
use crate::record::state::RunState;
use crate::text::redact;

pub use crate::host::store::is_locked;
pub use watch::Watch;

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
    /// Writes all bytes at an offset, which is the end of what was written before. Where that fails, as little as can be stays of them.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when all that was written is on disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // What a full disk has taken of them would stand behind what is written next.
        self.write_all_at(bytes, offset).inspect_err(|_| drop(self.set_len(offset)))
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
    /// How much of the file is good.
    written: u64,
    /// What could not be written yet.
    unwritten: Vec<u8>,
    /// The file itself and all that is written in it, unless it is a test's.
    copy: Option<Copy>,
    state: RunState,
    followers: Vec<UnboundedSender<Arc<Stamped>>>,
    /// Other keepers of the journal, line by line.
    mirrors: Vec<Mirror>,
}

/// Told each line of a journal, with its end, in their order.
pub type Mirror = Box<dyn Fn(&str) + Send>;

/// A file, and what its holder has written to it.
struct Copy {
    file: File,
    bytes: Vec<u8>,
}

impl Recorder {
    /// Begins the journal of a new run, and takes its lock.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        if let Some(dir) = path.parent() {
            private_dir(dir).map_err(failed("make the directory of", path))?;
        }
        let file = private_file().create_new(true).read(true).write(true).open(path).map_err(failed("create", path))?;
        lock(&file, path)?;
        if let Some(dir) = path.parent().and_then(|d| File::open(d).ok()) {
            // So that the file's name survives a power cut, too. Not every file system can.
            let _ = dir.sync_all();
        }
        Self::on(file, Vec::new(), RunState::default(), Clock::start(None), path)
    }

    /// Takes over the journal of a dead run, behind its lock.
    ///
    /// # Errors
    /// Where a living process has it, or it cannot be read.
    pub fn resume(path: &Path) -> Result<Self, JournalError> {
        let file = File::options().read(true).write(true).open(path).map_err(failed("open", path))?;
        lock(&file, path)?;
        let bytes = std::fs::read(path).map_err(failed("read", path))?;
        Self::continued(file, bytes, path)
    }

    /// Takes over the journal of a dead run that was watched while it lived, whatever has become of the file since then.
    ///
    /// # Errors
    /// Where a living process has it, or it was written by a newer program.
    pub fn take_over(watch: Watch) -> Result<Self, JournalError> {
        let Watch { file, path, bytes } = watch;
        lock(&file, &path)?;
        let rec = Self::continued(file, bytes, &path)?;
        // What is rolled back is known, whether or not it can be written.
        if let Err(e) = rec.mend() {
            tracing::warn!("the journal is not whole: {e}");
        }
        Ok(rec)
    }

    fn continued(file: File, mut bytes: Vec<u8>, path: &Path) -> Result<Self, JournalError> {
        let (state, good) = fold(&bytes, path)?;
        let clock = Clock::start(state.last);
        // A torn last line goes, so that the next one does not begin in the middle of it.
        bytes.truncate(usize::try_from(good).unwrap_or(usize::MAX));
        file.set_len(good).map_err(failed("mend", path))?;
        Self::on(file, bytes, state, clock, path)
    }

    fn on(file: File, bytes: Vec<u8>, state: RunState, clock: Clock, path: &Path) -> Result<Self, JournalError> {
        let again = file.try_clone().map_err(failed("hold", path))?;
        let rec = Self::over(Box::new(again), bytes.len() as u64, state, clock, path);
        rec.lock().copy = Some(Copy { file, bytes });
        Ok(rec)
    }

    /// A recorder over any storage. For tests.
    #[must_use]
    pub fn over(storage: Box<dyn Storage>, written: u64, state: RunState, clock: Clock, path: &Path) -> Self {
        let inner = Inner {
            storage,
            written,
            unwritten: Vec::new(),
            copy: None,
            state,
            followers: Vec::new(),
            mirrors: Vec::new(),
        };
        Self { inner: Mutex::new(inner), clock, path: path.to_owned() }
    }

    /// Records an intent. It is on disk when this returns, twice, because all depends on it; where it fails, change nothing.
    ///
    /// # Errors
    /// Where it cannot be written; then it has not happened.
    pub fn commit(&self, event: Event) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let (stamped, line) = self.stamp(&inner, event);
        let before = inner.unwritten.len();
        inner.unwritten.extend_from_slice(&line.repeat(2));
        if let Err(e) = inner.flush() {
            inner.unwritten.truncate(before);
            return Err(failed("write to", &self.path)(e));
        }
        // From here on it is in the file, and a recovery may read it: it counts, even where it may not be durable.
        let synced = inner.storage.sync();
        inner.tell(stamped, &line);
        synced.map_err(failed("write to", &self.path))
    }

    /// Records a fact. It happened, whether or not it can be written.
    pub fn note(&self, event: Event) {
        let mut inner = self.lock();
        let (stamped, line) = self.stamp(&inner, event);
        inner.unwritten.extend_from_slice(&line);
        if let Err(e) = inner.flush() {
            tracing::warn!("the journal cannot be written: {e}");
        }
        inner.tell(stamped, &line);
    }

    /// Writes the file again from the copy where another hand has removed or damaged it; whether that was so. One that was moved
    /// stays where it is.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn mend(&self) -> Result<bool, JournalError> {
        let mut inner = self.lock();
        let Some(copy) = &mut inner.copy else { return Ok(false) };
        let new = copy.mend(&self.path).map_err(failed("mend", &self.path))?;
        Ok(match new {
            Mended::Whole => false,
            Mended::InPlace => true,
            Mended::Anew(storage) => {
                inner.storage = Box::new(storage);
                true
            }
        })
    }

    /// The run's id, by which what it made is known: from its first event, or from the name of its directory if that is lost.
    #[must_use]
    pub fn run(&self) -> String {
        let named = || self.path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        self.read(|s| s.started.as_ref().map(|s| s.run.clone())).unwrap_or_else(named)
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

    /// Tells another keeper all lines so far, and each one from then on, before anything follows from it.
    pub fn mirror(&self, mirror: Mirror) {
        let mut inner = self.lock();
        let written = inner.copy.as_ref().map_or(&[][..], |copy| &copy.bytes);
        for line in [written, &inner.unwritten].concat().split_inclusive(|b| *b == b'\n') {
            mirror(&String::from_utf8_lossy(line));
        }
        inner.mirrors.push(mirror);
    }

    /// Lets the followers come to their end.
    pub fn end_followers(&self) {
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
        let stamped = Stamped { seq: inner.state.seq, at: self.clock.now(), event: redacted(event) };
        let line = read::line(&stamped);
        (stamped, line)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere must not keep the rollback from being recorded.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys under which stands who or what an event is about: by these it belongs to what was said before.
const NAMES: [&str; 7] = ["check", "alert", "instance", "service", "phase", "expectation", "id"];

/// An event in whose texts are no values of variables. What a run is about and what it changes is as it was read: there are
/// templates in it.
fn redacted(event: Event) -> Event {
    let of_the_plan = matches!(
        event,
        Event::Started(_)
            | Event::Claiming { .. }
            | Event::Planned { .. }
            | Event::Amended { .. }
            | Event::Targeted { .. }
    );
    if of_the_plan || !redact::knows_any() {
        return event;
    }
    let Ok(mut value) = serde_json::to_value(&event) else { return event };
    if redact::clean(&mut value, &NAMES) { serde_json::from_value(value).unwrap_or(event) } else { event }
}

impl Inner {
    fn flush(&mut self) -> io::Result<()> {
        self.storage.write_at(&self.unwritten, self.written)?;
        self.written += self.unwritten.len() as u64;
        if let Some(copy) = &mut self.copy {
            copy.bytes.extend_from_slice(&self.unwritten);
        }
        self.unwritten.clear();
        Ok(())
    }

    fn tell(&mut self, stamped: Stamped, line: &[u8]) {
        // Before anything can follow from it.
        let line = String::from_utf8_lossy(line);
        self.mirrors.iter().for_each(|mirror| mirror(&line));
        if let Err(e) = self.state.apply(&stamped) {
            // A bug of Squall's; the event still happened, and the rollback must go on.
            debug_assert!(false, "{e}");
            tracing::error!("{e}");
            self.state.seq += 1;
        }
        let stamped = Arc::new(stamped);
        self.followers.retain(|f| f.send(stamped.clone()).is_ok());
    }
}

/// What had to be done for a file to be whole.
enum Mended {
    Whole,
    InPlace,
    /// It is another file now.
    Anew(File),
}

impl Copy {
    fn mend(&mut self, path: &Path) -> io::Result<Mended> {
        if self.file.metadata()?.nlink() > 0 {
            if self.is_whole()? {
                return Ok(Mended::Whole);
            }
            self.file.write_all_at(&self.bytes, 0)?;
            self.file.set_len(self.bytes.len() as u64)?;
            self.file.sync_data()?;
            return Ok(Mended::InPlace);
        }
        let dir = path.parent().unwrap_or(Path::new("/"));
        private_dir(dir)?;
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        new.write_all(&self.bytes)?;
        new.as_file().sync_data()?;
        // Before anybody can find it.
        new.as_file().try_lock()?;
        self.file = new.persist(path)?;
        Ok(Mended::Anew(self.file.try_clone()?))
    }

    fn is_whole(&self) -> io::Result<bool> {
        let mut there = vec![0; self.bytes.len()];
        match self.file.read_exact_at(&mut there, 0) {
            Ok(()) => Ok(there == self.bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let is_ours = store::lock(file).map_err(failed("lock", path))?;
    is_ours.then_some(()).ok_or_else(|| JournalError::Locked(path.to_owned()))
}

/// Why a journal's file does not do what was attempted.
fn failed(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Io { attempt, path: path.to_owned(), source }
}
