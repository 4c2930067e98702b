//! A file system of the instance fills up: writes fail, logs stop, databases refuse.

mod sharing;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use sharing::may_be_filled;
pub use sharing::spares_others;

use super::{Context, Disturb, Heal, Takes, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::disk::{DiskLocation, Fill, Goal, Mount, MountKind, holding};
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::quantity::{ByteRate, Percent, Size, Span};

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

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::path(found, own, &self.path);
        let nothing = [
            ("to", self.to.is_some_and(|share| share.0 <= 0.0)),
            ("size", self.size.is_some_and(|size| size.0 == 0)),
            ("inodes", self.inodes.is_some_and(|share| share.0 <= 0.0)),
        ];
        for (key, is) in nothing {
            if is {
                let at = found.document.value_at(&[own, &[key]].concat());
                found.add(Mistake::error(&at, format!("`{key}` fills nothing")).label("give more than 0"));
            }
        }
        if self.inodes.is_some() && self.rate.is_some() {
            let at = found.document.key_at(&[own, &["rate"]].concat());
            found.add(
                Mistake::error(&at, "`rate` and `inodes` do not go together")
                    .label("a rate counts bytes, and these files have none"),
            );
        }
    }

    fn takes(&self) -> Vec<Takes> {
        let (Some(size), Some(rate)) = (self.size, self.rate) else { return Vec::new() };
        #[expect(clippy::cast_precision_loss, reason = "fewer bytes than a float can count")]
        let takes = Duration::try_from_secs_f64((size.0 as f64 / rate.0 as f64).ceil()).unwrap_or(Duration::MAX);
        vec![Takes { key: "rate", takes: Span(takes), so: "the size is never reached" }]
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
    use crate::experiment::read;
    use crate::model::quantity;

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

    /// What is said of a file with this fault; nothing where it is fine.
    fn said(fault: &str) -> String {
        let text = format!(
            "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ http: 'http://x/', rate: 50/s }} }}\n\
             target: {{ service: shop }}\nblast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
        );
        read::experiment("a.yaml", text.as_bytes(), &quantity::unset).err().map(|m| m.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_goal_and_a_path_are_asked_for() {
        for fine in [
            "{ disk-fill: { path: /data, to: 95% } }",
            "{ disk-fill: { path: /, leave: 0B, rate: 50MiB/s } }",
            "{ disk-fill: { path: /data/, inodes: 100% } }",
            "{ disk-readonly: { path: /data } }",
        ] {
            assert_eq!(said(fine), "", "{fine}");
        }
        for (wrong, wants) in [
            ("{ disk-fill: { path: /data } }", &["`to`", "`leave`", "`size`", "`inodes`"][..]),
            ("{ disk-fill: { path: /data, to: 95%, size: 1GiB } }", &["`to`", "`size`"]),
            ("{ disk-fill: { to: 95% } }", &["`path`"]),
            ("{ disk-fill: { path: data, to: 95% } }", &["not an absolute path", "from `/` on"]),
            ("{ disk-fill: { path: /data/../etc, to: 95% } }", &["without `.` and `..`"]),
            ("{ disk-fill: { path: /data, size: 0B } }", &["`size` fills nothing"]),
            ("{ disk-fill: { path: /data, inodes: 50%, rate: 1MiB/s } }", &["`rate` and `inodes` do not go together"]),
            ("{ disk-fill: { path: /data, to: 95%, rate: 50MiB } }", &["`50MiB/s`"]),
            ("{ disk-fill: { path: /data, fill: 95% } }", &["fill"]),
            ("{ disk-readonly: { path: . } }", &["not an absolute path"]),
        ] {
            let said = said(wrong);
            assert!(wants.iter().all(|want| said.contains(want)), "{wrong}: {said}");
        }
    }
}
