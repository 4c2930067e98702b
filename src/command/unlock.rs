//! The locks on services that runs have left: who holds them, whether that one lives, and how one is removed.

use std::path::Path;

use jiff::Timestamp;

use super::connect::reach;
use crate::command::cli::EngineArgs;
use crate::engine::{Claim, Holder, JournalSays, Life, ProcessId};
use crate::host::process;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::record::journal;

/// This process, for those who meet a lock of it.
pub(super) fn this_process() -> ProcessId {
    let pid = std::process::id();
    ProcessId {
        boot: boot().unwrap_or_default(),
        namespace: namespace(pid),
        pid,
        start_ticks: process::start_ticks(pid).unwrap_or_default(),
    }
}

/// Whether the holder of a lock still needs it, as far as can be told from here.
pub(super) fn life(claim: &Claim, state: &StateDir) -> Life {
    let named = claim.holder.as_ref().map(|h| says(&h.journal, &claim.run));
    // Where it names none, or names one that is elsewhere, this state directory may have it.
    let journal = match named {
        None | Some(JournalSays::Nothing) => says(&state.journal(&claim.run), &claim.run),
        Some(found) => found,
    };
    claim.life(journal, claim.holder.as_ref().and_then(|h| lives(&h.process)), Timestamp::now())
}

/// Removes the locks whose holders are dead. Says what it did with each, and the worst that it came to.
pub(super) async fn unlock(args: &EngineArgs, state: &StateDir) -> anyhow::Result<Verdict> {
    let reached = reach(&args.without_helper(), None, state).await?;
    let mut worst = Verdict::Held;
    for claim in reached.engine().claims().await? {
        let life = life(&claim, state);
        let done = match life {
            Life::Dead => {
                reached.engine().release(&claim).await?;
                "is removed: that run is over".to_owned()
            }
            Life::Alive => "stays: that run is going on".to_owned(),
            Life::NotRolledBack => {
                worst = Verdict::LeftBehind;
                format!("stays: that run is dead and not rolled back; {}", rolls_back(claim.holder.as_ref()))
            }
            Life::Unknown => format!(
                "stays: whether that run is dead cannot be told from here; if it is, `squall recover --force-unlock {}`",
                claim.run
            ),
        };
        super::show(&format!("the lock on service `{}` {done}\n    ({claim})\n", claim.service))?;
    }
    Ok(worst)
}

/// Removes the locks of one run, on the word of a person, unless it is known to be alive.
pub(super) async fn force(run: &str, args: &EngineArgs, state: &StateDir) -> anyhow::Result<Verdict> {
    let reached = reach(&args.without_helper(), None, state).await?;
    let mut claims = reached.engine().claims().await?;
    claims.retain(|claim| claim.run == run);
    if claims.is_empty() {
        super::show(&format!("there is no lock of run {run} on this engine\n"))?;
    }
    for claim in claims {
        if life(&claim, state) == Life::Alive {
            super::show(&format!(
                "the lock on service `{}` stays: run {run} is going on; stop it with Ctrl-C or `squall halt`\n",
                claim.service
            ))?;
            return Ok(Verdict::NoVerdict);
        }
        reached.engine().release(&claim).await?;
        super::show(&format!("the lock on service `{}` is removed\n    ({claim})\n", claim.service))?;
    }
    Ok(Verdict::Held)
}

/// How a dead run is rolled back, by a user who may read its journal.
fn rolls_back(holder: Option<&Holder>) -> String {
    // STATE/runs/RUN/journal.ndjson
    let of = holder.and_then(|h| h.journal.ancestors().nth(3)).map(|state| format!(" --state {}", state.display()));
    format!("`squall recover{}` does that", of.unwrap_or_default())
}

/// What a run's journal says. Its name comes from others, so that only a plain file is read.
fn says(path: &Path, run: &str) -> JournalSays {
    if !path.is_file() {
        return JournalSays::Nothing;
    }
    // Asked first: a run that ends in between is not taken for one that has died.
    let held = journal::is_locked(path);
    match journal::replay(path) {
        Ok(s) if s.started.as_ref().is_none_or(|s| s.run != run) => JournalSays::Nothing,
        _ if held => JournalSays::Held,
        Err(_) => JournalSays::Nothing,
        Ok(s) if s.is_rolled_back() || s.finished.is_none() && s.outstanding().is_empty() => JournalSays::Over,
        Ok(_) => JournalSays::Outstanding,
    }
}

/// Whether a process is there; `None` where it cannot be seen from here.
pub(super) fn lives(of: &ProcessId) -> Option<bool> {
    let visible = boot().is_some_and(|boot| boot == of.boot) && namespace(std::process::id()) == of.namespace;
    // One that has ended and was not yet asked for by its parent has ended.
    visible.then(|| {
        process::stat(of.pid).is_some_and(|s| s.start_ticks == of.start_ticks && !matches!(s.state, 'Z' | 'X'))
    })
}

fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn namespace(pid: u32) -> String {
    process::pid_namespace(pid).map(|path| path.display().to_string()).unwrap_or_default()
}
