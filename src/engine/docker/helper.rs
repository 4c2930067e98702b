//! The helper's container on the engine's own host, and the volume in which it keeps what it would have to roll back. What is said to it,
//! and what it does, is the business of `engine::node`.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

use super::failure::{Failure, within};
use super::{Docker, Machine, QUICK, Runner, podman};
use crate::engine::EngineError;
use crate::model::zones::Zones;

/// What a helper's container and its volume carry; its value is the session that they belong to.
pub(super) const LABEL: &str = "squall.node";

/// Where the helper finds its volume, in a directory that is called like it.
const SESSIONS: &str = "/var/lib/squall/node";
/// Where the helper finds the engine's socket.
pub const SOCKET: &str = "/run/squall/docker.sock";

/// What it takes to do there what needs the host, each tried: without it something is refused.
const CAPABILITIES: [&str; 12] = [
    // Namespaces of other processes, mounts, and what is laid on traffic.
    "SYS_ADMIN",
    "SYS_CHROOT",
    "NET_ADMIN",
    "NET_RAW",
    // Other processes: what they see, and signals to them.
    "SYS_PTRACE",
    "KILL",
    // Files of any owner, written as their owner.
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "CHOWN",
    "FOWNER",
    "SETUID",
    "SETGID",
];

/// How long the start of a container that was made may take.
const STARTS: Duration = Duration::from_secs(20);

/// A helper that was started: what it says, and where it is spoken to.
pub struct Attached {
    /// Its container.
    pub container: String,
    /// What it says, as it comes.
    pub output: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    /// Its standard input: its end is the helper's.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// How an engine's containers are seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// Their machine.
    #[serde(default)]
    pub machine: Machine,
    /// Where zones are read from.
    pub zones: Zones,
    /// The label of the only containers that are seen, where not all are.
    pub only: Option<String>,
    /// Directories of their machine that must not run out of space.
    pub needs: Vec<String>,
    /// Where who sees them is.
    #[serde(default)]
    pub runner: Runner,
}

/// A session's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session, which is the volume's name, too.
    pub name: String,
    /// Whether a helper has it.
    pub is_in_use: bool,
}

impl Docker {
    /// Where the engine's socket is on its own host: as its address tells, else as the engine itself does, else where it usually is.
    async fn socket_there(&self) -> String {
        let address = self.endpoint.address.as_str();
        let by_ssh = || address.strip_prefix("ssh://")?.find('/').map(|at| &address["ssh://".len() + at..]);
        let path = address.strip_prefix("unix://").or_else(by_ssh).unwrap_or(address);
        match &self.podman {
            _ if path.starts_with('/') => path.to_owned(),
            None => "/var/run/docker.sock".to_owned(),
            Some(_) => podman::socket(&self.api).await.unwrap_or_else(|| podman::USUAL_SOCKET.to_owned()),
        }
    }

