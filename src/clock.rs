//! Wall time that follows tokio's clock, so that tests can pause it and a clock that is set back cannot fold a run over.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

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
