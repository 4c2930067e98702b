//! How much memory there is: `memory.limit_in_bytes` (version 1), `memory.max` (version 2). What may be swapped has a limit of its
//! own, which stays as it is: it is never below this one, so neither order of writing is a trap.

use std::io::{Error, ErrorKind, Result};

use super::{Read, controller, or};
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::host::cgroup::{Controller, Version};
use crate::host::memory::machine;
use crate::model::machine::counters::{Counters, Room};
use crate::model::machine::{Allowance, Limit, bytes};
use crate::text::units::times;

/// What version 1 shows where there is no limit is no number of bytes that any machine has.
const BEYOND: u64 = 1 << 62;

/// The limit's file, that of what is in use, and the word for no limit.
fn files(memory: &Controller) -> [&'static str; 3] {
    match memory.version {
        Version::V1 => ["memory.limit_in_bytes", "memory.usage_in_bytes", "-1"],
        Version::V2 => ["memory.max", "memory.current", "max"],
    }
}

fn limit(memory: &Controller) -> Result<Option<u64>> {
    Ok(memory.number(files(memory)[0])?.filter(|limit| *limit < BEYOND))
}

pub(super) fn read(site: &MachineAccess, allowance: &mut Allowance, counters: &mut Counters) -> Result<Option<Read>> {
    let Some(memory) = site.cgroup.controller("memory") else { return Ok(None) };
    let Some(used) = memory.number(files(&memory)[1])? else { return Ok(None) };
    let limit = limit(&memory)?;
    (allowance.memory, allowance.memory_used) = (limit, Some(used));
    let (met, killed) = match memory.version {
        Version::V1 => (memory.number("memory.failcnt")?, memory.keyed("memory.oom_control", "oom_kill")?),
        Version::V2 => (memory.keyed("memory.events", "max")?, memory.keyed("memory.events", "oom_kill")?),
    };
    allowance.memory_held = crate::host::load::used_memory(&site.cgroup)?;
    (counters.memory_met, counters.memory_killed, counters.memory_used) = (met, killed, allowance.memory_held);
    counters.memory_room = match (limit, allowance.memory_held) {
        (Some(whole), Some(used)) => Some(Room { used, whole, is_host: false }),
        (Some(_), None) => None,
        (None, _) => machine().ok().map(|host| Room {
            used: host.total.saturating_sub(host.available),
            whole: host.total,
            is_host: true,
        }),
    };
    let most = limit.map_or_else(|| "no limit".to_owned(), |n| format!("at most {}", bytes(n)));
    let sees = format!(
        "{} of memory in use, {most}; the limit was met {}, {} killed",
        bytes(used),
        times(met.unwrap_or_default()),
        killed.unwrap_or_default()
    );
    Ok(Some(Read { limit: Limit::Memory(limit), sees }))
}

pub(super) fn set(site: &MachineAccess, to: Option<u64>) -> Result<Outcome> {
    let memory = controller(site, "memory")?;
    if limit(&memory)? == to {
        return Ok(Outcome::Already);
    }
    let [file, used, none] = files(&memory);
    memory.write(file, &or(to, none)).map_err(|e| match (e.kind(), memory.number(used)) {
        (ErrorKind::ResourceBusy, Ok(Some(used))) => Error::new(
            ErrorKind::ResourceBusy,
            format!(
                "it uses {}, and the kernel cannot take enough of that back to make do with {}: leave it more",
                bytes(used),
                to.map_or_else(String::new, bytes)
            ),
        ),
        _ => e,
    })?;
    Ok(Outcome::Done)
}
