//! `squall gameday list`: the game days, newest last.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::super::table::{Ids, ago, column, table};
use super::place::{self, Day, Standing};
use crate::host::store::StateDir;
use crate::model::exit::Verdict;

/// A game day for programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GamedayRow<'a> {
    id: &'a str,
    name: Option<&'a str>,
    title: Option<&'a str>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    status: Standing,
    verdict: Option<Verdict>,
    exit_code: Option<u8>,
    rehearsal: bool,
    scenarios: usize,
    run: usize,
    actions: usize,
}

impl<'a> GamedayRow<'a> {
    fn of(day: &'a Day) -> Self {
        let gameday = day.state.gameday.as_ref();
        Self {
            id: &day.id,
            name: gameday.map(|g| g.name.as_str()),
            title: gameday.map(|g| g.title.as_str()),
            began: day.state.began,
            ended: day.state.ended,
            status: day.standing,
            verdict: day.state.verdict,
            exit_code: day.state.verdict.map(Verdict::code),
            rehearsal: day.state.rehearsal,
            scenarios: gameday.map_or(0, |g| g.scenarios.len()),
            run: day.state.scenarios.values().filter(|s| s.run.is_some()).count(),
            actions: day.state.actions.len(),
        }
    }
}

pub(super) fn run(json: bool, state: &StateDir) -> anyhow::Result<ExitCode> {
    let days = place::all(state)?;
    let lines: Vec<GamedayRow<'_>> = days.iter().map(GamedayRow::of).collect();
    if json {
        for line in &lines {
            super::super::print(&format!("{}\n", serde_json::to_string(line)?))?;
        }
    } else if lines.is_empty() {
        let root = state.root().display();
        super::super::show(&format!("no game day in {root} yet; `squall gameday run FILE` makes the first\n"))?;
    } else {
        let ids = Ids::of(lines.iter().map(|line| line.id));
        let now = Timestamp::now();
        let columns = vec![
            column("GAME DAY", &lines, |line| ids.short(line.id).to_owned()),
            column("TITLE", &lines, |line| line.title.unwrap_or_default().to_owned()),
            column("BEGAN", &lines, |line| line.began.map(|at| ago(at, now)).unwrap_or_default()),
            column("VERDICT", &lines, |line| came_to(line)),
            column("RUN", &lines, |line| format!("{} of {}", line.run, line.scenarios)),
            column("ACTIONS", &lines, |line| line.actions.to_string()),
        ];
        super::super::show(&format!("{}\n", table(columns, &[(1, 12), (0, 12)])))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn came_to(line: &GamedayRow<'_>) -> String {
    let verdict = match line.status {
        Standing::GoingOn => "going on",
        Standing::Unfinished => "unfinished",
        Standing::Over => line.verdict.map_or("over", Verdict::words),
    };
    if line.rehearsal && !line.verdict.is_some_and(Verdict::is_rehearsal) {
        format!("{verdict} (rehearsal)")
    } else {
        verdict.to_owned()
    }
}
