//! The instance cannot have another process or thread: the limit of its control group is lowered to what it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys};
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::machine::Limit;

/// Refuse the instance another process or thread.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pids {
    /// How many more than it has when the fault is planned (default 0). Not together with `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave: Option<u64>,
    /// How many in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    pub idle: Idle,
}

impl Disturb for Pids {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        // Where it is not known how many it has, the limit cannot be observed either, and the plan is refused.
        let has = instance.allowance.and_then(|a| a.processes_used).unwrap_or_default();
        let limit = self.limit.unwrap_or_else(|| has.saturating_add(self.leave.unwrap_or_default()));
        vec![Setting::Limit(Limit::Processes(Some(limit)))]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::counted(found, own);
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel accepts connections without another process: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
