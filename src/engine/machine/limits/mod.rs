//! Limits: plain values of the instance's control groups, processes and network, observed and set back. One file for each.

mod cpu;
mod descriptors;
mod io;
mod memory;
mod ports;
mod processes;

use std::io::{Error, Result};

use super::Site;
use crate::engine::Outcome;
use crate::host::cgroup::Controller;
use crate::instance::{Aspect, Instance, Setting};
use crate::machine::{Allowance, Limit};

/// What is read of one limit.
struct Read {
    limit: Limit,
    /// What the instance would see of it itself.
    sees: String,
}

/// Reads the limits that there are. One that cannot be read is left out.
pub(super) fn observe(site: &Site, instance: &mut Instance) -> Result<()> {
    let mut allowance = Allowance::default();
    let all = [
        (Aspect::ProcessLimit, processes::read(site, &mut allowance)),
        (Aspect::CpuLimit, cpu::read(site, &mut allowance)),
        (Aspect::MemoryLimit, memory::read(site, &mut allowance)),
        (Aspect::IoLimit, io::read(site)),
        (Aspect::DescriptorLimit, descriptors::read(site, &mut allowance)),
        (Aspect::PortRange, ports::read(site)),
    ];
    for (aspect, read) in all {
        match read {
            Ok(Some(Read { limit, sees })) => {
                instance.settings.insert(aspect, Setting::Limit(limit));
                instance.sees.insert(aspect, sees);
            }
            Ok(None) => {}
            Err(why) => tracing::debug!(instance = instance.name, %aspect, %why, "a limit cannot be read"),
        }
    }
    instance.allowance = Some(allowance);
    if site.process.is_alive() { Ok(()) } else { Err(Error::other("it has ended")) }
}

/// Sets one, where it is another one.
pub(super) fn set(site: &Site, to: &Limit) -> Result<Outcome> {
    match to {
        Limit::Processes(limit) => processes::set(site, *limit),
        Limit::Cpu(quota) => cpu::set(site, *quota),
        Limit::Memory(limit) => memory::set(site, *limit),
        Limit::Io(disks) => io::set(site, disks),
        Limit::Descriptors(limit) => descriptors::set(site, *limit),
        Limit::Ports { first, last } => ports::set(site, (*first, *last)),
    }
}

fn controller(site: &Site, name: &str) -> Result<Controller> {
    site.cgroup.controller(name).ok_or_else(|| Error::other(format!("it has no control group of its own for `{name}`")))
}

/// A limit as the kernel reads it, where version 1 has a word of its own for none.
fn or(limit: Option<u64>, none: &str) -> String {
    limit.map_or_else(|| none.to_owned(), |n| n.to_string())
}

/// How often something happened.
fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
