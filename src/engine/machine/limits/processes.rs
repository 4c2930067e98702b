//! How many processes and threads there may be: `pids.max`, the same in both versions.

use std::io::Result;

use super::{Read, controller, or};
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::model::machine::counters::Counters;
use crate::model::machine::{Allowance, Limit};
use crate::text::units::times;

const MAX: &str = "pids.max";

pub(super) fn read(site: &MachineAccess, allowance: &mut Allowance, counters: &mut Counters) -> Result<Option<Read>> {
    let Some(pids) = site.cgroup.controller("pids") else { return Ok(None) };
    let Some(now) = pids.number("pids.current")? else { return Ok(None) };
    let limit = pids.number(MAX)?;
    counters.processes_refused = pids.keyed("pids.events", "max")?;
    let refused = times(counters.processes_refused.unwrap_or_default());
    (allowance.processes, allowance.processes_used) = (limit, Some(now));
    let most = limit.map_or_else(|| "no limit".to_owned(), |n| format!("at most {n}"));
    Ok(Some(Read {
        limit: Limit::Processes(limit),
        sees: format!("{now} processes, {most}; another one refused {refused}"),
    }))
}

pub(super) fn set(site: &MachineAccess, to: Option<u64>) -> Result<Outcome> {
    let pids = controller(site, "pids")?;
    if pids.number(MAX)? == to {
        return Ok(Outcome::Already);
    }
    pids.write(MAX, &or(to, "max"))?;
    Ok(Outcome::Done)
}
