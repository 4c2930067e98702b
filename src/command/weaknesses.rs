//! `squall weaknesses`: hypotheses that broke and have not held since.

use std::process::ExitCode;

use anyhow::bail;
use jiff::Timestamp;
use serde::Serialize;

use super::table::cut;
use crate::command::cli::history as cli;
use crate::experiment::diagnostic::meant;
use crate::host::store::StateDir;
use crate::occasions::history::note::{self, Note};
use crate::occasions::history::{Filter, History, Weakness, series};
use crate::text::units::{about, count};

pub(super) fn run(args: cli::Weaknesses, state: &StateDir) -> anyhow::Result<ExitCode> {
    let rows = History::open(state)?.rows(&Filter::default())?;
    let notes = note::all(state)?;
    let all = series(&rows).into_iter().flat_map(|s| s.weaknesses());
    let mut weaknesses: Vec<Weakness> = all.map(|w| w.noted(&notes)).collect();
    weaknesses.sort_by_key(|w| (w.closed.is_some(), w.since));
    if let Some(cli::WeaknessCommand::Note(what)) = args.command {
        return add(what, &weaknesses, state);
    }
    if !args.all {
        weaknesses.retain(|w| w.closed.is_none());
    }
    let now = Timestamp::now();
    if args.json {
        for weakness in &weaknesses {
            super::print(&format!("{}\n", serde_json::to_string(&WeaknessRow::of(weakness, now))?))?;
        }
    } else if weaknesses.is_empty() {
        super::show(if args.all { "no weakness was ever found\n" } else { "no open weakness\n" })?;
    } else {
        let texts: Vec<String> = weaknesses.iter().map(|w| text(w, now)).collect();
        super::show(&texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn add(what: cli::Note, weaknesses: &[Weakness], state: &StateDir) -> anyhow::Result<ExitCode> {
    let open = || weaknesses.iter().filter(|w| w.closed.is_none()).map(|w| w.experiment.as_str());
    if !open().any(|name| name == what.experiment) {
        let guess = meant(&what.experiment, open()).map(|name| format!("; did you mean `{name}`?"));
        bail!(
            "`{}` has no open weakness that could be noted on{}",
            what.experiment,
            guess.unwrap_or_else(|| "; `squall weaknesses` shows those there are".to_owned())
        );
    }
    let note = Note { at: Timestamp::now(), experiment: what.experiment, owner: what.owner, action: what.action };
    note::add(state, &note)?;
    super::show(&format!("noted on `{}`\n", note.experiment))?;
    Ok(ExitCode::SUCCESS)
}

/// A few lines for each.
fn text(w: &Weakness, now: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let span = about(w.open_for(now).unsigned_abs());
    let times = if w.times == 1 { String::new() } else { format!(", in {}", count(w.times, "run")) };
    let mut lines = vec![match &w.closed {
        None => format!("{}: open for {span}, since {}{times}", w.experiment, day(w.since)),
        Some((at, _)) => {
            format!("{}: closed on {}, after {span}{times}", w.experiment, day(*at))
        }
    }];
    lines.extend(w.why.as_ref().map(|why| format!("  what    {why}")));
    lines.push(format!("  run     {}", w.run));
    lines.extend(w.closed.as_ref().map(|(_, run)| format!("  closed  {run}")));
    lines.extend(w.owner.as_ref().map(|owner| format!("  owner   {owner}")));
    lines.extend(w.action.as_ref().map(|action| format!("  action  {action}")));
    if w.closed.is_none() && w.owner.is_none() && w.action.is_none() {
        lines.push(format!("  note    squall weaknesses note {} --owner NAME --action TEXT", w.experiment));
    }
    lines.into_iter().map(|line| cut(&line, super::table::WIDTH) + "\n").collect()
}

/// A weakness for programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WeaknessRow<'a> {
    experiment: &'a str,
    open: bool,
    since: Timestamp,
    run: &'a str,
    why: Option<&'a str>,
    times: usize,
    open_seconds: i64,
    closed_at: Option<Timestamp>,
    closed_by: Option<&'a str>,
    owner: Option<&'a str>,
    action: Option<&'a str>,
}

impl<'a> WeaknessRow<'a> {
    fn of(w: &'a Weakness, now: Timestamp) -> Self {
        Self {
            experiment: &w.experiment,
            open: w.closed.is_none(),
            since: w.since,
            run: &w.run,
            why: w.why.as_deref(),
            times: w.times,
            open_seconds: w.open_for(now).as_secs(),
            closed_at: w.closed.as_ref().map(|c| c.0),
            closed_by: w.closed.as_ref().map(|c| c.1.as_str()),
            owner: w.owner.as_deref(),
            action: w.action.as_deref(),
        }
    }
}
