//! Containers of a Docker Engine, or of Podman, through Docker's API.
//!
//! Tried against Docker Engine 20.10 (API 1.41, cgroup v1) and Podman 4.3 (its own file says what that lacks). What it knows of them:
//! - A start or stop of what is so already answers like a success, so the state is read first; every other refusal is
//!   judged by looking again, because its status differs by version.
//! - The engine kills, stops and restarts a paused container by itself thawing it. A signal from the host waits until
//!   the container is thawed (cgroup v1), so it is thawed after the signal.
//! - A kill through the API disarms the restart policy until the next start, even if the process traps the signal.
//! - Requests carry no API version: the engine uses its own.

mod availability;
mod claim;
mod container;
mod crash;
mod door;
pub mod endpoint;
mod exec;
mod failure;
#[cfg(test)]
mod fake;
mod glance;
mod guard;
mod helper;
mod image;
mod info;
mod isolate;
mod labels;
mod lifecycle;
mod machine;
mod manual;
mod net;
mod observe;
mod outsiders;
mod own;
mod podman;
mod program;
mod project;
mod reach;
mod readiness;
mod sharing;
mod stack;
mod states;
mod swarm;
mod transport;
mod unanswered;

pub use super::DEFAULT_HOST;
pub use endpoint::{Endpoint, Named};
pub use helper::{Attached, SOCKET, Session, View};
pub use image::PROGRAM;
pub use info::{Details, Machine};
pub use isolate::Runner;
pub use labels::of_project;
pub use project::new_name;
pub use readiness::Readiness;
pub use stack::NewContainer;
pub use swarm::{Membership, NodeOfSwarm};

use observe::Look;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerInspectResponse;

use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Kind, Lock, NOTHING_LIES_THERE, ONLY_A_MARK,
    Observe, Outcome, Ran, Tag, here,
};
use crate::engine::machine::disk::Fillings;
use crate::host::Host;
use crate::host::forward::Forward;
use crate::model::instance::{
    Aspect, Change, Command, CommandLocation, Instance, InstanceId, Kill, Laid, Setting, Via,
};
use crate::model::node::NodeAvailability;
use crate::model::zones::Zones;

/// How long a call may take that needs no waiting for the container.
const QUICK: Duration = Duration::from_secs(15);

/// A Docker Engine.
#[derive(Debug, Clone)]
pub struct Docker {
    api: bollard::Docker,
    endpoint: Endpoint,
    /// What a person types to mean it.
    in_words: String,
    /// What it calls itself to tell it from every other engine.
    id: Option<String>,
    /// What it is in its Swarm, if it is part of one.
    swarm: Option<Membership>,
    silence: Arc<swarm::Silence>,
    /// Its socket on this machine, where it is on another one.
    forward: Option<Arc<Forward>>,
    version: String,
    /// What it is, where it is no Docker Engine.
    podman: Option<podman::Podman>,
    zones: Zones,
    /// The label of the only containers that are seen, where not all are.
    only: Option<String>,
    machine: Machine,
    /// What its machine calls itself; empty where the engine does not tell.
    hostname: String,
    /// The container that this process runs in, where it runs in one of this engine's.
    own: Option<String>,
    /// The machine on which its containers' processes are looked for.
    host: Arc<Host>,
    sight: Arc<PidVisibility>,
    held: Arc<crash::AllHeld>,
    fillings: Arc<Fillings>,
    unanswered: Arc<unanswered::Memory>,
    /// The commands that were begun and whose end is not seen yet, each with its container.
    begun: Arc<Mutex<HashMap<String, String>>>,
    doors: Arc<door::Doors>,
    glances: Arc<glance::Glances>,
    /// Whose helper on the engine's own host this process is, if it is one.
    runner: Option<Runner>,
    /// Directories of this machine that must not run out of space, beside those of any.
    needs: Vec<String>,
}

/// Whether the main processes of containers can be seen from here, as far as that is known.
#[derive(Debug, Default)]
struct PidVisibility {
    /// A running container was looked at.
    looked: AtomicBool,
    /// Its main process was found here, under the PID that the engine told.
    found: AtomicBool,
    /// Each container that was running when it was last looked at, as it was then.
    last: Mutex<HashMap<String, ContainerInspectResponse>>,
}

impl Docker {
    /// Reads zones from there.
    ///
    /// # Errors
    /// Where its own name is a zone's, and it does not tell it.
    pub async fn with_zones(mut self, zones: Zones) -> Result<Self, EngineError> {
        if self.machine.name.is_empty() && matches!(zones, Zones::Engine(_)) {
            self.machine.name = self.details().await?.name.unwrap_or_else(|| self.endpoint.address.clone());
        }
        self.zones = zones;
        Ok(self)
    }

    /// The same, where only containers with this label are seen, if one is given: there is nothing else to target.
    #[must_use]
    pub fn with_label_filter(self, only: Option<String>) -> Self {
        Self { only, ..self }
    }

