//! `squall compare`, and the earlier runs that `squall run --baseline` holds a new one against.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::one_run::no_verdict;
use crate::command::cli;
use crate::engine::Kind;
use crate::experiment::NoWorseThan;
use crate::host::store::{JOURNAL, StateDir};
use crate::model::exit::Verdict;
use crate::occasions::compare::{self, Comparison, Side, Unfit};
use crate::record::journal;
use crate::report::follow::Output;
use crate::report::{self, Format, series};

/// What a run was held against, beside its journal.
const FILE: &str = "comparison.json";

pub(super) fn run(args: &cli::Compare, state: &StateDir) -> anyhow::Result<ExitCode> {
    let (base, new) = match (side(&args.base, state)?, side(&args.new, state)?) {
        (Ok(base), Ok(new)) => (base, new),
        (Err(unfit), _) | (_, Err(unfit)) => return Ok(no_verdict(&format!("cannot be compared: {unfit}"))),
    };
    let in_file = new.experiment.no_worse_than.unwrap_or_default();
    let no_worse_than = NoWorseThan {
        latency: args.no_worse_than.unwrap_or(in_file.latency),
        failures: args.failures.unwrap_or(in_file.failures),
        ..in_file
    };
    let comparison = compare::compare(&base, &new, no_worse_than);
    if args.json {
        super::print(&format!("{}\n", json(&comparison)?))?;
    } else {
        super::show(&series::comparison(&comparison, Output::stdout().width()))?;
    }
    Ok(ExitCode::from(comparison.verdict().code()))
}

/// The run that a word means: a file (`report.json`, or a journal), a run's directory, or what [`StateDir::resolve`] takes.
///
/// # Errors
/// Where there is none. One that is there and of no use is no mistake of the command line.
pub(super) fn side(word: &str, state: &StateDir) -> anyhow::Result<Result<Side, Unfit>> {
    let path = Path::new(word);
    let report = path.join(Format::Json.file());
    let of_report = |path: &Path| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(Side::of_report(&text).map_err(|Unfit(why)| Unfit(format!("{}: {why}", path.display()))))
    };
    if path.is_file() && path.extension().is_some_and(|e| e == "json") {
        return of_report(path);
    }
    if path.is_dir() && !path.join(JOURNAL).exists() && report.exists() {
        return of_report(&report);
    }
    let journal = if path.is_file() { path.to_owned() } else { state.resolve(word)?.join(JOURNAL) };
    Ok(Side::of_run(&journal::replay(&journal)?))
}

/// The newest run of an experiment that held, on this kind of engine, and was not found to be worse than its own baseline: a
/// regression does not become the measure by being run twice.
///
/// # Errors
/// Where the runs cannot be listed.
pub(super) fn last(name: &str, kind: Kind, state: &StateDir) -> anyhow::Result<Option<Side>> {
    let infix = format!("-{name}-");
    for id in state.runs()?.into_iter().rev().filter(|id| id.contains(&infix)) {
        let dir = state.run_dir(&id);
        let Ok(run) = journal::replay(&dir.join(JOURNAL)) else { continue };
        let held = run.finished.as_ref().is_some_and(|f| f.verdict == Verdict::Held);
        let same = run.started.as_ref().is_some_and(|s| s.experiment.name == name && s.engine.kind == kind);
        if held
            && same
            && !was_worse(&dir)
            && let Ok(side) = Side::of_run(&run)
        {
            return Ok(Some(side));
        }
    }
    Ok(None)
}

fn was_worse(dir: &Path) -> bool {
    let found =
        std::fs::read(dir.join(FILE)).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    found.is_some_and(|value| value["verdict"] == "broken")
}

/// Keeps what a run was held against, beside its journal. Where that fails, people are told; the exit code says it anyway.
pub(super) fn keep(comparison: &Comparison, state: &StateDir) {
    for run in &comparison.new {
        let path = state.run_dir(run).join(FILE);
        let written = json(comparison).and_then(|text| report::write(&path, &text));
        if let Err(e) = written {
            complain!("warning: cannot write {}: {e:#}", path.display());
        }
    }
}

fn json(comparison: &Comparison) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(comparison)?;
    let fields = value.as_object_mut().ok_or_else(|| anyhow!("a comparison is an object"))?;
    fields.insert("format".to_owned(), 1.into());
    fields.insert("verdict".to_owned(), serde_json::to_value(comparison.verdict())?);
    fields.insert("text".to_owned(), comparison.why().into());
    Ok(format!("{value:#}"))
}
