//! The instance has few ports for its own connections: the range that its network gives them from is narrowed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::instance::{Aspect, Instance, Setting};
use crate::model::machine::Limit;

/// Leave the instance few ports for its own connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sockets {
    /// How many, from 1.
    pub ports: u16,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
}

impl Disturb for Sockets {
    fn settings(&self, instance: &Instance, _: &Context<'_>) -> Vec<Setting> {
        let first = match instance.settings.get(&Aspect::PortRange) {
            Some(Setting::Limit(Limit::Ports { first, .. })) => *first,
            // Then it cannot be observed, and the plan is refused.
            _ => 32_768,
        };
        vec![Setting::Limit(Limit::Ports { first, last: first.saturating_add(self.ports.saturating_sub(1)) })]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        if self.ports == 0 {
            let at = found.document.value_at(&[own, &["ports"]].concat());
            found.add(Mistake::error(&at, "the kernel always keeps a port for connections").label("at least 1"));
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }
}
