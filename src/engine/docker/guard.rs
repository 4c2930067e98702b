//! The guard as a container of its own, made from the container that this process runs in.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig, MountPoint};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use tokio::time::{Instant, sleep};

use super::container::is_running;
use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::EngineError;

/// What a guard's container carries; its value is the runner's container.
pub(super) const LABEL: &str = "squall.guard";

impl Docker {
    /// Starts a guard for `run` as a container like `own`, the one that this process runs in: same image, mounts,
    /// network and rights. `program` is Squall's file in it. Returns the guard's id; it removes itself when it ends.
    ///
    /// # Errors
    /// Where the journal is on no mount, so that another container could not read it, or the engine refuses.
    pub async fn start_guard(
        &self,
        own: &str,
        program: &Path,
        journal: &Path,
        deadline: &str,
        run: &str,
    ) -> Result<String, EngineError> {
        let attempt = || "start the guard as a container".to_owned();
        let error = |f: Failure| f.error(&self.endpoint.address, attempt);
        let refused = |why: String| EngineError::Refused { attempt: attempt(), why };
        let ours = self.inspect(own).await.map_err(error)?;
        let ours = ours.ok_or_else(|| refused(format!("container {own} does not exist")))?;
        let body = guard_like(&ours, own, program, journal, deadline, run).map_err(refused)?;
        let name = format!("squall-guard-{run}");
        let options = || Some(CreateContainerOptionsBuilder::new().name(&name).build());
        let end = Instant::now() + QUICK;
        let made = loop {
            match within(QUICK, self.api.create_container(options(), body.clone())).await {
                // An earlier guard of this run has the name. A living one is enough; a dead one is in the way, for as long
                // as the engine takes to remove it.
                Err(Failure::Refused(why)) if why.contains(&name) && Instant::now() < end => {
                    if self.is_alive(&name).await? {
                        return Err(refused(format!("there is one already: {name}")));
                    }
                    self.remove_container(&name).await?;
                    sleep(Duration::from_millis(50)).await;
                }
                other => break other,
            }
        };
        let id = made.map_err(error)?.id;
        if let Err(failure) = within(QUICK, self.api.start_container(&id, None::<StartContainerOptions>)).await {
            self.remove_container(&id).await?;
            return Err(error(failure));
        }
        Ok(id)
    }

    /// Whether a container exists and its main process runs.
    ///
    /// # Errors
    /// Where the engine does not say.
    pub async fn is_alive(&self, container: &str) -> Result<bool, EngineError> {
        let found = self
            .inspect(container)
            .await
            .map_err(|f| f.error(&self.endpoint.address, || format!("inspect {container}")))?;
        Ok(found.and_then(|c| c.state).is_some_and(|s| is_running(&s) && s.paused != Some(true)))
    }

    /// Kills a container at once. One that does not run, or does not exist, is no error.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn kill_container(&self, container: &str) -> Result<(), EngineError> {
        let error = |f: Failure| f.error(&self.endpoint.address, || format!("kill container {container}"));
        match within(QUICK, self.api.kill_container(container, None::<KillContainerOptions>)).await {
            Ok(()) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => match self.inspect(container).await.map_err(error)?.and_then(|c| c.state) {
                Some(state) if state.running == Some(true) => Err(error(failure)),
                _ => Ok(()),
            },
        }
    }

    /// Removes a container, running or not, with its anonymous volumes. One that does not exist is no error.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match within(QUICK, self.api.remove_container(container, Some(options))).await {
            Ok(()) | Err(Failure::Missing(_)) => Ok(()),
            // It is being removed already.
            Err(Failure::Refused(why)) if why.contains("in progress") => Ok(()),
            Err(failure) => Err(failure.error(&self.endpoint.address, || format!("remove container {container}"))),
        }
    }
}

