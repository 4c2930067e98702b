//! Clocks of the kernel that the standard library lacks.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much processor time this thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // It counts from zero upwards.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
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
