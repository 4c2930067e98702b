//! File systems filled up, and emptied again. What is laid down lies in a directory of its own, [`PLACE`], at the top of a mount,
//! under a name that is known before the first byte is written: `TAG-MARK`, a file, or a directory full of files.
//!
//! Knows no container: the caller says in which directory of the host.

mod fill;
mod laid;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatvfs, openat, openat2};
use rustix::io::Errno;

pub use self::fill::{AskGround, Filling, Progress, begin};
pub use self::laid::{Laid, clear, find};
use super::mounts::{self, MachineRoot};
use crate::model::disk::{Space, SpaceOwner};

/// Where things of Squall's lie, at the top of a mount.
pub const PLACE: &str = ".squall";

/// A directory that stays the same one, whatever its path leads to later.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens a directory as a process sees it whose root is `root` (such as `/proc/PID/root`): neither `..` nor a symbolic link
    /// leads out of there, however they are changed meanwhile.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`; where this user may not; where the kernel is older than Linux 5.6.
    pub fn open(root: &Path, path: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags | OFlags::PATH, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&root, path, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(Self { fd }),
                // Somebody renames above it at this moment.
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => return Err(io::Error::other("the kernel has no openat2 (Linux 5.6 or newer)")),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// What its file system has and can hold.
    ///
    /// # Errors
    /// Where it does not tell.
    pub fn space(&self) -> io::Result<Space> {
        let found = fstatvfs(&self.fd)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space {
            total: bytes(found.f_blocks),
            free: bytes(found.f_bfree),
            available: bytes(found.f_bavail),
            inodes: found.f_files,
            inodes_free: found.f_favail,
        })
    }

    /// What its file system is known by.
    ///
    /// # Errors
    /// Where it does not tell.
    pub fn filesystem(&self) -> io::Result<u64> {
        Ok(fstatvfs(&self.fd)?.f_fsid)
    }

    /// What tells it from every other directory of this machine.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let about = File::from(self.fd.try_clone()?).metadata()?;
        Ok((about.dev(), about.ino()))
    }
}

/// Whose space it is that a directory of a machine takes. `needed` are paths there that the machine itself cannot do without.
///
/// # Errors
/// Where the kernel does not tell.
pub fn ground(root: MachineRoot, directory: &Directory, memory: bool, needed: &[String]) -> io::Result<SpaceOwner> {
    if memory {
        return memory_of(&std::fs::read_to_string("/proc/meminfo")?);
    }
    let mounts = root.mounts()?;
    let device = |d: &Directory| {
        let id = mounts::id_of(d).ok()?;
        Some(mounts.iter().find(|m| m.id == id)?.device.clone())
    };
    let (own, size) = (device(directory), |s: Space| (s.total, s.inodes));
    let own_size = size(directory.space()?);
    for path in needed {
        // A path that is not there needs nothing.
        let Ok(other) = Directory::open(root.path, path) else { continue };
        // Two file systems of the same size to the byte may be one behind an overlay: then rather too careful.
        if own.is_none() || device(&other) == own || size(other.space()?) == own_size {
            return Ok(SpaceOwner::Hosts);
        }
    }
    Ok(SpaceOwner::Apart)
}

fn memory_of(meminfo: &str) -> io::Result<SpaceOwner> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    match (bytes("MemTotal"), bytes("MemAvailable")) {
        (Some(total), Some(available)) => Ok(SpaceOwner::Memory { total, available }),
        _ => Err(io::Error::other("the kernel does not tell how much memory is available")),
    }
}

#[cfg(test)]
mod tests;
