//! A process held by a descriptor, so that what is signalled is what was looked at, never a successor with its number.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{Interest, unix::AsyncFd};

/// A process of this machine. It stays the same one however often its number is given to others.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    fd: OwnedFd,
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

    /// Whether its control group carries `name`, such as a container's id.
    #[must_use]
    pub fn is_in_cgroup_of(&self, name: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).is_ok_and(|groups| groups.contains(name))
            // Only then was the file that of this process and not of a successor.
            && self.is_alive()
    }
}

/// What the kernel says about a process in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its state's letter: `R`, `S`, `D`, `T` (stopped by a signal), `Z` (ended, not yet asked for by its parent) …
    pub state: char,
    /// The number of its session's leader.
    pub session: u32,
    /// When it was started, in clock ticks since the machine's boot: with its number, this tells two lives apart.
    pub start_ticks: u64,
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
        session: field(6)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
    })
}

/// When a process was started; see [`Stat::start_ticks`].
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

/// Every process whose environment, as it was started, has `name=value`; never this one. Those of other users are
/// seen by root alone.
#[must_use]
pub fn with_variable(name: &str, value: &str) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id()).filter_map(|pid| if_with_variable(pid, name, value)).collect()
}

/// A process by its number, if its environment, as it was started, has `name=value`.
#[must_use]
pub fn if_with_variable(pid: u32, name: &str, value: &str) -> Option<Process> {
    let wanted = format!("{name}={value}");
    let process = Process::open(pid).ok()??;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let has = environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes());
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
mod tests {
    use super::*;

    fn sleeper(mark: &str) -> std::process::Child {
        std::process::Command::new("sleep").arg("60").env("SQUALL_TEST_MARK", mark).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_held_process_is_never_mistaken_for_another() {
        let mut child = sleeper("held");
        let process = Process::open(child.id()).unwrap().unwrap();
        assert!(process.is_alive());
        process.signal(Signal::KILL).unwrap();
        assert!(process.ended_within(Duration::from_secs(5)).await.unwrap());
        assert!(!process.is_alive(), "ended, though its parent has not asked yet");
        child.wait().unwrap();
        assert!(!process.is_in_cgroup_of(""), "whatever has the number now is somebody else");
        process.signal(Signal::KILL).expect("what is gone is no error");
    }

    #[tokio::test]
    async fn marked_processes_are_found_and_killed_and_no_others() {
        let mark = format!("{}.7", std::process::id());
        let (mut ours, mut theirs) = (sleeper(&mark), sleeper(&format!("{mark}1")));
        let killed = kill_with_variable("SQUALL_TEST_MARK", &mark, Duration::from_secs(5)).await.unwrap();
        let spared = Process::open(theirs.id()).unwrap().is_some_and(|p| p.is_alive());
        theirs.kill().unwrap();
        theirs.wait().unwrap();
        assert!(!ours.wait().unwrap().success());
        assert_eq!(killed, 1);
        assert!(spared);
    }

    #[test]
    fn a_life_is_told_by_its_start() {
        let mut child = sleeper("start");
        let ticks = start_ticks(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ticks > start_ticks(std::process::id()), "{ticks:?}");
        assert_eq!(start_ticks(child.id()), None);
    }
}
