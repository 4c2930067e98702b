//! How much processor time there is: `cpu.cfs_quota_us` of `cpu.cfs_period_us` (version 1), `cpu.max` (version 2).

use std::io::{Error, Result};
use std::time::Duration;

use super::{Read, controller, micros, or};
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::host::cgroup::{Cgroup, Controller, Version};
use crate::model::machine::counters::Counters;
use crate::model::machine::{Allowance, Limit, Quota};
use crate::text::units::times;

const QUOTA: &str = "cpu.cfs_quota_us";
const PERIOD: &str = "cpu.cfs_period_us";
const MAX: &str = "cpu.max";
const NO_LIMIT: &str = "-1";

pub(super) fn read(site: &MachineAccess, allowance: &mut Allowance, counters: &mut Counters) -> Result<Option<Read>> {
    let Some(cpu) = site.cgroup.controller("cpu") else { return Ok(None) };
    let Some(quota) = quota(&cpu)? else { return Ok(None) };
    let online = || std::thread::available_parallelism().ok().map(std::num::NonZero::get);
    let cores = cpus(&site.cgroup).or_else(online).map(|n| n as f64);
    allowance.cores = match (quota.cores(), cores) {
        (Some(quota), Some(cores)) => Some(quota.min(cores)),
        (quota, cores) => quota.or(cores),
    };
    let keyed = |key| cpu.keyed("cpu.stat", key);
    counters.throttled = keyed("nr_throttled")?;
    let throttled = times(counters.throttled.unwrap_or_default());
    let held = match keyed("throttled_usec")? {
        Some(us) => Duration::from_micros(us),
        None => Duration::from_nanos(keyed("throttled_time")?.unwrap_or_default()),
    };
    counters.throttled_us = Some(micros(held));
    let limit = Limit::Cpu(quota);
    let sees = format!("{limit}; held back {throttled}, for {:.1}s in all", held.as_secs_f64());
    Ok(Some(Read { limit, sees }))
}

pub(super) fn set(site: &MachineAccess, to: Quota) -> Result<Outcome> {
    let cpu = controller(site, "cpu")?;
    let now = quota(&cpu)?.ok_or_else(|| Error::other("this kernel has no quota of processor time"))?;
    if now == to {
        return Ok(Outcome::Already);
    }
    match cpu.version {
        Version::V2 => cpu.write(MAX, &format!("{} {}", or(to.us, "max"), to.period_us))?,
        Version::V1 => {
            let quota = || cpu.write(QUOTA, &or(to.us, NO_LIMIT));
            // In the order that never leaves more meanwhile than before or after: a parent may allow no more than that.
            if to.period_us > now.period_us {
                cpu.write(PERIOD, &to.period_us.to_string())?;
                quota()?;
            } else {
                quota()?;
                if to.period_us < now.period_us {
                    cpu.write(PERIOD, &to.period_us.to_string())?;
                }
            }
        }
    }
    Ok(Outcome::Done)
}

fn quota(cpu: &Controller) -> Result<Option<Quota>> {
    match cpu.version {
        Version::V1 => {
            let Some(quota) = cpu.read(QUOTA)? else { return Ok(None) };
            let period_us = cpu.number(PERIOD)?.unwrap_or(Quota::PERIOD_US);
            Ok(Some(Quota { us: quota.parse().ok(), period_us }))
        }
        Version::V2 => {
            let Some(line) = cpu.read(MAX)? else { return Ok(None) };
            let (us, period) = line.split_once(' ').unwrap_or((&line, ""));
            Ok(Some(Quota { us: us.parse().ok(), period_us: period.parse().unwrap_or(Quota::PERIOD_US) }))
        }
    }
}

/// How many processors its processes may run on.
fn cpus(cgroup: &Cgroup) -> Option<usize> {
    let set = cgroup.controller("cpuset")?;
    let file = if set.version == Version::V1 { "cpuset.effective_cpus" } else { "cpuset.cpus.effective" };
    Some(count(&set.read(file).ok()??)).filter(|n| *n > 0)
}

/// How many numbers a list such as `0-2,7` has.
fn count(list: &str) -> usize {
    let ends = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(to.trim().parse::<usize>().ok()?.saturating_sub(from.trim().parse().ok()?) + 1)
    };
    list.split(',').filter_map(ends).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(["0-1", "0", "0-2,7", ""].map(count), [2, 1, 4, 0]);
    }
}
