//! `squall recover`: takes back what dead runs left behind.
#![expect(clippy::print_stderr, reason = "what people see")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::connect::{Reached, reach_again};
use crate::cli;
use crate::engine::Description;
use crate::event::Actor;
use crate::exit::Verdict;
use crate::journal::{self, JournalError};
use crate::report;
use crate::run::recover;
use crate::store::StateDir;

pub(super) async fn run(args: cli::Recover, state: StateDir) -> anyhow::Result<ExitCode> {
    let mut worst = Verdict::Held;
    let journals = recover::unfinished(&state)?;
    for path in &journals {
        match one(path).await {
            Ok((verdict, line)) => {
                // Whoever does not read on is no reason to stop here.
                let _ = super::print(&format!("{line}\n"));
                if verdict == Verdict::LeftBehind {
                    worst = verdict;
                }
            }
            Err(e) => {
                eprintln!("error: {}: {e:#}", path.display());
                worst = Verdict::LeftBehind;
            }
        }
    }
    if journals.is_empty() {
        super::print(&format!("nothing to take back in {}\n", state.root().display()))?;
    }
    if args.unlock {
        unlock(&args.engine, &state).await?;
    }
    Ok(ExitCode::from(worst.code()))
}

/// Takes back what one dead run left behind: its verdict, and a line for people.
async fn one(path: &Path) -> anyhow::Result<(Verdict, String)> {
    let reached = reach_again(&engine_of(path)?).await?;
    let rec = match recover::recover(path, reached.engine().as_ref(), Actor::Recover).await {
        Ok(rec) => rec,
        Err(JournalError::Locked(_)) => {
            return Ok((Verdict::Held, format!("{}: somebody else is taking it back", name(path))));
        }
        Err(e) => return Err(e.into()),
    };
    let verdict = rec.read(|s| s.finished.as_ref().map_or(Verdict::LeftBehind, |f| f.1));
    let line = rec.read(|s| match verdict {
        Verdict::LeftBehind => {
            let by_hand: Vec<String> =
                s.changes.iter().filter_map(|c| c.stuck.clone()).map(|c| format!("\n    {c}")).collect();
            format!("{}: something could not be taken back; by hand:{}", name(path), by_hand.concat())
        }
        _ => format!("{}: {} changes taken back, nothing is left", name(path), s.changes.len()),
    });
    if let Some(dir) = path.parent()
        && let Err(e) = rec.read(|s| report::write_all(s, dir))
    {
        eprintln!("warning: the reports could not be written: {e:#}");
    }
    Ok((verdict, line))
}

/// What every run does first. Lines for people.
///
/// # Errors
/// Where something on the same engine cannot be taken back; a run on top of that would take it for the normal state.
pub(super) async fn before_run(reached: &Reached, state: &StateDir) -> anyhow::Result<Vec<String>> {
    let here = reached.engine().describe();
    let mut lines = Vec::new();
    for path in recover::unfinished(state)? {
        match one(&path).await {
            Ok((Verdict::LeftBehind, line)) => anyhow::bail!(line),
            Ok((_, line)) => lines.push(format!("recovered: {line}")),
            Err(e) => match engine_of(&path) {
                Ok(there) if there.kind != here.kind || there.address != here.address => {
                    lines.push(format!("warning: {} on another engine is not taken back: {e:#}", name(&path)));
                }
                _ => return Err(e.context(name(&path))),
            },
        }
    }
    Ok(lines)
}

pub(super) fn engine_of(journal: &Path) -> anyhow::Result<Description> {
    journal::replay(journal)?.started.map(|s| s.engine).context("the journal has no beginning")
}

fn name(journal: &Path) -> String {
    journal
        .parent()
        .and_then(Path::file_name)
        .map_or_else(|| journal.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// Removes the markers of runs that are not known here, or are over.
async fn unlock(args: &cli::EngineArgs, state: &StateDir) -> anyhow::Result<()> {
    let reached = super::connect::reach(args, None, state).await?;
    let engine = reached.engine();
    for claim in engine.claims().await? {
        let living = journal::is_locked(&state.journal(&claim.run));
        if living {
            super::print(&format!(
                "service `{}` belongs to run {}, which is going on: its marker stays\n",
                claim.service, claim.run
            ))?;
        } else {
            engine.release(&claim.service, &claim.run).await?;
            super::print(&format!(
                "service `{}` is free again: the marker of run {} ({}, {}) is removed\n",
                claim.service, claim.run, claim.owner, claim.at
            ))?;
        }
    }
    Ok(())
}
