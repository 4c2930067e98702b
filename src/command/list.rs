//! `squall list`: the runs, newest last.
#![expect(clippy::print_stdout, reason = "prints the list")]

use std::process::ExitCode;

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Padding, Style, Width};

use crate::exit::Verdict;
use crate::journal;
use crate::state::RunState;
use crate::store::{JOURNAL, StateDir};

/// A terminal's width that everybody has.
const WIDTH: usize = 80;

pub(super) fn run(json: bool, state: &StateDir) -> anyhow::Result<ExitCode> {
    let rows: Vec<Row> = state.runs()?.into_iter().map(|id| Row::of(state, id)).collect();
    if json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else if rows.is_empty() {
        println!("no runs in {} yet; `squall run FILE` makes the first", state.root().display());
    } else {
        println!("{}", table(&rows));
        if rows.iter().any(|r| r.status == Status::Unfinished) {
            println!("\nunfinished runs died on the way: `squall recover` takes back what they left");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Running,
    Unfinished,
    Finished,
    /// Its journal cannot be read.
    Unreadable,
}

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row {
    run: String,
    experiment: Option<String>,
    began: Option<jiff::Timestamp>,
    status: Status,
    verdict: Option<Verdict>,
    reason: Option<String>,
    exit_code: Option<u8>,
    recovery_ms: Option<u64>,
    error: Option<String>,
}

impl Row {
    fn of(state: &StateDir, run: String) -> Self {
        let path = state.run_dir(&run).join(JOURNAL);
        // The lock first: a run that ends between the two looks is finished, not dead.
        let locked = journal::is_locked(&path);
        match journal::replay(&path) {
            Ok(replayed) => Self::from(run, &replayed, locked),
            Err(e) => {
                let empty = RunState::default();
                Self { status: Status::Unreadable, error: Some(e.to_string()), ..Self::from(run, &empty, locked) }
            }
        }
    }

    fn from(run: String, state: &RunState, locked: bool) -> Self {
        let finished = state.finished.as_ref();
        let rto = state.recovery.as_ref().and_then(|r| r.rto);
        Self {
            run,
            experiment: state.started.as_ref().map(|s| s.experiment.name.clone()),
            began: state.began,
            status: match (finished, locked) {
                (Some(_), _) => Status::Finished,
                (None, true) => Status::Running,
                (None, false) => Status::Unfinished,
            },
            verdict: finished.map(|f| f.1),
            reason: finished.map(|f| f.2.word()),
            exit_code: finished.map(|f| f.1.code()),
            recovery_ms: rto.map(crate::event::millis),
            error: None,
        }
    }

    /// Verdict and reason as people read them.
    fn came_to(&self) -> (String, String) {
        match self.status {
            Status::Running => ("running".to_owned(), String::new()),
            Status::Unfinished => ("unfinished".to_owned(), "squall recover".to_owned()),
            Status::Unreadable => ("unreadable".to_owned(), self.error.clone().unwrap_or_default()),
            Status::Finished => (
                self.verdict.map(|v| v.words().to_owned()).unwrap_or_default(),
                self.reason.clone().unwrap_or_default(),
            ),
        }
    }
}

/// The table, at most [`WIDTH`] wide. Ids are never cut: people paste them.
fn table(rows: &[Row]) -> String {
    let mut builder = Builder::default();
    builder.push_record(["RUN", "EXPERIMENT", "BEGAN (UTC)", "VERDICT", "REASON", "RECOVERY"]);
    for row in rows {
        let (verdict, reason) = row.came_to();
        let began = row.began.map(|at| at.strftime("%m-%d %H:%M").to_string()).unwrap_or_default();
        let recovery = row
            .recovery_ms
            .map_or(String::new(), |ms| format!("{:.2}s", std::time::Duration::from_millis(ms).as_secs_f64()));
        let experiment = row.experiment.clone().unwrap_or_default();
        builder.push_record([row.run.clone(), experiment, began, verdict, reason, recovery]);
    }
    let widest = |column: usize, least: usize| -> usize {
        let cells = rows.iter().map(|r| match column {
            0 => r.run.chars().count(),
            1 => r.experiment.as_ref().map_or(0, |e| e.chars().count()),
            _ => r.came_to().1.chars().count(),
        });
        cells.max().unwrap_or(0).max(least)
    };
    // What ids, dates, verdicts, recoveries and the gaps leave is shared by experiment and reason.
    let left = WIDTH.saturating_sub(widest(0, 3) + 11 + 10 + 8 + 5 * 2);
    let reason = widest(2, 6).min(left.saturating_sub(10)).max(8);
    let experiment = left.saturating_sub(reason).max(8);
    let mut table = builder.build();
    table
        .with(Style::empty())
        .with(Padding::new(0, 2, 0, 0))
        .modify(Columns::one(1), Width::truncate(experiment + 2).suffix("…"))
        .modify(Columns::one(4), Width::truncate(reason + 2).suffix("…"));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
