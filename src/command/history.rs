//! `squall history`: what the runs came to over time.

mod due;
mod prune;

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::list::{RunRow, came_to};
use super::table::{Ids, ago, column, spark, table};
use crate::command::cli::history::{self as cli, HistoryCommand, Which};
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::history::{Filter, History, Row, Series, score, series};
use crate::text::units::{count, span_ms, times};

pub(super) fn run(args: &cli::History, state: &StateDir) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(HistoryCommand::Due { files, json }) => return due::run(files, *json, state),
        Some(HistoryCommand::Prune(how)) => return prune::run(how, state),
        None => {}
    }
    let now = Timestamp::now();
    // Scores and regressions take the past that the filter may hide.
    let all = History::open(state)?.rows(&Filter::default())?;
    let filter = filter(&args.which, now);
    let shown: Vec<Shown<'_>> = series(&all).into_iter().filter_map(|whole| Shown::of(whole, &filter)).collect();
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string_pretty(&HistoryOut::of(&shown, now))?))?;
    } else if shown.is_empty() {
        let none = if all.is_empty() { "no runs" } else { "no such runs" };
        super::show(&format!("{none} in {}\n", state.root().display()))?;
    } else {
        super::show(&text(&shown, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(which: &Which, now: Timestamp) -> Filter {
    Filter {
        experiments: which.experiments.clone(),
        verdicts: which.verdicts.clone(),
        since: which.since.map(|moment| moment.on(now)),
        until: which.until.map(|moment| moment.on(now)),
        tags: which.tags.clone(),
    }
}

/// An experiment, and those of its runs that were asked for.
struct Shown<'a> {
    whole: Series<'a>,
    runs: Vec<&'a Row>,
}

impl<'a> Shown<'a> {
    fn of(whole: Series<'a>, filter: &Filter) -> Option<Self> {
        let runs: Vec<&Row> = whole.runs.iter().copied().filter(|row| filter.fits(row)).collect();
        (!runs.is_empty()).then_some(Self { whole, runs })
    }
}

/// How many verdicts, and how many values of a trend, stand in a line.
const VERDICTS: usize = 10;
const VALUES: usize = 6;

fn text(shown: &[Shown<'_>], now: Timestamp) -> String {
    let mut parts = vec![match shown {
        [one] => runs(&one.runs, now),
        _ => overview(shown, now),
    }];
    for it in shown {
        if let Some(regression) = it.whole.regression() {
            parts.push(format!(
                "regression: {} broke in {} after it had held {}",
                it.whole.experiment,
                regression.run,
                times(regression.held)
            ));
        }
    }
    let wholes: Vec<Series<'_>> = shown.iter().map(|it| it.whole.clone()).collect();
    if let Some(score) = score(&wholes, now) {
        let of =
            if wholes.len() == 1 { String::new() } else { format!(", over {}", count(wholes.len(), "experiment")) };
        parts.push(format!("resilience score: {score:.0} of 100{of}"));
    }
    let open = wholes.iter().filter(|s| s.weaknesses().last().is_some_and(|w| w.closed.is_none())).count();
    if open > 0 {
        parts.push(format!("open weaknesses: {open}; `squall weaknesses` tells more"));
    }
    let overdue = wholes.iter().filter(|s| s.due_at().is_some_and(|at| at <= now)).count();
    if overdue > 0 {
        parts.push(format!("overdue: {overdue}; `squall history due` tells more"));
    }
    parts.join("\n") + "\n"
}

/// One experiment a line.
fn overview(shown: &[Shown<'_>], now: Timestamp) -> String {
    let last = |it: &Shown<'_>| it.runs.last().and_then(|row| row.began);
    let columns = vec![
        column("EXPERIMENT", shown, |it| it.whole.experiment.to_owned()),
        column("VERDICTS", shown, |it| verdicts(&it.runs)),
        column("LAST", shown, |it| last(it).map_or(String::new(), |at| ago(at, now))),
        column("RECOVERY", shown, |it| recovery(&it.runs)),
        column("P99", shown, |it| trend(&it.runs, |row| row.p99_ms)),
        column("SCORE", shown, |it| it.whole.score(now).map_or("–".to_owned(), |score| format!("{score:.0}"))),
    ];
    table(columns, &[(0, 12)])
}

/// One run a line.
fn runs(runs: &[&Row], now: Timestamp) -> String {
    let ids = Ids::of(runs.iter().map(|row| row.run.as_str()));
    let columns = vec![
        column("RUN", runs, |row| ids.short(&row.run).to_owned()),
        column("BEGAN", runs, |row| row.began.map_or(String::new(), |at| ago(at, now))),
        column("VERDICT", runs, |row| {
            let (verdict, _) = came_to(row);
            let says_it = row.verdict.is_some_and(Verdict::is_rehearsal);
            if row.rehearsal && !says_it { format!("{verdict} (rehearsal)") } else { verdict.to_owned() }
        }),
        column("REASON", runs, |row| came_to(row).1.to_owned()),
        column("RECOVERY", runs, |row| row.recovery()),
        column("P99", runs, |row| row.p99_ms.map(span_ms).unwrap_or_default()),
    ];
    let mut text = table(columns, &[(3, 12), (0, 12)]);
    for (head, trend) in [("recovery", recovery(runs)), ("p99", trend(runs, |row| row.p99_ms))] {
        if !trend.is_empty() {
            text.extend(["\n", head, ": ", &trend]);
        }
    }
    text
}

/// The newest verdicts, a sign each, the newest last: held, broken, none, left behind, not over.
fn verdicts(runs: &[&Row]) -> String {
    let sign = |row: &&Row| match row.verdict {
        Some(Verdict::Rehearsed | Verdict::RehearsedBroken) => '~',
        Some(Verdict::Held) => '✓',
        Some(Verdict::Broken) => '✗',
        Some(Verdict::NoVerdict) => '?',
        Some(Verdict::LeftBehind) => '!',
        None => '…',
    };
    runs[runs.len().saturating_sub(VERDICTS)..].iter().map(sign).collect()
}

/// The newest values as a small chart, and the last one.
fn trend(runs: &[&Row], of: impl Fn(&Row) -> Option<f64>) -> String {
    chart(runs, of, |_, value| span_ms(value))
}

/// The same of recoveries: none takes less time than one that was not needed.
fn recovery(runs: &[&Row]) -> String {
    chart(runs, |row| row.recovery_ms.map(|ms| ms as f64), |row, _| row.recovery())
}

fn chart(runs: &[&Row], of: impl Fn(&Row) -> Option<f64>, words: impl Fn(&Row, f64) -> String) -> String {
    let real = runs.iter().filter(|row| !row.rehearsal);
    let known: Vec<(&Row, f64)> = real.filter_map(|row| Some((*row, of(row)?))).collect();
    let values: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
    known.last().map_or_else(String::new, |(row, last)| format!("{} {}", spark(&values, VALUES), words(row, *last)))
}

/// The history for programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct HistoryOut<'a> {
    score: Option<f64>,
    experiments: Vec<Experiment<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Experiment<'a> {
    #[serde(rename = "experiment")]
    name: &'a str,
    score: Option<f64>,
    regression: Option<Regression<'a>>,
    open_weakness: bool,
    due: Option<String>,
    due_at: Option<Timestamp>,
    overdue: bool,
    runs: Vec<RunRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Regression<'a> {
    run: &'a str,
    held_before: usize,
}

impl<'a> HistoryOut<'a> {
    fn of(shown: &'a [Shown<'a>], now: Timestamp) -> Self {
        let wholes: Vec<Series<'_>> = shown.iter().map(|it| it.whole.clone()).collect();
        Self { score: score(&wholes, now), experiments: shown.iter().map(|it| Experiment::of(it, now)).collect() }
    }
}

impl<'a> Experiment<'a> {
    fn of(it: &'a Shown<'a>, now: Timestamp) -> Self {
        let whole = &it.whole;
        let due_at = whole.due_at();
        Self {
            name: whole.experiment,
            score: whole.score(now),
            regression: whole.regression().map(|r| Regression { run: r.run, held_before: r.held }),
            open_weakness: whole.weaknesses().last().is_some_and(|w| w.closed.is_none()),
            due: whole.due().map(|due| due.to_string()),
            due_at: due_at.filter(|at| *at > Timestamp::MIN),
            overdue: due_at.is_some_and(|at| at <= now),
            runs: it.runs.iter().map(|row| RunRow::of(row)).collect(),
        }
    }
}