    /// The same, with one more directory of this machine that must not run out of space, or be filled itself: that of our state.
    #[must_use]
    pub fn with_reserve(mut self, directory: &std::path::Path) -> Self {
        self.needs.push(directory.to_string_lossy().into_owned());
        self
    }

    /// The same, with another program as `squall`. For tests, whose own file is not `squall`.
    #[must_use]
    pub fn with_binary(self, program: PathBuf) -> Self {
        Self { host: Arc::new(Host::new(program)), ..self }
    }

    /// What it is in its Swarm, if it is part of one.
    #[must_use]
    pub fn swarm(&self) -> Option<&Membership> {
        self.swarm.as_ref()
    }

    /// The id of the container that this process runs in, where it runs in one of this engine's.
    #[must_use]
    pub fn own_container(&self) -> Option<&str> {
        self.own.as_deref()
    }
}

/// Why nothing is asked of the engine.
fn refused(id: &InstanceId, to: &Setting, why: &str) -> EngineError {
    EngineError::Refused { attempt: container::attempting(&id.0, to), why: why.to_owned() }
}

impl Engine for Docker {
    fn describe(&self) -> Description {
        Description {
            tls: self.endpoint.tls.clone(),
            id: self.id.clone(),
            host: Some(self.hostname.clone()).filter(|name| !name.is_empty()),
            swarm: self.swarm.as_ref().map(Membership::in_swarm),
            ..Description::of(Kind::Docker, self.endpoint.address.as_str(), self.version.as_str())
        }
    }
}

#[async_trait]
impl Observe for Docker {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        self.see_all(Look::Whole).await
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        let found =
            self.inspect(&id.0).await.map_err(|f| f.error(&self.endpoint.address, || format!("inspect {id}")))?;
        match found {
            Some(container) => {
                let mut seen: Vec<Instance> = self.seen(container).await.into_iter().collect();
                self.see_availability(&mut seen).await;
                Ok(seen.pop())
            }
            None => Ok(None),
        }
    }

    async fn glance(&self) -> Result<Vec<Instance>, EngineError> {
        let heard = self.listen();
        self.see_all(Look::Glance(heard)).await
    }

    async fn node_availability(&self, node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        match &self.swarm {
            Some(swarm) if swarm.is_manager() => match self.is_silent() {
                Some(why) => {
                    Err(EngineError::Refused { attempt: format!("tell the availability of the node {node}"), why })
                }
                None => self.availability(node).await.inspect_err(|e| {
                    if matches!(e, EngineError::TimedOut { .. }) {
                        self.is_silent_since_now(e.to_string());
                    }
                }),
            },
            _ => Ok(None),
        }
    }
}

impl Docker {
    /// Whether it can make such a setting of this instance so.
    #[must_use]
    pub fn ability(&self, instance: &Instance, to: &Setting) -> Ability {
        if let Some(why) = self.podman.as_ref().and_then(|podman| podman.lacks(to)) {
            return Ability::No(why);
        }
        match to {
            Setting::Killed(Kill { via: Via::Host, .. }) => self.can_crash(),
            Setting::Network(_) | Setting::ConnectionsReset(_) => self.can_disturb(instance, to),
            Setting::Limit(_)
            | Setting::Filled(_)
            | Setting::ReadOnly(_)
            | Setting::Stressor(_)
            | Setting::Signalled(_) => self.can_have(instance, to),
            Setting::Ran(command) => match command.place {
                CommandLocation::Here => here::placed(command),
                CommandLocation::Target => Ability::Yes,
            },
            Setting::Isolated(_) => self.can_isolate(instance),
            Setting::Availability(_) => self.can_set_availability(),
            Setting::Mark(Aspect::NodeNetwork, None) if self.runner.is_none() => {
                Ability::No(isolate::NO_HELPER.to_owned())
            }
            Setting::Mark(_, Some(_)) => Ability::No(ONLY_A_MARK.to_owned()),
            Setting::Mark(aspect, None) if aspect.laid().is_none() => Ability::No(NOTHING_LIES_THERE.to_owned()),
            Setting::Running(_)
            | Setting::Killed(Kill { via: Via::Engine, .. })
            | Setting::Stopped { .. }
            | Setting::Restarted { .. }
            | Setting::Paused(_)
            | Setting::Mark(_, None)
            | Setting::Freed(_)
            | Setting::RestartPolicy(_) => Ability::Yes,
        }
    }
}

