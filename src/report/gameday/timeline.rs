//! What happened on the day, in the order in which it happened: what people said and did, and what Squall did and saw. Pure.

use jiff::Timestamp;

use super::super::timeline::{self, Kind};
use super::Record;
use super::scenario::Scenario;
use crate::occasions::gameday::event::List;
use crate::occasions::gameday::state::ScenarioEnd;
use crate::occasions::notify::Stage;

/// A moment of the day.
pub(super) struct Moment<'a> {
    pub(super) at: Timestamp,
    pub(super) who: Who<'a>,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Whose moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who<'a> {
    /// Of the game day itself.
    Day,
    /// Something that Squall did or saw in this run, from 0.
    Machine(usize),
    /// Something that people said, and who.
    People(Option<&'a str>),
}

/// Every moment, oldest first.
pub(super) fn of<'a>(record: &'a Record, scenarios: &[Scenario<'a>]) -> Vec<Moment<'a>> {
    let state = &record.state;
    let mut out = Vec::new();
    let mut add = |at: Option<Timestamp>, who, kind, text: String| {
        if let Some(at) = at {
            out.push(Moment { at, who, kind, text });
        }
    };
    add(state.began, Who::Day, Kind::Step, "the game day begins".to_owned());
    for Ticked { list, scenario, at, done, all } in ticked(record) {
        let words = match list {
            List::Before => "before",
            List::During => "during",
            List::After => "after",
        };
        let after = scenario.and_then(|n| scenarios.get(n)).map(|s| format!(", after {}", s.title)).unwrap_or_default();
        let kind = if done == all { Kind::Step } else { Kind::Alarm };
        add(Some(at), Who::Day, kind, format!("checklist {words}{after}: {done} of {all} done"));
    }
    for s in scenarios {
        let Some(known) = state.scenarios.get(&s.n) else { continue };
        add(known.began, Who::Day, Kind::Step, format!("scenario {} begins: {}", s.n + 1, s.title));
        for (mark, said) in &known.marks {
            let text = format!("{}: {}", mark.word(), s.title);
            add(Some(said.at), Who::People(said.by.as_deref()), Kind::Proof, text);
        }
        if let Some(ScenarioEnd { at, verdict, reason, .. }) = &known.ended {
            let text = format!("scenario {} ends: {} ({reason})", s.n + 1, verdict.words());
            add(Some(*at), Who::Day, Kind::Step, text);
        }
        let moments = s.run.map(timeline::moments).unwrap_or_default();
        for moment in moments.into_iter().filter(|m| matches!(m.kind, Kind::Fault | Kind::Alarm | Kind::Good)) {
            add(Some(moment.at), Who::Machine(s.n), moment.kind, moment.text);
        }
    }
    for note in &state.notes {
        add(Some(note.at), Who::People(note.by.as_deref()), Kind::Step, note.text.clone());
    }
    for action in state.actions.iter().filter(|action| !action.suggested) {
        let text = format!("to be done: {}", action.text);
        add(Some(action.at), Who::People(action.owner.as_deref()), Kind::Step, text);
    }
    for told in &state.told {
        let which = match told.stage {
            Stage::Initial => "begin",
            Stage::Update => "an update",
            Stage::Resolution => "end",
        };
        match &told.error {
            None => add(Some(told.at), Who::Day, Kind::Step, format!("told {}: {which}", told.recipient)),
            Some(why) => {
                add(Some(told.at), Who::Day, Kind::Alarm, format!("{} was not told: {which}: {why}", told.recipient));
            }
        }
    }
    add(state.stopped.as_ref().map(|s| s.at), Who::Day, Kind::Alarm, stopped(record));
    add(state.ended, Who::Day, Kind::Step, "the game day ends".to_owned());
    out.sort_by_key(|m| m.at);
    out
}

fn stopped(record: &Record) -> String {
    let why = record.state.stopped.as_ref().map_or("", |stopped| &stopped.why);
    format!("no further scenario: {why}")
}

/// A list that people went through.
struct Ticked {
    list: List,
    scenario: Option<usize>,
    /// When the last of its items was answered.
    at: Timestamp,
    /// How many items were done, and how many there are.
    done: usize,
    all: usize,
}

fn ticked(record: &Record) -> Vec<Ticked> {
    let mut out: Vec<Ticked> = Vec::new();
    for (item, tick) in &record.state.ticks {
        let (list, scenario, done) = (item.list, item.scenario, usize::from(tick.done));
        match out.iter_mut().find(|seen| (seen.list, seen.scenario) == (list, scenario)) {
            Some(seen) => {
                seen.at = seen.at.max(tick.at);
                seen.done += done;
                seen.all += 1;
            }
            None => out.push(Ticked { list, scenario, at: tick.at, done, all: 1 }),
        }
    }
    out
}
