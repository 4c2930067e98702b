//! Memory: how much the machine has, and some of it really used, page by page, and given back at once.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};

/// The memory of this machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// All of it.
    pub total: u64,
    /// How much could be used without swapping.
    pub available: u64,
}

/// How much memory this machine has, and has left.
///
/// # Errors
/// Where the kernel does not tell.
pub fn machine() -> io::Result<Machine> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let bytes = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/meminfo does not tell {key}")))
    };
    Ok(Machine { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
}

/// Memory that is used and belongs to no process's own pages: a file without a name, in memory alone. Where the kernel has
/// to end a process for want of memory, it does not see it as this process's, only as its control group's. It is gone with
/// this value, or its process. Where its group may swap, so may this.
#[derive(Debug)]
pub struct Held {
    file: OwnedFd,
    bytes: u64,
}

/// What its file is called, for a look from outside.
const NAME: &str = "squall-load";

impl Held {
    /// Nothing so far.
    ///
    /// # Errors
    /// For want of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: memfd_create(NAME, MemfdFlags::CLOEXEC)?, bytes: 0 })
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds so many bytes from now on.
    ///
    /// # Errors
    /// Where the kernel has none; what was held is held on.
    pub fn hold(&mut self, bytes: u64) -> io::Result<()> {
        if bytes < self.bytes {
            ftruncate(&self.file, bytes)?;
        } else if bytes > self.bytes {
            fallocate(&self.file, FallocateFlags::empty(), self.bytes, bytes - self.bytes)?;
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// How many bytes another process holds this way; nothing where it does not, or is gone.
#[must_use]
pub fn held_by(pid: u32) -> Option<u64> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let is_it = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|file| file.to_string_lossy().starts_with(&format!("/memfd:{NAME}")))
    };
    let file = fds.into_iter().find(|path| is_it(path))?;
    Some(std::fs::metadata(file).ok()?.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_is_taken_and_given_back() {
        let mut held = Held::new().unwrap();
        for wanted in [0, 8 * MIB, 3 * MIB, 16 * MIB, 0] {
            held.hold(wanted).unwrap();
            assert_eq!((held.bytes(), held_by(std::process::id())), (wanted, Some(wanted)));
        }
        drop(held);
        assert_eq!(held_by(std::process::id()), None);
    }

    #[test]
    fn a_machine_has_some() {
        let machine = machine().unwrap();
        assert!(machine.total > machine.available && machine.available > MIB, "{machine:?}");
    }
}
