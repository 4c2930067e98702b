//! What the kernel has counted of an instance since its life began: the difference between two looks tells what a fault did
//! to it. Plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counters of an instance at one moment; nothing where this kernel does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Counters {
    /// When they were read (µs), by a clock that only goes forward.
    pub at_us: u64,
    /// Processor time used in its control groups (µs), loads of Squall included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// How often its limit of processor time held it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// For how long that was (µs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_us: Option<u64>,
    /// How long its own processes have waited for a processor (µs); read while there is a load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
    /// How often it was refused another process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes_refused: Option<u64>,
    /// How often its limit of memory was met, so that the kernel had to take some back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_met: Option<u64>,
    /// How many of its processes were killed for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_killed: Option<u64>,
    /// Memory in use without page cache, loads of Squall included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<u64>,
    /// How much of the memory that it may use is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_room: Option<Room>,
    /// What it has read and written past the page cache, by the kernel's numbers of its disks; as [`super::Disk::rates`]:
    /// bytes read and written, reads and writes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, [u64; 4]>,
    /// Processor time that a load of Squall has used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_load: Option<CpuLoad>,
    /// How much memory a load of Squall holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_load: Option<u64>,
    /// How many connections Squall holds to it, at most so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_held: Option<u64>,
}

/// Memory in use of all that an instance may use: up to its limit or, where it has none, what its host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Room {
    /// In use without page cache, by all that share the whole (bytes).
    pub used: u64,
    /// The whole (bytes).
    pub whole: u64,
    /// Whether the whole is the host's.
    pub is_host: bool,
}

/// What a load of Squall has had of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuLoad {
    /// Processor time (µs).
    pub used_us: u64,
    /// Since when it runs (µs).
    pub age_us: u64,
}

impl CpuLoad {
    /// How many cores' worth of time it has had.
    #[must_use]
    pub fn cores(self) -> f64 {
        self.used_us as f64 / self.age_us.max(1) as f64
    }
}

impl Counters {
    /// How much a counter has grown since an earlier look, where both know it.
    #[must_use]
    pub fn grown(&self, since: &Self, counter: impl Fn(&Self) -> Option<u64>) -> Option<u64> {
        Some(counter(self)?.saturating_sub(counter(since)?))
    }
}
