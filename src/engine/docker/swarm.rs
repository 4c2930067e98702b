//! What a manager of a Swarm tells of tasks on its other nodes: they are in the fleet, and nothing of them can be looked at or set from
//! here. Where no manager can be asked, every instance that an orchestrator replaces says so.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{LocalNodeState, SwarmInfo, Task, TaskState};
use bollard::query_parameters::{ListNetworksOptions, ListNodesOptions, ListServicesOptions, ListTasksOptionsBuilder};
use tokio::time::Instant;

use super::failure::{Failure, within};
use super::{Docker, QUICK, labels};
use crate::engine::{EngineError, NODE_LABEL, SwarmNode};
use crate::model::instance::{Health, Instance, Trait, of_all_machines};
use crate::model::zones::Zones;

/// How long a manager may take: without a quorum it does not answer for long.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// How long one that did not answer is not asked again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Since when a manager does not answer, and why.
pub(super) type Silence = Mutex<Option<(Instant, String)>>;

/// What an engine is in its Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its node.
    pub node: String,
    /// How many nodes there are, if it is a manager: only these know.
    pub nodes: Option<u64>,
    /// The managers that it knows, by their nodes.
    pub managers: Vec<String>,
}

impl Membership {
    /// Of an engine that is part of a Swarm, by what it tells of itself.
    pub(super) fn of(info: SwarmInfo) -> Option<Self> {
        let part = matches!(
            info.local_node_state,
            Some(LocalNodeState::ACTIVE | LocalNodeState::PENDING | LocalNodeState::ERROR | LocalNodeState::LOCKED)
        );
        let node = info.node_id.filter(|_| part)?;
        let manages = info.control_available == Some(true);
        let nodes = info.nodes.and_then(|n| u64::try_from(n).ok());
        let known = info.remote_managers.into_iter().flatten().filter_map(|peer| peer.node_id).collect();
        Some(Self { node, nodes: manages.then(|| nodes.unwrap_or_default()), managers: known })
    }

    /// The same for who knows no Docker Engine.
    pub(super) fn in_swarm(&self) -> SwarmNode {
        SwarmNode { id: self.node.clone(), manages: self.is_manager(), managers: self.managers.clone() }
    }

    /// Whether it knows what runs on the other nodes.
    #[must_use]
    pub fn is_manager(&self) -> bool {
        self.nodes.is_some()
    }
}

