//! Whether containers that others have started are ready, by a label that they carry.

use std::collections::HashMap;
use std::fmt;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};

use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::EngineError;

/// How far a container has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It runs, and its health check, if it has one, passes; or it did its work and ended well.
    Ready,
    /// It is not yet so far.
    Starting,
    /// It will not be, and why.
    Failed(String),
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("is ready"),
            Self::Starting => f.write_str("is not healthy"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Docker {
    /// The id, the name and the readiness of each container that carries a label.
    ///
    /// # Errors
    /// Where the engine does not say.
    pub async fn readiness(&self, label: &str) -> Result<Vec<(String, String, Readiness)>, EngineError> {
        let mut all = Vec::new();
        for id in self.labelled(label).await? {
            match self.inspect(&id).await {
                Ok(Some(found)) => {
                    let name = found.name.clone().unwrap_or_default().trim_start_matches('/').to_owned();
                    all.push((id, name, read(&found)));
                }
                Ok(None) => {}
                Err(failure) => {
                    return Err(failure.error(&self.endpoint.address, || format!("look at the container {id}")));
                }
            }
        }
        Ok(all)
    }

    /// Removes the volumes that carry a label, and says how many.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_volumes_labelled(&self, label: &str) -> Result<usize, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found = within(QUICK, self.api.list_volumes(Some(options)))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || format!("list the volumes with label {label}")))?;
        let names: Vec<String> = found.volumes.into_iter().flatten().map(|volume| volume.name).collect();
        for name in &names {
            match within(QUICK, self.api.remove_volume(name, None::<RemoveVolumeOptions>)).await {
                Ok(()) | Err(Failure::Missing(_)) => {}
                Err(failure) => {
                    return Err(failure.error(&self.endpoint.address, || format!("remove the volume {name}")));
                }
            }
        }
        Ok(names.len())
    }
}

fn read(container: &ContainerInspectResponse) -> Readiness {
    let Some(state) = &container.state else { return Readiness::Starting };
    let code = state.exit_code.unwrap_or_default();
    match (state.status, state.health.as_ref().and_then(|h| h.status)) {
        (_, Some(HealthStatusEnum::UNHEALTHY)) => Readiness::Failed("is unhealthy".to_owned()),
        (
            Some(ContainerStateStatusEnum::RUNNING),
            None | Some(HealthStatusEnum::HEALTHY | HealthStatusEnum::NONE | HealthStatusEnum::EMPTY),
        ) => Readiness::Ready,
        (Some(ContainerStateStatusEnum::EXITED), _) if code == 0 => Readiness::Ready,
        (Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD), _) => {
            Readiness::Failed(format!("ended with exit status {code}"))
        }
        _ => Readiness::Starting,
    }
}
