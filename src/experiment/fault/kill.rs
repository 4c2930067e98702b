//! The main process is killed by a signal: by the engine (an operator's kill), or by the host (a crash).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::found::Found;
use crate::model::instance::{self, Instance, Rollback, Setting, Signal, Trait, Via};

/// Kill the main process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kill {
    /// Which signal (default SIGKILL). Any other may be trapped; then the injection is not verified.
    pub signal: Signal,
    /// `engine` (default): an operator's kill, restart policies do not act. `host`: a crash, they do.
    pub via: Via,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
}

impl Disturb for Kill {
    fn settings(&self, _: &Instance, _: &Context<'_>) -> Vec<Setting> {
        vec![Setting::Killed(instance::Kill { signal: self.signal, via: self.via })]
    }

    fn back(&self, _: &Setting, _: Option<&Setting>) -> Rollback {
        Rollback::To(Setting::Running(true))
    }

    fn check(&self, _: &mut Found<'_>, _: &[&str]) {}

    fn heal(&self) -> Heal {
        self.heal
    }

    fn warns(&self, i: &Instance) -> Option<String> {
        let restarts = i.traits.contains(&Trait::Restarts);
        match self.via {
            Via::Engine if restarts && self.signal != Signal::SigKill => Some(format!(
                "{} has a restart policy, which the engine disarms until the next start even if the process survives {}",
                i.name, self.signal
            )),
            Via::Host if !restarts && i.replaced_by().is_none() && self.heal == Heal::Itself => {
                Some(format!("{} has no restart policy, and `heal: self` waits for something else to start it", i.name))
            }
            _ => None,
        }
    }
}
