//! The processes of an instance: those in its control groups that see the same processes as its main one.
//!
//! Squall's own processes in its control groups see those of the host, and so are none of them. What the engine has started
//! beside the main one (`docker exec`, health checks, Squall's probes among them) is told apart by its descent.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crate::host::cgroup::Cgroup;
use crate::host::process::{self, Names, Process, Stat};
use crate::model::stressor::called::{Called, Which};

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
    let descent = Descent { main: main.pid(), space: space.clone().filter(|_| !sees_ours) };
    let others = cgroup.processes()?.into_iter().filter(|pid| *pid != main.pid());
    let mut found: Vec<Inside> = others
        .filter(|pid| space.is_some() && process::pid_namespace(*pid) == space)
        .filter_map(|pid| {
            let Names { own, program, title } = process::names(pid)?;
            let session = !descent.is_of(pid);
            let called = Called { own, program, title, session, leads: false, count: 1 };
            Some(Inside { pid, called, stat: process::stat(pid)? })
        })
        .filter(|p| p.stat.state != 'Z' && !(sees_ours && super::is_ours(p.pid)))
        .collect();
    found.sort_by_key(|p| p.pid);
    found.dedup();
    let name = process::names(main.pid()).map(|names| names.own).unwrap_or_default();
    if let Some(leader) = leader(main.pid(), &name, &found)
        && let Some(one) = found.iter_mut().find(|p| p.pid == leader)
    {
        one.called.leads = true;
    }
    Ok(found)
}

/// How to tell whom an instance's main process has started.
struct Descent {
    main: u32,
    /// The process numbers that the instance sees, unless they are the host's.
    space: Option<PathBuf>,
}

impl Descent {
    /// Whether a process comes from the main one: as its descendant, or as an orphan, which the first process of its namespace
    /// takes up. An orphan that sees the host's processes falls to the engine, as what `docker exec` starts does: it cannot be
    /// told from that, and so is not targeted.
    fn is_of(&self, pid: u32) -> bool {
        comes_from(
            self.main,
            pid,
            |pid| process::stat(pid).map(|stat| stat.parent),
            |pid| {
                self.space.is_some() && process::pid_namespace(pid) == self.space && process::is_first_of_namespace(pid)
            },
        )
    }
}

/// Whether a process descends from `main`, or from one that takes up orphans. Pure.
fn comes_from(main: u32, pid: u32, parent: impl Fn(u32) -> Option<u32>, adopts: impl Fn(u32) -> bool) -> bool {
    let mut at = pid;
    // Who looks while processes end and numbers are given anew may go round in circles.
    for _ in 0..LONGEST_DESCENT {
        if at == main || adopts(at) {
            return true;
        }
        match parent(at) {
            Some(0) => return false,
            Some(next) => at = next,
            // It ended meanwhile, and what descends from it has another parent now.
            None if at != pid && parent(pid).is_some() => at = pid,
            None => return false,
        }
    }
    false
}

/// No process of a service is farther from its main one.
const LONGEST_DESCENT: usize = 1000;

/// What does nothing but start a program and wait for its end.
const WAITS: [&str; 14] = [
    "docker-init",
    "tini",
    "tini-static",
    "dumb-init",
    "catatonit",
    "sh",
    "bash",
    "dash",
    "ash",
    "su",
    "sudo",
    "gosu",
    "su-exec",
    "env",
];

/// The process with which an instance ends though it is not its main one: that one is an init or a shell, and waits for this
/// process alone. Pure.
fn leader(main: u32, name: &str, all: &[Inside]) -> Option<u32> {
    let (mut at, mut name) = (main, name);
    let mut seen = BTreeSet::new();
    let mut found = None;
    while WAITS.contains(&name) && seen.insert(at) {
        let mut children = all.iter().filter(|p| p.stat.parent == at);
        let (Some(child), None) = (children.next(), children.next()) else { break };
        (at, name, found) = (child.pid, &child.called.own, Some(child.pid));
    }
    found
}

/// The same, counted by their names.
#[must_use]
pub fn counted(all: &[Inside]) -> Vec<Called> {
    let mut counted: Vec<Called> = Vec::new();
    for one in all.iter().map(|p| &p.called) {
        match counted.iter_mut().find(|c| Called { count: c.count, ..one.clone() } == **c) {
            Some(same) => same.count += 1,
            None => counted.push(one.clone()),
        }
    }
    counted.sort();
    counted
}

/// Those that are meant, held.
///
/// # Errors
/// If there is none, or the instance would end with one; as for [`all`], or for want of descriptors.
pub fn meant(which: &Which, main: &Process, cgroup: &Cgroup) -> io::Result<Vec<Process>> {
    let all = all(main, cgroup)?;
    if let Some(why) = which.refuses(all.iter().map(|p| &p.called)) {
        return Err(io::Error::other(why));
    }
    let mut held = Vec::new();
    for p in all.iter().filter(|p| which.means(&p.called)) {
        held.extend(hold(p)?);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn inside(pid: u32, parent: u32, own: &str) -> Inside {
        let stat = Stat { state: 'S', parent, session: 1, start_ticks: 1, used: Duration::ZERO, resident: 0 };
        Inside { pid, called: Called { own: own.to_owned(), count: 1, ..Called::default() }, stat }
    }

    #[test]
    fn an_instance_ends_with_what_its_init_waits_for() {
        let postgres = [inside(2, 1, "postgres"), inside(3, 2, "postgres"), inside(4, 2, "postgres")];
        assert_eq!(leader(1, "tini", &postgres), Some(2));
        assert_eq!(leader(1, "sh", &postgres), Some(2));
        assert_eq!(leader(1, "nginx", &postgres), None, "a program of its own");
        let behind = [inside(2, 1, "sh"), inside(3, 2, "postgres"), inside(4, 3, "postgres")];
        assert_eq!(leader(1, "docker-init", &behind), Some(3), "an init, a shell, a program");
        let two = [inside(2, 1, "nginx"), inside(3, 1, "php-fpm")];
        assert_eq!(leader(1, "sh", &two), None, "it has another one to wait for");
        assert_eq!(leader(1, "sh", &[inside(9, 77, "top")]), None, "what the engine starts in it is no child of it");
    }

    #[test]
    fn what_the_engine_starts_beside_the_main_one_is_told_by_its_descent() {
        // The engine is 10. It has started the main process 20, a session 30, and 40, whose processes the instance shares.
        let parents = [(10, 1), (20, 10), (21, 20), (22, 21), (30, 10), (31, 30), (40, 10), (41, 40), (1, 0)];
        let parent = |pid: u32| parents.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent);
        let of = |pid| comes_from(20, pid, parent, |pid| pid == 40);
        assert_eq!(
            [21, 22, 41].map(of),
            [true; 3],
            "a child, its child, an orphan that the first process has taken up"
        );
        assert_eq!([30, 31, 99].map(of), [false; 3], "a session, its child, one that is gone");

        // 21 ends while 22 is looked at, and 22 falls to the main one.
        let asked = std::cell::Cell::new(0);
        let ends = |pid: u32| {
            asked.set(asked.get() + 1);
            if pid == 21 {
                None
            } else if pid == 22 && asked.get() > 1 {
                Some(20)
            } else {
                parent(pid)
            }
        };
        assert!(comes_from(20, 22, ends, |_| false));
        assert!(!comes_from(20, 5, |pid| Some(if pid == 5 { 6 } else { 5 }), |_| false), "in circles");
    }
}
