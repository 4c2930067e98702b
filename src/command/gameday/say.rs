//! `squall gameday note`, `mark` and `action`: what people say from any other terminal.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};

use super::super::table::between;
use super::place::{self, Day, Standing};
use super::reports;
use crate::command::cli::gameday::Action;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::{Event, Mark};
use crate::occasions::gameday::state::GamedayState;
use crate::occasions::gameday::timeline;
use crate::occasions::history::note::{self, Note};
use crate::report::follow;
use crate::text::units::{about, span};

pub(super) fn note(text: String, by: Option<String>, state: &StateDir) -> anyhow::Result<ExitCode> {
    let day = place::current(state)?;
    let at = timeline::add(&state.timeline(&day.id), Event::Noted { text: said(text)?, by })?.at;
    follow::say(&format!("noted {}", whereabouts(&day, at)));
    late(&day, state);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn action(action: Action, state: &StateDir) -> anyhow::Result<ExitCode> {
    let day = place::current(state)?;
    let scenarios = day.state.gameday.as_ref().map_or(0, |g| g.scenarios.len());
    let scenario = match action.scenario {
        Some(n) if n == 0 || n > scenarios => bail!("there is no scenario {n}: the game day has {scenarios}, from 1"),
        n => n.map(|n| n - 1),
    };
    let Action { text, owner, due, .. } = action;
    let owned = owner.is_some();
    let event = Event::Action { text: said(text)?, owner, due, scenario, suggested: false };
    let at = timeline::add(&state.timeline(&day.id), event)?.at;
    let day = Day { state: place::current(state)?.state, ..day };
    follow::say(&format!("action noted {}", whereabouts(&day, at)));
    if let Some(n) = day.state.actions.last().and_then(|a| a.scenario).filter(|_| owned) {
        on_weakness(&day.state, n, state);
    }
    late(&day, state);
    Ok(ExitCode::SUCCESS)
}

/// Puts the newest action that has an owner on the weakness that a scenario found, for `squall weaknesses`.
pub(super) fn on_weakness(day: &GamedayState, scenario: usize, state: &StateDir) {
    let broken =
        day.scenarios.get(&scenario).and_then(|s| s.ended.as_ref()).is_some_and(|e| e.verdict == Verdict::Broken);
    let Some(experiment) = day.experiments.get(scenario).filter(|_| broken && !day.rehearsal) else { return };
    let mine = day.actions.iter().rev().find(|a| a.scenario == Some(scenario) && a.owner.is_some());
    if let Some(action) = mine {
        let (owner, text) = (action.owner.clone(), Some(action.text.clone()));
        let noted = Note { at: Timestamp::now(), experiment: experiment.clone(), owner, action: text };
        if let Err(e) = note::add(state, &noted) {
            complain!("warning: `squall weaknesses` does not know of it: {e:#}");
        }
    }
}

pub(super) fn mark(mark: Mark, by: Option<String>, state: &StateDir) -> anyhow::Result<ExitCode> {
    let day = place::current(state)?;
    if day.standing != Standing::GoingOn {
        bail!("no game day is going on, and a mark is a moment of one: {} {}", day.id, over(&day));
    }
    let n = day.state.latest().context("no scenario has begun yet: nothing goes wrong that could be marked")?;
    let word = mark.word();
    let here = day.scenario(n);
    let injected = day
        .injected(n, state)
        .with_context(|| format!("in {here}, nothing is injected yet: mark it as soon as you see it"))?;
    if let Some(said) = day.state.scenarios.get(&n).and_then(|s| s.marks.get(&mark)) {
        let after = span(between(injected, said.at));
        bail!("{here}: `{word}` is marked already, {after} after the injection, and the first word stands");
    }
    let at = timeline::add(&state.timeline(&day.id), Event::Marked { mark, by })?.at;
    let after = at.duration_since(injected);
    let goals = day.state.gameday.as_ref().map(|g| g.goals).unwrap_or_default();
    let goal = goals.of(mark).map(|goal| {
        let met = after <= SignedDuration::try_from(goal.0).unwrap_or(SignedDuration::MAX);
        format!(" (goal: {goal}, {})", if met { "met" } else { "missed" })
    });
    follow::say(&format!(
        "{word} {} after the injection{}: {here}",
        span(between(injected, at)),
        goal.unwrap_or_default()
    ));
    Ok(ExitCode::SUCCESS)
}

fn said(text: String) -> anyhow::Result<String> {
    if text.trim().is_empty() {
        bail!("there is nothing to note: the text is empty");
    }
    Ok(text)
}

fn over(day: &Day) -> &'static str {
    if day.standing == Standing::Over { "is over" } else { "ended without a word (its process is dead)" }
}

/// Where the game day was when something was said.
fn whereabouts(day: &Day, at: Timestamp) -> String {
    let title = day.state.gameday.as_ref().map_or(day.id.as_str(), |g| g.title.as_str());
    if day.standing != Standing::GoingOn {
        return format!("on {title} ({}), which {}", day.id, over(day));
    }
    let begun = day.state.began.map(|began| about(between(began, at))).unwrap_or_default();
    let scenario = day.state.latest().map(|n| format!(", {}", day.scenario(n))).unwrap_or_default();
    format!("{begun} into {title}{scenario}")
}

/// What is said of a game day that is over is in its reports, too.
fn late(day: &Day, state: &StateDir) {
    if day.standing != Standing::GoingOn
        && let Err(e) = reports::write(state, &day.id)
    {
        complain!("warning: the reports could not be written again: {e:#}");
    }
}
