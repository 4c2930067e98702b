//! Finding an engine: the one at an endpoint, or the one that another process has described, and no other.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{self, Endpoint};
use super::podman::Podman;
use super::{DEFAULT_HOST, Docker, failure, own, swarm, transport};
use crate::engine::{Description, EngineError};
use crate::model::zones::Zones;

/// How long the engine may take to answer at all when it is first asked. Podman 4 asks for its packages' versions then, which takes a
/// second.
const REACH: Duration = Duration::from_secs(5);

/// How long it may take where it has to say who it is.
const LATE: Duration = Duration::from_secs(25);

impl Docker {
    /// Finds the engine at `host` (by default the usual socket), without TLS.
    ///
    /// # Errors
    /// As for [`Docker::reach`].
    pub async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        Self::reach(Endpoint::at(host.filter(|h| !h.is_empty()).unwrap_or(DEFAULT_HOST))).await
    }

    /// Finds the engine at an endpoint, and asks it whether it is there.
    ///
    /// # Errors
    /// Where no engine answers there within five seconds, once there is a way to it, with what to do about it.
    pub async fn reach(endpoint: Endpoint) -> Result<Self, EngineError> {
        let address = endpoint.address.clone();
        let unreachable = |why: String| EngineError::Unreachable { address: address.clone(), why };
        let (api, forward) = transport::open(&endpoint).await.map_err(|why| unreachable(endpoint.chosen(&why)))?;
        let version = match tokio::time::timeout(REACH, api.version()).await {
            Err(_) => Err(format!("no answer within {}", humantime::format_duration(REACH))),
            Ok(answer) => answer.map_err(|e| failure::unreachable(&e)),
        };
        let version = version.map_err(|why| unreachable(endpoint.chosen(&why)))?;
        let info = failure::within(REACH, api.info()).await.unwrap_or_default();
        let podman = Box::pin(Podman::of(&api, &version, &info)).await;
        let engine = podman.as_ref().map(Podman::words).or(version.version);
        let (engine, spoken) = (engine.as_deref(), version.api_version.as_deref());
        let version = format!("{} (API {})", engine.unwrap_or("unknown"), spoken.unwrap_or("unknown"));
        // Podman calls itself otherwise each time that it is asked.
        let id = info.id.filter(|id| !id.is_empty() && podman.is_none());
        let own = own::find(&api).await;
        let hostname = info.name.unwrap_or_default();
        Ok(Self {
            api,
            in_words: endpoint.in_words(podman.is_some()),
            endpoint,
            forward: forward.map(Arc::new),
            version,
            podman,
            id,
            swarm: info.swarm.and_then(swarm::Membership::of),
            silence: Arc::default(),
            zones: Zones::default(),
            only: None,
            machine: super::Machine { name: hostname.clone(), ..super::Machine::default() },
            hostname,
            own,
            host: Arc::default(),
            sight: Arc::default(),
            held: Arc::default(),
            fillings: Arc::default(),
            unanswered: Arc::default(),
            begun: Arc::default(),
            doors: Arc::default(),
            glances: Arc::default(),
            runner: None,
            needs: Vec::new(),
        })
    }

    /// Finds the engine that another process has described.
    ///
    /// # Errors
    /// As for [`Docker::reach`]; and where another engine answers there by now, on which everything would seem to be gone.
    pub async fn from_description(description: &Description) -> Result<Self, EngineError> {
        let mut docker = Self::reach(Endpoint::recorded(description)).await?;
        if description.id.is_some() && docker.id.is_none() && docker.podman.is_none() {
            // A manager whose Swarm has no quorum answers late: it asks the others first.
            docker.id = failure::within(LATE, docker.api.info()).await.ok().and_then(|info| info.id);
        }
        match (&description.id, &docker.id) {
            (Some(was), Some(is)) if was != is => Err(EngineError::Unreachable {
                address: docker.endpoint.address.clone(),
                why: format!(
                    "another engine ({is}) answers there than the one of the run ({was}); try again where this address leads to that one"
                ),
            }),
            (Some(was), None) => Err(EngineError::Unreachable {
                address: docker.endpoint.address.clone(),
                why: format!(
                    "the engine that answers there does not say who it is, and the one of the run was {was}; try again"
                ),
            }),
            _ => Ok(docker),
        }
    }

    /// What chose it.
    #[must_use]
    pub fn chosen_by(&self) -> &endpoint::Rule {
        &self.endpoint.by
    }

    /// The environment in which programs of Docker's use this engine.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let socket = self.forward.as_ref().map(|forward| format!("unix://{}", forward.socket().display()));
        let mut environment = vec![("DOCKER_HOST", socket.unwrap_or_else(|| self.endpoint.address.clone()))];
        // An address comes before a context; an empty one is none.
        environment.push(("DOCKER_CONTEXT", String::new()));
        // Also where there is none: those of this process could mean another engine's.
        let tls = self.endpoint.tls.as_ref();
        let set = |is: bool| if is { "1".to_owned() } else { String::new() };
        environment.extend([
            ("DOCKER_CERT_PATH", tls.map_or_else(String::new, |tls| tls.directory.display().to_string())),
            ("DOCKER_TLS_VERIFY", set(tls.is_some_and(|tls| tls.verify))),
            ("DOCKER_TLS", set(tls.is_some())),
        ]);
        environment
    }
}
