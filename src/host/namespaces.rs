//! Which namespaces and control groups processes of different containers have in common, as the kernel has it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::process::{self, container::is_named};

/// A kind of namespace that containers can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Network.
    Net,
    /// Process ids.
    Pid,
    /// Shared memory and queues.
    Ipc,
}

/// A process of each of these containers that has one here, by the control groups that carry its id.
#[must_use]
pub fn processes_of(ids: &[String]) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for pid in process::all() {
        let Some(groups) = groups(pid) else { continue };
        // The last one that a path names is its own; those before it are above.
        let is_its = |id: &&String| groups.lines().any(|l| l.rsplit('/').next().is_some_and(|last| is_named(last, id)));
        for id in ids.iter().filter(is_its) {
            found.entry(id.clone()).or_insert(pid);
        }
    }
    found
}

/// Whether two processes are in one namespace of a kind.
#[must_use]
pub fn are_shared(one: u32, other: u32, kind: Kind) -> bool {
    namespace(one, kind).is_some_and(|it| namespace(other, kind) == Some(it))
}

/// Whether a process is in a control group that carries this container's id.
#[must_use]
pub fn is_in_group_of(pid: u32, id: &str) -> bool {
    groups(pid).is_some_and(|groups| groups.lines().any(|line| line.contains(id)))
}

fn groups(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

fn namespace(pid: u32, kind: Kind) -> Option<PathBuf> {
    let name = match kind {
        Kind::Net => "net",
        Kind::Pid => "pid",
        Kind::Ipc => "ipc",
    };
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_one_machine_share_what_they_were_not_given() {
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (me, it) = (std::process::id(), other.id());
        let same = [Kind::Net, Kind::Pid, Kind::Ipc].map(|kind| are_shared(me, it, kind));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(same, [true; 3]);
        assert!(!are_shared(me, u32::MAX, Kind::Pid), "there is no such process");
        assert!(processes_of(&["no-such-container".to_owned()]).is_empty());
    }
}
