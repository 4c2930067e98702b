//! How much memory there is: `memory.limit_in_bytes` (version 1), `memory.max` (version 2). What may be swapped has a limit of its
//! own, which stays as it is: it is never below this one, so neither order of writing is a trap.

use std::io::{Error, ErrorKind, Result};

use super::{Read, controller, or, times};
use crate::engine::Outcome;
use crate::engine::machine::Site;
use crate::host::cgroup::{Controller, Version};
use crate::machine::{Allowance, Limit, bytes};

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

pub(super) fn read(site: &Site, allowance: &mut Allowance) -> Result<Option<Read>> {
    let Some(memory) = site.cgroup.controller("memory") else { return Ok(None) };
    let Some(used) = memory.number(files(&memory)[1])? else { return Ok(None) };
    let limit = limit(&memory)?;
    (allowance.memory, allowance.memory_used) = (limit, Some(used));
    let (met, killed) = match memory.version {
        Version::V1 => (memory.number("memory.failcnt")?, memory.keyed("memory.oom_control", "oom_kill")?),
        Version::V2 => (memory.keyed("memory.events", "max")?, memory.keyed("memory.events", "oom_kill")?),
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

pub(super) fn set(site: &Site, to: Option<u64>) -> Result<Outcome> {
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
