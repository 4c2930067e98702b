//! A process held by a descriptor, so that what is signalled is what was looked at, never a successor with its number.

pub(crate) mod container;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::{Interest, unix::AsyncFd};

/// A process of this machine. It stays the same one however often its number is given to others.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    fd: OwnedFd,
}

impl AsFd for Process {
    /// What can be read once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Process {
    /// Takes hold of a process by its number; `None` where there is none. Whoever has the number from elsewhere looks
    /// once more, after this, whether it is the one that was meant.
    ///
    /// # Errors
    /// Where the kernel refuses, for want of descriptors for instance.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            // EINVAL: the number is a thread's, not a process's.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs. One that has ended and waits for its parent does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        // A failing poll says nothing; taking it as alive is the careful answer for those who wait for an end.
        !matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    /// Sends it a signal. One that has ended already is not an error.
    ///
    /// # Errors
    /// Where this user may not.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Kills it if a signal holds it still; whether it was so. What others wait for must not be held still.
    #[must_use]
    pub fn kill_if_stopped(&self) -> bool {
        let stopped = stat(self.pid()).is_some_and(|stat| matches!(stat.state, 'T' | 't'));
        stopped && self.signal(Signal::KILL).is_ok()
    }

    /// Kills it, and with it what it has started in its process group, where it leads one. One that has ended already is not
    /// an error; nothing is known of its group then, and nothing is done.
    ///
    /// # Errors
    /// Where this user may not.
    pub fn kill_group(&self) -> io::Result<()> {
        let leads = |number: &Pid| getpgid(Some(*number)).is_ok_and(|group| group == *number);
        match i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(leads) {
            // Still alive, so the number that was looked up is its own.
            Some(group) if self.is_alive() => match kill_process_group(group, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(e) => Err(e.into()),
            },
            _ => self.signal(Signal::KILL),
        }
    }

    /// Waits for its end, at most `limit`; says whether it came.
    ///
    /// # Errors
    /// Where the descriptor cannot be watched.
    #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open and the same")]
    pub async fn ended_within(&self, limit: Duration) -> io::Result<bool> {
        let own = self.fd.try_clone()?;
        // SAFETY: an `OwnedFd` is open for as long as it lives, is always the same descriptor, and moves in here.
        let fd = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?;
        match tokio::time::timeout(limit, fd.readable()).await {
            Ok(ready) => ready.map(|_| true),
            Err(_) => Ok(!self.is_alive()),
        }
    }

    /// Whether it is a process of the container of this id.
    #[must_use]
    pub fn is_of_container(&self, id: &str) -> bool {
        // Asked last: only then were the files those of this process and not of a successor.
        container::has(id, self.pid) && self.is_alive()
    }
}

/// What the kernel says about a process in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its state's letter: `R`, `S`, `D`, `T` (stopped by a signal), `Z` (ended, not yet asked for by its parent) …
    pub state: char,
    /// The number of its parent.
    pub parent: u32,
    /// The number of its session's leader.
    pub session: u32,
    /// When it was started, in clock ticks since the machine's boot: with its number, this tells two lives apart.
    pub start_ticks: u64,
    /// How much processor time it has used, all its threads together. It counts in clock ticks.
    pub used: Duration,
    /// How much of its memory is there, in bytes.
    pub resident: u64,
}

/// What a process is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// What it calls itself, at most 15 bytes of it.
    pub own: String,
    /// The name of the file that it runs, where that is known and another one.
    pub program: Option<String>,
    /// The title that it has given itself in the place of its arguments, such as `postgres: walsender`; a command line as it
    /// was started with is none, since it may hold secrets.
    pub title: Option<String>,
}

/// What the kernel says about a process; `None` where it does not exist (any more).
#[must_use]
pub fn stat(pid: u32) -> Option<Stat> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself hold spaces and parentheses. The first field after it is number 3.
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
        used: in_ticks(field(14)?.parse::<u64>().ok()?.saturating_add(field(15)?.parse().ok()?)),
        resident: field(24)?.parse::<u64>().ok()?.saturating_mul(rustix::param::page_size() as u64),
    })
}

