//! What this machine allows us: user, capabilities, namespaces, control groups, file systems.
//!
//! Reads files and touches nothing. The root of the file tree is a parameter, so that tests can make a machine up.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A machine, seen through its files.
#[derive(Debug, Clone)]
pub struct Facts {
    root: PathBuf,
}

/// A capability that some faults need, with its number in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// As capabilities(7) names it, without `CAP_`.
    pub name: &'static str,
    number: u8,
}

/// The capabilities that matter here.
pub const CAPABILITIES: [Capability; 4] = [
    Capability { name: "SYS_ADMIN", number: 21 },
    Capability { name: "NET_ADMIN", number: 12 },
    Capability { name: "SYS_PTRACE", number: 19 },
    Capability { name: "KILL", number: 5 },
];

/// What it takes to never be ended for want of memory.
pub const SYS_RESOURCE: Capability = Capability { name: "SYS_RESOURCE", number: 24 };

/// Which control groups a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
    /// Version 1, with an empty version 2 beside it.
    Hybrid,
}

/// Where a file system is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory.
    pub point: PathBuf,
    /// Which directory of the file system is there.
    pub of: PathBuf,
    /// What is mounted: a device, or a word.
    pub source: String,
    /// The file system's type: `ext4`, `tmpfs`, `overlay` …
    pub kind: String,
}

impl Facts {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        Self::under("/")
    }

    /// The machine whose files are under `root`.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where its files are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The effective user id of this process.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.status("self", "Uid:")?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether this process has a capability in effect.
    #[must_use]
    pub fn has(&self, capability: Capability) -> Option<bool> {
        let effective = u64::from_str_radix(&self.status("self", "CapEff:")?, 16).ok()?;
        Some(effective & (1 << capability.number) != 0)
    }

    /// Whether the network namespace of a process can be opened.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn opens_network_of(&self, pid: u32) -> io::Result<()> {
        std::fs::File::open(self.root.join(format!("proc/{pid}/ns/net"))).map(drop)
    }

    /// Which control groups there are.
    #[must_use]
    pub fn cgroups(&self) -> Option<Cgroups> {
        let exists = |path: &str| self.root.join("sys/fs/cgroup").join(path).exists();
        if exists("cgroup.controllers") {
            Some(Cgroups::V2)
        } else if exists("unified/cgroup.controllers") {
            Some(Cgroups::Hybrid)
        } else if exists("memory") || exists("cpu") || exists("freezer") {
            Some(Cgroups::V1)
        } else {
            None
        }
    }

    /// What tells that this process lives in a container.
    #[must_use]
    pub fn container(&self) -> Option<&'static str> {
        let marker = ["/.dockerenv", "/run/.containerenv"].into_iter().find(|m| self.root.join(&m[1..]).exists());
        // A machine that was made from an image has such a file, too; but its root is the root of a disk.
        let disk = |m: Mount| {
            m.of == Path::new("/") && m.source.starts_with("/dev/") && !m.source.starts_with("/dev/mapper/docker-")
        };
        let machine = self.mount_of(Path::new("/")).is_some_and(disk);
        marker.filter(|_| !machine)
    }

    /// Whether what is written to a path is gone with the container that this process lives in.
    #[must_use]
    pub fn goes_with_container(&self, path: &Path) -> bool {
        self.container().is_some() && self.mount_of(path).is_none_or(|m| m.point == Path::new("/"))
    }

    /// The mount that a path is on, or would be made on.
    #[must_use]
    pub fn mount_of(&self, path: &Path) -> Option<Mount> {
        let mounts = self.text("proc/self/mountinfo")?;
        let path = nearest(path);
        mounts
            .lines()
            .filter_map(mount)
            .filter(|mount| path.starts_with(&mount.point))
            // Of mounts on the same point, the last one is seen.
            .max_by_key(|mount| mount.point.as_os_str().as_bytes().len())
    }

    fn status(&self, pid: &str, key: &str) -> Option<String> {
        let text = self.text(&format!("proc/{pid}/status"))?;
        Some(text.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned())
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }
}

