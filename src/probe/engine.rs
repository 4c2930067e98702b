//! What the engine knows about a service: how many instances run, are healthy, or were restarted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::Instance;

/// Ask the engine about a service; the number is the probe's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EngineProbe {
    /// The service.
    pub service: String,
    /// Which number.
    pub count: Count,
}

impl EngineProbe {
    /// The number, from everything that the engine has.
    #[must_use]
    pub fn read(&self, fleet: &[Instance]) -> u64 {
        let members = fleet.iter().filter(|i| i.service == self.service);
        match self.count {
            Count::Running => members.filter(|i| i.is_up()).count() as u64,
            Count::Healthy => members.filter(|i| i.is_healthy()).count() as u64,
            Count::Restarts => members.map(|i| i.restarts).sum(),
        }
    }
}

/// A number that the engine knows about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// Instances whose main process runs and is not paused.
    Running,
    /// Running instances whose health check, if they have one, passes.
    Healthy,
    /// Restarts by the engine, over all instances.
    Restarts,
}
