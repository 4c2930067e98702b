//! What the engine knows about a service: how many instances run, are healthy, or were restarted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ask::{Ask, ProbeSetup, Sightings};
use super::{Answer, Pace, ProbeKind, Simulated};
use crate::engine::Observe;
use crate::experiment::document::found::Found;
use crate::model::instance::project::by_project;
use crate::model::instance::{Instance, Trait};

/// Ask the engine about a service; the number is the probe's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EngineProbe {
    /// The projects that the service is in, if not those of the experiment (`*` stands for any text, `none` for no project).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub project: Vec<String>,
    /// The service.
    pub service: String,
    /// Which number.
    pub count: Count,
}

impl EngineProbe {
    /// The number, from everything that the engine has.
    #[must_use]
    pub fn read(&self, fleet: &[Instance]) -> Answer {
        let members = || self.members(fleet);
        if self.project.is_empty() && by_project(members()).len() > 1 {
            return Answer::NotMeasured(format!("`{}` is in several projects, and nothing says which", self.service));
        }
        if let Some(why) = members().find_map(Instance::others_silent) {
            return Answer::NotMeasured(why.to_owned());
        }
        let number = match self.count {
            Count::Running => members().filter(|i| i.is_up() || i.stands()).count() as u64,
            Count::Healthy => members().filter(|i| i.stands()).count() as u64,
            Count::Restarts => members().map(|i| i.restarts).sum(),
        };
        Answer::Good { value: Some(number.to_string()), by: None }
    }

    /// The instances that are counted.
    fn members<'a>(&'a self, fleet: &'a [Instance]) -> impl Iterator<Item = &'a Instance> {
        // The stack of another run is never meant.
        let meant = |i: &&Instance| {
            i.is_of_service(&self.service) && i.is_of(&self.project) && !i.traits.contains(&Trait::Ours)
        };
        fleet.iter().filter(meant)
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

impl ProbeKind for EngineProbe {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        let (engine, timeout) = (setup.engine.clone(), setup.timeout);
        Ok(Box::new(PreparedEngine { probe: self.clone(), engine, timeout, instances: Sightings::default() }))
    }

    fn check(&self, _: &mut Found<'_>, _: &[&str]) {}

    fn pace(&self) -> Pace {
        Pace::ONE_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        false
    }

    fn address(&self) -> Option<&str> {
        None
    }

    fn words(&self) -> String {
        format!("{:?} instances of {}", self.count, self.service).to_lowercase()
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Engine(self)
    }
}

struct PreparedEngine {
    probe: EngineProbe,
    engine: Arc<dyn Observe>,
    timeout: Duration,
    /// Of instances of the service.
    instances: Sightings,
}

#[async_trait]
impl Ask for PreparedEngine {
    /// The engine is not the system: where it does not answer, it could not be measured.
    async fn ask(&self) -> Answer {
        match timeout(self.timeout, self.engine.glance()).await {
            Ok(Ok(instances)) => {
                self.instances.note(self.probe.members(&instances).next().is_some());
                self.probe.read(&instances)
            }
            Ok(Err(error)) => Answer::NotMeasured(super::failure::short(&error.to_string())),
            Err(_) => Answer::NotMeasured("the engine did not answer in time".to_owned()),
        }
    }

    fn without_evidence(&self) -> Option<String> {
        self.instances.never().then(|| {
            format!(
                "counted service `{}`, of which there never was an instance: look whether its name is right",
                self.probe.service
            )
        })
    }
}