/// The nearest part of a path that exists, with no link in it.
#[must_use]
pub fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find_map(|p| p.canonicalize().ok()).unwrap_or_else(|| PathBuf::from("/"))
}

/// Reads a line of mountinfo: `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let path = |text: &str| PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"));
    let mut places = before.split(' ').skip(3).map(path);
    let (of, point) = (places.next()?, places.next()?);
    let mut what = after.split(' ').map(str::to_owned);
    Some(Mount { point, of, kind: what.next()?, source: what.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Facts) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let facts = Facts::under(dir.path());
        (dir, facts)
    }

    #[test]
    fn capabilities_are_bits() {
        let (_dir, facts) =
            machine(&[("proc/self/status", "Name:\tx\nUid:\t1000\t0\t0\t0\nCapEff:\t0000000000001020\n")]);
        assert_eq!(CAPABILITIES.map(|c| facts.has(c)), [Some(false), Some(true), Some(false), Some(true)]);
        assert_eq!(facts.user(), Some(0));
        let (_dir, nothing) = machine(&[]);
        assert_eq!((nothing.user(), nothing.has(CAPABILITIES[0])), (None, None));
    }

    #[test]
    fn control_groups_are_told_apart() {
        for (path, found) in [
            ("sys/fs/cgroup/cgroup.controllers", Some(Cgroups::V2)),
            ("sys/fs/cgroup/unified/cgroup.controllers", Some(Cgroups::Hybrid)),
            ("sys/fs/cgroup/memory/tasks", Some(Cgroups::V1)),
            ("sys/fs/nothing", None),
        ] {
            let (_dir, facts) = machine(&[(path, "")]);
            assert_eq!(facts.cgroups(), found, "{path}");
        }
    }

    #[test]
    fn the_longest_mount_point_tells_the_file_system() {
        let (_dir, facts) = machine(&[(
            "proc/self/mountinfo",
            "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /dev rw shared:2 - devtmpfs dev rw\n\
             3 1 0:6 / /dev/null rw - tmpfs t rw\n4 1 0:6 / /de rw - xfs t rw\n",
        )]);
        let of = |path| facts.mount_of(Path::new(path)).map(|m| m.kind);
        assert_eq!(of("/dev/not/there"), Some("devtmpfs".to_owned()));
        assert_eq!(of("/not/there"), Some("ext4".to_owned()));
    }

    #[test]
    fn a_machine_made_from_an_image_is_no_container() {
        let of = |mounts: &str| {
            let (_dir, facts) = machine(&[(".dockerenv", ""), ("proc/self/mountinfo", mounts)]);
            (facts.container().is_some(), facts.goes_with_container(Path::new("/not/there")))
        };
        assert_eq!(of("1 0 254:0 / / rw - ext4 /dev/vda rw\n"), (false, false));
        assert_eq!(of("1 0 0:30 / / rw - overlay overlay rw\n"), (true, true));
        assert_eq!(of("1 0 8:1 /var/lib/docker/vfs/dir/1f / rw - ext4 /dev/sda1 rw\n"), (true, true));
        assert_eq!(of(""), (true, true));
        let (_dir, plain) = machine(&[("proc/self/mountinfo", "1 0 0:30 / / rw - overlay overlay rw\n")]);
        assert_eq!(plain.container(), None);
    }

    #[test]
    fn a_volume_in_a_container_stays() {
        let mounts = "1 0 0:30 / / rw - overlay overlay rw\n2 1 8:1 /v/_data /proc rw - ext4 /dev/sda1 rw\n";
        let (_dir, facts) = machine(&[(".dockerenv", ""), ("proc/self/mountinfo", mounts)]);
        assert!(!facts.goes_with_container(Path::new("/proc/x")) && facts.goes_with_container(Path::new("/x")));
    }

    #[test]
    fn this_machine_answers() {
        let facts = Facts::here();
        assert_eq!(facts.user(), Some(rustix::process::geteuid().as_raw()));
        assert!(facts.mount_of(Path::new("/proc")).is_some_and(|m| m.kind == "proc"));
    }
}