fn in_ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks).div_f64(rustix::param::clock_ticks_per_second() as f64)
}

/// For how long a process has been there, from when it was started; see [`Stat::start_ticks`].
#[must_use]
pub fn age(start_ticks: u64) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
    now.saturating_sub(in_ticks(start_ticks))
}

/// How long the threads of a process, those that there are now, have waited for a processor; `None` where it does not exist
/// (any more), or this kernel does not count it.
#[must_use]
pub fn waited(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.filter_map(Result::ok);
    let of = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    };
    threads
        .map(of)
        .reduce(|sum, one| Some(sum.unwrap_or_default() + one.unwrap_or_default()))?
        .map(Duration::from_nanos)
}

/// What a process is called; `None` where it does not exist (any more).
#[must_use]
pub fn names(pid: u32) -> Option<Names> {
    let own = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let own = String::from_utf8_lossy(&own).trim_end_matches('\n').to_owned();
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let program = program.and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    // One that was replaced since it was started.
    let program = program.map(|name| name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned());
    let title = title(&std::fs::read(format!("/proc/{pid}/cmdline")).ok()?);
    Some(Names { program: program.filter(|name| *name != own), own, title })
}

/// The title in the place of arguments: arguments end with a zero each, a title is one text with spaces. Pure.
fn title(line: &[u8]) -> Option<String> {
    let end = line.iter().rposition(|byte| *byte != 0)? + 1;
    let text = &line[..end];
    (!text.contains(&0) && text.contains(&b' ')).then(|| String::from_utf8_lossy(text).trim().to_owned())
}

/// Which process numbers a process sees: two that see the same are told the same. `None` where it does not exist (any more).
#[must_use]
pub fn pid_namespace(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// Whether a process is the first of its PID namespace, the one that takes up orphans. `false` where that cannot be told.
#[must_use]
pub fn is_first_of_namespace(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some("1")
}

/// How gladly the kernel ends this process where memory runs out, from -1000 (never) to 1000 (first).
///
/// # Errors
/// Below what it was, without the right to (`CAP_SYS_RESOURCE`).
pub fn set_oom_score(score: i32) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
        .map_err(|e| io::Error::new(e.kind(), format!("cannot set /proc/self/oom_score_adj to {score}: {e}")))
}

/// The value of a variable in the environment of a process, as it was started.
#[must_use]
pub fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    environment.split(|byte| *byte == 0).find_map(value)
}

/// When a process was started; see [`Stat::start_ticks`].
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

/// The number of every process that can be seen.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

/// Every process whose environment, as it was started, has `name=value`; never this one. Those of other users are
/// seen by root alone.
#[must_use]
pub fn with_variable(name: &str, value: &str) -> Vec<Process> {
    all().filter(|pid| *pid != std::process::id()).filter_map(|pid| if_with_variable(pid, name, value)).collect()
}

/// Every process of the container of this id.
#[must_use]
pub fn of_container(id: &str) -> Vec<Process> {
    all().filter_map(|pid| Process::open(pid).ok()?).filter(|p| p.is_of_container(id)).collect()
}

/// A process by its number, if its environment, as it was started, has `name=value`.
#[must_use]
pub fn if_with_variable(pid: u32, name: &str, value: &str) -> Option<Process> {
    let process = Process::open(pid).ok()??;
    let has = variable(pid, name).is_some_and(|v| v == value);
    (has && process.is_alive()).then_some(process)
}

/// Kills every process whose environment has `name=value`, and those that they start meanwhile. Says how many.
///
/// # Errors
/// Where one does not end within `limit`, or this user may not kill it.
pub async fn kill_with_variable(name: &str, value: &str, limit: Duration) -> io::Result<usize> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut killed = 0;
    loop {
        let found = with_variable(name, value);
        if found.is_empty() {
            return Ok(killed);
        }
        for process in &found {
            process.signal(Signal::KILL)?;
        }
        for process in &found {
            if !process.ended_within(deadline.saturating_duration_since(tokio::time::Instant::now())).await? {
                let why = format!("process {} does not end though it was killed", process.pid());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
        killed += found.len();
    }
}

#[cfg(test)]
mod tests;
