//! The control groups of another process, version 1 and 2: where they are, and one value of them read or written.
//!
//! Where they are is what the kernel says (`/proc/PID/cgroup` and the mounts), never a naming scheme. Knows no engine and
//! no meaning of a value.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;

/// Which interface a control group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The control groups that are one container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// By controller (version 1).
    split: BTreeMap<String, PathBuf>,
    /// All controllers that it has (version 2).
    unified: Option<PathBuf>,
}

/// One controller of a control group: its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    dir: PathBuf,
    /// Which files it has, and how they are written.
    pub version: Version,
}

impl Cgroup {
    /// A controller of it, such as `pids`; none where this kernel does not have it, or it is not in use here.
    #[must_use]
    pub fn controller(&self, name: &str) -> Option<Controller> {
        if let Some(dir) = self.split.get(name) {
            return Some(Controller { dir: dir.clone(), version: Version::V1 });
        }
        let dir = self.unified.as_ref()?;
        let has = std::fs::read_to_string(dir.join("cgroup.controllers")).ok()?;
        has.split_whitespace().any(|c| c == name).then(|| Controller { dir: dir.clone(), version: Version::V2 })
    }

    /// Where it is frozen and thawed.
    #[must_use]
    pub fn freezer(&self) -> Option<Controller> {
        let split = self.split.get("freezer").map(|dir| Controller { dir: dir.clone(), version: Version::V1 });
        // In version 2 every group has it, and it is no controller.
        split.or_else(|| Some(Controller { dir: self.unified.clone()?, version: Version::V2 }))
    }

    /// Every process in it and in the groups below it, as the first hierarchy that is there tells them.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let dir = self.unified.as_ref().or(self.split.get("pids")).or(self.split.values().next());
        dir.map_or_else(|| Ok(Vec::new()), |dir| processes(dir))
    }
}

/// Every process in a group and in those below it.
fn processes(top: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        let path = dir.join("cgroup.procs");
        let text = std::fs::read_to_string(&path).map_err(|e| about(&path, &e))?;
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
        let below = std::fs::read_dir(&dir).map_err(|e| about(&dir, &e))?.filter_map(Result::ok);
        dirs.extend(below.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    Ok(pids)
}

impl Controller {
    /// A value, without the line's end; nothing where there is no such file.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&self, file: &str) -> io::Result<Option<String>> {
        let path = self.dir.join(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(about(&path, &e)),
        }
    }

    /// A value that is a number; nothing where it is `max`, or there is no such file.
    ///
    /// # Errors
    /// As for [`Controller::read`], or where it is no number.
    pub fn number(&self, file: &str) -> io::Result<Option<u64>> {
        match self.read(file)?.as_deref() {
            None | Some("max") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e| about(&self.dir.join(file), &io::Error::other(e))),
        }
    }

    /// The number behind a key, in a file of lines `key number`.
    ///
    /// # Errors
    /// As for [`Controller::read`].
    pub fn keyed(&self, file: &str, key: &str) -> io::Result<Option<u64>> {
        let text = self.read(file)?.unwrap_or_default();
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
        Ok(text.lines().find_map(value))
    }

    /// Writes a value, in one go, as the kernel wants it.
    ///
    /// # Errors
    /// Where it does not exist (any more), or the kernel refuses.
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.dir.join(file);
        let wrong = |e: io::Error| about(&path, &e);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(wrong)?;
        file.write_all(value.as_bytes()).map_err(wrong)
    }

    /// Every process in it and in the groups below it.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        processes(&self.dir)
    }

    /// Where it is, for people.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// An error that says about which file.
fn about(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// Where a hierarchy is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    /// Its controllers; none where it is the one for all.
    controllers: Option<Vec<String>>,
    /// Which directory of the hierarchy is there.
    of: PathBuf,
    point: PathBuf,
    writable: bool,
}

/// The hierarchies of a machine as this process sees them. They stay where they are.
#[derive(Debug)]
pub struct Hierarchies(Vec<Mounted>);

impl Hierarchies {
    /// Looks for them.
    #[must_use]
    pub fn find() -> Self {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self(text.lines().filter_map(mounted).collect())
    }

    /// Whether control groups can be written to from here: they are mounted for that. A container sees its own as read-only.
    #[must_use]
    pub fn are_writable(&self) -> bool {
        self.0.iter().any(|mount| mount.writable)
    }

    /// The control groups of a process up to those that carry `name`, such as a container's id: a container may have
    /// groups of its own below. What does not carry it belongs to others, too, and is left out.
    ///
    /// # Errors
    /// Where the process has ended, or there are none.
    pub fn of(&self, process: &Process, name: &str) -> io::Result<Cgroup> {
        let path = format!("/proc/{}/cgroup", process.pid());
        let groups = std::fs::read_to_string(&path).map_err(|e| about(Path::new(&path), &e))?;
        let found = found(&groups, &self.0, name);
        // Asked last: only then was the file that of this process and not of a successor.
        if !process.is_alive() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
        }
        match &found {
            Cgroup { split, unified: None } if split.is_empty() => {
                Err(io::Error::other(format!("no control group of process {} is {name}'s own", process.pid())))
            }
            _ => Ok(found),
        }
    }

    /// Takes a process of Squall's out of a control group, to where nothing holds it back. What it has used so far counts where it was.
    /// Where each controller has a hierarchy (version 1), it stays: there it stands in no more than it is about.
    ///
    /// # Errors
    /// Where the process has ended, or the kernel refuses.
    pub fn release(&self, pid: u32, from: &Cgroup) -> io::Result<()> {
        if from.controller("memory").is_none_or(|controller| controller.version == Version::V1) {
            return Ok(());
        }
        let top = self.0.iter().find(|m| m.controllers.is_none() && m.writable);
        let top = top.ok_or_else(|| io::Error::other("no hierarchy of control groups can be written to from here"))?;
        Controller { dir: top.point.clone(), version: Version::V2 }.write("cgroup.procs", &pid.to_string())
    }
}

