//! Containers as instances.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary, HealthStatusEnum, HostConfig};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};

use super::container::{Found, is_running, main_pid, restart_policy};
use super::failure::{Failure, within};
use super::unanswered::Inspected;
use super::{Docker, Machine, QUICK, labels, states};
use crate::engine::{EngineError, machine, net};
use crate::host::process::Process;
use crate::model::instance::{Aspect, Epoch, Health, Instance, RestartPolicy, Setting, Trait};
use crate::model::zones::Zones;

/// How many containers are inspected at once.
const AT_ONCE: usize = 16;

/// How long a container may be in a state that is not known: it is one between two others.
const PASSES: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// How closely containers are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Each is inspected, and looked at on its host.
    Whole,
    /// As the engine says, where so many events of it were heard.
    Glance(Option<u64>),
}

impl Docker {
    /// Lists the containers once, and inspects them at the same time: any of them may share something with any other.
    /// One that does not answer holds nothing up for long, and is told as such.
    pub(super) async fn see_all(&self, look: Look) -> Result<Vec<Instance>, EngineError> {
        let error = |f: Failure| f.error(&self.endpoint.address, || "list the containers".to_owned());
        let listed = self.list(ListContainersOptionsBuilder::new().all(true)).await.map_err(error)?;
        let all: Vec<_> = futures_util::stream::iter(listed)
            .map(|listed| self.found(listed, look))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(error)?;
        let mut all: Vec<Found> = all.into_iter().flatten().collect();
        self.share(&mut all).await;
        if look == Look::Whole {
            self.share_disks(&mut all).await;
        }
        let mut instances: Vec<Instance> = all.into_iter().filter_map(|f| f.instance).collect();
        Box::pin(self.see_availability(&mut instances)).await;
        Box::pin(self.add_elsewhere(&mut instances)).await;
        instances.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(instances)
    }

    /// The containers that are asked for.
    pub(super) async fn list(&self, options: ListContainersOptionsBuilder) -> Result<Vec<ContainerSummary>, Failure> {
        let call = Box::pin(self.api.list_containers(Some(options.build())));
        within(QUICK, async { states::listed(call.await) }).await
    }

    /// A listed container as it is now; nothing where it is gone meanwhile.
    async fn found(&self, listed: ContainerSummary, look: Look) -> Result<Option<Found>, Failure> {
        let Some(id) = listed.id.clone() else { return Ok(None) };
        let known = if look == Look::Whole { None } else { self.glances.known(&listed) };
        let answer = match known {
            Some(container) => Inspected::Here(Box::new(container)),
            None => self.answer(&id).await?,
        };
        let (container, why) = match answer {
            Inspected::Gone => return Ok(None),
            Inspected::Here(container) => (*container, None),
            Inspected::None(why) => (super::unanswered::from_list(listed), Some(why)),
        };
        if let (Look::Glance(Some(heard)), None) = (look, &why) {
            self.glances.learn(heard, &container);
        }
        let (mut sharer, borrowed) = super::sharing::of(&container);
        let is_infra = self.podman.is_some() && super::podman::is_infra(&container);
        // It lends to those of its pod, and loses nothing itself.
        sharer.runs &= !is_infra;
        let pid = container.state.as_ref().and_then(main_pid);
        // Where not all are seen, the others are still there to share something with those that are.
        let labels = container.config.as_ref().and_then(|c| c.labels.as_ref());
        let mounts = super::machine::mounts(&container);
        let is_seen = self.only.as_deref().is_none_or(|label| labels.is_some_and(|all| carries(all, label)));
        let is_seen = is_seen && !is_infra;
        let instance = match why {
            _ if !is_seen => None,
            None if look == Look::Whole => self.seen(container).await,
            None => self.instance(container),
            Some(why) => self.instance(container).map(|mut instance| {
                instance.traits.insert(Trait::Unanswered(why));
                instance
            }),
        };
        Ok(Some(Found { sharer, borrowed, pid, mounts, instance }))
    }

