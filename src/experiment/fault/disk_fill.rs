//! A file system of the instance fills up: writes fail, logs stop, databases refuse.

mod sharing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use sharing::may_be_filled;
pub use sharing::spares_others;

use super::{Context, Disturb, Heal};
use crate::model::disk::{DiskLocation, Fill, Goal, Mount, MountKind, holding};
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::quantity::{ByteRate, Percent, Size};

/// Fill the file system that holds a path: to a share of it, until so much is left, by a size, or with files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-exactly-one" = ["to", "leave", "size", "inodes"]))]
pub struct DiskFill {
    /// A directory, as the instance sees it.
    pub path: String,
    /// To this share of what can be written, as `df` counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Percent>,
    /// Until so much is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<Size>,
    /// By so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// With empty files, to this share of its inodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes: Option<Percent>,
    /// How much is written in a second (default: as fast as it goes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<ByteRate>,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
}

impl DiskFill {
    /// How far. A file gives exactly one of the four, which is checked when it is read.
    fn goal(&self) -> Goal {
        match (self.to, self.leave, self.size, self.inodes) {
            (Some(share), ..) => Goal::To(share.0),
            (_, Some(bytes), ..) => Goal::Leave(bytes.0),
            (_, _, Some(bytes), _) => Goal::Size(bytes.0),
            (.., share) => Goal::Inodes(share.unwrap_or_default().0),
        }
    }
}

/// The mount that holds a path; where the engine tells of none, its root.
fn mount_of(i: &Instance, path: &str) -> Mount {
    let found = holding(&i.mounts, path).cloned().unwrap_or_else(|| Mount::new("/", MountKind::Root, None, false));
    // Who else writes there is no part of the place.
    Mount { outsiders: Vec::new(), ..found }
}

impl Disturb for DiskFill {
    fn settings(&self, i: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let place = DiskLocation { path: self.path.clone(), mount: mount_of(i, &self.path), filesystem: None };
        let shared_with = sharing::reserved_for(&place, i, context);
        vec![Setting::Filled(Box::new(Fill { place, goal: self.goal(), rate: self.rate.map(|r| r.0), shared_with }))]
    }

    fn back(&self, to: &Setting, _: Option<&Setting>) -> Rollback {
        match to {
            Setting::Filled(fill) => Rollback::To(Setting::Freed(Box::new(fill.place.clone()))),
            _ => Rollback::Nothing,
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "connections are accepted on a full disk: a `tcp` probe sees nothing, only an answer that takes a write does",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        serde_json::from_value(serde_json::json!({
            "id": "db-1", "name": "db-1", "service": "db", "epoch": "1", "settings": {},
            "mounts": [
                { "path": "/", "kind": "root", "source": "/engine/1/diff" },
                { "path": "/data", "kind": "volume", "source": "/engine/volumes/data" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_rollback_knows_the_place_without_the_instance() {
        let fault: DiskFill = serde_yaml::from_str("{ path: /data/pg, leave: 10MiB, rate: 1MiB/s }").unwrap();
        let [to] = &fault.settings(&instance(), &Context::default())[..] else { panic!("one setting") };
        let Setting::Filled(fill) = to else { panic!("{to:?}") };
        assert_eq!((fill.goal, fill.rate), (Goal::Leave(10 << 20), Some(1 << 20)));
        assert_eq!(fill.place.mount.source.as_deref(), Some("/engine/volumes/data"));
        assert_eq!(fault.back(to, None), Rollback::To(Setting::Freed(Box::new(fill.place.clone()))));
        assert_eq!(to.to_string(), "filled at /data/pg until 10 MiB are left, 1 MiB in a second");
    }
}
