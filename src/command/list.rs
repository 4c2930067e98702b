//! `squall list`: the runs, newest last.
#![expect(clippy::print_stdout, reason = "prints the list")]

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

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
        println!("{}", table(&rows, Timestamp::now()));
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
    began: Option<Timestamp>,
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

    /// What it came to; the reason only where it says more than the verdict.
    fn came_to(&self) -> String {
        match (self.status, self.verdict, self.reason.as_deref()) {
            (Status::Running, ..) => "running".to_owned(),
            (Status::Unfinished, ..) => "unfinished: squall recover".to_owned(),
            (Status::Unreadable, ..) => format!("unreadable: {}", self.error.as_deref().unwrap_or_default()),
            (_, Some(verdict), Some("hypothesis-held" | "hypothesis-broken" | "left-behind") | None) => {
                verdict.words().to_owned()
            }
            (_, Some(verdict), Some(reason)) => format!("{}: {reason}", verdict.words()),
            (_, None, _) => String::new(),
        }
    }
}

/// The table, at most [`WIDTH`] wide. Ids are never cut: people paste them.
fn table(rows: &[Row], now: Timestamp) -> String {
    const GAP: usize = 2;
    let mut columns = vec![
        column("RUN", rows, |r| r.run.clone()),
        // Not said twice where the id says it.
        column("EXPERIMENT", rows, |r| r.experiment.clone().filter(|x| !r.run.contains(x)).unwrap_or_default()),
        column("BEGAN", rows, |r| r.began.map(|at| ago(at, now)).unwrap_or_default()),
        column("CAME TO", rows, Row::came_to),
        column("RECOVERY", rows, |r| r.recovery_ms.map(seconds).unwrap_or_default()),
    ];
    if columns[1][1..].iter().all(String::is_empty) {
        columns[1].iter_mut().for_each(String::clear);
    }
    // What does not fit is cut from the experiment's name first, then from what it came to.
    let width = |columns: &[Vec<String>], i: usize| columns[i].iter().map(|c| c.chars().count()).max().unwrap_or(0);
    for (i, least) in [(1, 6), (3, 10)] {
        let total: usize = (0..columns.len()).map(|i| width(&columns, i)).filter(|w| *w > 0).map(|w| w + GAP).sum();
        let room = width(&columns, i).saturating_sub(total.saturating_sub(WIDTH + GAP)).max(least);
        columns[i].iter_mut().for_each(|cell| *cell = cut(cell, room));
    }
    let mut builder = Builder::default();
    for column in columns.into_iter().filter(|c| c.iter().any(|cell| !cell.is_empty())) {
        builder.push_column(column);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn column(head: &str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Vec<String> {
    std::iter::once(head.to_owned()).chain(rows.iter().map(cell)).collect()
}

/// A text in at most so many characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room - 1).chain(['…']).collect()
}

fn seconds(ms: u64) -> String {
    format!("{:.2}s", Duration::from_millis(ms).as_secs_f64())
}

/// How long ago, in the largest unit that says enough.
fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at).as_secs() {
        s if s < 60 => "now".to_owned(),
        s if s < 3600 => format!("{}m ago", s / 60),
        s if s < 48 * 3600 => format!("{}h ago", s / 3600),
        s => format!("{}d ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;

    fn row(run: &str, experiment: &str, reason: Reason) -> Row {
        Row {
            run: run.to_owned(),
            experiment: Some(experiment.to_owned()),
            began: "2026-11-20T09:30:00Z".parse().ok(),
            status: Status::Finished,
            verdict: Some(reason.verdict()),
            reason: Some(reason.word()),
            exit_code: Some(reason.verdict().code()),
            recovery_ms: Some(1240),
            error: None,
        }
    }

    #[test]
    fn a_table_fits_and_never_cuts_an_id() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let long = "losing-a-whole-zone-of-the-shop-while-a-deployment-goes-on";
        for id in ["20261120-093000-7f3a", "20261120-093000-kill-one-replica-7f3a"] {
            let rows = [
                row(id, "kill-one-replica", Reason::HypothesisHeld),
                row(id, long, Reason::BaselineNotMet),
                row(id, long, Reason::RecoveryTooSlow),
            ];
            let table = table(&rows, now);
            assert_eq!(table.matches(id).count(), 3, "{table}");
            assert!(table.lines().all(|l| l.chars().count() <= WIDTH), "{table}");
            assert!(table.contains("2h ago") && table.contains("1.24s"), "{table}");
        }
    }

    #[test]
    fn a_reason_is_told_where_it_says_more_than_the_verdict() {
        let came_to = |reason| row("r", "x", reason).came_to();
        assert_eq!(came_to(Reason::HypothesisHeld), "held");
        assert_eq!(came_to(Reason::HypothesisBroken), "broken");
        assert_eq!(came_to(Reason::RecoveryTooSlow), "broken: recovery-too-slow");
        assert_eq!(came_to(Reason::NoBite), "no verdict: no-bite");
        assert_eq!(came_to(Reason::LeftBehind), "left behind");
    }
}
