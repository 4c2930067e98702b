//! The instance is stopped as an operator would stop it: asked first, killed when its time is over.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::found::{Found, whole_seconds};
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::quantity::Span;

/// Stop the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Stop {
    /// How long it has before it is killed (default 10s, whole seconds).
    pub timeout: Span,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
}

impl Default for Stop {
    fn default() -> Self {
        Self { timeout: Span(Duration::from_secs(10)), heal: Heal::default() }
    }
}

impl Disturb for Stop {
    fn settings(&self, _: &Instance, _: &Context<'_>) -> Vec<Setting> {
        vec![Setting::Stopped { timeout: self.timeout.0 }]
    }

    fn back(&self, _: &Setting, _: Option<&Setting>) -> Rollback {
        Rollback::To(Setting::Running(true))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        whole_seconds(found, &[own, &["timeout"]].concat(), self.timeout);
    }

    fn heal(&self) -> Heal {
        self.heal
    }
}
