//! The mounts that a process sees, and one of them made read-only for it alone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::process::stat;

/// A line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What it is known by in the whole machine, as long as it is there.
    pub id: u64,
    /// The device of its file system, `major:minor`.
    pub device: String,
    /// Which part of its file system is mounted.
    pub root: String,
    /// Where the process sees it.
    pub path: String,
    /// What holds for this mount alone, such as `ro`, `nosuid`.
    pub options: Vec<String>,
    /// The kind of file system.
    pub kind: String,
}

impl Mount {
    /// Whether nothing may be written through this mount.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|o| o == "ro")
    }

    /// Whether its space is this machine's alone: on no other machine, and not behind a program that may not answer.
    #[must_use]
    pub fn is_local(&self) -> bool {
        const LOCAL: [&str; 13] = [
            "ext2",
            "ext3",
            "ext4",
            "xfs",
            "btrfs",
            "f2fs",
            "zfs",
            "bcachefs",
            "tmpfs",
            "ramfs",
            "overlay",
            "fuse.fuse-overlayfs",
            "reiserfs",
        ];
        LOCAL.contains(&self.kind.as_str())
    }

    /// Whether it is memory.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }
}

/// Where the file systems of the machine are seen as the machine itself sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineRoot {
    /// The root of the machine.
    pub path: &'static Path,
    /// A process that sees it so.
    pub pid: u32,
}

impl MachineRoot {
    /// That of the machine, also from within a container that shares the machine's processes. One that does not sees itself in its
    /// place: the caller makes sure of that before.
    #[must_use]
    pub fn find() -> Self {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let own = namespace("self");
        // The first process, or, where that one may not be looked at, the kernel's own threads.
        if own.is_some() && ["1", "2"].into_iter().any(|pid| namespace(pid) == own) {
            Self { path: Path::new("/"), pid: std::process::id() }
        } else if !Path::new("/proc/1/root/").exists() && stat(2).is_some_and(|kernel| kernel.parent == 0) {
            Self { path: Path::new("/proc/2/root"), pid: 2 }
        } else {
            Self { path: Path::new("/proc/1/root"), pid: 1 }
        }
    }

    /// The mounts of the machine itself.
    ///
    /// # Errors
    /// Where they may not be looked at.
    pub fn mounts(self) -> io::Result<Vec<Mount>> {
        of(self.pid)
    }
}

/// The mounts that a process sees, in the order in which they were made.
///
/// # Errors
/// Where there is no such process, or this user may not look.
pub fn of(pid: u32) -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?))
}

fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (own, filesystem) = line.split_once(" - ")?;
    let mut own = own.split(' ');
    let (id, _parent, device) = (own.next()?.parse().ok()?, own.next()?, own.next()?.to_owned());
    let (root, path, options) = (plain(own.next()?), plain(own.next()?), own.next()?);
    let kind = filesystem.split(' ').next()?.to_owned();
    Some(Mount { id, device, root, path, options: options.split(',').map(str::to_owned).collect(), kind })
}

/// A path without the kernel's way of writing spaces and the like (`\040`).
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        if let (b'\\', Some(byte)) = (first, octal) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which mount an open file lies on: its [`Mount::id`].
///
/// # Errors
/// Where the kernel does not tell.
pub fn id_of(file: impl AsFd) -> io::Result<u64> {
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd()))?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel does not tell on which mount a file lies"))
}

/// Has nothing written through a mount of a process, or lets it be again. It is that mount alone: neither its file system nor
/// anybody else's mount of it, because what holds for one mount is never passed on to its peers.
///
/// # Errors
/// `ResourceBusy` where a process has a file open for writing there; otherwise where the process has ended, has no mount there, or
/// this user may not (it takes `CAP_SYS_ADMIN`).
#[expect(unsafe_code, reason = "a thread is about to leave what it shares with others")]
pub fn set_read_only(pid: u32, path: &str, read_only: bool) -> io::Result<()> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    std::thread::scope(|scope| {
        let inside = std::thread::Builder::new().name("mounts".to_owned()).spawn_scoped(scope, || {
            // SAFETY: root and working directory are neither memory nor descriptors; only this thread leaves those that it shares
            // with others, and it ends at once.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
            remount(path, read_only)
        })?;
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn remount(path: &str, read_only: bool) -> io::Result<()> {
    let found = rustix::fs::statvfs(path)?;
    let mut flags = MountFlags::BIND;
    flags.set(MountFlags::RDONLY, read_only);
    let kept = [
        (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ];
    for (has, flag) in kept {
        flags.set(flag, found.f_flag.contains(has));
    }
    // Without a word about times of access, the kernel keeps what is.
    match mount_remount(Path::new(path), flags, c"") {
        Err(Errno::BUSY) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("a process has a file open for writing at {path}, and the kernel does not wait for it"),
        )),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_spaces() {
        let text = "979 960 0:329 / /tm\\040x rw,nosuid,nodev shared:1 master:2 - tmpfs tmpfs rw,size=32768k\n\
                    977 960 254:0 /vol/_data /vol ro,relatime - ext4 /dev/vda rw,discard\nnonsense\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[0].path.as_str(), mounts[0].is_memory()), (979, "/tm x", true));
        assert!(!mounts[0].is_read_only() && mounts[1].is_read_only(), "the mount counts, not the file system");
        assert_eq!((mounts[1].device.as_str(), mounts[1].root.as_str()), ("254:0", "/vol/_data"));
    }

    #[test]
    fn an_open_file_tells_its_mount() {
        let mounts = of(std::process::id()).unwrap();
        let id = id_of(File::open("/proc").unwrap()).unwrap();
        assert_eq!(mounts.iter().find(|m| m.id == id).map(|m| m.path.as_str()), Some("/proc"));
    }
}