/// Reads a line of mountinfo: `39 31 0:36 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids`.
fn mounted(line: &str) -> Option<Mounted> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (of, point, options) = (before.next()?, before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, _, of_all) = (after.next()?, after.next()?, after.next()?);
    let controllers = match kind {
        "cgroup" => Some(of_all.split(',').map(str::to_owned).collect()),
        "cgroup2" => None,
        _ => return None,
    };
    let writable = [options, of_all].iter().all(|o| o.split(',').any(|o| o == "rw"));
    Some(Mounted { controllers, of: of.into(), point: point.into(), writable })
}

/// The groups that carry `name`, from what /proc/PID/cgroup says: `8:pids:/docker/abc` a line. Pure.
fn found(groups: &str, mounts: &[Mounted], name: &str) -> Cgroup {
    let mut split = BTreeMap::new();
    let mut unified = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let Some(path) = carrying(Path::new(path), name) else { continue };
        let is_there = |m: &&Mounted| match &m.controllers {
            None => controllers.is_empty(),
            Some(has) => !controllers.is_empty() && controllers.split(',').all(|c| has.iter().any(|h| h == c)),
        };
        // A mount may show a part of the hierarchy alone.
        let place = |m: &Mounted| Some(m.point.join(path.strip_prefix(&m.of).ok()?));
        let Some(dir) = mounts.iter().filter(is_there).find_map(place) else { continue };
        if controllers.is_empty() {
            unified = Some(dir);
        } else {
            split.extend(controllers.split(',').map(|c| (c.to_owned(), dir.clone())));
        }
    }
    Cgroup { split, unified }
}

/// A path up to the part that carries `name`.
fn carrying(path: &Path, name: &str) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let at = parts.iter().position(|part| part.as_os_str().to_str().is_some_and(|p| p.contains(name)))?;
    // A name that begins above what can be seen from here is not to be written to.
    (!name.is_empty() && !parts.contains(&std::path::Component::ParentDir)).then(|| parts[..=at].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(groups: &str, mountinfo: &str) -> Vec<(String, String)> {
        let mounts: Vec<Mounted> = mountinfo.lines().filter_map(mounted).collect();
        let found = found(groups, &mounts, "abc");
        let unified = found.unified.into_iter().map(|dir| (String::new(), dir));
        let all = found.split.into_iter().chain(unified);
        all.map(|(controller, dir)| (controller, dir.display().to_string())).collect()
    }

    const V1: &str = "30 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      31 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 30 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    const V2: &str = "31 23 0:41 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_kernel_says_where_the_groups_are() {
        let at = |controller: &str, dir: &str| (controller.to_owned(), dir.to_owned());
        assert_eq!(
            dirs("3:pids:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n", V1),
            [
                at("cpu", "/sys/fs/cgroup/cpu,cpuacct/docker/abc"),
                at("cpuacct", "/sys/fs/cgroup/cpu,cpuacct/docker/abc"),
                at("pids", "/sys/fs/cgroup/pids/docker/abc"),
            ]
        );
        let scope = "/sys/fs/cgroup/system.slice/docker-abc.scope";
        assert_eq!(dirs("0::/system.slice/docker-abc.scope/init/x\n", V2), [at("", scope)], "a group below it");
        let rootless = "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-abc.scope";
        assert_eq!(dirs(&format!("0::{rootless}\n"), V2), [at("", &format!("/sys/fs/cgroup{rootless}"))]);
        let both = dirs("3:pids:/system.slice/docker-abc.scope\n0::/system.slice/docker-abc.scope\n", V1);
        assert_eq!(both, [at("pids", "/sys/fs/cgroup/pids/system.slice/docker-abc.scope")], "systemd, version 1");
    }

    #[test]
    fn what_is_not_its_own_is_left_out() {
        assert_eq!(dirs("3:pids:/\n2:cpu,cpuacct:/docker\n0::/docker/abc\n", V1), []);
        assert_eq!(dirs("0::/../docker/abc\n", V2), [], "out of sight of a namespace");
        let part = V2.replace(" / /sys", " /docker/other /sys");
        assert_eq!(dirs("0::/docker/abc\n", &part), [], "another part is mounted");
        let own = V2.replace(" / /sys", " /docker /sys");
        assert_eq!(dirs("0::/docker/abc\n", &own), [(String::new(), "/sys/fs/cgroup/abc".to_owned())]);
    }

    #[test]
    fn what_is_mounted_to_be_read_is_not_written() {
        let writable = |line: &str| mounted(line).is_some_and(|m| m.writable);
        assert!(writable(V2.trim()));
        assert!(!writable(&V2.trim().replace(" rw,nosuid ", " ro,nosuid ")));
        assert_eq!(mounted("1 0 8:1 / / rw - ext4 /dev/sda rw"), None);
    }

    #[test]
    fn values_are_read_and_written_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let group = Controller { dir: dir.path().to_owned(), version: Version::V2 };
        for (file, text) in [("pids.max", "max\n"), ("pids.current", "12\n"), ("events", "max 3\noom 1\n")] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        assert_eq!(group.number("pids.max").unwrap(), None);
        assert_eq!(group.number("pids.current").unwrap(), Some(12));
        assert_eq!((group.keyed("events", "oom").unwrap(), group.keyed("events", "o").unwrap()), (Some(1), None));
        assert_eq!(group.read("none").unwrap(), None);
        let error = group.write("none", "1").unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("/none"), "{error}");
        group.write("pids.current", "13").unwrap();
        assert_eq!(group.number("pids.current").unwrap(), Some(13));
    }
}
