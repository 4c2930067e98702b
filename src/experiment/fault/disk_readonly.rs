//! A mount of the instance lets nothing be written, as a file system does that the kernel has given up on.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys};
use crate::experiment::document::found::Found;
use crate::model::instance::{Aspect, Instance, Setting};

/// Make one of the instance's mounts read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DiskReadonly {
    /// The mount, as the instance sees it: a volume's path, or `/` for its root file system.
    pub path: String,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
}

impl Disturb for DiskReadonly {
    fn settings(&self, i: &Instance, _: &Context<'_>) -> Vec<Setting> {
        let mut read_only: BTreeSet<String> = match i.settings.get(&Aspect::Mounts) {
            Some(Setting::ReadOnly(now)) => now.clone(),
            _ => BTreeSet::new(),
        };
        let path = self.path.trim_end_matches('/');
        read_only.insert(if path.is_empty() { "/" } else { path }.to_owned());
        vec![Setting::ReadOnly(read_only)]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::path(found, own, &self.path);
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "connections are accepted all the same: a `tcp` probe sees nothing, only an answer that takes a write does",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_only_before_stays_so() {
        let mut i: Instance = serde_json::from_value(serde_json::json!({
            "id": "db-1", "name": "db-1", "service": "db", "epoch": "1", "settings": {},
        }))
        .unwrap();
        let before = Setting::ReadOnly(["/conf".to_owned()].into());
        i.settings.insert(Aspect::Mounts, before.clone());
        let fault = DiskReadonly { path: "/data/".to_owned(), heal: Heal::default() };
        let to = fault.settings(&i, &Context::default());
        assert_eq!(to, [Setting::ReadOnly(["/conf", "/data"].map(str::to_owned).into())]);
        assert_eq!(fault.back(&to[0], Some(&before)), crate::model::instance::Rollback::To(before));
    }
}
