//! What can happen to the space of an instance's file systems, as plain data, and the arithmetic of it: how much is to be
//! filled, and how much the machine keeps for itself.
//!
//! A journal holds these, and the process that takes over reads them. This module knows nothing else of the program.

pub mod sharing;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::fingerprint;
use sharing::{Location, Outsider};

/// A file system that an instance sees at a path of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// Where the instance sees it.
    pub path: String,
    /// What it is made of.
    pub kind: MountKind,
    /// The directory on the instance's host: of a volume or a bind mount itself, of a root file system its upper directory,
    /// into which everything goes that the instance writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether its engine was told to let nothing be written.
    #[serde(default)]
    pub read_only: bool,
    /// Where its files lie, if that can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Running instances that can write to its file system and of which the engine shows nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outsiders: Vec<Outsider>,
}

impl Mount {
    /// One of which nothing else is known.
    #[must_use]
    pub fn new(path: impl Into<String>, kind: MountKind, source: Option<String>, read_only: bool) -> Self {
        Self { path: path.into(), kind, source, read_only, location: None, outsiders: Vec::new() }
    }
}

/// What a mount is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// The instance's own root: an image, and over it what was written since. Gone with the instance.
    #[strum(to_string = "its root file system")]
    Root,
    /// A volume of the engine. It outlives the instance.
    #[strum(to_string = "a volume")]
    Volume,
    /// A directory of the host.
    #[strum(to_string = "a directory of the host")]
    Bind,
    /// Memory. Gone with the life of the instance.
    #[strum(to_string = "memory (tmpfs)")]
    Tmpfs,
}

/// The mount that holds a path, by the paths alone: what a symbolic link makes of it shows only where it is opened.
#[must_use]
pub fn holding<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    mounts.iter().filter(|m| is_below(path, &m.path)).max_by_key(|m| m.path.trim_end_matches('/').len())
}

/// Whether a path is a directory or lies below it.
#[must_use]
pub fn is_below(path: &str, directory: &str) -> bool {
    let (path, directory) = (path.trim_end_matches('/'), directory.trim_end_matches('/'));
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A file system that is filled up, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Where.
    pub place: DiskLocation,
    /// How far.
    pub goal: Goal,
    /// How many bytes are written in a second; nothing: as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Instances that are no targets and write to the same file system: a reserve is kept for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
}

/// Where something is filled: enough to find it again when the instance is stopped or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLocation {
    /// The path that was meant, as the instance sees it.
    pub path: String,
    /// The mount that holds it.
    pub mount: Mount,
    /// What its file system is known by (`f_fsid` of statvfs), where the engine could ask: by this it is seen whether the
    /// same one is still at the mount's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<u64>,
}

/// How far a file system is filled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// To this share of what it can hold, from 0 to 1, as `df` counts it; all of it is to the last byte, also of what is for root
    /// alone.
    To(f64),
    /// Until so many bytes are left; none is to the last byte, as above.
    Leave(u64),
    /// By so many bytes.
    Size(u64),
    /// To this share of the files that it can hold, from 0 to 1.
    Inodes(f64),
}

/// The most files that a directory is filled with.
pub const MOST_FILES: u64 = 1_000_000;

impl Fill {
    /// What tells this apart from every other value: 16 hexadecimal digits, part of the name of what is laid down.
    #[must_use]
    pub fn mark(&self) -> String {
        fingerprint::of(self)
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filled at {} ", self.place.path)?;
        match self.goal {
            Goal::To(share) => write!(f, "to {}", percent(share))?,
            Goal::Leave(bytes) => write!(f, "until {} are left", Bytes(bytes))?,
            Goal::Size(bytes) => write!(f, "by {}", Bytes(bytes))?,
            Goal::Inodes(share) => write!(f, "with files to {} of its inodes", percent(share))?,
        }
        self.rate.map_or(Ok(()), |rate| write!(f, ", {} in a second", Bytes(rate)))
    }
}

/// What a file system has and can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that nothing is in, those for root alone included.
    pub free: u64,
    /// Bytes that everybody may still write.
    pub available: u64,
    /// Files in all; 0 where there is no such bound.
    pub inodes: u64,
    /// Files that may still be made.
    pub inodes_free: u64,
}

impl Space {
    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// The share in use of what everybody may write, as `df` tells it.
    #[must_use]
    pub fn used_share(&self) -> f64 {
        share(self.used(), self.used().saturating_add(self.available))
    }

    /// The share of its files in use.
    #[must_use]
    pub fn inodes_share(&self) -> f64 {
        share(self.inodes.saturating_sub(self.inodes_free), self.inodes)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What the disk of an instance looks like to itself while something of Squall's fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// Where the instance sees the file system.
    pub path: String,
    /// What its own `statvfs` says.
    pub space: Space,
    /// How many bytes of it are ours.
    pub ours: u64,
    /// How many of its files are ours.
    pub files: u64,
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, space, ours, files } = self;
        if *files == 0 {
            return write!(f, "{path} used {}, {} available", percent(space.used_share()), Bytes(space.available));
        }
        if *files > 1 {
            let before = Space { inodes_free: space.inodes_free.saturating_add(*files), ..*space };
            let (was, is) = (percent(before.inodes_share()), percent(space.inodes_share()));
            return write!(f, "inodes of {path} used {was} → {is}, {} free", space.inodes_free);
        }
        let before = Space { free: space.free + ours, available: space.available + ours, ..*space };
        let (was, is) = (percent(before.used_share()), percent(space.used_share()));
        write!(f, "{path} used {was} → {is} ({} of it ours), {} available", Bytes(*ours), Bytes(space.available))
    }
}

