//! What a worker tells of itself to every process that may look at it: it stands in a file without a name that the worker has open,
//! and is gone with it. No socket to reach (those belong to namespaces), nothing left on a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a worker writes.
#[derive(Debug)]
pub struct Board {
    file: File,
}

impl Board {
    /// A board, by a name that no other kind of worker has.
    ///
    /// # Errors
    /// Where there is no descriptor left.
    pub fn new(name: &str) -> io::Result<Self> {
        Ok(Self { file: memfd_create(name, MemfdFlags::CLOEXEC)?.into() })
    }

    /// Writes it, in place of what stood there.
    pub fn show(&self, what: &impl Serialize) {
        // No harm is done if it is not shown.
        let text = serde_json::to_vec(what).unwrap_or_default();
        let _ = self.file.write_all_at(&text, 0).and_then(|()| Ok(ftruncate(&self.file, text.len() as u64)?));
    }
}

/// What stands on the board of the worker that is this process; `None` where it has none of this name, or has ended.
#[must_use]
pub fn read<T: DeserializeOwned>(pid: u32, name: &str) -> Option<T> {
    /// It may be written just now.
    const ATTEMPTS: usize = 5;
    let path = file_of(pid, name)?;
    (0..ATTEMPTS).find_map(|_| serde_json::from_slice(&std::fs::read(&path).ok()?).ok())
}

/// The file without a name, but with this one to tell it by, that a process has open.
pub(super) fn file_of(pid: u32, name: &str) -> Option<PathBuf> {
    let is_it = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains(name));
    let mut files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.find(|path| is_it(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_look_sees_the_last_word() {
        const NAME: &str = "squall-board-test";
        let board = Board::new(NAME).unwrap();
        board.show(&123_456_u64);
        board.show(&7_u64);
        assert_eq!(read(std::process::id(), NAME), Some(7_u64));
        drop(board);
        assert_eq!(read::<u64>(std::process::id(), NAME), None);
    }
}
