//! The instance is frozen: it keeps its connections and its memory, and answers nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::found::Found;
use crate::model::instance::{Instance, Setting};

/// Freeze the instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pause {
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
}

impl Disturb for Pause {
    fn settings(&self, _: &Instance, _: &Context<'_>) -> Vec<Setting> {
        vec![Setting::Paused(true)]
    }

    fn check(&self, _: &mut Found<'_>, _: &[&str]) {}

    fn heal(&self) -> Heal {
        self.heal
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "the kernel still accepts connections of a frozen process: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
