//! Containers that the engine lists and does not tell of: one that hangs must not hold up everything, and is not forgotten
//! either.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, ContainerSummary, ContainerSummaryStateEnum, HostConfig,
    NetworkSettings,
};
use tokio::time::Instant;

use super::Docker;
use super::failure::Failure;

/// How long one container may take to be told of, each time; it is asked twice.
const ANSWER: Duration = Duration::from_millis(2500);

/// How long one that did not answer is not asked again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Containers that did not answer: since when, and why.
pub(super) type Memory = Mutex<HashMap<String, (Instant, String)>>;

/// What the engine tells of a container.
pub(super) enum Inspected {
    /// How it is.
    Here(Box<ContainerInspectResponse>),
    /// It does not exist any more.
    Gone,
    /// Nothing, and why.
    None(String),
}

impl Docker {
    /// What the engine tells of a listed container, soon.
    ///
    /// # Errors
    /// Where the engine cannot be asked at all.
    pub(super) async fn answer(&self, id: &str) -> Result<Inspected, Failure> {
        let known = self.memory().get(id).cloned();
        if let Some((_, why)) = known.filter(|(since, _)| since.elapsed() < RETRY_AFTER) {
            return Ok(Inspected::None(why));
        }
        let mut answer = self.ask(id).await?;
        if matches!(answer, Inspected::None(_)) {
            // It may have been the load of this moment.
            answer = self.ask(id).await?;
        }
        if let Inspected::None(why) = &answer {
            self.memory().insert(id.to_owned(), (Instant::now(), why.clone()));
        } else {
            self.memory().remove(id);
        }
        Ok(answer)
    }

    async fn ask(&self, id: &str) -> Result<Inspected, Failure> {
        match self.inspect_within(ANSWER, id).await {
            Ok(Some(container)) => Ok(Inspected::Here(Box::new(container))),
            Ok(None) => Ok(Inspected::Gone),
            Err(Failure::Refused(why)) => Ok(Inspected::None(why.trim().to_owned())),
            Err(Failure::TimedOut(after)) => {
                Ok(Inspected::None(format!("no answer within {}", humantime::format_duration(after))))
            }
            Err(failure) => Err(failure),
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, String)>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the list alone tells of a container, as far as that goes.
pub(super) fn from_list(listed: ContainerSummary) -> ContainerInspectResponse {
    let is = |state| listed.state == Some(state);
    let paused = is(ContainerSummaryStateEnum::PAUSED);
    let restarting = is(ContainerSummaryStateEnum::RESTARTING);
    let running = paused || is(ContainerSummaryStateEnum::RUNNING) || is(ContainerSummaryStateEnum::STOPPING);
    ContainerInspectResponse {
        id: listed.id,
        name: listed.names.and_then(|names| names.into_iter().min_by_key(|n| n.matches('/').count())),
        state: Some(ContainerState {
            running: Some(running || restarting),
            paused: Some(paused),
            restarting: Some(restarting),
            ..ContainerState::default()
        }),
        config: Some(ContainerConfig { image: listed.image, labels: listed.labels, ..ContainerConfig::default() }),
        host_config: Some(HostConfig {
            network_mode: listed.host_config.and_then(|h| h.network_mode),
            ..HostConfig::default()
        }),
        network_settings: Some(NetworkSettings {
            networks: listed.network_settings.and_then(|s| s.networks),
            ..NetworkSettings::default()
        }),
        mounts: listed.mounts,
        ..ContainerInspectResponse::default()
    }
}