/// A node of a Swarm, as a manager tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOfSwarm {
    /// What the Swarm calls it.
    pub id: String,
    /// What its host is called.
    pub hostname: String,
    /// Its address in the Swarm, where a manager knows one.
    pub address: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Docker {
    /// The nodes of its Swarm, ordered by name.
    ///
    /// # Errors
    /// Where it is no manager of one.
    pub async fn swarm_nodes(&self) -> Result<Vec<NodeOfSwarm>, EngineError> {
        let error = |f: Failure| f.error(&self.endpoint.address, || "list the nodes of its Swarm".to_owned());
        let nodes = within(QUICK, self.api.list_nodes(None::<ListNodesOptions>)).await.map_err(error)?;
        let node = |node: bollard::models::Node| {
            Some(NodeOfSwarm {
                id: node.id?,
                hostname: node.description?.hostname?,
                address: node.status.and_then(|status| status.addr).filter(|address| !address.is_empty()),
                labels: node.spec?.labels.unwrap_or_default().into_iter().collect(),
            })
        };
        let mut nodes: Vec<_> = nodes.into_iter().filter_map(node).collect();
        nodes.sort_by(|a, b| a.hostname.cmp(&b.hostname));
        Ok(nodes)
    }

    /// Adds what runs on nodes that are not seen, or says of those that are why that is not known.
    pub(super) async fn add_elsewhere(&self, fleet: &mut Vec<Instance>) {
        // A project of Compose's is all that is seen: nothing of a Swarm is in it.
        if self.only.is_some() {
            return;
        }
        let is_manager = self.swarm.as_ref().is_some_and(Membership::is_manager);
        let told = match &self.swarm {
            Some(swarm) if swarm.is_manager() => self.elsewhere(swarm).await,
            Some(_) => Err("this engine is a worker of its Swarm, and only a manager knows".to_owned()),
            None => Err("this engine knows nothing of other machines".to_owned()),
        };
        match told {
            Ok(there) => {
                fleet.extend(there);
                *fleet = of_all_machines(std::mem::take(fleet));
            }
            Err(why) => {
                for i in fleet.iter_mut().filter(|i| i.replaced_by().is_some()) {
                    let why = why.clone();
                    i.traits.insert(if is_manager { Trait::OthersSilent(why) } else { Trait::OthersUnknown(why) });
                }
            }
        }
    }

    async fn elsewhere(&self, swarm: &Membership) -> Result<Vec<Instance>, String> {
        if let Some(why) = self.is_silent() {
            return Err(why);
        }
        let told = within(ANSWER, self.ask_manager()).await;
        let failed = told.as_ref().err().map(|failure| (Instant::now(), said(failure)));
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.clone_from(&failed);
        let (tasks, known) = told.map_err(|_| failed.map(|(_, why)| why).unwrap_or_default())?;
        let own = |task: &Task| task.node_id.as_ref() == Some(&swarm.node);
        Ok(tasks.iter().filter(|task| !own(task)).filter_map(|task| known.instance(task)).collect())
    }

    /// Why it is not asked just now, if it did not answer a moment ago.
    pub(super) fn is_silent(&self) -> Option<String> {
        let silent = self.silence.lock().unwrap_or_else(PoisonError::into_inner).clone();
        silent.filter(|(since, _)| since.elapsed() < RETRY_AFTER).map(|(_, why)| why)
    }

    /// It did not answer.
    pub(super) fn is_silent_since_now(&self, why: String) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why));
    }

    async fn ask_manager(&self) -> Result<(Vec<Task>, Known<'_>), bollard::errors::Error> {
        let wanted = HashMap::from([("desired-state", vec!["running"])]);
        let tasks = ListTasksOptionsBuilder::new().filters(&wanted).build();
        // Tasks tell the ids of networks, which are asked for where their names are zones.
        let networks = async {
            match &self.zones {
                Zones::Network(_) => self.api.list_networks(None::<ListNetworksOptions>).await,
                Zones::Label(_) | Zones::Engine(_) => Ok(Vec::new()),
            }
        };
        let (tasks, services, nodes, networks) = tokio::try_join!(
            self.api.list_tasks(Some(tasks)),
            self.api.list_services(None::<ListServicesOptions>),
            self.api.list_nodes(None::<ListNodesOptions>),
            networks,
        )?;
        let known = Known {
            services: services.into_iter().filter_map(|s| Some((s.id?, s.spec?.name?))).collect(),
            nodes: nodes.into_iter().filter_map(|n| Some((n.id?, n.description?.hostname?))).collect(),
            networks: networks.into_iter().filter_map(|n| Some((n.id?, n.name?))).collect(),
            zones: &self.zones,
        };
        Ok((tasks, known))
    }
}

fn said(failure: &Failure) -> String {
    let why = match failure {
        Failure::Missing(why) | Failure::Refused(why) | Failure::Unreachable(why) => why.trim().to_owned(),
        Failure::TimedOut(after) => format!("no answer within {}", humantime::format_duration(*after)),
    };
    format!("the manager of the Swarm does not tell: {why}")
}

/// What the ids are that tasks are told by.
struct Known<'a> {
    services: HashMap<String, String>,
    nodes: HashMap<String, String>,
    networks: HashMap<String, String>,
    zones: &'a Zones,
}

