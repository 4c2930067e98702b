//! The instance is stopped and started again at once. Momentary; but its rollback is "running", in case it died between.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::found::{Found, whole_seconds};
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::quantity::Span;

/// Restart the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Restart {
    /// How long it has to stop before it is killed (default 10s, whole seconds).
    pub timeout: Span,
    /// `self`: recovery is measured from the restart itself.
    pub heal: Heal,
}

impl Default for Restart {
    fn default() -> Self {
        Self { timeout: Span(Duration::from_secs(10)), heal: Heal::default() }
    }
}

impl Disturb for Restart {
    fn settings(&self, _: &Instance, _: &Context<'_>) -> Vec<Setting> {
        vec![Setting::Restarted { timeout: self.timeout.0 }]
    }

    fn back(&self, _: &Setting, _: Option<&Setting>) -> Rollback {
        Rollback::To(Setting::Running(true))
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        let by = instance.replaced_by()?;
        Some(format!(
            "{by} replaces it when it ends, and the restart would start it beside that one; say `kill` or `stop`"
        ))
    }

    fn is_momentary(&self) -> bool {
        true
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        whole_seconds(found, &[own, &["timeout"]].concat(), self.timeout);
    }

    fn heal(&self) -> Heal {
        self.heal
    }
}
