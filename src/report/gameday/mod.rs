//! A game day's report, for those who were there and for those whom it is sent to: what was broken, what held, how fast
//! people and Squall were, what is to be done. Pure renderings of its state and those of its runs; the one place that
//! touches the world is [`write_all`].

mod clocks;
mod compared;
mod facts;
#[cfg(test)]
mod fixture;
mod gaps;
mod html;
mod json;
mod markdown;
mod scenario;
mod timeline;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::facts::Facts;
use super::Format;
use crate::occasions::gameday::state::GamedayState;
use crate::record::state::RunState;

/// A game day with its runs.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The game day.
    pub state: GamedayState,
    /// The runs, by scenario, as their journals tell; one that cannot be read is missing.
    pub runs: BTreeMap<usize, RunState>,
}

/// The formats that a game day's report has.
pub const FORMATS: [Format; 3] = [Format::Html, Format::Markdown, Format::Json];

/// A game day in a format, beside the one before it. One that is not over has its report, too; it says so. `None` where a game
/// day has no such format.
#[must_use]
pub fn render(record: &Record, previous: Option<&Record>, format: Format) -> Option<String> {
    let facts = Facts::of(record, previous);
    match format {
        Format::Html => Some(super::page(html::render(&facts))),
        Format::Markdown => Some(super::page(markdown::render(&facts))),
        Format::Json => Some(json::render(&facts)),
        Format::Junit => None,
    }
}

/// Writes every format into a directory; each file is whole or as it was. Their paths.
///
/// # Errors
/// Where a file cannot be written; the others are still tried.
pub fn write_all(record: &Record, previous: Option<&Record>, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    super::write_each(dir, FORMATS.into_iter().filter_map(|f| Some((f, render(record, previous, f)?))))
}

#[cfg(test)]
mod tests;
