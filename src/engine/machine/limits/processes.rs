//! How many processes and threads there may be: `pids.max`, the same in both versions.

use std::io::Result;

use super::{Read, controller, or, times};
use crate::engine::Outcome;
use crate::engine::machine::Site;
use crate::machine::{Allowance, Limit};

const MAX: &str = "pids.max";

pub(super) fn read(site: &Site, allowance: &mut Allowance) -> Result<Option<Read>> {
    let Some(pids) = site.cgroup.controller("pids") else { return Ok(None) };
    let Some(now) = pids.number("pids.current")? else { return Ok(None) };
    let limit = pids.number(MAX)?;
    let refused = times(pids.keyed("pids.events", "max")?.unwrap_or_default());
    (allowance.processes, allowance.processes_used) = (limit, Some(now));
    let most = limit.map_or_else(|| "no limit".to_owned(), |n| format!("at most {n}"));
    Ok(Some(Read {
        limit: Limit::Processes(limit),
        sees: format!("{now} processes, {most}; another one refused {refused}"),
    }))
}

pub(super) fn set(site: &Site, to: Option<u64>) -> Result<Outcome> {
    let pids = controller(site, "pids")?;
    if pids.number(MAX)? == to {
        return Ok(Outcome::Already);
    }
    pids.write(MAX, &or(to, "max"))?;
    Ok(Outcome::Done)
}
