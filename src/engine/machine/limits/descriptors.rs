//! How many descriptors a process may have: the soft `RLIMIT_NOFILE` of the main process, and of every process of the instance
//! that has the same. The hard limit stays: only who has `CAP_SYS_RESOURCE` could raise it again.

use std::io::{Error, Result};

use super::Read;
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::host::descriptors::{limit, open, set_soft};
use crate::host::process::Process;
use crate::model::machine::{Allowance, Limit};

/// How often children are looked for that were born meanwhile, with the limit of before.
const ROUNDS: usize = 20;

pub(super) fn read(site: &MachineAccess, allowance: &mut Allowance) -> Result<Option<Read>> {
    let pid = site.process.pid();
    let soft = limit(pid)?.soft;
    let used = open(pid)?;
    allowance.descriptors_used = Some(used);
    Ok(Some(Read { limit: Limit::Descriptors(soft), sees: format!("{used} descriptors open, numbers below {soft}") }))
}

/// The main process is lowered first and raised last: as long as any other one is lowered by us, it is, too, so that who rolls
/// back what a dead process began finds by it that there is something to roll back.
pub(super) fn set(site: &MachineAccess, to: u64) -> Result<Outcome> {
    let main = site.process.pid();
    let from = limit(main)?.soft;
    if from == to {
        return Ok(Outcome::Already);
    }
    let lowers = to < from;
    if lowers && let Some(pid) = others(site)?.iter().find(|p| soft(p) == Some(to)).map(Process::pid) {
        return Err(Error::other(format!(
            "its process {pid} has a limit of {to} already, and would have another one after the rollback: choose another number"
        )));
    }
    if lowers {
        set_soft(&site.process, to)?;
    }
    for _ in 0..ROUNDS {
        let left: Vec<Process> = others(site)?.into_iter().filter(|p| soft(p) == Some(from)).collect();
        for process in &left {
            set_soft(process, to)?;
        }
        if left.is_empty() {
            break;
        }
    }
    if !lowers {
        set_soft(&site.process, to)?;
    }
    Ok(Outcome::Done)
}

fn soft(process: &Process) -> Option<u64> {
    limit(process.pid()).ok().filter(|_| process.is_alive()).map(|l| l.soft)
}

/// Every process of the instance beside the main one, held. Who ends meanwhile is none of them.
fn others(site: &MachineAccess) -> Result<Vec<Process>> {
    let pids = site.cgroup.processes()?;
    Ok(pids.into_iter().filter(|pid| *pid != site.process.pid()).filter_map(|pid| Process::open(pid).ok()?).collect())
}