/// Whose space it is that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceOwner {
    /// That of a file system which the host can do without.
    Apart,
    /// That of a file system which the host itself needs: a reserve is kept.
    Hosts,
    /// That of a file system to which instances write that are no targets: the same reserve is kept.
    Shared,
    /// The host's memory: a reserve is kept.
    Memory {
        /// Bytes in all.
        total: u64,
        /// Bytes that programs can still have, as the kernel estimates it.
        available: u64,
    },
}

/// What a file system of the host's keeps free in any case: the larger of 5 % and 2 GiB.
#[must_use]
pub fn reserve(total: u64) -> u64 {
    (total / 20).max(2 << 30)
}

/// What the host's memory keeps free in any case: the larger of 5 % and 512 MiB.
#[must_use]
pub fn memory_reserve(total: u64) -> u64 {
    (total / 20).max(512 << 20)
}

impl Goal {
    /// Whether it is about files rather than bytes.
    #[must_use]
    pub fn is_files(&self) -> bool {
        matches!(self, Self::Inodes(_))
    }

    /// What is missing to it, in bytes or files, where so many are there of Squall's.
    #[must_use]
    pub fn missing(&self, space: &Space, ours: u64) -> u64 {
        match *self {
            // Full is full: root may write beyond what everybody may, and many programs in containers are root.
            Self::To(share) if share >= 1.0 => space.free,
            Self::Leave(0) => space.free,
            Self::To(share) => of(share, space.used().saturating_add(space.available)).saturating_sub(space.used()),
            Self::Leave(bytes) => space.available.saturating_sub(bytes),
            Self::Size(bytes) => bytes.saturating_sub(ours),
            Self::Inodes(share) => {
                of(share, space.inodes).saturating_sub(space.inodes.saturating_sub(space.inodes_free))
            }
        }
    }

    /// How much more may be written, in bytes or files, before the host's own needs are touched.
    #[must_use]
    pub fn spare(&self, space: &Space, ground: SpaceOwner) -> u64 {
        match (ground, self.is_files()) {
            (SpaceOwner::Apart, false) => space.free,
            (SpaceOwner::Apart, true) => space.inodes_free,
            (SpaceOwner::Hosts | SpaceOwner::Shared, false) => space.available.saturating_sub(reserve(space.total)),
            (SpaceOwner::Hosts | SpaceOwner::Shared, true) => space.inodes_free.saturating_sub(space.inodes / 20),
            (SpaceOwner::Memory { total, available }, false) => available.saturating_sub(memory_reserve(total)),
            // A file without content takes about a KiB of the kernel's memory.
            (SpaceOwner::Memory { total, available }, true) => available.saturating_sub(memory_reserve(total)) >> 10,
        }
    }

    /// Why it cannot be reached, or must not be, where that is so.
    #[must_use]
    pub fn refusal(&self, space: &Space, ground: SpaceOwner) -> Option<String> {
        let missing = self.missing(space, 0);
        if self.is_files() && space.inodes == 0 {
            return Some("its file system has no bound for the number of files".to_owned());
        }
        if missing == 0 {
            return Some(format!("nothing would be filled: {}", self.so_far(space)));
        }
        if self.is_files() && missing > MOST_FILES {
            return Some(format!("that would take {missing} files, and {MOST_FILES} are the most"));
        }
        if matches!(self, Self::Size(_)) && missing > space.available {
            return Some(format!("{} are to be written, and {} are free", Bytes(missing), Bytes(space.available)));
        }
        (missing > self.spare(space, ground)).then(|| self.touches(space, ground, missing))
    }

    fn so_far(&self, space: &Space) -> String {
        match self {
            Self::Inodes(_) => format!("{} of its inodes are used already", percent(space.inodes_share())),
            Self::Leave(_) => format!("{} are left already", Bytes(space.available)),
            Self::To(_) | Self::Size(_) => format!("{} are used already", percent(space.used_share())),
        }
    }

    /// What would become of the host.
    fn touches(&self, space: &Space, ground: SpaceOwner, missing: u64) -> String {
        let whose = match ground {
            SpaceOwner::Shared => "others write to this file system",
            _ => "the host itself needs this file system",
        };
        match ground {
            SpaceOwner::Memory { total, available } => format!(
                "it is the host's memory that would be filled: of {} available, {} must stay (the larger of 5 % and 512 MiB)",
                Bytes(available),
                Bytes(memory_reserve(total))
            ),
            _ if self.is_files() => format!(
                "{whose}: {} of its {} inodes would be left, and 5 % must stay",
                space.inodes_free.saturating_sub(missing),
                space.inodes
            ),
            _ => format!(
                "{whose}: {} of {} would be left, and {} must stay (the larger of 5 % and 2 GiB); \
                 fill a volume on a file system of its own, or less",
                Bytes(space.available.saturating_sub(missing)),
                Bytes(space.total),
                Bytes(reserve(space.total))
            ),
        }
    }
}

/// A share of a number, rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a whole number of bytes")]
fn of(share: f64, whole: u64) -> u64 {
    // In thousandths of a percent, so that 100 % is all of it, to the last byte.
    let share = (share.clamp(0.0, 1.0) * 100_000.0).round() as u128;
    u64::try_from((u128::from(whole) * share).div_ceil(100_000)).unwrap_or(whole)
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1000.0).round() / 10.0)
}

/// An amount of bytes, for people.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match UNITS.iter().find(|(_, size)| self.0 >= *size) {
            Some((name, size)) if self.0.is_multiple_of(*size) => write!(f, "{} {name}", self.0 / size),
            Some((name, size)) => write!(f, "{:.1} {name}", self.0 as f64 / *size as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests;
