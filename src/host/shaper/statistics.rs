//! What a shaper has done so far, for everybody who may look at its process: it stands in a file without a name that the
//! process has open, and is gone with it. No socket to reach (those belong to namespaces), nothing left on a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde::{Deserialize, Serialize};

/// The name that the file goes by among the descriptors of its process.
const NAME: &str = "squall-shaper";

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

/// Where a shaper writes its statistics.
#[derive(Debug)]
pub(super) struct Board {
    file: File,
}

impl Board {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { file: memfd_create(NAME, MemfdFlags::CLOEXEC)?.into() })
    }

    pub(super) fn show(&self, statistics: &Statistics) {
        // Nobody is hurt if it is not shown.
        let text = serde_json::to_vec(statistics).unwrap_or_default();
        let _ = self.file.write_all_at(&text, 0).and_then(|()| Ok(ftruncate(&self.file, text.len() as u64)?));
    }
}

/// The statistics of the shaper that is this process; `None` where it is none, or has ended.
#[must_use]
pub fn statistics(pid: u32) -> Option<Statistics> {
    /// It may be written just now.
    const ATTEMPTS: usize = 5;
    let ours = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains(NAME));
    let mut files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let path = files.find(|path| ours(path))?;
    (0..ATTEMPTS).find_map(|_| serde_json::from_slice(&std::fs::read(&path).ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_look_sees_the_last_word() {
        let board = Board::new().unwrap();
        board.show(&Statistics { packets: 123_456, ..Statistics::default() });
        let shown = Statistics { packets: 7, p99_us: 100, ..Statistics::default() };
        board.show(&shown);
        assert_eq!(statistics(std::process::id()), Some(shown));
        drop(board);
        assert_eq!(statistics(std::process::id()), None);
    }
}
