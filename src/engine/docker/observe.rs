//! Containers as instances.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bollard::models::{ContainerInspectResponse, ContainerState, HealthStatusEnum, HostConfig, RestartPolicyNameEnum};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use futures_util::StreamExt as _;

use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::{EngineError, machine, net};
use crate::host::process::Process;
use crate::instance::{Aspect, Epoch, Health, Instance, RestartPolicy, Setting, Trait};
use crate::zones::Zones;

/// How many containers are inspected at once.
const AT_ONCE: usize = 16;

/// Every state that the client understands. The engine filters, because one unknown state would spoil the whole list.
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Docker {
    pub(super) async fn observe_all(&self) -> Result<Vec<Instance>, EngineError> {
        let error = |f: Failure| f.error(&self.address, || "list the containers".to_owned());
        let mut filters = HashMap::from([("status", STATES.to_vec())]);
        filters.extend(self.only.as_deref().map(|label| ("label", vec![label])));
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = within(QUICK, self.api.list_containers(Some(options))).await.map_err(error)?;
        let ids: Vec<String> = listed.into_iter().filter_map(|c| c.id).collect();
        let found: Vec<_> = futures_util::stream::iter(ids)
            .map(|id| async move {
                match self.inspect(&id).await? {
                    Some(container) => Ok(self.seen(container).await),
                    None => Ok(None),
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut instances = Vec::new();
        for instance in found {
            match instance {
                Ok(instance) => instances.extend(instance),
                // One that is not understood is none that could be disturbed.
                Err(Failure::Refused(why)) => tracing::warn!(%why, "a container is left out"),
                Err(failure) => return Err(error(failure)),
            }
        }
        instances.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        name_who_shares(&mut instances);
        Ok(instances)
    }

    /// A container as the engine tells it, by id or name; `None` where it does not exist.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
        match within(QUICK, self.api.inspect_container(id, None::<InspectContainerOptions>)).await {
            Ok(container) => {
                self.learn_sight(&container);
                Ok(Some(container))
            }
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Learns from a running container whether its main process can be seen from here. Once seen, it stays so.
    fn learn_sight(&self, container: &ContainerInspectResponse) {
        if let (Some(id), Some(pid)) = (&container.id, container.state.as_ref().and_then(main_pid)) {
            self.sight.pids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), pid);
        }
        if !self.sight.found.load(Ordering::Relaxed)
            && let (Some(id), Some(pid)) = (&container.id, container.state.as_ref().and_then(main_pid))
        {
            self.sight.looked.store(true, Ordering::Relaxed);
            if Process::open(pid).ok().flatten().is_some_and(|p| p.is_in_cgroup_of(id)) {
                self.sight.found.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The container as an instance, with what can be seen of its traffic and of its machine.
    pub(super) async fn seen(&self, container: ContainerInspectResponse) -> Option<Instance> {
        let found = self.sight.found.load(Ordering::Relaxed);
        let traffic = (found && net::may_enter()).then(|| super::net::site(&container, &self.program));
        let machine = if found { super::machine::site(&container, &self.program) } else { None };
        let mut instance = self.instance(container)?;
        if let Some(site) = traffic {
            net::observe(Ok(site), &mut instance).await;
        }
        if found {
            machine::observe(machine, &mut instance).await;
        }
        Some(instance)
    }

    /// The container as an instance; `None` where the engine left out what makes it one.
    pub(super) fn instance(&self, container: ContainerInspectResponse) -> Option<Instance> {
        let mut instance = instance(container, &self.zones, &self.name, self.own.as_deref())?;
        // Another run's stack is that run's alone; where one project is all that is seen, it is the own one.
        let project = instance.labels.get("com.docker.compose.project");
        if self.only.is_none() && project.is_some_and(|name| super::project::is_of_a_run(name)) {
            instance.traits.insert(Trait::Ours);
        }
        Some(instance)
    }
}

/// Containers that share a network know each other by id; people know them by name, and both of them should know.
fn name_who_shares(instances: &mut [Instance]) {
    let shared = |i: &Instance| {
        i.traits.iter().find_map(|t| if let Trait::SharesNetwork(id) = t { Some(id.clone()) } else { None })
    };
    for guest in 0..instances.len() {
        let Some(id) = shared(&instances[guest]) else { continue };
        let Some(host) = instances.iter().position(|i| i.id.0 == id) else { continue };
        let (guest_name, host_name) = (instances[guest].name.clone(), instances[host].name.clone());
        instances[guest].traits.remove(&Trait::SharesNetwork(id));
        instances[guest].traits.insert(Trait::SharesNetwork(host_name));
        instances[host].traits.insert(Trait::SharesNetwork(guest_name));
    }
}

/// The host's PID of a container's main process, where it has one.
pub(super) fn main_pid(state: &ContainerState) -> Option<u32> {
    state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

/// Whether the main process exists, paused or not. While the engine waits to restart it, it does not.
pub(super) fn is_running(state: &ContainerState) -> bool {
    state.running == Some(true) && state.restarting != Some(true)
}

fn instance(container: ContainerInspectResponse, zones: &Zones, engine: &str, own: Option<&str>) -> Option<Instance> {
    let addresses = super::net::addresses(&container);
    let mounts = super::machine::mounts(&container);
    let id = container.id?;
    let state = container.state?;
    let config = container.config.unwrap_or_default();
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let name = container.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let service = ["squall.service", "com.docker.compose.service"].iter().find_map(|key| labels.get(*key));
    let service = service.unwrap_or(&name).clone();
    let host = container.host_config.unwrap_or_default();
    let health = state.health.as_ref().and_then(|h| match h.status? {
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    });
    let policy = restart_policy(&host);
    let settings = [Setting::Running(is_running(&state)), Setting::Paused(state.paused == Some(true))]
        .into_iter()
        .chain([Setting::RestartPolicy(policy)]);
    Some(Instance {
        zone: zones.of(&labels, addresses.iter().map(|a| a.network.as_str()), engine),
        image: config.image,
        traits: traits(&host, &labels, own == Some(id.as_str())),
        epoch: Epoch(state.started_at.unwrap_or_default()),
        health,
        restarts: container.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        addresses,
        mounts,
        settings: settings.map(|s| (s.aspect(), s)).collect::<BTreeMap<Aspect, Setting>>(),
        labels,
        ..Instance::new(id, name, service)
    })
}

/// What the engine does when the main process ends by itself.
pub(super) fn restart_policy(host: &HostConfig) -> RestartPolicy {
    let policy = host.restart_policy.as_ref();
    match policy.and_then(|p| p.name) {
        None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) => RestartPolicy::Never,
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            let most = policy.and_then(|p| p.maximum_retry_count).and_then(|n| u32::try_from(n).ok());
            RestartPolicy::OnFailure { most: most.unwrap_or_default() }
        }
    }
}

fn traits(host: &HostConfig, labels: &BTreeMap<String, String>, own: bool) -> BTreeSet<Trait> {
    let mut traits = BTreeSet::new();
    if host.auto_remove == Some(true) {
        traits.insert(Trait::AutoRemove);
    }
    if restart_policy(host) != RestartPolicy::Never {
        traits.insert(Trait::Restarts);
    }
    for (label, who) in [
        ("com.docker.swarm.service.name", "Docker Swarm"),
        ("io.kubernetes.pod.name", "Kubernetes"),
        ("com.hashicorp.nomad.alloc_id", "Nomad"),
        ("com.amazonaws.ecs.task-arn", "Amazon ECS"),
    ] {
        if let Some(what) = labels.get(label) {
            traits.insert(Trait::Orchestrated(format!("{who} ({what})")));
        }
    }
    if host.network_mode.as_deref() == Some("host") {
        traits.insert(Trait::HostNetwork);
    }
    if let Some(other) = host.network_mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
        traits.insert(Trait::SharesNetwork(other.to_owned()));
    }
    let ports = host.port_bindings.iter().flatten().filter_map(|(_, bindings)| bindings.as_ref()).flatten();
    let random = |port: Option<&str>| matches!(port, None | Some("" | "0"));
    if host.publish_all_ports == Some(true) || ports.into_iter().any(|p| random(p.host_port.as_deref())) {
        traits.insert(Trait::RandomPorts);
    }
    if own || labels.contains_key("squall.run") {
        traits.insert(Trait::Ours);
    }
    traits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_container_is_an_instance() {
        let found = container(serde_json::json!({
            "Id": "abc", "Name": "/shop-1", "RestartCount": 3,
            "State": { "Status": "paused", "Running": true, "Paused": true, "StartedAt": "t1",
                       "Health": { "Status": "healthy" } },
            "Config": { "Image": "shop:1", "Labels": { "com.docker.compose.service": "shop", "rack": "r1", "squall.zone": "a" } },
            "HostConfig": { "NetworkMode": "default", "RestartPolicy": { "Name": "no" } },
        }));
        let i = instance(found, &Zones::default(), "", None).unwrap();
        assert_eq!((i.name.as_str(), i.service.as_str(), i.zone.as_deref()), ("shop-1", "shop", Some("a")));
        assert_eq!((i.epoch.0.as_str(), i.health, i.restarts), ("t1", Some(Health::Healthy), 3));
        assert!(i.is_running() && !i.is_up());
        assert!(i.traits.is_empty(), "{:?}", i.traits);
    }

    #[test]
    fn between_two_lives_it_does_not_run() {
        let found = container(serde_json::json!({
            "Id": "abc", "Name": "/loop", "State": { "Status": "restarting", "Running": true, "Restarting": true },
        }));
        let i = instance(found, &Zones::default(), "", None).unwrap();
        assert!(!i.is_running());
        assert_eq!(i.service, "loop", "without a label the name says it");
    }

    #[test]
    fn what_makes_it_special_is_seen() {
        let found = container(serde_json::json!({
            "Id": "abc", "Name": "/x", "State": {},
            "Config": { "Labels": { "com.docker.swarm.service.name": "web", "rack": "r1" } },
            "HostConfig": {
                "AutoRemove": true, "NetworkMode": "host", "RestartPolicy": { "Name": "unless-stopped" },
                "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "0" }] },
            },
        }));
        let i = instance(found, &Zones::Label("rack".to_owned()), "", Some("abc")).unwrap();
        let who = Trait::Orchestrated("Docker Swarm (web)".to_owned());
        let want = [Trait::AutoRemove, who, Trait::Restarts, Trait::HostNetwork, Trait::RandomPorts, Trait::Ours];
        assert_eq!(i.traits, BTreeSet::from(want));
        assert_eq!(i.zone.as_deref(), Some("r1"));
    }

    #[test]
    fn fixed_ports_are_not_random() {
        let host: HostConfig = serde_json::from_value(serde_json::json!({
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }], "81/tcp": null },
        }))
        .unwrap();
        assert!(traits(&host, &BTreeMap::new(), false).is_empty());
    }
}