/// The guard's container, from that of the runner. Pure.
fn guard_like(
    ours: &ContainerInspectResponse,
    own: &str,
    program: &Path,
    journal: &Path,
    deadline: &str,
    run: &str,
) -> Result<ContainerCreateBody, String> {
    let lasting = |m: &&MountPoint| m.typ.as_deref() != Some("tmpfs");
    let mut mounts = ours.mounts.iter().flatten().filter(lasting).filter_map(|m| m.destination.as_deref());
    if !mounts.any(|mount| journal.starts_with(mount)) {
        return Err(format!(
            "the journal {} is on no mount, so that the guard could not read it; give this container a volume for its \
             state (`-v squall-state:/var/lib/squall`)",
            journal.display()
        ));
    }
    let config = ours.config.clone().unwrap_or_default();
    let host = ours.host_config.clone().unwrap_or_default();
    let journal = journal.display().to_string();
    let command = ["guard", "--journal", &journal, "--deadline", deadline, "--runner-container", own];
    let mut labels = HashMap::from([("squall.run".to_owned(), run.to_owned())]);
    labels.insert(LABEL.to_owned(), own.to_owned());
    Ok(ContainerCreateBody {
        image: ours.image.clone().or(config.image),
        user: config.user,
        env: config.env,
        working_dir: config.working_dir,
        entrypoint: Some(vec![program.display().to_string()]),
        cmd: Some(command.map(str::to_owned).to_vec()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            // Every mount of Squall's: the socket and the state among them.
            volumes_from: Some(vec![own.to_owned()]),
            auto_remove: Some(true),
            network_mode: host.network_mode,
            pid_mode: host.pid_mode,
            userns_mode: host.userns_mode,
            cap_add: host.cap_add,
            cap_drop: host.cap_drop,
            privileged: host.privileged,
            security_opt: host.security_opt,
            group_add: host.group_add,
            extra_hosts: host.extra_hosts,
            dns: host.dns,
            readonly_rootfs: host.readonly_rootfs,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(mounts: &serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(serde_json::json!({
            "Id": "own", "Image": "sha256:1", "Path": "/bin/sh", "Args": ["-c", "squall run x.yaml"],
            "Config": { "Image": "squall:1", "Env": ["A=b"], "Labels": { "x": "y" } },
            "HostConfig": { "NetworkMode": "host", "PidMode": "host", "RestartPolicy": { "Name": "always" } },
            "Mounts": mounts,
        }))
        .unwrap()
    }

    #[test]
    fn the_guard_is_like_the_runner_but_for_what_it_does() {
        let mounts = serde_json::json!([{ "Type": "volume", "Name": "state", "Destination": "/var/lib/squall" }]);
        let program = Path::new("/usr/local/bin/squall");
        let journal = "/var/lib/squall/runs/r/journal.ndjson";
        let body = guard_like(&runner(&mounts), "own", program, Path::new(journal), "5m", "r").unwrap();
        let host = body.host_config.unwrap();
        assert_eq!(body.image.as_deref(), Some("sha256:1"), "the very same image, whatever its tag says now");
        assert_eq!(body.entrypoint.unwrap(), ["/usr/local/bin/squall"]);
        assert_eq!(body.cmd.unwrap(), ["guard", "--journal", journal, "--deadline", "5m", "--runner-container", "own"]);
        assert_eq!((host.network_mode.as_deref(), host.pid_mode.as_deref()), (Some("host"), Some("host")));
        assert_eq!(host.volumes_from.unwrap(), ["own"]);
        assert_eq!(host.restart_policy, None);
        assert!(!body.labels.unwrap().contains_key("x"));
    }

    #[test]
    fn a_journal_that_the_guard_could_not_read_is_refused() {
        for mounts in [
            serde_json::json!([]),
            serde_json::json!([{ "Type": "tmpfs", "Destination": "/var/lib/squall" }]),
            serde_json::json!([{ "Type": "bind", "Destination": "/var/lib/squal" }]),
        ] {
            let (program, journal) = (Path::new("/squall"), Path::new("/var/lib/squall/j"));
            let deadline = "5m";
            let why = guard_like(&runner(&mounts), "own", program, journal, deadline, "r").unwrap_err();
            assert!(why.contains("volume"), "{why}");
        }
    }
}
