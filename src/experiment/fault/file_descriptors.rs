//! The instance can open no other file or socket: the soft limits of its processes are lowered to what there is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys};
use crate::experiment::document::found::Found;
use crate::model::instance::{Instance, Setting};
use crate::model::machine::Limit;

/// Refuse the instance's processes another descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FileDescriptors {
    /// How many more than the main process has open when the fault is planned (default 0). Not together with `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave: Option<u64>,
    /// Below which number all of them are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
}

impl Disturb for FileDescriptors {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        // Where it is not known how many it has, the limit cannot be observed either, and the plan is refused.
        let has = instance.allowance.and_then(|a| a.descriptors_used).unwrap_or_default();
        let limit = self.limit.unwrap_or_else(|| has.saturating_add(self.leave.unwrap_or_default()));
        vec![Setting::Limit(Limit::Descriptors(limit))]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::counted(found, own);
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections that the process has no descriptor for: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
