//! What a shaper has done so far, as it stands on its board.

use serde::{Deserialize, Serialize};

use crate::host::board;

/// The name of a shaper's board.
pub(super) const BOARD: &str = "squall-shaper";

/// What a shaper has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Statistics {
    /// Packets that came. What the kernel handles as one counts once.
    pub packets: u64,
    /// Of these, dropped as asked for.
    pub dropped: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Altered.
    pub corrupted: u64,
    /// Sent at once while others waited.
    pub overtaking: u64,
    /// Made to wait by a rate.
    pub paced: u64,
    /// Dropped for want of room: more waited than may.
    pub overflowed: u64,
    /// How often the kernel let packets pass because they came faster than they were looked at.
    pub overruns: u64,
    /// Copies that could not be sent.
    pub failed: u64,
    /// DNS queries that were answered here, or left without an answer; `None` where none are looked at.
    pub names: Option<u64>,
    /// Packets that wait now.
    pub held: u64,
    /// Bytes of memory that these take.
    pub held_bytes: u64,
    /// How long packets waited, in microseconds: half of them at most this.
    pub median_us: u64,
    /// And 99 of 100 at most this.
    pub p99_us: u64,
}

/// The statistics of the shaper that is this process; `None` where it is none, or has ended.
#[must_use]
pub fn statistics(pid: u32) -> Option<Statistics> {
    board::read(pid, BOARD)
}
