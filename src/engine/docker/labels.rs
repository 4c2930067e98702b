//! What Compose, Swarm and other orchestrators write on containers, and what that says of one. No other module reads their labels.

use std::collections::BTreeMap;

use crate::model::instance::Task;

/// Where Compose writes the name of its project on all that it makes.
const PROJECT: &str = "com.docker.compose.project";
/// Where Swarm writes of which stack a container is.
const STACK: &str = "com.docker.stack.namespace";
/// Where Compose writes of which service a container is.
const SERVICE: &str = "com.docker.compose.service";
/// Where Swarm writes of which service a container is a task.
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
/// Where Swarm writes which task a container is.
const SWARM_TASK: &str = "com.docker.swarm.task.id";
/// Where Swarm writes what it is called: `SERVICE.SLOT.TASK`.
const SWARM_TASK_NAME: &str = "com.docker.swarm.task.name";
/// Where Compose writes that a container does one task beside its service.
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Those who replace containers that end, each by a label of its containers.
const ORCHESTRATORS: [(&str, &str); 4] = [
    (SWARM_SERVICE, "Docker Swarm"),
    ("io.kubernetes.pod.name", "Kubernetes"),
    ("com.hashicorp.nomad.alloc_id", "Nomad"),
    ("com.amazonaws.ecs.task-arn", "Amazon ECS"),
];

/// The label that all things of a project of Compose's carry, as `key=value`.
#[must_use]
pub fn of_project(project: &str) -> String {
    format!("{PROJECT}={project}")
}

/// The project that a container belongs to: that of Compose, or the stack of Swarm.
pub(super) fn project(labels: &BTreeMap<String, String>) -> Option<&str> {
    composed_project(labels).or_else(|| labels.get(STACK).map(String::as_str))
}

/// The project of Compose that a container belongs to.
pub(super) fn composed_project(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(PROJECT).map(String::as_str)
}

/// The service that Compose has made a container for.
pub(super) fn composed_service(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(SERVICE).map(String::as_str)
}

/// The service that a container is a replica of. What `compose run` makes carries the labels of the service that it does a task for,
/// and is none of its replicas.
pub(super) fn service(labels: &BTreeMap<String, String>) -> Option<&str> {
    let one_off = labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let names = ["squall.service", SERVICE, SWARM_SERVICE];
    names.iter().find_map(|key| labels.get(*key)).filter(|_| !one_off).map(String::as_str)
}

/// Which task of a Swarm a container is.
pub(super) fn task(labels: &BTreeMap<String, String>) -> Option<Task> {
    let id = labels.get(SWARM_TASK)?;
    let slot = || {
        let after = labels.get(SWARM_TASK_NAME)?.strip_prefix(labels.get(SWARM_SERVICE)?)?.strip_prefix('.')?;
        after.strip_suffix(id)?.strip_suffix('.').filter(|slot| !slot.is_empty()).map(str::to_owned)
    };
    Some(Task { id: id.clone(), slot: slot() })
}

/// The labels that a container of such a task would have.
pub(super) fn of_task(
    own: impl IntoIterator<Item = (String, String)>,
    (service, slot, id): (&str, &str, &str),
) -> BTreeMap<String, String> {
    let swarms = [
        (SWARM_SERVICE, service.to_owned()),
        (SWARM_TASK, id.to_owned()),
        (SWARM_TASK_NAME, format!("{service}.{slot}.{id}")),
    ];
    own.into_iter().chain(swarms.map(|(key, value)| (key.to_owned(), value))).collect()
}

/// Who replaces a container when it ends, each in words.
pub(super) fn replaced_by(labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    let told = ORCHESTRATORS.iter().filter_map(|(label, who)| Some((who, labels.get(*label)?)));
    told.map(|(who, what)| format!("{who} ({what})"))
}

/// Whether an orchestrator replaces a container when it ends.
pub(super) fn is_replaced<'a>(has: impl Fn(&'a str) -> bool) -> bool {
    ORCHESTRATORS.iter().any(|(label, _)| has(label))
}
