//! Which containers use namespaces and control groups together: as they are declared, and where a container does not answer,
//! as the kernel has it.

use std::sync::atomic::Ordering;

use bollard::models::ContainerInspectResponse;

use super::Docker;
use super::container::Found;
use crate::host::namespaces::{self, Kind};
use crate::model::instance::sharing::{Borrowed, Resource, Sharer, link};
use crate::model::instance::{InstanceId, Trait};

impl Docker {
    /// Tells each instance what it shares, with whom: also with containers that are not seen otherwise.
    pub(super) async fn share(&self, all: &mut [Found]) {
        let mute = |f: &Found| f.instance.as_ref().is_some_and(|i| i.unanswered().is_some() && f.sharer.runs);
        let unanswered: Vec<String> = all.iter().filter(|f| mute(f)).map(|f| f.sharer.id.0.clone()).collect();
        let mut borrowed: Vec<Borrowed> = all.iter().flat_map(|f| f.borrowed.clone()).collect();
        let known = all.iter().filter_map(|f| Some((f.sharer.id.0.clone(), f.pid?))).collect();
        let told = if unanswered.is_empty() { Vec::new() } else { self.as_the_kernel_has_it(unanswered, known).await };
        borrowed.extend(told.iter().flat_map(|(_, borrowed)| borrowed.clone()));
        let sharers: Vec<Sharer> = all.iter().map(|f| f.sharer.clone()).collect();
        let mut linked = link(&sharers, &borrowed);
        for found in all {
            let (is_mute, id) = (mute(found), found.sharer.id.clone());
            let Some(instance) = &mut found.instance else { continue };
            instance.shares = linked.remove(&id).unwrap_or_default();
            if is_mute && !told.iter().any(|(known, _)| *known == id.0) {
                instance.traits.insert(Trait::SharesUnknown);
            }
        }
    }

    /// What containers that do not answer share with others, by their processes; those of which a process was seen here.
    async fn as_the_kernel_has_it(
        &self,
        unanswered: Vec<String>,
        known: Vec<(String, u32)>,
    ) -> Vec<(String, Vec<Borrowed>)> {
        if !self.sight.found.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let look = move || {
            let mut told = Vec::new();
            for (id, pid) in namespaces::processes_of(&unanswered) {
                let by = InstanceId(id.clone());
                let mut borrowed = Vec::new();
                for (other, other_pid) in known.iter().filter(|(other, _)| *other != id) {
                    let mut add = |what| borrowed.push(Borrowed { by: by.clone(), what, from: other.clone() });
                    for (what, kind) in KINDS {
                        if namespaces::are_shared(pid, *other_pid, kind) {
                            add(what);
                        }
                    }
                    if namespaces::is_in_group_of(pid, other) {
                        add(Resource::Cgroup);
                    }
                }
                told.push((id, borrowed));
            }
            told
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// The namespaces that containers can share.
const KINDS: [(Resource, Kind); 3] =
    [(Resource::Network, Kind::Net), (Resource::Processes, Kind::Pid), (Resource::Ipc, Kind::Ipc)];

/// A container as one that shares, and what it declares to borrow.
pub(super) fn of(container: &ContainerInspectResponse) -> (Sharer, Vec<Borrowed>) {
    let id = InstanceId(container.id.clone().unwrap_or_default());
    let name = container.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let state = container.state.as_ref();
    // While its engine is about to restart it, it counts as one that runs.
    let runs = state.is_some_and(|s| s.running == Some(true) || s.restarting == Some(true));
    let host = container.host_config.clone().unwrap_or_default();
    let modes =
        [(Resource::Network, host.network_mode), (Resource::Processes, host.pid_mode), (Resource::Ipc, host.ipc_mode)];
    let namespaces = modes.into_iter().filter_map(|(what, mode)| {
        let from = mode?.strip_prefix("container:")?.to_owned();
        Some((what, from))
    });
    let groups = host.cgroup_parent.unwrap_or_default();
    let groups = groups.split('/').filter_map(container_of).map(|from| (Resource::Cgroup, from.to_owned()));
    let borrowed =
        namespaces.chain(groups).map(|(what, from)| Borrowed { by: id.clone(), what, from }).collect::<Vec<_>>();
    (Sharer { id, name, runs }, borrowed)
}

/// Whose container's control group a part of a path is, by both of its engine's naming schemes.
fn container_of(part: &str) -> Option<&str> {
    let scope = part.strip_suffix(".scope").and_then(|part| part.rsplit('-').next());
    let id = scope.unwrap_or(part);
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_declared_is_borrowed() {
        let (app, side) = ("a".repeat(64), "b".repeat(64));
        let container = serde_json::from_value(serde_json::json!({
            "Id": side, "Name": "/side", "State": { "Running": true },
            "HostConfig": {
                "NetworkMode": format!("container:{app}"), "PidMode": "container:app", "IpcMode": "private",
                "CgroupParent": format!("/docker/{app}/docker-{}.scope", "c".repeat(64)),
            },
        }))
        .unwrap();
        let (sharer, borrowed) = of(&container);
        assert_eq!((sharer.name.as_str(), sharer.runs), ("side", true));
        let found: Vec<_> = borrowed.iter().map(|b| (b.what, b.from.clone())).collect();
        let want = [
            (Resource::Network, app.clone()),
            (Resource::Processes, "app".to_owned()),
            (Resource::Cgroup, app),
            (Resource::Cgroup, "c".repeat(64)),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_group_that_is_no_containers_is_not_shared() {
        for parent in ["", "/docker", "system.slice", "/machine/app", "/docker/abc"] {
            let container =
                serde_json::from_value(serde_json::json!({ "Id": "x", "HostConfig": { "CgroupParent": parent } }));
            assert_eq!(of(&container.unwrap()).1, [], "{parent}");
        }
    }
}
