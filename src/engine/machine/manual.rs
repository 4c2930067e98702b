//! What a person would type to set a limit, or to roll back what was done to a disk, by hand.

use std::collections::BTreeSet;

use crate::engine::shell::quote;
use crate::host::disk::PLACE;
use crate::model::disk::{DiskLocation, MountKind};
use crate::model::instance::{Change, Setting};
use crate::model::machine::Limit;

/// The command for a limit of the container with this id, whose main process has the number that the text `pid` stands for.
#[must_use]
pub fn limit(id: &str, pid: &str, to: &Limit) -> String {
    let max = |limit: Option<u64>| limit.map_or("max".to_owned(), |n| n.to_string());
    let or_minus = |limit: Option<u64>| limit.map_or("-1".to_owned(), |n| n.to_string());
    match to {
        Limit::Processes(limit) => write(id, &[("pids.max", max(*limit))]),
        Limit::Cpu(quota) => write(
            id,
            &[
                ("cpu.cfs_quota_us", or_minus(quota.us)),
                ("cpu.cfs_period_us", quota.period_us.to_string()),
                ("cpu.max", format!("{} {}", max(quota.us), quota.period_us)),
            ],
        ),
        Limit::Memory(limit) => write(id, &[("memory.limit_in_bytes", or_minus(*limit)), ("memory.max", max(*limit))]),
        Limit::Io(disks) => {
            let or_0 = |limit: Option<u64>| limit.unwrap_or_default();
            let lines = disks.iter().map(|d| {
                let at = |rate: Option<u64>| format!("{} {}", d.device, or_0(rate));
                let all = [("rbps", d.read), ("wbps", d.write), ("riops", d.read_ops), ("wiops", d.write_ops)];
                let all: Vec<String> = all.into_iter().map(|(key, rate)| format!("{key}={}", max(rate))).collect();
                write(
                    id,
                    &[
                        ("blkio.throttle.read_bps_device", at(d.read)),
                        ("blkio.throttle.write_bps_device", at(d.write)),
                        ("blkio.throttle.read_iops_device", at(d.read_ops)),
                        ("blkio.throttle.write_iops_device", at(d.write_ops)),
                        ("io.max", format!("{} {}", d.device, all.join(" "))),
                    ],
                )
            });
            lines.collect::<Vec<_>>().join("; ")
        }
        Limit::Descriptors(n) => format!("sudo prlimit --pid {pid} --nofile={n}:   # and its other processes"),
        Limit::Ports { first, last } => {
            format!("sudo nsenter -t {pid} -n sysctl -w net.ipv4.ip_local_port_range='{first} {last}'")
        }
    }
}

/// Ends every process of Squall's of a kind, such as `cpu`.
#[must_use]
pub fn unload(kind: &str) -> String {
    format!("sudo pkill -KILL -f '^squall load {kind} '")
}

/// What takes away whatever Squall has filled a file system with: which one, is not known from outside.
#[must_use]
pub fn unfill() -> String {
    format!("remove {PLACE} at the top of the file system that is filled")
}

/// Values written to files of its control group, wherever that is: those that its version has.
fn write(id: &str, files: &[(&str, String)]) -> String {
    let each = files.iter().map(|(file, value)| {
        let found = format!("find /sys/fs/cgroup -path '*{id}*' -name {file} -print -quit");
        format!("f=$({found}); [ -z \"$f\" ] || echo '{value}' | sudo tee \"$f\"")
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The command that takes away what a change has filled a file system with. `pid` is the main process, in a shell's words.
#[must_use]
pub fn free(pid: &str, change: &Change, place: &DiskLocation) -> String {
    let mark = if let Setting::Filled(fill) = &change.to { fill.mark() } else { String::new() };
    let directory = match (place.mount.kind, &place.mount.source) {
        (MountKind::Root, Some(source)) => quote(source.rsplit_once('/').map_or("/", |(parent, _)| parent)),
        (MountKind::Tmpfs, _) | (_, None) => format!("/proc/{pid}/root{}", quote(&place.mount.path)),
        (_, Some(source)) => quote(source),
    };
    format!("sudo sh -c 'rm -rf -- \"$0\"/{PLACE}/*-{mark}' {directory}")
}

/// The command that makes mounts read-only, or writable again, as they were.
#[must_use]
pub fn read_only(pid: &str, change: &Change, paths: &BTreeSet<String>) -> String {
    let others = if let Setting::ReadOnly(others) = &change.to { others.clone() } else { BTreeSet::new() };
    let remount = |path: &String| {
        let how = if paths.contains(path) { "ro" } else { "rw" };
        format!("sudo nsenter -t {pid} -m mount -o remount,bind,{how} {}", quote(path))
    };
    paths.symmetric_difference(&others).map(remount).collect::<Vec<_>>().join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine::Quota;

    #[test]
    fn it_is_found_in_both_versions() {
        let line = limit("abc", "7", &Limit::Processes(None));
        assert_eq!(
            line,
            "f=$(find /sys/fs/cgroup -path '*abc*' -name pids.max -print -quit); [ -z \"$f\" ] || echo 'max' | sudo tee \"$f\""
        );
        let line = limit("abc", "7", &Limit::Cpu(Quota { us: None, period_us: 100_000 }));
        assert!(line.contains("echo '-1'") && line.contains("echo 'max 100000'"), "{line}");
        let line = limit("abc", "7", &Limit::Ports { first: 1, last: 2 });
        assert_eq!(line, "sudo nsenter -t 7 -n sysctl -w net.ipv4.ip_local_port_range='1 2'");
    }
}
