//! The machine that a container believes it has: found by the container's main process. What is set there, and how, is the
//! business of `engine::machine`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bollard::models::ContainerInspectResponse;

use super::container::{attempting, is_running, main_pid, name_of};
use super::{Docker, QUICK};
use crate::engine::machine::{self, DiskAccess, MachineAccess, disk};
use crate::engine::{Ability, EngineError, Outcome, Tag};
use crate::host::Host;
use crate::host::process::Process;
use crate::model::disk::{DiskLocation, Mount, MountKind};
use crate::model::instance::{Instance, InstanceId, Setting};

const NOT_SEEN: &str = "it is set by way of the container's processes, and they cannot be seen from here: run Squall on the \
                        engine's own host, or in a container with `--pid=host`";

const NO_GROUP: &str = "it is set by way of the container's control group, and its engine has given it none of its own (as rootless \
                        Podman does with control groups of version 1): start the container by an engine that runs as root, or where \
                        control groups are of version 2";

impl Docker {
    /// Whether its containers' processes can be seen from here; `None` where none was running when it was looked.
    #[must_use]
    pub fn sees_processes(&self) -> Option<bool> {
        self.sight.looked.load(Ordering::Relaxed).then(|| self.sight.found.load(Ordering::Relaxed))
    }

    /// The number here of a container's main process, of those that were looked at.
    #[must_use]
    pub fn process_here(&self) -> Option<u32> {
        let last = self.sight.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = |(id, container): (&String, &ContainerInspectResponse)| {
            let pid = container.state.as_ref().and_then(main_pid)?;
            Process::open(pid).ok()?.filter(|p| p.is_of_container(id)).map(|_| pid)
        };
        last.iter().find_map(is_its)
    }

    /// Whether such a setting of the machine can be made so from here.
    pub(super) fn can_have(&self, instance: &Instance, to: &Setting) -> Ability {
        if self.sight.looked.load(Ordering::Relaxed) && !self.sight.found.load(Ordering::Relaxed) {
            return Ability::No(NOT_SEEN.to_owned());
        }
        let last = self.last(&instance.id).and_then(|container| main_pid(&container.state?));
        let pid = last.filter(|_| instance.is_running());
        // Held while it is looked at; the number may be another process's by now.
        let process = pid.and_then(|pid| Process::open(pid).ok()?).filter(|p| p.is_of_container(&instance.id.0));
        let may_lack = self.podman.is_some();
        if may_lack && process.as_ref().is_some_and(|p| self.host.cgroups().of(p, &instance.id.0).is_err()) {
            return Ability::No(NO_GROUP.to_owned());
        }
        machine::can(&self.at(process.as_ref().map(Process::pid)), instance, to)
    }

