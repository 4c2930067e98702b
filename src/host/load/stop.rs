//! Holds processes of an instance still, for as long as this process lives: its end lets them go on.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::inside;
use crate::host::cgroup::Cgroup;
use crate::host::process::{Process, stat};
use crate::model::stressor::called::Which;

/// How long a process may take to stop. One that waits for a disk may take a while.
const STOPS: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Processes that were stopped. Dropping it lets them go on.
#[derive(Debug)]
pub(super) struct Stopped {
    held: Vec<Process>,
}

impl Stopped {
    /// Stops every process of an instance that is meant, which the main one never is.
    ///
    /// # Errors
    /// Where there is none, or one cannot be stopped. Then all of them go on.
    #[expect(clippy::disallowed_methods, reason = "a process that does nothing else")]
    pub(super) fn all(which: &Which, main: &Process, cgroup: &Cgroup) -> io::Result<Self> {
        let mut stopped = Self { held: Vec::new() };
        let mut known = BTreeSet::new();
        let deadline = Instant::now() + STOPS;
        // Those that are started by others before these are stopped are found when it is looked again.
        loop {
            let more = inside::meant(which, main, cgroup)?.into_iter().filter(|p| !known.contains(&p.pid()));
            let more: Vec<Process> = more.collect();
            if more.is_empty() {
                return Ok(stopped);
            }
            let begin = stopped.held.len();
            for process in more {
                known.insert(process.pid());
                process.signal(Signal::STOP)?;
                stopped.held.push(process);
            }
            for process in &stopped.held[begin..] {
                while process.is_alive() && !is_stopped(process) {
                    if Instant::now() >= deadline {
                        return Err(io::Error::other(format!("process {} does not stop", process.pid())));
                    }
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
        }
    }

    /// Whether all of them that still exist are stopped.
    pub(super) fn is_whole(&self) -> bool {
        self.held.iter().all(|process| is_stopped(process) || !process.is_alive())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for process in &self.held {
            // One that is gone needs no signal.
            let _ = process.signal(Signal::CONT);
        }
    }
}

fn is_stopped(process: &Process) -> bool {
    stat(process.pid()).is_some_and(|stat| stat.state == 'T')
}
