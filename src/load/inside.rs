//! The processes of an instance: those in its control groups that see the same processes as its main one.
//!
//! Processes of ours that stand in its control groups see those of the host, and so are none of them.

use std::io;

use crate::burden::Called;
use crate::host::cgroup::Cgroup;
use crate::host::process::{self, Names, Process, Stat};

/// A process of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Its number on the host.
    pub pid: u32,
    /// What it is called.
    pub called: Called,
    /// What the kernel says of it.
    pub stat: Stat,
}

/// Every process of an instance that runs, the main one left out.
///
/// # Errors
/// Where its control groups are gone.
pub fn all(main: &Process, cgroup: &Cgroup) -> io::Result<Vec<Inside>> {
    let space = process::pid_namespace(main.pid());
    // Where it sees the host's processes, ours are told by what they carry.
    let sees_ours = space == process::pid_namespace(std::process::id());
    let others = cgroup.processes()?.into_iter().filter(|pid| *pid != main.pid());
    let mut found: Vec<Inside> = others
        .filter(|pid| space.is_some() && process::pid_namespace(*pid) == space)
        .filter_map(|pid| {
            let Names { own, program } = process::names(pid)?;
            Some(Inside { pid, called: Called { own, program, count: 1 }, stat: process::stat(pid)? })
        })
        .filter(|p| p.stat.state != 'Z' && !(sees_ours && super::is_ours(p.pid)))
        .collect();
    found.sort_by_key(|p| p.pid);
    found.dedup();
    Ok(found)
}

/// The same, counted by their names.
#[must_use]
pub fn counted(all: &[Inside]) -> Vec<Called> {
    let mut counted: Vec<Called> = Vec::new();
    for one in all.iter().map(|p| &p.called) {
        match counted.iter_mut().find(|c| c.own == one.own && c.program == one.program) {
            Some(same) => same.count += 1,
            None => counted.push(one.clone()),
        }
    }
    counted.sort();
    counted
}

/// Those that have such a name, held.
///
/// # Errors
/// As for [`all`], or for want of descriptors.
pub fn named(name: &str, main: &Process, cgroup: &Cgroup) -> io::Result<Vec<Process>> {
    let mut held = Vec::new();
    for p in all(main, cgroup)?.into_iter().filter(|p| p.called.is_called(name)) {
        held.extend(hold(&p)?);
    }
    Ok(held)
}

/// Takes hold of one that was looked at, if it is still there.
///
/// # Errors
/// For want of descriptors.
pub fn hold(p: &Inside) -> io::Result<Option<Process>> {
    let same = |held: &Process| process::start_ticks(p.pid) == Some(p.stat.start_ticks) && held.is_alive();
    Ok(Process::open(p.pid)?.filter(same))
}