    /// How this engine's containers are seen.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            machine: self.machine.clone(),
            zones: self.zones.clone(),
            only: self.only.clone(),
            needs: self.needs.clone(),
            runner: Runner::of(self),
        }
    }

    /// The same engine, where its containers are seen so, by a helper on its own host.
    ///
    /// # Errors
    /// As [`Docker::with_zones`].
    pub async fn with_view(self, view: View) -> Result<Self, EngineError> {
        let docker = self.with_machine(view.machine).with_zones(view.zones).await?.with_label_filter(view.only);
        Ok(Self { needs: view.needs, runner: Some(view.runner), ..docker })
    }

    /// Whether this process is on the engine's own host, and may do there what faults of traffic, machine and disk take: its containers'
    /// processes are seen from here. Where none runs, one who reaches a socket of this machine is.
    ///
    /// # Errors
    /// Where the engine does not say which containers run.
    pub async fn is_on_its_host(&self) -> Result<bool, EngineError> {
        if !self.host.may_enter() {
            return Ok(false);
        }
        let running = self
            .list(ListContainersOptionsBuilder::new())
            .await
            .map_err(|f| f.error(&self.endpoint.address, || "list the containers".to_owned()))?;
        for id in running.into_iter().filter_map(|container| container.id) {
            // One that does not answer says nothing.
            let _ = self.inspect(&id).await;
            if let Some(sees) = self.sees_processes() {
                return Ok(sees);
            }
        }
        Ok(self.endpoint.address.starts_with("unix://"))
    }

    /// Whether a container exists, in any state.
    ///
    /// # Errors
    /// Where the engine does not say.
    pub async fn exists(&self, container: &str) -> Result<bool, EngineError> {
        let found = self.inspect(container).await;
        found
            .map(|found| found.is_some())
            .map_err(|f| f.error(&self.endpoint.address, || format!("inspect {container}")))
    }

    /// The sessions that have left something.
    ///
    /// # Errors
    /// Where the engine does not say.
    pub async fn sessions(&self) -> Result<Vec<Session>, EngineError> {
        let filters = HashMap::from([("label", vec![LABEL])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = within(QUICK, self.api.list_volumes(Some(options)))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || "list the volumes of helpers".to_owned()))?;
        let mut sessions = Vec::new();
        for volume in listed.volumes.unwrap_or_default() {
            let is_in_use = !self.labelled(&format!("{LABEL}={}", volume.name)).await?.is_empty();
            sessions.push(Session { name: volume.name, is_in_use });
        }
        Ok(sessions)
    }

    /// Removes helpers and guards that were made and never started, since their starter died in between: the engine removes by itself
    /// only what has ended.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_never_started(&self) -> Result<(), EngineError> {
        let error = |f: Failure| f.error(&self.endpoint.address, || "list containers that never started".to_owned());
        let mut old = Vec::new();
        for label in [LABEL, super::guard::LABEL] {
            let filters = HashMap::from([("status", vec!["created"]), ("label", vec![label])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters);
            let made = self.list(options).await.map_err(error)?;
            old.extend(made.into_iter().filter_map(|c| Some((c.id?, c.created?))));
        }
        if old.is_empty() {
            return Ok(());
        }
        // By the engine's own clock, which the times of its containers are by.
        let told = within(QUICK, self.api.info()).await.map_err(error)?.system_time;
        let now = told.and_then(|now| now.parse::<jiff::Timestamp>().ok()).map_or(i64::MIN, jiff::Timestamp::as_second);
        for (container, _) in
            old.into_iter().filter(|(_, made)| now.saturating_sub(*made) > STARTS.as_secs().cast_signed())
        {
            self.remove_container(&container).await?;
        }
        Ok(())
    }

    /// Removes a session's volume, in which nothing is left to be rolled back. One that a helper still has stays.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_session(&self, name: &str) -> Result<(), EngineError> {
        match within(QUICK, self.api.remove_volume(name, None::<RemoveVolumeOptions>)).await {
            Ok(()) | Err(Failure::Missing(_)) => Ok(()),
            Err(Failure::Refused(why)) if why.contains("in use") => Ok(()),
            Err(failure) => Err(failure.error(&self.endpoint.address, || format!("remove the volume {name}"))),
        }
    }

    /// Starts a helper from an image of Squall's, and listens to it from its first word.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn start_helper(&self, image: &str, session: &str) -> Result<Attached, EngineError> {
        let error = |f: Failure| f.error(&self.endpoint.address, || "start the helper on its node".to_owned());
        let body = body(image, session, &self.socket_there().await, self.podman.is_some());
        // A run may have two of them for a moment.
        let name = format!("{session}-{:04x}", rand::random::<u16>());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = within(QUICK, self.api.create_container(Some(options), body)).await.map_err(error)?;
        let id = made.id;
        let attach = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
        let started = async {
            let attached = within(QUICK, self.api.attach_container(&id, Some(attach))).await?;
            within(QUICK, self.api.start_container(&id, None::<StartContainerOptions>)).await?;
            Ok(attached)
        };
        match started.await {
            Ok(attached) => Ok(Attached { container: id.clone(), output: attached.output, input: attached.input }),
            Err(failure) => {
                // One that never began is not removed by itself.
                let _ = self.remove_container(&id).await;
                Err(error(failure))
            }
        }
    }
}

/// The helper's container: in the host's namespaces of processes and of the network, with what it takes there and no more. It ends, and
/// is removed, when the stream to it ends.
fn body(image: &str, session: &str, socket: &str, by_podman: bool) -> ContainerCreateBody {
    let mount = |typ, source: &str, target: &str| Mount {
        typ: Some(typ),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        ..Mount::default()
    };
    let kept = format!("{SESSIONS}/{session}");
    // Made with the container, so that it is never there without it before the helper has ended.
    let labels = HashMap::from([(LABEL.to_owned(), session.to_owned())]);
    let volume = Mount {
        volume_options: Some(MountVolumeOptions { labels: Some(labels.clone()), ..MountVolumeOptions::default() }),
        ..mount(MountType::VOLUME, session, &kept)
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(["node", "--socket", socket, "--session", &kept].map(str::to_owned).to_vec()),
        labels: Some(labels),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // Its end is a rollback. An engine that was killed ends what is left of before when it starts again, and does not answer before.
        stop_timeout: Some(30),
        user: Some("0".to_owned()),
        host_config: Some(HostConfig {
            auto_remove: Some(true),
            pid_mode: Some("host".to_owned()),
            network_mode: Some("host".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            // What these keep from a process is what a helper is for.
            security_opt: Some(
                ["apparmor=unconfined", "seccomp=unconfined", "label=disable", "no-new-privileges"]
                    .into_iter()
                    .chain(by_podman.then_some(podman::WRITABLE_KERNEL))
                    .map(str::to_owned)
                    .collect(),
            ),
            readonly_rootfs: Some(true),
            // Values of the kernel are limits of some faults. Podman does not read these two.
            readonly_paths: Some(Vec::new()),
            masked_paths: Some(Vec::new()),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "mode=1777".to_owned())])),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            mounts: Some(vec![
                mount(MountType::BIND, socket, SOCKET),
                mount(MountType::BIND, "/sys/fs/cgroup", "/sys/fs/cgroup"),
                volume,
            ]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_values_can_be_written_in_the_terms_of_each_engine() {
        let host = |by_podman| body("image", "session", "/run/socket", by_podman).host_config.unwrap();
        let unmasked = |host: &HostConfig| host.security_opt.iter().flatten().any(|opt| opt == "unmask=ALL");
        assert!(unmasked(&host(true)));
        // Docker refuses an option that it does not know.
        assert!(!unmasked(&host(false)));
        assert_eq!(host(false).readonly_paths, Some(Vec::new()));
    }
}
