//! The figures of a game day that every format shows, computed once. Pure.

use std::time::Duration;

use super::super::words;
use super::Record;
use super::compared::Compared;
use super::gaps::{self, Gap};
use super::scenario::{Clock, Scenario, ScenarioOutcome, scenarios};
use super::timeline::{self, Moment};
use crate::model::exit::Verdict;
use crate::occasions::gameday::Gameday;
use crate::occasions::gameday::event::Mark;

/// All of them.
pub(super) struct Facts<'a> {
    pub(super) record: &'a Record,
    pub(super) gameday: Option<&'a Gameday>,
    pub(super) scenarios: Vec<Scenario<'a>>,
    pub(super) budget: Option<Budget>,
    pub(super) gaps: Vec<Gap>,
    pub(super) moments: Vec<Moment<'a>>,
    pub(super) compared: Option<Compared<'a>>,
}

/// An error budget, and what the game day spent of it.
pub(super) struct Budget {
    pub(super) objective: String,
    pub(super) window: String,
    pub(super) whole: Duration,
    pub(super) spent: Duration,
}

impl<'a> Facts<'a> {
    pub(super) fn of(record: &'a Record, previous: Option<&'a Record>) -> Self {
        let gameday = record.state.gameday.as_deref();
        let scenarios = scenarios(record);
        Self {
            record,
            gameday,
            budget: budget(record, &scenarios),
            gaps: gaps::of(record, &scenarios),
            moments: timeline::of(record, &scenarios),
            compared: previous.map(|previous| Compared::of(&scenarios, previous)),
            scenarios,
        }
    }

    /// What it came to: as its end says, else the worst so far.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let worst = self.scenarios.iter().filter_map(|s| s.came.verdict()).reduce(Verdict::worse);
        self.record.state.ended.and(self.record.state.verdict.or(worst))
    }

    /// What it is called.
    pub(super) fn title(&self) -> &str {
        self.gameday.map_or("unknown game day", |g| g.title.as_str())
    }

    /// What came of it, in a sentence: `3 of 5 hypotheses held, 1 broke, 1 scenario was not run.`
    pub(super) fn headline(&self) -> String {
        let count = |which: &dyn Fn(ScenarioOutcome) -> bool| self.scenarios.iter().filter(|s| which(s.came)).count();
        let of = |verdict| count(&|came| came == ScenarioOutcome::To(verdict));
        let total = self.scenarios.len() as u64;
        let all = words::count(total, "scenario");
        let (would_hold, would_break) = (of(Verdict::Rehearsed), of(Verdict::RehearsedBroken));
        let mut parts = if self.record.state.rehearsal {
            vec![format!("rehearsed: {would_hold} of {all} would hold")]
        } else {
            vec![format!("{} of {all} held", of(Verdict::Held))]
        };
        for (n, words) in [
            (would_break, "would break"),
            (of(Verdict::Broken), "broke"),
            (of(Verdict::NoVerdict), "came to no verdict"),
            (of(Verdict::LeftBehind), "left something behind"),
            (count(&|came| matches!(came, ScenarioOutcome::LeftOut | ScenarioOutcome::NotReached)), "not run"),
            (count(&|came| came == ScenarioOutcome::Unfinished), "without an end"),
        ] {
            if n > 0 {
                parts.push(format!("{n} {words}"));
            }
        }
        words::sentence(&parts.join(", "))
    }

    /// All instances that were targeted, each once.
    pub(super) fn targeted(&self) -> usize {
        let names: std::collections::BTreeSet<&str> =
            self.scenarios.iter().flat_map(|s| s.targeted.iter().copied()).collect();
        names.len()
    }

    /// Requests while a fault was on, and how many of them failed.
    pub(super) fn requests(&self) -> (u64, u64) {
        self.scenarios.iter().fold((0, 0), |(asked, failed), s| (asked + s.asked, failed + s.failed))
    }

    /// The slowest of all scenarios: people, Squall, and the goal.
    pub(super) fn slowest(&self, mark: Mark) -> Clock<'a> {
        let clocks = || self.scenarios.iter().flat_map(|s| &s.clocks).filter(move |clock| clock.mark == mark);
        Clock {
            mark,
            people: clocks().filter_map(|c| c.people).max_by_key(|people| people.0),
            machine: clocks().filter_map(|c| c.machine).max(),
            goal: clocks().find_map(|c| c.goal),
        }
    }
}

impl Budget {
    /// The share that is spent.
    pub(super) fn share(&self) -> f64 {
        let whole = self.whole.as_secs_f64();
        if whole > 0.0 { self.spent.as_secs_f64() / whole } else { f64::INFINITY }
    }
}

/// A long span of time in days, where it is some.
fn days(d: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    if d.as_secs() >= DAY && d.as_secs().is_multiple_of(DAY) {
        words::count(d.as_secs() / DAY, "day")
    } else {
        words::span(d)
    }
}

/// Nothing where the world was simulated: nobody's budget was spent.
fn budget(record: &Record, scenarios: &[Scenario<'_>]) -> Option<Budget> {
    let budget = record.state.gameday.as_ref()?.budget.filter(|_| !record.state.rehearsal)?;
    Some(Budget {
        objective: budget.objective.to_string(),
        window: days(budget.window.0),
        whole: budget.window.0.mul_f64(1.0 - budget.objective.0),
        spent: scenarios.iter().map(|s| s.bad).sum(),
    })
}
