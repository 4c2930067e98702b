//! `squall history due`: the experiments and game days that say how often they are due, the most overdue first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::super::table::{ago, between, column, table};
use super::super::{gameday, load};
use crate::experiment::Due;
use crate::host::store::StateDir;
use crate::model::exit;
use crate::occasions::history::{Filter, History, Series, series};
use crate::report::follow;
use crate::text::units::about;

/// An experiment or a game day, and when it is due again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct DueRow {
    #[serde(flatten)]
    what: What,
    due: Due,
    /// When it last said something about its hypothesis.
    last: Option<Timestamp>,
    /// Nothing where it never did.
    due_at: Option<Timestamp>,
    overdue: bool,
}

/// What is due, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Experiment(String),
    Gameday(String),
}

impl What {
    fn words(&self) -> String {
        match self {
            Self::Experiment(name) => name.clone(),
            Self::Gameday(name) => format!("{name} (game day)"),
        }
    }
}

pub(super) fn run(files: &[PathBuf], json: bool, state: &StateDir) -> anyhow::Result<ExitCode> {
    // A file says it as it is now; the history, as it was when it was last run.
    let mut by_name: BTreeMap<What, Option<Due>> = BTreeMap::new();
    for file in files {
        match load::due(file) {
            Ok(load::Named::Experiment(x)) => by_name.insert(What::Experiment(x.name), x.due),
            Ok(load::Named::Gameday(day)) => by_name.insert(What::Gameday(day.name), day.due),
            Err(trouble) => {
                follow::complain_styled(&trouble.to_string());
                return Ok(ExitCode::from(exit::INVALID));
            }
        };
    }
    let now = Timestamp::now();
    let rows = History::open(state)?.rows(&Filter::default())?;
    let all = series(&rows);
    for past in &all {
        by_name.entry(What::Experiment(past.experiment.to_owned())).or_insert_with(|| past.due());
    }
    let days = gameday::held(state)?;
    for day in &days {
        by_name.entry(What::Gameday(day.name.clone())).or_insert(day.due);
    }
    let mut lines: Vec<DueRow> = by_name
        .into_iter()
        .filter_map(|(what, due)| {
            let due = due?;
            let last = match &what {
                What::Experiment(name) => {
                    all.iter().find(|s| s.experiment == *name).and_then(Series::shown).and_then(|row| row.began)
                }
                What::Gameday(name) => days.iter().find(|day| day.name == *name).and_then(|day| day.last),
            };
            let due_at = last.map(|last| due.after(last));
            Some(DueRow { what, due, last, due_at, overdue: due_at.is_none_or(|at| at <= now) })
        })
        .collect();
    lines.sort_by_key(|line| line.due_at);
    if json {
        for line in &lines {
            super::super::print(&format!("{}\n", serde_json::to_string(line)?))?;
        }
    } else if lines.is_empty() {
        super::super::show("no experiment and no game day says how often it is `due:`\n")?;
    } else {
        let columns = vec![
            column("EXPERIMENT", &lines, |line| line.what.words()),
            column("DUE", &lines, |line| line.due.to_string()),
            column("LAST", &lines, |line| line.last.map_or("never".to_owned(), |at| ago(at, now))),
            column("", &lines, |line| state_of(line, now)),
        ];
        super::super::show(&format!("{}\n", table(columns, &[(0, 12)])))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn state_of(line: &DueRow, now: Timestamp) -> String {
    match line.due_at {
        None => "overdue: never run to a verdict".to_owned(),
        Some(at) if at <= now => format!("overdue for {}", about(between(at, now))),
        Some(at) => format!("in {}", about(between(now, at))),
    }
}