    /// A container as the engine tells it, by id or name; `None` where it does not exist.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
        Box::pin(self.inspect_within(QUICK, id)).await
    }

    /// The same, as far as the engine tells it in this time. One in an unknown state is looked at again: that passes.
    pub(super) async fn inspect_within(
        &self,
        limit: Duration,
        id: &str,
    ) -> Result<Option<ContainerInspectResponse>, Failure> {
        let bound = limit.min(PASSES);
        let deadline = Instant::now() + bound;
        loop {
            let call = Box::pin(self.api.inspect_container(id, None::<InspectContainerOptions>));
            match within(limit, async { states::inspected(call.await) }).await {
                Ok((container, None)) => {
                    self.learn_sight(&container);
                    return Ok(Some(container));
                }
                Ok(_) if Instant::now() < deadline => sleep(AGAIN).await,
                Ok((_, Some(word))) => {
                    let bound = humantime::format_duration(bound);
                    return Err(Failure::Refused(format!(
                        "it is `{word}`, a state that Squall does not know, and has been for {bound}; start it or remove it"
                    )));
                }
                Err(Failure::Missing(_)) => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Learns from a running container whether its main process can be seen from here. Once seen, it stays so.
    fn learn_sight(&self, container: &ContainerInspectResponse) {
        if let (Some(id), Some(_)) = (&container.id, container.state.as_ref().and_then(main_pid)) {
            let mut last = self.sight.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.insert(id.clone(), container.clone());
        }
        if !self.sight.found.load(Ordering::Relaxed)
            && let (Some(id), Some(pid)) = (&container.id, container.state.as_ref().and_then(main_pid))
        {
            self.sight.looked.store(true, Ordering::Relaxed);
            if Process::open(pid).ok().flatten().is_some_and(|p| p.is_of_container(id)) {
                self.sight.found.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The container as an instance, with what can be seen of its traffic and of its machine.
    pub(super) async fn seen(&self, container: ContainerInspectResponse) -> Option<Instance> {
        let found = self.sight.found.load(Ordering::Relaxed);
        let traffic = (found && self.host.may_enter()).then(|| super::net::site(&container, &self.host));
        let machine = if found { super::machine::site(&container, &self.host) } else { None };
        let instance = self.instance(container)?;
        let mut seen = instance.clone();
        let looked = async {
            if let Some(site) = traffic {
                net::observe(Ok(site), &mut seen).await;
            }
            if found {
                machine::observe(&self.host, machine, &mut seen).await;
            }
        };
        let looked = tokio::time::timeout(QUICK, looked).await;
        // A file system of it may hang. What was not seen cannot be changed.
        let mut seen = if looked.is_ok() { seen } else { instance };
        self.see_isolation(&mut seen).await;
        Some(seen)
    }

    /// The container as an instance; `None` where the engine left out what makes it one.
    pub(super) fn instance(&self, container: ContainerInspectResponse) -> Option<Instance> {
        let mut instance = instance(container, &self.zones, &self.machine, self.own.as_deref())?;
        // A helper has a container of its own, and its runner may have another one.
        if self.runner.as_ref().is_some_and(|runner| runner.is_in(&instance.id.0)) {
            instance.traits.insert(Trait::Ours);
        }
        // Where not all containers are seen, what else is on the machine is not known.
        instance.node = instance.node.filter(|_| self.only.is_none());
        // Another run's stack is that run's alone; where one project is all that is seen, it is the own one.
        let project = labels::composed_project(&instance.labels);
        if self.only.is_none() && project.is_some_and(super::project::is_of_a_run) {
            instance.traits.insert(Trait::Ours);
        }
        Some(instance)
    }
}

/// Whether labels have one that is given as `key` or `key=value`.
fn carries(labels: &HashMap<String, String>, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(label),
    }
}

fn instance(
    container: ContainerInspectResponse,
    zones: &Zones,
    machine: &Machine,
    own: Option<&str>,
) -> Option<Instance> {
    let addresses = super::net::addresses(&container);
    let mounts = super::machine::mounts(&container);
    let id = container.id?;
    let state = container.state?;
    let config = container.config.unwrap_or_default();
    let told: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let name = container.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let service = labels::service(&told).unwrap_or(&name).to_owned();
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
    // Unless it is given another one, its host's name is the beginning of its id.
    let is_own = host.network_mode.as_deref() != Some("host");
    Some(Instance {
        node: Some(machine.name.clone()).filter(|name| !name.is_empty()),
        zone: zones.of((&told, &machine.labels), addresses.iter().map(|a| a.network.as_str()), &machine.name),
        image: config.image,
        hostname: config.hostname.filter(|name| is_own && !name.is_empty() && !id.starts_with(name.as_str())),
        traits: traits(&host, &told, own == Some(id.as_str())),
        epoch: Epoch(state.started_at.unwrap_or_default()),
        health,
        restarts: container.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        addresses,
        mounts,
        settings: settings.map(|s| (s.aspect(), s)).collect::<BTreeMap<Aspect, Setting>>(),
        project: labels::project(&told).map(str::to_owned),
        task: labels::task(&told),
        composed: labels::composed_service(&told).filter(|name| *name != service).map(str::to_owned),
        labels: told,
        ..Instance::new(id, name, service)
    })
}

fn traits(host: &HostConfig, told: &BTreeMap<String, String>, own: bool) -> BTreeSet<Trait> {
    let mut traits = BTreeSet::new();
    if host.auto_remove == Some(true) {
        traits.insert(Trait::AutoRemove);
    }
    if restart_policy(host) != RestartPolicy::Never {
        traits.insert(Trait::Restarts);
    }
    traits.extend(labels::replaced_by(told).map(Trait::Orchestrated));
    if host.network_mode.as_deref() == Some("host") {
        traits.insert(Trait::HostNetwork);
    }
    let ports = host.port_bindings.iter().flatten().filter_map(|(_, bindings)| bindings.as_ref()).flatten();
    let random = |port: Option<&str>| matches!(port, None | Some("" | "0"));
    if host.publish_all_ports == Some(true) || ports.into_iter().any(|p| random(p.host_port.as_deref())) {
        traits.insert(Trait::RandomPorts);
    }
    if own || told.contains_key("squall.run") || told.contains_key(super::helper::LABEL) {
        traits.insert(Trait::Ours);
    }
    traits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::fake::Fake;

    fn container(json: serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(json).unwrap()
    }

    /// Podman tells of such a state between the end of a process and what it does after it.
    #[tokio::test]
    async fn an_unknown_state_is_looked_at_again_and_told_where_it_stays() {
        let stopped = |n: usize, request: &str, times: usize| {
            if request == "GET /containers/json" {
                return (200, r#"[{ "Id": "abc", "State": "stopped" }]"#.to_owned());
            }
            let state = serde_json::json!({ "Status": if n < times { "stopped" } else { "exited" }, "Running": false });
            (200, serde_json::json!({ "Id": "abc", "Name": "/shop-1", "State": state }).to_string())
        };
        let fake = Fake::new(move |n, request| stopped(n, request, 3)).await;
        let all = fake.docker.see_all(Look::Whole).await.unwrap();
        assert_eq!((all.len(), all[0].is_running(), all[0].unanswered()), (1, false, None));
        assert!(fake.asked().len() > 3, "{:?}", fake.asked());

        let fake = Fake::new(move |n, request| stopped(n, request, usize::MAX)).await;
        let short = fake.docker.inspect_within(Duration::from_millis(100), "abc").await;
        assert!(matches!(short, Err(Failure::Refused(why)) if why.contains("`stopped`")));
    }

    #[test]
    fn a_container_is_an_instance() {
        let found = container(serde_json::json!({
            "Id": "abc", "Name": "/shop-1", "RestartCount": 3,
            "State": { "Status": "paused", "Running": true, "Paused": true, "StartedAt": "t1",
                       "Health": { "Status": "healthy" } },
            "Config": { "Image": "shop:1", "Hostname": "till", "Labels": { "com.docker.compose.service": "shop", "rack": "r1", "squall.zone": "a" } },
            "HostConfig": { "NetworkMode": "default", "RestartPolicy": { "Name": "no" } },
        }));
        let i = instance(found, &Zones::default(), &Machine::default(), None).unwrap();
        assert_eq!((i.name.as_str(), i.service.as_str(), i.zone.as_deref()), ("shop-1", "shop", Some("a")));
        assert_eq!(i.also_called(), ["till"]);
        assert_eq!((i.epoch.0.as_str(), i.health, i.restarts), ("t1", Some(Health::Healthy), 3));
        assert!(i.is_running() && !i.is_up());
        assert!(i.traits.is_empty(), "{:?}", i.traits);
    }

    #[test]
    fn a_one_off_container_is_no_instance_of_its_service() {
        for (one_off, service) in [("True", "app_web_run_1"), ("true", "app_web_run_1"), ("False", "web")] {
            let found = container(serde_json::json!({
                "Id": "abc", "Name": "/app_web_run_1", "State": {},
                "Config": { "Labels": { "com.docker.compose.service": "web", "com.docker.compose.oneoff": one_off } },
            }));
            assert_eq!(
                instance(found, &Zones::default(), &Machine::default(), None).unwrap().service,
                service,
                "{one_off}"
            );
        }
    }

    #[test]
    fn its_project_and_its_other_service_are_told() {
        let of = |labels: serde_json::Value| {
            let found = container(
                serde_json::json!({ "Id": "abc", "Name": "/x", "State": {}, "Config": { "Labels": labels } }),
            );
            let i = instance(found, &Zones::default(), &Machine::default(), None).unwrap();
            (i.project, i.service, i.composed)
        };
        let composed = serde_json::json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": "web" });
        assert_eq!(of(composed.clone()), (Some("shop".to_owned()), "web".to_owned(), None));
        let mut renamed = composed;
        renamed["squall.service"] = "front".into();
        assert_eq!(of(renamed), (Some("shop".to_owned()), "front".to_owned(), Some("web".to_owned())));
        let swarm = serde_json::json!({ "com.docker.stack.namespace": "shop" });
        assert_eq!(of(swarm), (Some("shop".to_owned()), "x".to_owned(), None), "a stack of Swarm");
    }

    #[test]
    fn between_two_lives_it_does_not_run() {
        let found = container(serde_json::json!({
            "Id": "abc", "Name": "/loop", "State": { "Status": "restarting", "Running": true, "Restarting": true },
        }));
        let i = instance(found, &Zones::default(), &Machine::default(), None).unwrap();
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
        let i = instance(found, &Zones::Label("rack".to_owned()), &Machine::default(), Some("abc")).unwrap();
        assert_eq!(i.service, "web", "the service of a Swarm is one, too");
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
