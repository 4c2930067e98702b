//! The filling itself: a thread that writes until the goal is reached, a reserve would be touched, or it is told to stop. It
//! ends with this process, and whatever it wrote until then lies under a name that was known before.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstat, mkdirat, openat};
use rustix::io::Errno;
use tokio::sync::watch;

use super::laid::{place, remove, sweep};
use super::{Directory, PLACE};
use crate::model::disk::{Goal, SpaceOwner};

/// The most that is allocated between two looks at the reserve.
const CHUNK: u64 = 64 << 20;
/// The most that is written between two looks, where the file system cannot allocate.
const WRITTEN: u64 = 1 << 20;
/// The least that is tried where there is no room for more.
const LEAST: u64 = 4096;
/// The most files between two looks.
const FILES: u64 = 1000;
/// How often something is added where a rate is given.
const TICK: Duration = Duration::from_millis(100);

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is written yet.
    Begun,
    /// Some of it is written.
    Filling,
    /// The goal is reached.
    Full,
    /// It could not go on, and why. Nothing of it lies there any more.
    Failed(String),
}

/// A filling that goes on. When this is dropped, it stops; what lies there stays until it is cleared.
#[derive(Debug)]
pub struct Filling {
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Filling {
    /// Stops it. When this returns, nothing more is written. It blocks for as long as one write takes.
    pub fn end(mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told there.
            let _ = thread.join();
        }
    }
}

/// Whose space it is, asked before each write.
pub type AskGround = Box<dyn Fn(&Directory) -> io::Result<SpaceOwner> + Send>;

/// Begins to fill the file system of `top`, under the name `TAG-MARK`; `None` where something of that name lies there already.
///
/// # Errors
/// Where it cannot be begun. Then nothing of it lies there.
pub fn begin(
    top: Directory,
    tag: &str,
    mark: &str,
    goal: Goal,
    rate: Option<u64>,
    ground: AskGround,
) -> io::Result<Option<Filling>> {
    let name = format!("{tag}-{mark}");
    let made = make_place(&top).and_then(|place| match make(&place, &name, goal) {
        Ok(target) => Ok(Some((place, target))),
        Err(Errno::EXIST) => Ok(None),
        Err(e) => Err(e.into()),
    });
    let (place, target) = match made {
        Ok(Some(made)) => made,
        Ok(None) => return Ok(None),
        Err(e) => {
            let _ = sweep(&top);
            return Err(e);
        }
    };
    let (stop, stopped) = channel();
    let (tell, progress) = watch::channel(Progress::Begun);
    let work = move || {
        let job = Job { top: &top, goal, rate, ground, stopped, tell: &tell };
        let done = match target {
            Target::File(file) => job.with_bytes(file),
            Target::Directory(directory) => job.with_files(&directory),
        };
        match done {
            Ok(true) => drop(tell.send(Progress::Full)),
            Ok(false) => {}
            Err(why) => {
                // The host may be short of space at this very moment: what lies there goes at once.
                let _ = remove(&place, &name).and_then(|()| sweep(&top));
                drop(tell.send(Progress::Failed(why.to_string())));
            }
        }
    };
    let thread = std::thread::Builder::new().name("fill".to_owned()).spawn(work)?;
    Ok(Some(Filling { progress, stop: Some(stop), thread: Some(thread) }))
}

enum Target {
    File(File),
    Directory(OwnedFd),
}

