//! What the engine knows about a service: how many instances run, are healthy, or were restarted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Answer;
use super::ask::{Ask, Ground};
use crate::engine::Engine;
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

    pub(super) fn prepare(&self, ground: &Ground) -> Box<dyn Ask> {
        Box::new(Ready { probe: self.clone(), engine: Arc::clone(&ground.engine), timeout: ground.timeout })
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

struct Ready {
    probe: EngineProbe,
    engine: Arc<dyn Engine>,
    timeout: Duration,
}

#[async_trait]
impl Ask for Ready {
    /// The engine is not the system: where it does not answer, the question could not be asked.
    async fn ask(&self) -> Answer {
        match timeout(self.timeout, self.engine.observe()).await {
            Ok(Ok(instances)) => Answer::Good { value: Some(self.probe.read(&instances).to_string()), by: None },
            Ok(Err(error)) => Answer::CouldNotAsk(super::failure::short(&error.to_string())),
            Err(_) => Answer::CouldNotAsk("the engine did not answer in time".to_owned()),
        }
    }
}
