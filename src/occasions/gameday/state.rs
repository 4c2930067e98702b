//! What a game day comes to: the fold of its events.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Gameday;
use super::event::{Event, List, Mark, NOT_BEGUN, Stamped};
use crate::model::exit::Verdict;
use crate::model::quantity::Day;
use crate::occasions::notify::Stage;

/// A game day, as far as it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GamedayState {
    /// Its id.
    pub id: String,
    /// Its file, as it was named.
    pub file: String,
    /// What the file said.
    pub gameday: Option<Box<Gameday>>,
    /// The names of its experiments, by scenario.
    pub experiments: Vec<String>,
    /// Whether nobody was asked anything.
    pub unattended: bool,
    /// Whether its world was simulated.
    pub rehearsal: bool,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// What it came to; nothing as long as it is not over.
    pub verdict: Option<Verdict>,
    /// Why no further scenario was begun.
    pub stopped: Option<Stopped>,
    /// The scenarios that have begun or were left out, by their place in the file.
    pub scenarios: BTreeMap<usize, ScenarioState>,
    /// The items of checklists that were gone through.
    pub ticks: BTreeMap<Item, Tick>,
    /// What people have observed.
    pub notes: Vec<Note>,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// Who was told.
    pub told: Vec<Delivery>,
}

/// A scenario, as far as it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScenarioState {
    /// Its run; nothing where that did not begin.
    pub run: Option<String>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// Its end; nothing as long as it is not over.
    pub ended: Option<ScenarioEnd>,
    /// Why it was left out.
    pub skipped: Option<String>,
    /// How far people got; the first word of each kind stands.
    pub marks: BTreeMap<Mark, Marked>,
}

/// Why no further scenario was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Stopped")]
pub struct Stopped {
    pub at: Timestamp,
    pub why: String,
}

/// An item of a checklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Of which list.
    pub list: List,
    /// Its place in the list, from 0.
    pub item: usize,
    /// After which scenario, for a list that is gone through for each.
    pub scenario: Option<usize>,
}

/// Whether an item was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Ticked")]
pub struct Tick {
    pub at: Timestamp,
    pub done: bool,
}

/// Something that people have observed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Noted")]
pub struct Note {
    pub at: Timestamp,
    pub text: String,
    pub by: Option<String>,
}

/// The end of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::ScenarioEnded")]
pub struct ScenarioEnd {
    pub at: Timestamp,
    pub verdict: Verdict,
    pub reason: String,
    pub text: String,
}

/// That people got so far, as one of them said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in Event::Marked")]
pub struct Marked {
    pub at: Timestamp,
    pub by: Option<String>,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// When it was said.
    pub at: Timestamp,
    /// What.
    pub text: String,
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when.
    pub due: Option<Day>,
    /// Because of which scenario.
    pub scenario: Option<usize>,
    /// Whether Squall proposes it.
    pub suggested: bool,
}

/// A message, and whether it has arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// When that was known.
    pub at: Timestamp,
    /// Which message.
    pub stage: Stage,
    /// Whom: no secret.
    pub recipient: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it has not arrived.
    pub error: Option<String>,
}

impl GamedayState {
    /// Whom messages did not reach, and why: the recipient, the reason, and how many messages.
    #[must_use]
    pub fn undelivered(&self) -> Vec<(&str, &str, u64)> {
        let mut all: Vec<(&str, &str, u64)> = Vec::new();
        for (to, why) in self.told.iter().filter_map(|t| Some((t.recipient.as_str(), t.error.as_deref()?))) {
            match all.iter_mut().find(|same| (same.0, same.1) == (to, why)) {
                Some(same) => same.2 += 1,
                None => all.push((to, why, 1)),
            }
        }
        all
    }

