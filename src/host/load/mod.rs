//! `squall load`: a process of Squall's that stands in an instance's control groups, so that its limits hold, and uses up what the
//! instance has, or holds some of its processes still.
//!
//! It survives nothing. Whoever starts it keeps the other end of its standard input, which the kernel closes even on SIGKILL;
//! the end of the instance's main process ends it; so does its time. It runs without a runtime and without a parsed command
//! line, because what it uses itself counts against the instance.

mod connections;
mod cpu;
pub mod inside;
mod memory;
mod stop;

use std::io::{self, BufRead as _, Read as _};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use serde::{Deserialize, Serialize};

use crate::host::cgroup::{Cgroup, Version};
use crate::host::net::namespace::Namespace;
use crate::host::process::{self, Process};
use crate::host::worker;
use crate::model::stressor::{Oom, StressSpec, Stressor};

/// What such a process has in its environment, so that it is known by what it does: its kind and the mark of what it does.
pub const VARIABLE: &str = "SQUALL_LOAD";

/// The first argument, after which everything is for people.
pub const ARGUMENT: &str = "load";

pub use connections::held_by;

/// What such a process is told, on the first line of its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The instance's main process, with whose end it ends.
    pub main: u32,
    /// When that was started, so that it is not mistaken for another one; see [`process::Stat::start_ticks`].
    pub since: u64,
    /// Its control groups.
    pub cgroup: Cgroup,
    /// What to do.
    pub stressor: Stressor,
}

/// Whether a process is one of these.
#[must_use]
pub fn is_ours(pid: u32) -> bool {
    process::variable(pid, VARIABLE).is_some()
}

/// How much memory an instance uses, without page cache, where that is counted.
///
/// # Errors
/// Where its control group is gone.
pub fn used_memory(cgroup: &Cgroup) -> io::Result<Option<u64>> {
    cgroup.controller("memory").map(|group| memory::Usage::of(group).used()).transpose()
}

/// The whole life of such a process. It says `ready`, or why it cannot be.
///
/// # Errors
/// What stopped it.
pub fn run() -> io::Result<()> {
    // A Ctrl-C means the runner, which rolls back what it did.
    let _ = rustix::process::setsid();
    // As the instance's own processes are, however important the process is that started it.
    let _ = rustix::process::setpriority_process(None, 0);
    let begin = Instant::now();
    let mut line = String::new();
    // What began the line may have died before it ended it.
    io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line).map_err(io::Error::other)?;
    // Where its starter has died meanwhile, the end is what comes next.
    let started = worker::stand(|| start(&order))?;
    watch(&started, begin + order.stressor.at_most)
}

/// How often it is looked whether what was begun still goes on.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What goes on.
struct Started {
    main: Process,
    /// Whoever holds memory. It goes on for ever, unless its control group is gone.
    holds: Option<std::thread::JoinHandle<io::Result<()>>>,
    stopped: Option<stop::Stopped>,
}

/// Goes where the instance's processes are, and begins.
fn start(order: &Order) -> io::Result<Started> {
    let main = Process::open(order.main)?.filter(|_| process::start_ticks(order.main) == Some(order.since));
    let main = main.filter(Process::is_alive).ok_or_else(|| io::Error::other("its main process has ended"))?;
    let cgroup = &order.cgroup;
    let mut started = Started { main, holds: None, stopped: None };
    match &order.stressor.work {
        StressSpec::Cpu { cores } => {
            join(cgroup, &["cpu", "cpuacct", "cpuset"])?;
            let (threads, share) = cpu::threads(*cores);
            for _ in 0..threads {
                std::thread::Builder::new().name("burn".to_owned()).spawn(move || cpu::burn(share))?;
            }
        }
        StressSpec::Memory(load) => {
            // Not where processor time is limited: it gives memory back however busy the instance is.
            match load.oom {
                Oom::Avoid => process::set_oom_score(1000)?,
                // The kernel shall choose among the instance's own processes, as if one of them had used it.
                Oom::Allow => process::set_oom_score(-1000)?,
            }
            join(cgroup, &["memory"])?;
            let group = cgroup.controller("memory").ok_or_else(|| missing("memory"))?;
            let (load, usage) = (load.clone(), memory::Usage::of(group));
            let hold = std::thread::Builder::new().name("hold".to_owned());
            started.holds = Some(hold.spawn(move || memory::hold(&load, &usage))?);
        }
        StressSpec::Connections(order) => {
            // As for those that stop others.
            join(cgroup, &["memory"])?;
            Namespace::of(started.main.pid())?.enter()?;
            let holding = connections::Holding::new(*order)?;
            std::thread::Builder::new().name("hold".to_owned()).spawn(move || holding.hold())?;
        }
        StressSpec::Stop(which) => {
            // It is found there, and uses next to nothing of it.
            join(cgroup, &["memory"])?;
            started.stopped = Some(stop::Stopped::all(which, &started.main, cgroup)?);
        }
    }
    Ok(started)
}

/// Puts this process, which has one thread so far, where these controllers count and limit what it uses. With version 2 that is
/// one place; the first controller must be there.
fn join(cgroup: &Cgroup, controllers: &[&str]) -> io::Result<()> {
    for (n, name) in controllers.iter().enumerate() {
        match cgroup.controller(name) {
            Some(controller) => {
                controller.write("cgroup.procs", "0")?;
                if controller.version == Version::V2 {
                    return Ok(());
                }
            }
            None if n == 0 => return Err(missing(name)),
            None => {}
        }
    }
    Ok(())
}

fn missing(controller: &str) -> io::Error {
    io::Error::other(format!("it has no control group of its own for `{controller}`"))
}

/// Waits for whatever ends it.
fn watch(started: &Started, end: Instant) -> io::Result<()> {
    let stdin = io::stdin();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let holds_no_more = started.holds.as_ref().is_some_and(std::thread::JoinHandle::is_finished);
        if left.is_zero() || holds_no_more || !started.main.is_alive() {
            return Ok(());
        }
        if started.stopped.as_ref().is_some_and(|stopped| !stopped.is_whole()) {
            return Err(io::Error::other("another process let them go on"));
        }
        let looks = started.stopped.is_some() || started.holds.is_some();
        let pause = if looks { left.min(POLL_INTERVAL) } else { left };
        let mut fds =
            [PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(started.main.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(pause))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        if !fds[0].revents().is_empty() && stdin.lock().read(&mut [0])? == 0 {
            return Ok(());
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}
