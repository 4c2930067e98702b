//! Which mounts take their space from one file system: by where that lies as the kernel has it, since paths tell neither of
//! a symbolic link nor of two directories on one disk. Pure.

use serde::{Deserialize, Serialize};

use super::{Mount, MountKind, is_below};

/// Where the files of a mount lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// The kernel's numbers for the file system, such as `254:0`.
    pub device: String,
    /// The directory in that file system, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// What two mounts have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Common {
    /// The space of a file system.
    FileSystem,
    /// Files, too.
    Directory,
}

/// An instance out of sight that can write to the file system of a mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Outsider {
    /// Its name.
    pub name: String,
    /// What it has in common with the mount.
    pub common: Common,
}

impl Mount {
    /// What an instance with `other` can take of this mount by writing; `None` if nothing. If it is not known where one of them
    /// lies, they may lie on one file system.
    #[must_use]
    pub fn common(&self, other: &Self) -> Option<Common> {
        // Memory is its instance's own, or shared with an IPC namespace.
        if other.read_only || [self, other].iter().any(|m| m.kind == MountKind::Tmpfs) {
            return None;
        }
        // Of a root, what is filled lies beside its files.
        let files = [self, other].iter().all(|m| m.kind != MountKind::Root);
        if let (Some(this), Some(that)) = (&self.source, &other.source)
            && files
            && nested(this, that)
        {
            return Some(Common::Directory);
        }
        let (Some(this), Some(that)) = (&self.location, &other.location) else { return Some(Common::FileSystem) };
        let same_files =
            files && this.directory.as_ref().zip(that.directory.as_ref()).is_some_and(|(a, b)| nested(a, b));
        (this.device == that.device).then_some(if same_files { Common::Directory } else { Common::FileSystem })
    }

    /// The most that an instance with all of `others` can take of this mount.
    #[must_use]
    pub fn most_common(&self, others: &[Self]) -> Option<Common> {
        others.iter().filter_map(|other| self.common(other)).max()
    }
}

fn nested(one: &str, other: &str) -> bool {
    is_below(one, other) || is_below(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: MountKind, source: &str, lies: Option<(&str, &str)>) -> Mount {
        let location = lies
            .map(|(device, directory)| Location { device: device.to_owned(), directory: Some(directory.to_owned()) });
        Mount {
            path: "/data".to_owned(),
            kind,
            source: Some(source.to_owned()),
            read_only: false,
            location,
            outsiders: Vec::new(),
        }
    }

    #[test]
    fn what_lies_on_one_file_system_shares_its_space() {
        let bind = |source, lies| mount(MountKind::Bind, source, Some(lies));
        let this = bind("/disk/a", ("7:0", "/a"));
        for (other, want) in [
            (bind("/disk/b", ("7:0", "/b")), Some(Common::FileSystem)),
            (bind("/link", ("7:0", "/a")), Some(Common::Directory)),
            (bind("/link", ("7:0", "/a/deep")), Some(Common::Directory)),
            (bind("/disk", ("7:0", "/")), Some(Common::Directory)),
            (bind("/disk/ab", ("7:0", "/ab")), Some(Common::FileSystem)),
            (bind("/other", ("7:1", "/a")), None),
            (mount(MountKind::Bind, "/other", None), Some(Common::FileSystem)),
            (mount(MountKind::Root, "/disk/a", ("7:0", "/a").into()), Some(Common::FileSystem)),
            (Mount { read_only: true, ..this.clone() }, None),
            (mount(MountKind::Tmpfs, "", Some(("7:0", "/"))), None),
        ] {
            assert_eq!(this.common(&other), want, "{other:?}");
        }
        let others = [bind("/disk/b", ("7:0", "/b")), bind("/link", ("7:0", "/a"))];
        assert_eq!(this.most_common(&others), Some(Common::Directory));
        assert_eq!(this.most_common(&[]), None);
    }
}
