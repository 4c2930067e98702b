//! The instance reads and writes more slowly: limits of its control group for the disks below its file systems.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Aspect, Instance, Setting};
use crate::model::machine::{Disk, Limit};
use crate::model::quantity::ByteRate;

/// Limit how fast disks are read and written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DiskSlow {
    /// The disk below this path, as the instance sees it (default: every disk below its file systems).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How much may be read, such as `1MiB/s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ByteRate>,
    /// How much may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<ByteRate>,
    /// How many reads there may be in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<u64>,
    /// How many writes there may be in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<u64>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    pub idle: Idle,
}

impl DiskSlow {
    /// Whether a disk is meant: the one that holds the path, or any.
    fn means(&self, disk: &Disk, all: &[Disk]) -> bool {
        let Some(path) = &self.path else { return true };
        let holds = |point: &&String| std::path::Path::new(path).starts_with(point);
        let longest = |disk: &Disk| disk.paths.iter().filter(holds).map(String::len).max();
        longest(disk).is_some() && all.iter().filter_map(longest).max() == longest(disk)
    }
}

/// The disks below its file systems, as they are limited now.
fn disks(instance: &Instance) -> &[Disk] {
    match instance.settings.get(&Aspect::IoLimit) {
        Some(Setting::Limit(Limit::Io(disks))) => disks,
        _ => &[],
    }
}

/// The lower one of two limits.
fn lower(now: Option<u64>, to: Option<u64>) -> Option<u64> {
    now.into_iter().chain(to).min()
}

impl Disturb for DiskSlow {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        let all = disks(instance);
        let slowed = |disk: &Disk| {
            if !self.means(disk, all) {
                return disk.clone();
            }
            Disk {
                read: lower(disk.read, self.read.map(|r| r.0)),
                write: lower(disk.write, self.write.map(|r| r.0)),
                read_ops: lower(disk.read_ops, self.read_iops),
                write_ops: lower(disk.write_ops, self.write_iops),
                ..disk.clone()
            }
        };
        vec![Setting::Limit(Limit::Io(all.iter().map(slowed).collect()))]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        if (self.read, self.write, self.read_iops, self.write_iops) == (None, None, None, None) {
            keys::nothing(found, own, "give at least one of `read`, `write`, `read-iops` and `write-iops`");
        }
        for (key, value) in [("read-iops", self.read_iops), ("write-iops", self.write_iops)] {
            if value == Some(0) {
                let at = found.document.value_at(&[own, &[key]].concat());
                found.add(
                    Mistake::error(&at, format!("`{}.{key}` is zero", own.join(".")))
                        .label("at least 1: to the kernel, 0 is no limit"),
                );
            }
        }
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            let at = found.document.value_at(&[own, &["path"]].concat());
            found.add(
                Mistake::error(&at, "`fault.disk-slow.path` does not begin with `/`")
                    .help("it is a path in the target"),
            );
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let all = disks(instance);
        if instance.allowance.is_none() || all.iter().any(|d| self.means(d, all)) {
            return None;
        }
        let known: Vec<&str> = all.iter().flat_map(|d| &d.paths).map(String::as_str).collect();
        let instead = if known.is_empty() {
            "give it a volume on a disk".to_owned()
        } else {
            format!("on disks are {}", known.join(", "))
        };
        let what = self.path.as_deref().unwrap_or("what it sees");
        Some(format!(
            "{what} is on no disk whose speed could be limited: memory, networks and file systems in user space \
             (fuse-overlayfs) have none; {instead}"
        ))
    }

    fn warns(&self, instance: &Instance) -> Option<String> {
        let all = disks(instance);
        let writes = self.write.is_some() || self.write_iops.is_some();
        (writes && all.iter().any(|d| !d.buffered && self.means(d, all))).then(|| {
            format!(
                "what {} writes to the page cache and leaves to the kernel to write out is not slowed down (control groups of \
                 version 1): reads are, and writes that it waits for (fsync, O_SYNC, O_DIRECT)",
                instance.name
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine::Allowance;

    fn disk(device: &str, paths: &[&str]) -> Disk {
        let paths = paths.iter().map(|p| (*p).to_owned()).collect();
        let device = device.to_owned();
        Disk { device, paths, buffered: false, read: None, write: Some(10), read_ops: None, write_ops: None }
    }

    fn instance(disks: Vec<Disk>) -> Instance {
        Instance {
            allowance: Some(Allowance::default()),
            settings: [(Aspect::IoLimit, Setting::Limit(Limit::Io(disks)))].into(),
            ..Instance::new("a", "a", "a")
        }
    }

    #[test]
    fn the_disk_that_holds_the_path_is_slowed_down_and_no_limit_is_raised() {
        let slow: DiskSlow = serde_yaml::from_str("{ path: /data/x, read: 1KiB/s, write: 1KiB/s }").unwrap();
        let i = instance(vec![disk("8:0", &["/"]), disk("8:16", &["/data"])]);
        let [Setting::Limit(Limit::Io(disks))] = &slow.settings(&i, &Context::default())[..] else {
            panic!("one limit")
        };
        assert_eq!(disks[0], disk("8:0", &["/"]));
        assert_eq!(disks[1], Disk { read: Some(1024), ..disk("8:16", &["/data"]) }, "10 bytes is less than 1KiB");
        assert_eq!(slow.refuses(&i), None);
        assert!(slow.warns(&i).is_some_and(|w| w.contains("fsync")));
    }

    #[test]
    fn what_is_on_no_disk_is_refused() {
        let slow: DiskSlow = serde_yaml::from_str("{ path: /tmp, read-iops: 5 }").unwrap();
        let why = slow.refuses(&instance(vec![disk("8:16", &["/data"])])).unwrap();
        assert!(why.contains("/tmp") && why.contains("/data"), "{why}");
        let all: DiskSlow = serde_yaml::from_str("{ read-iops: 5 }").unwrap();
        assert!(all.refuses(&instance(Vec::new())).is_some());
        assert_eq!(all.warns(&instance(vec![disk("8:16", &["/data"])])), None, "nothing is written");
    }
}