    /// Folds an event in.
    pub fn apply(&mut self, stamped: &Stamped) {
        let at = stamped.at;
        match stamped.event.clone() {
            Event::Started { id, file, gameday, experiments, unattended, rehearsal, format: _ } => {
                self.began = Some(at);
                (self.id, self.file, self.gameday, self.experiments) = (id, file, Some(gameday), experiments);
                (self.unattended, self.rehearsal) = (unattended, rehearsal);
            }
            Event::Ticked { list, item, scenario, done } => {
                self.ticks.insert(Item { list, item, scenario }, Tick { at, done });
            }
            Event::Told { stage, recipient, attempts, error } => {
                self.told.push(Delivery { at, stage, recipient, attempts, error });
            }
            Event::ScenarioBegan { scenario, run } => {
                let begun = ScenarioState { run: Some(run), began: Some(at), ..ScenarioState::default() };
                self.scenarios.insert(scenario, begun);
            }
            Event::ScenarioSkipped { scenario, why } => {
                self.scenarios.entry(scenario).or_default().skipped = Some(why);
            }
            Event::ScenarioEnded { scenario, verdict, reason, text } => {
                let it = self.scenarios.entry(scenario).or_default();
                if reason == NOT_BEGUN {
                    it.run = None;
                }
                it.ended = Some(ScenarioEnd { at, verdict, reason, text });
            }
            Event::Noted { text, by } => self.notes.push(Note { at, text, by }),
            Event::Marked { mark, by } => {
                if let Some(latest) = self.latest().and_then(|n| self.scenarios.get_mut(&n)) {
                    latest.marks.entry(mark).or_insert(Marked { at, by });
                }
            }
            Event::Action { text, owner, due, scenario, suggested } => {
                let scenario = scenario.or_else(|| if self.ended.is_none() { self.latest() } else { None });
                self.actions.push(Action { at, text, owner, due, scenario, suggested });
            }
            Event::Stopped { why } => self.stopped = Some(Stopped { at, why }),
            Event::Ended { verdict } => (self.ended, self.verdict) = (Some(at), verdict),
        }
    }

    /// The scenario that is going on, or was the last to begin.
    #[must_use]
    pub fn latest(&self) -> Option<usize> {
        self.scenarios.iter().rev().find(|(_, it)| it.began.is_some()).map(|(n, _)| *n)
    }

    /// What a scenario is called.
    #[must_use]
    pub fn title(&self, scenario: usize) -> &str {
        let of_file = self.gameday.as_ref().and_then(|g| g.scenarios.get(scenario));
        let title = of_file.and_then(|s| s.title.as_deref());
        title.or_else(|| self.experiments.get(scenario).map(String::as_str)).unwrap_or_default()
    }

    /// The state that events come to.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Stamped>) -> Self {
        let mut state = Self::default();
        events.into_iter().for_each(|event| state.apply(event));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(events: Vec<Event>) -> Vec<Stamped> {
        let begin: Timestamp = "2026-11-20T09:00:00Z".parse().unwrap();
        let at = |n: usize| begin + jiff::SignedDuration::from_secs(i64::try_from(n).unwrap());
        events.into_iter().enumerate().map(|(n, event)| Stamped { at: at(n), event }).collect()
    }

    fn action(scenario: Option<usize>) -> Event {
        Event::Action { text: "x".to_owned(), owner: None, due: None, scenario, suggested: false }
    }

    #[test]
    fn marks_and_actions_belong_to_the_scenario_that_was_the_last_to_begin() {
        let began = |scenario| Event::ScenarioBegan { scenario, run: format!("run-{scenario}") };
        let ended = |scenario, reason: &str| Event::ScenarioEnded {
            scenario,
            verdict: Verdict::NoVerdict,
            reason: reason.to_owned(),
            text: String::new(),
        };
        let mark = || Event::Marked { mark: Mark::Detected, by: None };
        let state = GamedayState::of(&stamped(vec![
            mark(),
            action(None),
            began(0),
            mark(),
            mark(),
            ended(0, "halted"),
            action(None),
            began(1),
            ended(1, NOT_BEGUN),
            action(Some(0)),
            Event::Ended { verdict: Some(Verdict::NoVerdict) },
            action(None),
        ]));
        assert_eq!(state.actions.iter().map(|a| a.scenario).collect::<Vec<_>>(), [None, Some(0), Some(0), None]);
        let first = &state.scenarios[&0];
        assert_eq!(first.marks[&Mark::Detected].at, "2026-11-20T09:00:03Z".parse().unwrap(), "the first word stands");
        assert_eq!(first.run.as_deref(), Some("run-0"));
        assert_eq!(state.scenarios[&1].run, None, "what has not begun has no run");
        assert_eq!(state.verdict, Some(Verdict::NoVerdict));
    }

    #[test]
    fn an_older_timeline_is_read() {
        for line in [
            r#"{"at":"2026-11-20T09:00:00Z","event":"ended"}"#,
            r#"{"at":"2026-11-20T09:00:00Z","event":"action","text":"x"}"#,
        ] {
            serde_json::from_str::<Stamped>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