impl Known<'_> {
    /// A task that runs, or is about to, as an instance; nothing where it is on no node yet, or is over.
    fn instance(&self, task: &Task) -> Option<Instance> {
        let (id, node) = (task.id.as_deref()?, task.node_id.as_deref().filter(|node| !node.is_empty())?);
        let health = match task.status.as_ref()?.state? {
            // With a health check it is only when that passes.
            TaskState::RUNNING => Health::Healthy,
            TaskState::ASSIGNED
            | TaskState::ACCEPTED
            | TaskState::PREPARING
            | TaskState::READY
            | TaskState::STARTING => Health::Starting,
            _ => return None,
        };
        let service = self.services.get(task.service_id.as_deref()?)?;
        let spec = task.spec.as_ref().and_then(|spec| spec.container_spec.as_ref());
        let own = spec.and_then(|spec| spec.labels.clone()).unwrap_or_default();
        // One on every node has no number.
        let slot = task.slot.map_or_else(|| node.to_owned(), |n| n.to_string());
        let mut labels = labels::of_task(own, (service, &slot, id));
        labels.insert(NODE_LABEL.to_owned(), node.to_owned());
        let host = self.nodes.get(node).map_or(node, String::as_str);
        let networks = task.spec.iter().flat_map(|spec| spec.networks.iter().flatten());
        let networks = networks.filter_map(|on| Some(self.networks.get(on.target.as_ref()?)?.as_str()));
        let traits = labels::replaced_by(&labels).map(Trait::Orchestrated).chain([Trait::Elsewhere(host.to_owned())]);
        Some(Instance {
            node: Some(host.to_owned()),
            zone: self.zones.of((&labels, &BTreeMap::new()), networks, host),
            image: spec.and_then(|spec| spec.image.clone()),
            health: Some(health),
            traits: traits.collect(),
            project: labels::project(&labels).map(str::to_owned),
            task: labels::task(&labels),
            ..Instance::new(id, format!("{service}.{slot}.{id}"), labels::service(&labels).unwrap_or(service))
        })
        .map(|instance| Instance { labels, ..instance })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Observe as _;
    use crate::engine::docker::fake::Fake;

    /// An engine that has one task of `shop_web`, in slot 1, and is told these tasks by the Swarm; without any it refuses.
    async fn engine(manager: bool, tasks: Option<Value>) -> (Fake, Docker) {
        let labels = labels::of_task([], ("shop_web", "1", "t1"));
        let here = json!({
            "Id": "c1", "Name": "/shop_web.1.t1", "State": { "Running": true }, "Config": { "Labels": labels }, "HostConfig": {},
        });
        let fake = Fake::new(move |_, request| {
            let told = match request {
                "GET /containers/json" => json!([{ "Id": "c1" }]),
                "GET /containers/c1/json" => here.clone(),
                "GET /services" => json!([{ "ID": "s1", "Spec": { "Name": "shop_web" } }]),
                "GET /nodes" => json!([{ "ID": "node2", "Description": { "Hostname": "n2" } }]),
                _ => match &tasks {
                    Some(tasks) => tasks.clone(),
                    None => return (503, r#"{"message":"The swarm does not have a leader."}"#.to_owned()),
                },
            };
            (200, told.to_string())
        })
        .await;
        let swarm = Membership { node: "node1".to_owned(), nodes: manager.then_some(2), managers: Vec::new() };
        let docker = Docker { swarm: Some(swarm), ..fake.docker.clone() };
        (fake, docker)
    }

    fn task(id: &str, slot: u64, node: &str, state: &str) -> Value {
        let spec =
            json!({ "ContainerSpec": { "Labels": { "com.docker.stack.namespace": "shop", "squall.zone": "b" } } });
        json!({ "ID": id, "ServiceID": "s1", "Slot": slot, "NodeID": node, "Status": { "State": state }, "Spec": spec })
    }

    #[tokio::test]
    async fn a_manager_tells_of_tasks_on_other_nodes_and_of_no_others() {
        let tasks = json!([
            task("t1", 1, "node1", "running"),
            task("t2", 2, "node2", "running"),
            task("t3", 3, "node2", "starting"),
            task("t4", 4, "node2", "failed"),
            task("t5", 5, "", "pending"),
        ]);
        let (_fake, docker) = engine(true, Some(tasks)).await;
        let fleet = docker.observe().await.unwrap();
        let told: Vec<_> = fleet.iter().map(|i| (i.name.as_str(), i.elsewhere(), i.stands())).collect();
        let want =
            [("shop_web.1.t1", None, true), ("shop_web.2.t2", Some("n2"), true), ("shop_web.3.t3", Some("n2"), false)];
        assert_eq!(told, want);
        let there = &fleet[1];
        assert!(there.is_of_service("shop_web") && there.is_of_service("web") && there.zone.as_deref() == Some("b"));
        assert!(fleet.iter().all(|i| i.others_unknown().is_none()));
    }

    #[tokio::test]
    async fn where_no_manager_tells_the_instances_say_why_and_it_is_not_asked_again_at_once() {
        let (fake, docker) = engine(true, None).await;
        for _ in 0..2 {
            let fleet = docker.observe().await.unwrap();
            let [seen] = &fleet[..] else { panic!("{fleet:?}") };
            assert!(seen.others_unknown().is_some_and(|why| why.contains("does not have a leader")), "{seen:?}");
        }
        assert_eq!(fake.asked().iter().filter(|asked| *asked == "GET /tasks").count(), 1);

        let (fake, docker) = engine(false, None).await;
        let fleet = docker.observe().await.unwrap();
        assert!(fleet[0].others_unknown().is_some_and(|why| why.contains("a worker")));
        assert!(!fake.asked().iter().any(|asked| asked == "GET /tasks"));
    }
}