/// The directory of our things, which another process may remove as empty at this very moment.
fn make_place(top: &Directory) -> io::Result<OwnedFd> {
    for _ in 0..100 {
        match mkdirat(top, PLACE, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        if let Some(place) = place(top)? {
            return Ok(place);
        }
    }
    Err(io::Error::other(format!("something else is called {PLACE} there")))
}

fn make(place: &OwnedFd, name: &str, goal: Goal) -> rustix::io::Result<Target> {
    if goal.is_files() {
        mkdirat(place, name, Mode::RWXU)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        return Ok(Target::Directory(openat(place, name, flags, Mode::empty())?));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(Target::File(openat(place, name, flags, Mode::RUSR | Mode::WUSR)?.into()))
}

struct Job<'a> {
    top: &'a Directory,
    goal: Goal,
    rate: Option<u64>,
    ground: AskGround,
    stopped: Receiver<()>,
    tell: &'a watch::Sender<Progress>,
}

impl Job<'_> {
    /// Whether it was told to stop, asked for so long.
    fn is_stopped(&self, wait: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    /// What may be added now, where something is missing; nothing where the goal is reached.
    fn next(&self, ours: u64, most: u64) -> io::Result<Option<u64>> {
        let space = self.top.space()?;
        let missing = self.goal.missing(&space, ours);
        if missing == 0 {
            return Ok(None);
        }
        let step = missing.min(most);
        let ground = (self.ground)(self.top)?;
        // A disk that is full to the last byte is as full as it can be; the host's reserve is another matter.
        if ground != SpaceOwner::Apart && step > self.goal.spare(&space, ground) {
            return Err(io::Error::other(match ground {
                SpaceOwner::Memory { .. } => {
                    "the host's memory has no more to spare (the larger of 5 % and 512 MiB must stay)"
                }
                _ => "the host's file system has no more to spare (5 % must stay, and 2 GiB)",
            }));
        }
        Ok(Some(step))
    }

    /// Adds bytes: whether the goal is reached.
    fn with_bytes(&self, mut file: File) -> io::Result<bool> {
        let begin = Instant::now();
        let (mut at, mut allocates, mut most) = (0_u64, true, CHUNK);
        let mut noise = Noise::new();
        loop {
            let allowed = self.rate.map_or(u64::MAX, |rate| {
                // What was due by the end of this tick.
                let due = rate as f64 * (begin.elapsed() + TICK).as_secs_f64();
                whole(due).saturating_sub(at)
            });
            if allowed == 0 {
                if self.is_stopped(TICK) {
                    return Ok(false);
                }
                continue;
            }
            let ours = fstat(&file).map(|s| u64::try_from(s.st_blocks).unwrap_or_default().saturating_mul(512))?;
            let Some(step) = self.next(ours, most.min(allowed))? else { return Ok(true) };
            // Less than a block cannot be added: the goal is reached as well as it can be.
            let added = if allocates {
                let free = self.top.space()?.available;
                match fallocate(&file, FallocateFlags::empty(), at, step) {
                    Ok(()) => {
                        // Some file systems promise without putting anything aside.
                        allocates = step < 2 * LEAST || self.top.space()?.available < free;
                        if !allocates {
                            (at, most) = (0, WRITTEN);
                            file.set_len(0)?;
                            continue;
                        }
                        Ok(())
                    }
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                        (allocates, most) = (false, WRITTEN);
                        continue;
                    }
                    Err(e) => Err(io::Error::from(e)),
                }
            } else {
                file.write_all(noise.block(step)).and_then(|()| file.sync_data())
            };
            match added {
                Ok(()) => {
                    at += step;
                    self.tell.send_if_modified(|p| std::mem::replace(p, Progress::Filling) == Progress::Begun);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull && step > LEAST => most = (step / 2).max(LEAST),
                // Not one block more: it is full, whatever the numbers say.
                Err(e) if e.kind() == io::ErrorKind::StorageFull && !matches!(self.goal, Goal::Size(_)) => {
                    return Ok(true);
                }
                Err(e) => return Err(e),
            }
            if self.is_stopped(Duration::ZERO) {
                return Ok(false);
            }
        }
    }

    /// Adds files without content: whether the goal is reached.
    fn with_files(&self, directory: &OwnedFd) -> io::Result<bool> {
        let mut n = 0_u64;
        loop {
            let Some(step) = self.next(n, FILES)? else { return Ok(true) };
            for _ in 0..step {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
                match openat(directory, n.to_string(), flags, Mode::RUSR | Mode::WUSR) {
                    Ok(_) => n += 1,
                    Err(Errno::NOSPC) if self.top.space()?.inodes_free == 0 => return Ok(true),
                    Err(e) => return Err(e.into()),
                }
            }
            self.tell.send_if_modified(|p| std::mem::replace(p, Progress::Filling) == Progress::Begun);
            if self.is_stopped(Duration::ZERO) {
                return Ok(false);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of bytes")]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

/// Bytes that no file system can pack or recognize: each block is another one.
struct Noise {
    bytes: Vec<u8>,
    state: u64,
}

impl Noise {
    fn new() -> Self {
        Self { bytes: Vec::new(), state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn block(&mut self, size: u64) -> &[u8] {
        let size = usize::try_from(size.min(WRITTEN)).unwrap_or_default();
        self.bytes.resize(size, 0);
        for chunk in self.bytes.chunks_mut(8) {
            // xorshift64
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            chunk.copy_from_slice(&self.state.to_le_bytes()[..chunk.len()]);
        }
        &self.bytes
    }
}
