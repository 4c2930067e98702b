//! Limits: plain values of the instance's control groups, processes and network, observed and set back. One file for each.

mod cpu;
mod descriptors;
mod io;
mod memory;
mod ports;
mod processes;

use std::io::{Error, Result};
use std::time::Duration;

use super::MachineAccess;
use crate::engine::Outcome;
use crate::host::cgroup::Controller;
use crate::host::clock;
use crate::model::instance::{Aspect, Instance, Setting};
use crate::model::machine::counters::Counters;
use crate::model::machine::{Allowance, Limit};

/// What is read of one limit.
struct Read {
    limit: Limit,
    /// What the instance would see of it itself.
    sees: String,
}

/// Reads the limits that there are. One that cannot be read is left out.
pub(super) fn observe(site: &MachineAccess, instance: &mut Instance) -> Result<()> {
    let mut allowance = Allowance::default();
    let mut counters = Counters { at_us: micros(clock::since_boot()), ..Counters::default() };
    let all = [
        (Aspect::ProcessLimit, processes::read(site, &mut allowance, &mut counters)),
        (Aspect::CpuLimit, cpu::read(site, &mut allowance, &mut counters)),
        (Aspect::MemoryLimit, memory::read(site, &mut allowance, &mut counters)),
        (Aspect::IoLimit, io::read(site, &mut counters)),
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
    instance.counters = Some(counters);
    if site.process.is_alive() { Ok(()) } else { Err(Error::other("it has ended")) }
}

/// Sets one, where it is another one.
pub(super) fn set(site: &MachineAccess, to: &Limit) -> Result<Outcome> {
    match to {
        Limit::Processes(limit) => processes::set(site, *limit),
        Limit::Cpu(quota) => cpu::set(site, *quota),
        Limit::Memory(limit) => memory::set(site, *limit),
        Limit::Io(disks) => io::set(site, disks),
        Limit::Descriptors(limit) => descriptors::set(site, *limit),
        Limit::Ports { first, last } => ports::set(site, (*first, *last)),
    }
}

fn controller(site: &MachineAccess, name: &str) -> Result<Controller> {
    site.cgroup.controller(name).ok_or_else(|| Error::other(format!("it has no control group of its own for `{name}`")))
}

/// A limit as the kernel reads it, where version 1 has a word of its own for none.
fn or(limit: Option<u64>, none: &str) -> String {
    limit.map_or_else(|| none.to_owned(), |n| n.to_string())
}

/// Whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
