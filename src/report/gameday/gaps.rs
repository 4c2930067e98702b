//! What a game day has shown to be missing, besides what broke: in the lists, in the messages, in people's eyes. Pure.

use super::super::words::{self, span};
use super::Record;
use super::scenario::{Clock, Scenario, ScenarioOutcome};
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::{List, Mark};
use crate::occasions::gameday::state::Item;

/// Something that is missing.
pub(super) struct Gap {
    /// What kind: a word that programs may depend on.
    pub(super) kind: &'static str,
    /// What, in a sentence.
    pub(super) text: String,
}

/// All of them; those that say most about the rest first.
pub(super) fn of(record: &Record, scenarios: &[Scenario<'_>]) -> Vec<Gap> {
    let mut out = Vec::new();
    let mut add = |kind, text: String| out.push(Gap { kind, text: words::sentence(&text) });
    for s in scenarios {
        let (title, why) = (s.title, s.why);
        match s.came {
            ScenarioOutcome::LeftOut => add("not-run", format!("“{title}” was left out: {why}")),
            ScenarioOutcome::NotReached => add("not-run", format!("“{title}” was not run: {why}")),
            ScenarioOutcome::Unfinished => add("not-run", format!("“{title}” has no end: {why}")),
            ScenarioOutcome::To(Verdict::NoVerdict) => add("no-verdict", format!("“{title}” says nothing: {why}")),
            ScenarioOutcome::To(_) => {}
        }
    }
    for s in scenarios.iter().filter(|s| s.injected().is_some()) {
        for clock in &s.clocks {
            if let (Some((took, _)), Some(goal), Some(false)) = (clock.people, clock.goal, clock.met()) {
                let (took, goal, what) = (span(took), span(goal), clock.mark.word());
                add("goal-missed", format!("“{}” was {what} by people after {took}; the goal is {goal}", s.title));
            }
        }
        let missing = missing_marks(record, s);
        if !missing.is_empty() {
            add("no-mark", format!("not marked: when “{}” was {}", s.title, missing.join(", ")));
        }
        if s.unmeasured > 0 {
            let unmeasured = words::count(s.unmeasured, "sample");
            add("not-measured", format!("“{}”: {unmeasured} of its probes could not be measured", s.title));
        }
    }
    for (recipient, why, messages) in record.state.undelivered() {
        let messages = if messages == 1 { "a message".to_owned() } else { words::count(messages, "message") };
        add("message", format!("{messages} to {recipient} did not arrive: {why}"));
    }
    let undone = undone(record);
    if record.state.unattended && !undone.is_empty() {
        let items = words::count(undone.len() as u64, "item");
        add("checklist", format!("{items} of the checklists were not gone through"));
    }
    for (list, scenario, text) in undone.into_iter().filter(|_| !record.state.unattended) {
        let after = scenario.and_then(|n| scenarios.get(n)).map(|s| format!(" “{}”", s.title)).unwrap_or_default();
        add("checklist", format!("not done {}{after}: {text}", list_words(list)));
    }
    for action in record.state.actions.iter().filter(|action| !action.suggested) {
        let lacks = match (&action.owner, &action.due) {
            (None, None) => "an owner and a date",
            (None, Some(_)) => "an owner",
            (Some(_), None) => "a date",
            (Some(_), Some(_)) => continue,
        };
        add("action", format!("an action item lacks {lacks}: {}", action.text));
    }
    out
}

/// What people should have marked and did not. What held needs nobody to mend it, and what says nothing was perhaps too short
/// to be noticed.
fn missing_marks(record: &Record, s: &Scenario<'_>) -> Vec<&'static str> {
    let came = if let ScenarioOutcome::To(verdict) = s.came { ScenarioOutcome::To(verdict.would_be()) } else { s.came };
    let is_due = |clock: &&Clock<'_>| match (came, clock.mark) {
        _ if record.state.unattended || clock.people.is_some() => false,
        (ScenarioOutcome::To(Verdict::Held | Verdict::Broken | Verdict::LeftBehind), Mark::Detected) => true,
        (ScenarioOutcome::To(Verdict::Broken | Verdict::LeftBehind), Mark::Mitigated | Mark::Recovered) => {
            clock.goal.is_some()
        }
        _ => false,
    };
    s.clocks.iter().filter(is_due).map(|clock| clock.mark.word()).collect()
}

/// The items of the lists that were due and not done, each with its list and, of [`List::During`], the scenario.
fn undone(record: &Record) -> Vec<(List, Option<usize>, &str)> {
    let state = &record.state;
    let Some(lists) = state.gameday.as_deref().map(|gameday| &gameday.checklist) else { return Vec::new() };
    let over = state.scenarios.iter().filter(|(_, s)| s.ended.is_some()).map(|(n, _)| *n);
    let mut due = vec![(List::Before, None, &lists.before)];
    due.extend(over.map(|n| (List::During, Some(n), &lists.during)));
    due.extend(state.ended.map(|_| (List::After, None, &lists.after)));
    let done = |list, item, scenario| state.ticks.get(&Item { list, item, scenario }).is_some_and(|tick| tick.done);
    let of = |(list, scenario, items)| {
        let items: &Vec<String> = items;
        let missing = items.iter().enumerate().filter(move |(item, _)| !done(list, *item, scenario));
        missing.map(move |(_, text)| (list, scenario, text.as_str()))
    };
    due.into_iter().flat_map(of).collect()
}

fn list_words(list: List) -> &'static str {
    match list {
        List::Before => "before the first scenario",
        List::During => "after",
        List::After => "at the end",
    }
}
