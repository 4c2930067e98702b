//! What the engine tells of a container, read: whether it runs, who replaces it, what it is called. Asks nothing.

use bollard::models::{ContainerInspectResponse, ContainerState, HostConfig, RestartPolicyNameEnum};

use super::labels;
use crate::model::disk::Mount;
use crate::model::instance::sharing::{Borrowed, Sharer};
use crate::model::instance::{Aspect, Instance, InstanceId, RestartPolicy, Setting};

/// One container of the list.
pub(super) struct Found {
    pub(super) sharer: Sharer,
    pub(super) borrowed: Vec<Borrowed>,
    /// The host's PID of its main process, where that is told.
    pub(super) pid: Option<u32>,
    /// The file systems that the engine has given it.
    pub(super) mounts: Vec<Mount>,
    /// None where it is not among those that are seen.
    pub(super) instance: Option<Instance>,
}

/// The host's PID of a container's main process, where it has one.
pub(super) fn main_pid(state: &ContainerState) -> Option<u32> {
    state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

/// Whether the main process exists, paused or not. While the engine waits to restart it, it does not.
pub(super) fn is_running(state: &ContainerState) -> bool {
    state.running == Some(true) && state.restarting != Some(true)
}

/// Whether a container is as `to` wants it. What is momentary never is: it can only happen again.
pub(super) fn is_so(to: &Setting, now: &ContainerInspectResponse) -> bool {
    let Some(state) = &now.state else { return false };
    match to {
        Setting::Running(true) => is_running(state),
        // One that the engine is about to restart is not down for good.
        Setting::Running(false) | Setting::Killed(_) | Setting::Stopped { .. } => state.running != Some(true),
        Setting::Paused(paused) => state.paused.unwrap_or(false) == *paused,
        Setting::RestartPolicy(policy) => now.host_config.as_ref().is_some_and(|host| restart_policy(host) == *policy),
        Setting::Restarted { .. } | Setting::ConnectionsReset(_) | Setting::Ran(_)
        // The engine does not know of traffic, nor of limits as they are now: the kernel does.
        | Setting::Network(_) | Setting::Mark(..) | Setting::Limit(_) | Setting::Filled(_) | Setting::Freed(_)
        | Setting::ReadOnly(_) | Setting::Stressor(_) | Setting::Signalled(_)
        // Nor of what is about its machine.
        | Setting::Isolated(_) | Setting::Availability(_) => false,
    }
}

/// Whether an orchestrator replaces it when it ends: once ended, it is not to be started again.
pub(super) fn is_replaced(container: &ContainerInspectResponse) -> bool {
    let all = container.config.as_ref().and_then(|c| c.labels.as_ref());
    all.is_some_and(|all| labels::is_replaced(|label| all.contains_key(label)))
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

/// What is attempted, on what, for errors.
pub(super) fn attempting(name: &str, to: &Setting) -> String {
    match to {
        Setting::Running(true) => format!("start {name}"),
        Setting::Running(false) => format!("kill {name}"),
        Setting::Killed(kill) => format!("kill {name} with {} ({})", kill.signal, kill.via),
        Setting::Stopped { .. } => format!("stop {name}"),
        Setting::Restarted { .. } => format!("restart {name}"),
        Setting::Paused(true) => format!("pause {name}"),
        Setting::Paused(false) => format!("unpause {name}"),
        Setting::Network(_) => format!("disturb the traffic of {name}"),
        Setting::Mark(Aspect::Disk, _) => format!("free the disk of {name}"),
        Setting::Mark(aspect, _) => format!("leave the {aspect} of {name} alone"),
        Setting::Limit(limit) => format!("limit {name} to {limit}"),
        Setting::Filled(fill) => format!("fill {} of {name}", fill.place.path),
        Setting::Freed(place) => format!("free {} of {name}", place.path),
        Setting::ReadOnly(_) => format!("make mounts of {name} read-only or writable"),
        Setting::Stressor(stressor) => format!("have {name} {stressor}"),
        Setting::Signalled(signalled) => format!("have {name} {signalled}"),
        Setting::ConnectionsReset(_) => format!("reset connections of {name}"),
        Setting::RestartPolicy(policy) => format!("have {name} {policy}"),
        Setting::Isolated(_) => format!("cut off the node of {name}"),
        Setting::Availability(availability) => format!("have the node {} be {}", availability.node, availability.is),
        Setting::Ran(command) => format!("run {command} for {name}"),
    }
}

/// The container's name for people.
pub(super) fn name_of(now: &ContainerInspectResponse, id: &InstanceId) -> String {
    now.name.as_deref().map_or_else(|| short(id), |name| name.trim_start_matches('/').to_owned())
}

pub(super) fn short(id: &InstanceId) -> String {
    format!("container {}", id.0.get(..12).unwrap_or(&id.0))
}
