//! The reports of a game day, beside its timeline.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::command::{print, show};
use crate::host::store::StateDir;
use crate::occasions::gameday::state::GamedayState;
use crate::occasions::gameday::timeline;
use crate::record::journal;
use crate::report::Format;
use crate::report::gameday::{Record, render, write_all};

/// `squall gameday report`: prints one format, or writes all of them again.
pub(super) fn run(word: &str, format: Option<Format>, state: &StateDir) -> anyhow::Result<ExitCode> {
    let id = state.resolve_gameday(word)?;
    let record = record(state, &id)?;
    let before = before(state, &record);
    match format {
        Some(format) => {
            let text = render(&record, before.as_ref(), format).unwrap_or_default();
            if format == Format::Json { print(&text)? } else { show(&text)? }
        }
        None => {
            for path in write_all(&record, before.as_ref(), &state.gameday_dir(&id))? {
                show(&format!("{}\n", path.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes them again from the timeline and the journals of its runs, whenever something was added; the page for people.
///
/// # Errors
/// Where the timeline cannot be read, or a report cannot be written.
pub(super) fn write(state: &StateDir, id: &str) -> anyhow::Result<PathBuf> {
    let record = record(state, id)?;
    write_all(&record, before(state, &record).as_ref(), &state.gameday_dir(id))?;
    Ok(page(state, id))
}

/// Where the page for people is.
pub(super) fn page(state: &StateDir, id: &str) -> PathBuf {
    state.gameday_dir(id).join(Format::Html.file())
}

/// A game day with its runs. A run that cannot be read is left out: the others, and what people said, still make a report.
fn record(state: &StateDir, id: &str) -> anyhow::Result<Record> {
    let day = GamedayState::of(&timeline::read(&state.timeline(id))?);
    let runs = day.scenarios.iter().filter_map(|(n, scenario)| {
        let run = scenario.run.as_ref()?;
        Some((*n, journal::replay(&state.journal(run)).ok()?))
    });
    Ok(Record { runs: runs.collect(), state: day })
}

/// The last game day of the same name before it that came to its end; a rehearsal is compared with rehearsals.
fn before(state: &StateDir, record: &Record) -> Option<Record> {
    let name = |day: &GamedayState| day.gameday.as_ref().map(|gameday| gameday.name.clone());
    let this = &record.state;
    let ids = state.gamedays().ok()?;
    ids.iter().rev().filter(|id| **id < this.id).find_map(|id| {
        let day = GamedayState::of(&timeline::read(&state.timeline(id)).ok()?);
        let comparable = name(&day) == name(this) && day.rehearsal == this.rehearsal && day.ended.is_some();
        if comparable { self::record(state, id).ok() } else { None }
    })
}
