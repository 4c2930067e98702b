//! `squall list`: the runs, newest first.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::table::{self, ago, column};
use crate::command::cli;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::history::{Filter, History, Row, Status};
use crate::text::units::count;

/// So many runs fit a screen.
const SHOWN: usize = 20;

pub(super) fn run(args: &cli::List, state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut rows = History::open(state)?.rows(&Filter::default())?;
    rows.reverse();
    let limit = match args.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if args.json => usize::MAX,
        None => SHOWN,
    };
    let shown = &rows[..limit.min(rows.len())];
    if args.json {
        for row in shown {
            super::print(&format!("{}\n", serde_json::to_string(&RunRow::of(row))?))?;
        }
    } else if rows.is_empty() {
        super::show(&format!("no runs in {} yet; `squall run FILE` makes the first\n", state.root().display()))?;
    } else {
        let ids = table::Ids::of(rows.iter().map(|r| r.run.as_str()));
        super::show(&format!("{}\n{}", table(shown, &ids, Timestamp::now()), rest(rows.len() - shown.len())))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line of the list for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RunRow<'a> {
    run: &'a str,
    experiment: Option<&'a str>,
    began: Option<Timestamp>,
    status: Status,
    verdict: Option<Verdict>,
    reason: Option<&'a str>,
    exit_code: Option<u8>,
    rehearsal: bool,
    settled: bool,
    recovery_ms: Option<u64>,
    never_lost: bool,
    p99_ms: Option<f64>,
    abort_ms: Option<f64>,
    bad_ms: u64,
    error: Option<&'a str>,
}

impl<'a> RunRow<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self {
            run: &row.run,
            experiment: row.experiment.as_deref(),
            began: row.began,
            status: row.status,
            verdict: row.verdict,
            reason: row.reason.as_deref(),
            exit_code: row.verdict.map(Verdict::code),
            rehearsal: row.rehearsal,
            settled: row.settled,
            recovery_ms: row.recovery_ms,
            never_lost: row.never_lost,
            p99_ms: row.p99_ms,
            abort_ms: row.abort_ms,
            bad_ms: row.bad_ms,
            error: row.error.as_deref(),
        }
    }
}

/// Verdict and reason as people read them.
pub(super) fn came_to(row: &Row) -> (&str, &str) {
    match row.status {
        Status::Running => ("running", ""),
        Status::Unfinished => ("unfinished", "squall recover"),
        // Which says why, in full.
        Status::Unreadable => ("unreadable", "squall report"),
        Status::Finished if row.verdict == Some(Verdict::Rehearsed) => ("rehearsed", "would hold"),
        Status::Finished if row.verdict == Some(Verdict::RehearsedBroken) => ("rehearsed", "would break"),
        Status::Finished if row.settled => (row.verdict.map_or("", Verdict::words), "settled by hand"),
        Status::Finished => (row.verdict.map_or("", Verdict::words), row.reason.as_deref().unwrap_or_default()),
    }
}

/// What says that there are more.
fn rest(more: usize) -> String {
    if more == 0 {
        return String::new();
    }
    format!("… and {} before these: --limit N shows more of them, --limit 0 all\n", count(more, "run"))
}

fn table(rows: &[Row], ids: &table::Ids<'_>, now: Timestamp) -> String {
    let columns = vec![
        column("RUN", rows, |r| ids.short(&r.run).to_owned()),
        column("EXPERIMENT", rows, |r| r.experiment.clone().unwrap_or_default()),
        column("BEGAN", rows, |r| r.began.map(|at| ago(at, now)).unwrap_or_default()),
        column("VERDICT", rows, |r| came_to(r).0.to_owned()),
        column("REASON", rows, |r| came_to(r).1.to_owned()),
        column("RECOVERY", rows, Row::recovery),
    ];
    table::table(columns, &[(1, 12), (4, 12)])
}

#[cfg(test)]
mod tests {
    use super::super::table::WIDTH;
    use super::*;
    use crate::record::event::Reason;
    use crate::record::state::RunState;

    fn row(run: &str, experiment: &str, reason: Reason) -> Row {
        Row {
            experiment: Some(experiment.to_owned()),
            began: "2026-11-20T09:30:00Z".parse().ok(),
            status: Status::Finished,
            verdict: Some(reason.verdict()),
            reason: Some(reason.word().to_owned()),
            recovery_ms: Some(1240),
            ..Row::of(run, &RunState::default())
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
        let ids = table::Ids::of(rows.iter().map(|r| r.run.as_str()));
        let table = table(&rows, &ids, now);
        assert!(table.lines().all(|l| l.chars().count() <= WIDTH), "{table}");
        insta::assert_snapshot!(table, @r"
        RUN   EXPERIMENT                BEGAN    VERDICT     REASON             RECOVERY
        7f3a  kill-one-replica          2 h ago  held        hypothesis-held    1.24 s
        9c2e  losing-a-whole-zone-of-…  2 h ago  broken      hypothesis-broken  1.24 s
        ab12  losing-a-whole-zone-of-…  2 h ago  no verdict  baseline-not-met   1.24 s
        ");
    }
}
