//! `squall list`: the runs, newest last.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

use crate::exit::Verdict;
use crate::journal;
use crate::state::RunState;
use crate::store::StateDir;

/// A terminal's width that everybody has.
const WIDTH: usize = 80;

pub(super) fn run(json: bool, state: &StateDir) -> anyhow::Result<ExitCode> {
    let rows: Vec<Row> = state.runs()?.into_iter().map(|id| Row::of(state, id)).collect();
    if json {
        for row in &rows {
            super::print(&format!("{}\n", serde_json::to_string(row)?))?;
        }
    } else if rows.is_empty() {
        super::print(&format!("no runs in {} yet; `squall run FILE` makes the first\n", state.root().display()))?;
    } else {
        super::print(&format!("{}\n", table(&rows, Timestamp::now())))?;
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
        let path = state.journal(&run);
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
            // Which says why, in full.
            Status::Unreadable => ("unreadable".to_owned(), "squall report".to_owned()),
            Status::Finished => {
                (self.verdict.map_or("", Verdict::words).to_owned(), self.reason.clone().unwrap_or_default())
            }
        }
    }
}

/// The table, at most [`WIDTH`] wide.
fn table(rows: &[Row], now: Timestamp) -> String {
    const GAP: usize = 2;
    let ids: Vec<&str> = rows.iter().map(|r| r.run.as_str()).collect();
    let mut columns = [
        column("RUN", rows, |r| short(&r.run, &ids).to_owned()),
        column("EXPERIMENT", rows, |r| r.experiment.clone().unwrap_or_default()),
        column("BEGAN", rows, |r| r.began.map(|at| ago(at, now)).unwrap_or_default()),
        column("VERDICT", rows, |r| r.came_to().0),
        column("REASON", rows, |r| r.came_to().1),
        column("RECOVERY", rows, |r| r.recovery_ms.map(seconds).unwrap_or_default()),
    ];
    // What does not fit is cut from the experiment's name, then from the reason.
    let width = |column: &[String]| column.iter().map(|c| c.chars().count()).max().unwrap_or(0);
    for (i, least) in [(1, 12), (4, 12)] {
        let total: usize = columns.iter().map(|c| width(c) + GAP).sum();
        let room = width(&columns[i]).saturating_sub(total.saturating_sub(WIDTH + GAP)).max(least);
        columns[i].iter_mut().for_each(|cell| *cell = cut(cell, room));
    }
    let mut builder = Builder::default();
    for column in columns {
        builder.push_column(column);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The end of an id, where it means this run alone: every command takes it. Else the whole.
fn short<'a>(id: &'a str, all: &[&str]) -> &'a str {
    let end = id.rsplit('-').next().unwrap_or(id);
    let meant = all.iter().filter(|other| other.starts_with(end) || other.ends_with(end)).count();
    if meant == 1 { end } else { id }
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
    fn a_table_fits() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let long = "losing-a-whole-zone-of-the-shop-while-a-deployment-goes-on";
        let rows = [
            row("20261120T093000Z-kill-one-replica-7f3a", "kill-one-replica", Reason::HypothesisHeld),
            row(&format!("20261120T093100Z-{long}-9c2e"), long, Reason::HypothesisBroken),
            row(&format!("20261120T093200Z-{long}-ab12"), long, Reason::BaselineNotMet),
        ];
        let table = table(&rows, now);
        assert!(table.lines().all(|l| l.chars().count() <= WIDTH), "{table}");
        insta::assert_snapshot!(table, @r"
        RUN   EXPERIMENT                 BEGAN   VERDICT     REASON             RECOVERY
        7f3a  kill-one-replica           2h ago  held        hypothesis-held    1.24s
        9c2e  losing-a-whole-zone-of-t…  2h ago  broken      hypothesis-broken  1.24s
        ab12  losing-a-whole-zone-of-t…  2h ago  no verdict  baseline-not-met   1.24s
        ");
    }

    #[test]
    fn a_short_id_means_one_run() {
        let all = ["2026-a-7f3a", "2026-b-7f3a", "2026-b-9c2e", "9c2e-x-1111"];
        assert_eq!(all.map(|id| short(id, &all)), ["2026-a-7f3a", "2026-b-7f3a", "2026-b-9c2e", "1111"]);
    }
}