    fn at(&self, pid: Option<u32>) -> DiskAccess<'_> {
        DiskAccess { host: &self.host, pid, fillings: &self.fillings, needs: &self.needs }
    }

    /// Takes away what fills a file system of it: at a place, or wherever this run has put something. Also of a container that is
    /// stopped or gone.
    pub(super) async fn free(
        &self,
        tag: &Tag,
        id: &InstanceId,
        to: &Setting,
        place: Option<&DiskLocation>,
    ) -> Result<Outcome, EngineError> {
        let container = self.now_or_last(id, to).await?;
        // In a container of Squall's, the directories of the host are seen only with its processes: what is not seen is not gone.
        if let Some(own) = &self.own
            && !self.sight.found.load(Ordering::Relaxed)
        {
            self.now(&InstanceId(own.clone()), to).await?;
        }
        let attempt = container.as_ref().map_or_else(|| attempting("it", to), |c| attempting(&name_of(c, id), to));
        let refused = |why: String| EngineError::Refused { attempt: attempt.clone(), why };
        let running = container.as_ref().and_then(|c| c.state.as_ref()).is_some_and(is_running);
        let process = container.as_ref().and_then(main_process);
        let blind = self.own.is_some() && !self.sight.found.load(Ordering::Relaxed);
        if blind || (running && process.is_none()) {
            return Err(refused(NOT_SEEN.to_owned()));
        }
        let at = self.at(process.as_ref().map(Process::pid));
        let gone = container.is_none();
        let freed = match (place, container.and_then(|c| self.instance(c))) {
            (Some(place), _) => disk::free(&at, tag, place).await,
            (None, Some(instance)) => disk::free_all(&at, tag, &instance).await,
            (None, None) => Ok(Outcome::Gone),
        };
        match freed.map_err(|why| refused(why.to_string()))? {
            Outcome::Already if gone => Ok(Outcome::Gone),
            outcome => Ok(outcome),
        }
    }

    /// Ends what of a change goes on though its container does not run any more.
    async fn forget(&self, tag: &Tag, to: &Setting, attempt: String) -> Result<(), EngineError> {
        if !matches!(to, Setting::Mark(_, None)) {
            return Ok(());
        }
        machine::forget(&self.host, tag).await.map_err(|why| EngineError::Refused { attempt, why: why.to_string() })
    }

    /// Makes a setting of the machine so.
    pub(super) async fn set_machine(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let Some(container) = self.now_or_last(id, to).await? else {
            return self.forget(tag, to, format!("end what was done to {id}")).await.map(|()| Outcome::Gone);
        };
        let attempt = attempting(&name_of(&container, id), to);
        let running = container.state.as_ref().is_some_and(is_running);
        let site = site(&container, &self.host);
        let seen = site.is_some() || main_process(&container).is_some();
        let Some(instance) = self.instance(container) else { return Ok(Outcome::Gone) };
        let at = self.at(site.as_ref().map(|s| s.process.pid()));
        match site {
            Some(site) => match tokio::time::timeout(QUICK, machine::set(site, &at, tag, &instance, to)).await {
                Ok(set) => set.map_err(|why| EngineError::Refused { attempt, why: why.to_string() }),
                Err(_) => Err(EngineError::TimedOut { attempt, after: QUICK }),
            },
            None if running && !seen => Err(EngineError::Refused { attempt, why: NOT_SEEN.to_owned() }),
            None if running && !matches!(to, Setting::Mark(_, None)) => {
                Err(EngineError::Refused { attempt, why: NO_GROUP.to_owned() })
            }
            None => match to {
                Setting::Mark(_, None) => self.forget(tag, to, attempt).await.map(|()| Outcome::Already),
                // It ended with the life that it was made for; the next one begins with what is configured.
                Setting::Limit(_) | Setting::ReadOnly(_) => Ok(Outcome::Already),
                Setting::Filled(_) if to.ends_with_life() => Ok(Outcome::Already),
                Setting::Filled(_)
                | Setting::Stressor(_)
                | Setting::Signalled(_)
                | Setting::Running(_)
                | Setting::Killed(_)
                | Setting::Stopped { .. }
                | Setting::Restarted { .. }
                | Setting::Paused(_)
                | Setting::Network(_)
                | Setting::Mark(_, Some(_))
                | Setting::Freed(_)
                | Setting::ConnectionsReset(_)
                | Setting::RestartPolicy(_)
                | Setting::Isolated(_)
                | Setting::Availability(_)
                | Setting::Ran(_) => Err(EngineError::Refused { attempt, why: "it is not running".to_owned() }),
            },
        }
    }
}

/// The main process of a container, if it runs and can be seen from here. It is held before it is shown to be the container's, so
/// that a PID that went to another process meanwhile is never mistaken for it.
fn main_process(container: &ContainerInspectResponse) -> Option<Process> {
    let state = container.state.as_ref().filter(|s| is_running(s))?;
    let process = Process::open(main_pid(state)?).ok()??;
    let id = container.id.as_deref()?;
    process.is_of_container(id).then_some(process)
}

/// Where a container's machine is found, if its main process can be seen from here, and it has control groups of its own.
pub(super) fn site(container: &ContainerInspectResponse, host: &Arc<Host>) -> Option<MachineAccess> {
    let process = main_process(container)?;
    let cgroup = host.cgroups().of(&process, container.id.as_deref()?).ok()?;
    Some(MachineAccess { process, cgroup, host: Arc::clone(host) })
}

/// The file systems that the engine has given a container.
pub(super) fn mounts(container: &ContainerInspectResponse) -> Vec<Mount> {
    let host = container.host_config.as_ref();
    let storage = container.graph_driver.as_ref().map(|g| &g.data);
    let upper = storage.and_then(|data| data.get("UpperDir").cloned());
    let root = Mount::new("/", MountKind::Root, upper, host.and_then(|h| h.readonly_rootfs) == Some(true));
    let memory = host
        .and_then(|h| h.tmpfs.as_ref())
        .into_iter()
        .flatten()
        .map(|(path, options)| Mount::new(path, MountKind::Tmpfs, None, options.split(',').any(|o| o == "ro")));
    let others = container.mounts.iter().flatten().filter_map(|m| {
        let kind = match m.typ.as_deref()? {
            "volume" => MountKind::Volume,
            "bind" => MountKind::Bind,
            "tmpfs" => MountKind::Tmpfs,
            _ => return None,
        };
        let source = m.source.clone().filter(|s| !s.is_empty());
        Some(Mount::new(m.destination.clone()?, kind, source, m.rw == Some(false)))
    });
    let mut mounts: Vec<Mount> = std::iter::once(root).chain(memory).chain(others).collect();
    mounts.sort();
    mounts
}
