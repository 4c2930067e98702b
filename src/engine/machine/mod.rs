//! The machine that an instance believes it has: its share of processor and memory, its limits, its disk, its processes.
//! What the engines of real instances have in common: they find the main process, this does the rest. It knows no container
//! and no run.
//!
//! One file for each kind of setting. Each fills what it can see of the instance ([`observe`]) and makes its settings so
//! ([`set`]); what cannot be seen is left out, so that no plan changes it.

pub mod disk;
mod limits;
mod load;
pub mod manual;
mod mounts;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::{Ability, Outcome, Tag};
use crate::host::Host;
use crate::host::cgroup::Cgroup;
use crate::host::process::Process;
use crate::model::disk::Fill;
use crate::model::instance::{Aspect, Instance, Laid, Setting, Signalled};
use crate::model::machine::Limit;
use crate::model::stressor::Stressor;

/// Where a running instance's machine is found.
#[derive(Debug)]
pub struct MachineAccess {
    /// The main process, held, and shown to be the instance's.
    pub process: Process,
    /// The control groups that are the instance's own.
    pub cgroup: Cgroup,
    /// The machine that it is on.
    pub host: Arc<Host>,
}

/// What settings need beside the instance, those of the disk above all.
#[derive(Debug)]
pub struct DiskAccess<'a> {
    /// The machine that it is on.
    pub host: &'a Host,
    /// The main process, where the instance runs.
    pub pid: disk::Pid,
    /// The fillings of this process.
    pub fillings: &'a disk::Fillings,
    /// Directories of the host that must not run out of space, beside the usual ones.
    pub needs: &'a [String],
}

/// Fills in what can be seen of an instance: settings, its allowance, and what it would see itself. It is done for every
/// instance each time that it is looked at, so it reads a few small files and no more. An instance that does not run has
/// no site; its disk can be looked at all the same.
pub async fn observe(host: &Host, site: Option<MachineAccess>, instance: &mut Instance) {
    let (name, mut seen, root) = (instance.name.clone(), instance.clone(), host.root());
    let looked = blocking(move || {
        let pid = site.as_ref().map(|s| s.process.pid());
        if let Err(why) = disk::locate(root, pid, &mut seen.mounts) {
            tracing::debug!(instance = seen.name, %why, "its mounts cannot be looked at");
        }
        if site.is_none() && seen.is_running() {
            return Ok(seen);
        }
        for looked in [disk::observe(root, pid, &mut seen), mounts::observe(pid, &mut seen)] {
            if let Err(why) = looked {
                tracing::debug!(instance = seen.name, %why, "its disk cannot be looked at");
            }
        }
        if let Some(site) = site {
            limits::observe(&site, &mut seen)?;
            load::observe(&site, &mut seen)?;
        } else {
            load::unstressed(&mut seen);
        }
        Ok(seen)
    });
    match looked.await {
        Ok(seen) => *instance = seen,
        // It may have ended just now.
        Err(why) => tracing::debug!(instance = name, %why, "its machine cannot be looked at"),
    }
}

/// Whether this process can make such a setting of an instance so.
#[must_use]
pub fn can(at: &DiskAccess<'_>, instance: &Instance, to: &Setting) -> Ability {
    let Some(own) = OfMachine::of(to) else { return Ability::No(NOT_OF_THE_MACHINE.to_owned()) };
    match own {
        OfMachine::Filled(_) | OfMachine::ReadOnly(_) if !rustix::process::geteuid().is_root() => {
            Ability::No("the disk of a container is reached from its host: run as root".to_owned())
        }
        OfMachine::Filled(fill) => disk::can(at, instance, fill),
        OfMachine::ReadOnly(paths) => mounts::can(instance, paths),
        OfMachine::Stressor(_) | OfMachine::Signalled(_) => load::can(at.host, instance, to),
        OfMachine::Limit(_) if !rustix::process::geteuid().is_root() => Ability::No(
            "limits are set in the control group of the container, on its host: run as root".to_owned(),
        ),
        OfMachine::Limit(_) if !at.host.cgroups().are_writable() => Ability::No(
            "limits are set in the control group of the container, and control groups can only be read from here: run Squall on \
             the engine's own host, or in a container with `--pid=host --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup`"
                .to_owned(),
        ),
        OfMachine::Limit(_) | OfMachine::NoLoad(_) => Ability::Yes,
    }
}

/// Makes a setting of a running instance so.
///
/// # Errors
/// Where the kernel refuses, or the setting is none of the machine's.
pub async fn set(
    site: MachineAccess,
    at: &DiskAccess<'_>,
    tag: &Tag,
    instance: &Instance,
    to: &Setting,
) -> io::Result<Outcome> {
    match OfMachine::of(to).ok_or_else(|| io::Error::other(NOT_OF_THE_MACHINE))? {
        OfMachine::Filled(fill) => disk::fill(at, tag, instance, fill).await,
        OfMachine::Stressor(stressor) => load::begin(site, tag, stressor).await,
        OfMachine::Signalled(signalled) => load::signal(site, signalled).await,
        OfMachine::NoLoad(aspect) => load::end(site, tag, aspect).await,
        OfMachine::Limit(limit) => {
            let limit = limit.clone();
            blocking(move || limits::set(&site, &limit)).await
        }
        OfMachine::ReadOnly(paths) => {
            let (paths, instance) = (paths.clone(), instance.clone());
            blocking(move || mounts::set(site.process.pid(), &instance, &paths)).await
        }
    }
}

const NOT_OF_THE_MACHINE: &str = "it is no setting of the machine";

/// A setting of the machine.
enum OfMachine<'a> {
    Filled(&'a Fill),
    ReadOnly(&'a BTreeSet<String>),
    Stressor(&'a Stressor),
    Signalled(&'a Signalled),
    Limit(&'a Limit),
    /// No process of Squall's uses anything of this aspect.
    NoLoad(Aspect),
}

impl<'a> OfMachine<'a> {
    /// `None` where it is none of the machine's.
    fn of(to: &'a Setting) -> Option<Self> {
        Some(match to {
            Setting::Filled(fill) => Self::Filled(fill),
            Setting::ReadOnly(paths) => Self::ReadOnly(paths),
            Setting::Stressor(stressor) => Self::Stressor(stressor),
            Setting::Signalled(signalled) => Self::Signalled(signalled),
            Setting::Limit(limit) => Self::Limit(limit),
            Setting::Mark(aspect, None) => match aspect.laid() {
                Some(Laid::Cpu | Laid::Memory | Laid::Connections | Laid::Still) => Self::NoLoad(*aspect),
                Some(Laid::Traffic | Laid::Filling | Laid::Isolation) | None => return None,
            },
            Setting::Running(_)
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
            | Setting::Ran(_) => return None,
        })
    }
}

/// Ends what of a change goes on outside of the instance: the process of Squall's, where it has one.
///
/// # Errors
/// Where it does not end.
pub async fn forget(host: &Host, tag: &Tag) -> io::Result<()> {
    load::forget(host, tag).await.map(drop)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