#[async_trait]
impl Apply for Docker {
    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        match to {
            Setting::Running(true) => self.start(id, to).await,
            Setting::Stopped { timeout } => self.stop(id, to, *timeout).await,
            Setting::Restarted { timeout } => self.restart(id, to, *timeout).await,
            Setting::Killed(Kill { signal, via: Via::Host }) => self.crash(id, to, *signal).await,
            Setting::Killed(Kill { signal, via: Via::Engine }) => self.kill(id, to, *signal).await,
            Setting::Running(false) => self.kill(id, to, crate::model::instance::Signal::SigKill).await,
            Setting::Paused(true) => self.pause(id, to).await,
            Setting::Paused(false) => self.unpause(id, to).await,
            Setting::Mark(_, Some(_)) => Err(refused(id, to, ONLY_A_MARK)),
            Setting::Mark(aspect, None) => match aspect.laid() {
                Some(Laid::Traffic) => self.set_traffic(tag, id, to).await,
                Some(Laid::Filling) => self.free(tag, id, to, None).await,
                Some(Laid::Isolation) => self.set_isolated(id, to, None).await,
                Some(Laid::Cpu | Laid::Memory | Laid::Connections | Laid::Still) => self.set_machine(tag, id, to).await,
                None => Err(refused(id, to, NOTHING_LIES_THERE)),
            },
            Setting::Freed(place) => self.free(tag, id, to, Some(place)).await,
            Setting::Limit(_)
            | Setting::Filled(_)
            | Setting::ReadOnly(_)
            | Setting::Stressor(_)
            | Setting::Signalled(_) => self.set_machine(tag, id, to).await,
            Setting::Network(_) | Setting::ConnectionsReset(_) => self.set_traffic(tag, id, to).await,
            Setting::RestartPolicy(policy) => self.set_restart_policy(id, to, *policy).await,
            Setting::Isolated(isolation) => self.set_isolated(id, to, Some(*isolation)).await,
            Setting::Availability(availability) => self.set_availability(tag, availability).await,
            Setting::Ran(command) => self.run_command(tag, id, command).await,
        }
    }

    async fn prepare(&self, all: &[(InstanceId, Setting)]) {
        let crash = |to: &Setting| matches!(to, Setting::Killed(Kill { via: Via::Host, .. }));
        let ids: Vec<InstanceId> = all.iter().filter(|(_, to)| crash(to)).map(|(id, _)| id.clone()).collect();
        if let Some((_, to)) = all.iter().find(|(_, to)| crash(to)) {
            self.hold_all(&ids, to).await;
        }
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        Ok(all.iter().map(|(instance, to)| self.ability(instance, to)).collect())
    }

    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        crate::engine::net::addresses_of(host).await
    }

    async fn cannot_start(&self, instance: &InstanceId, command: &Command) -> Option<String> {
        match command.place {
            CommandLocation::Here => here::cannot_start(command),
            CommandLocation::Target => self.lacks(instance, command).await,
        }
    }

    fn by_hand(&self, change: &Change, to: &Setting) -> String {
        manual::command(&self.in_words, change, to)
    }
}

#[async_trait]
impl Execute for Docker {
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError> {
        self.run_in(instance, command, Vec::new(), timeout).await.map(|(ran, _)| ran).map_err(|(error, _)| error)
    }

    async fn end_abandoned(&self) {
        self.end_begun().await;
    }
}

#[async_trait]
impl Lock for Docker {
    /// Services of one name in two projects are two services.
    fn marked_as(&self, service: &str) -> String {
        match self.only.as_deref().map(|label| label.rsplit('=').next().unwrap_or(label)) {
            Some(project) => format!("{project}/{service}"),
            None => service.to_owned(),
        }
    }

    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        self.take_claim(claim).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        self.release_claim(claim).await
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        self.all_claims().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_said_to_be_so_with_what_to_do() {
        for (host, says) in [
            ("npipe:////./pipe/docker", "unix://, tcp:// and ssh://"),
            ("ssh://-oProxyCommand=x/", "no name of a machine"),
            ("unix:///no/such/socket", "is the Docker Engine running?"),
            ("tcp://127.0.0.1:1", "is the Docker Engine running?"),
        ] {
            let error = Docker::connect(Some(host)).await.unwrap_err();
            assert!(matches!(error, EngineError::Unreachable { .. }), "{host}: {error}");
            assert!(error.to_string().contains(host) && error.to_string().contains(says), "{host}: {error}");
        }
    }

    /// On another engine everything would seem to be gone, and so to be rolled back.
    #[tokio::test]
    async fn another_engine_at_the_address_of_a_run_is_not_taken_for_the_runs() {
        let fake = fake::Fake::new(|_, _| (404, "{}".to_owned())).await;
        let here = fake.docker.describe();
        assert_eq!(here.id.as_deref(), Some("fake"));
        Docker::from_description(&here).await.unwrap();
        Docker::from_description(&Description { id: None, ..here.clone() }).await.unwrap();
        let error = Docker::from_description(&Description { id: Some("other".to_owned()), ..here.clone() }).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("fake") && error.contains("other") && error.contains(&here.address), "{error}");
    }

    #[tokio::test]
    async fn a_socket_where_nobody_answers_is_given_up_soon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mute.sock");
        let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let began = std::time::Instant::now();
        let error = Docker::connect(Some(&format!("unix://{}", path.display()))).await.unwrap_err().to_string();
        assert!(error.contains("no answer within 5s") && began.elapsed() < Duration::from_secs(20), "{error}");
    }
}
