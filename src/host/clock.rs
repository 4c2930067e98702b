//! Wall time that follows tokio's clock, so that tests can pause it and a clock that is set back cannot fold a run over; and clocks of
//! the kernel that the standard library lacks: time since the machine's boot, which processes share, and time of the processor.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// How long this machine has been up, by a clock that only goes forward.
#[must_use]
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// How much processor time this thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // It counts from zero upwards.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Wall time at the start of this process's part of a run, plus what has elapsed since.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that starts now, but never before `floor`: the last time stamp of a journal that is taken over.
    #[must_use]
    pub fn start(floor: Option<Timestamp>) -> Self {
        let now = Timestamp::now();
        Self { wall: floor.map_or(now, |f| f.max(now)), start: Instant::now() }
    }

    /// A clock that starts at a given wall time. For tests.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { wall, start: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.wall + SignedDuration::try_from(self.start.elapsed()).unwrap_or(SignedDuration::ZERO)
    }

    /// The wall time of an instant of tokio's clock.
    #[must_use]
    pub fn wall(&self, at: Instant) -> Timestamp {
        self.wall + SignedDuration::try_from(at.saturating_duration_since(self.start)).unwrap_or(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_counts_what_this_thread_does() {
        let before = super::thread_time();
        while super::thread_time() == before {
            std::hint::spin_loop();
        }
    }
}
