//! The figures of a game day that every format shows, computed once. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::super::{facts, words};
use super::Record;
use super::compared::Compared;
use super::gaps::{self, Gap};
use super::timeline::{self, Moment};
use crate::event::Phase;
use crate::exit::Verdict;
use crate::gameday::event::Mark;
use crate::gameday::state::ScenarioState;
use crate::gameday::{Gameday, Goals};
use crate::state::RunState;

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

/// What became of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    To(Verdict),
    /// The commander left it out.
    LeftOut,
    NotReached,
    /// It has begun and has no end.
    Unfinished,
}

/// A scenario of the file, and what is known of it.
pub(super) struct Scenario<'a> {
    /// From 0.
    pub(super) n: usize,
    pub(super) title: &'a str,
    pub(super) experiment: &'a str,
    pub(super) hypothesis: Option<&'a str>,
    pub(super) run_id: Option<&'a str>,
    pub(super) run: Option<&'a RunState>,
    pub(super) came: Came,
    /// Why, in words without a capital and a full stop of their own.
    pub(super) why: &'a str,
    /// The names of those that were hit.
    pub(super) hit: Vec<&'a str>,
    pub(super) spared: usize,
    /// Requests while the fault was on.
    pub(super) asked: u64,
    pub(super) failed: u64,
    pub(super) unasked: u64,
    /// The expectation that broke, else the one that came nearest to it.
    pub(super) worst: Option<Worst>,
    /// How fast people and Squall were, by [`Mark::ALL`].
    pub(super) clocks: [Clock<'a>; 3],
    /// For how long the system was bad, from the injection on.
    pub(super) bad: Duration,
}

/// An expectation, as it stood while the fault was on.
pub(super) struct Worst {
    pub(super) check: String,
    pub(super) expectation: String,
    pub(super) bound: String,
    pub(super) measured: String,
    pub(super) held: bool,
}

/// How long something took, from the injection on.
pub(super) struct Clock<'a> {
    pub(super) mark: Mark,
    /// People, and who said so.
    pub(super) people: Option<(Duration, Option<&'a str>)>,
    pub(super) machine: Option<Duration>,
    pub(super) goal: Option<Duration>,
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
        let count = |which: &dyn Fn(Came) -> bool| self.scenarios.iter().filter(|s| which(s.came)).count();
        let of = |verdict| count(&|came| came == Came::To(verdict));
        let total = self.scenarios.len() as u64;
        let mut parts = vec![format!("{} of {} held", of(Verdict::Held), words::count(total, "scenario"))];
        for (n, words) in [
            (of(Verdict::Broken), "broke"),
            (of(Verdict::NoVerdict), "came to no verdict"),
            (of(Verdict::LeftBehind), "left something behind"),
            (count(&|came| matches!(came, Came::LeftOut | Came::NotReached)), "not run"),
            (count(&|came| came == Came::Unfinished), "without an end"),
        ] {
            if n > 0 {
                parts.push(format!("{n} {words}"));
            }
        }
        words::sentence(&parts.join(", "))
    }

    /// All instances that were hit, each once.
    pub(super) fn hit(&self) -> usize {
        let names: std::collections::BTreeSet<&str> =
            self.scenarios.iter().flat_map(|s| s.hit.iter().copied()).collect();
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

impl Came {
    pub(super) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::To(verdict) => Some(verdict),
            Self::LeftOut | Self::NotReached | Self::Unfinished => None,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::To(verdict) => verdict.words(),
            Self::LeftOut => "left out",
            Self::NotReached => "not reached",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Clock<'_> {
    /// Whether people were as fast as they should be; nothing without a goal, or without their word.
    pub(super) fn met(&self) -> Option<bool> {
        Some(self.people?.0 <= self.goal?)
    }
}

impl Scenario<'_> {
    /// Why, in a sentence.
    pub(super) fn sentence(&self) -> String {
        words::sentence(self.why)
    }

    pub(super) fn clock(&self, mark: Mark) -> Option<&Clock<'_>> {
        self.clocks.iter().find(|clock| clock.mark == mark)
    }

    /// When the fault was there.
    pub(super) fn injected(&self) -> Option<Timestamp> {
        facts::injected(self.run?)
    }

    /// How long the system took to recover, from the moment from which that is measured.
    pub(super) fn recovery(&self) -> Option<Duration> {
        self.run?.recovery.as_ref()?.rto
    }
}

impl Budget {
    /// The share that is spent.
    pub(super) fn share(&self) -> f64 {
        let whole = self.whole.as_secs_f64();
        if whole > 0.0 { self.spent.as_secs_f64() / whole } else { f64::INFINITY }
    }
}

/// Every scenario of the file, in its order.
pub(super) fn scenarios(record: &Record) -> Vec<Scenario<'_>> {
    let Some(gameday) = record.state.gameday.as_deref() else { return Vec::new() };
    let of = |n| scenario(record, n, record.state.scenarios.get(&n), &gameday.goals);
    (0..gameday.scenarios.len()).map(of).collect()
}

fn scenario<'a>(record: &'a Record, n: usize, known: Option<&'a ScenarioState>, goals: &Goals) -> Scenario<'a> {
    let run = record.runs.get(&n);
    let ended = known.and_then(|known| known.ended.as_ref());
    let skipped = known.and_then(|known| known.skipped.as_deref());
    let came = match (ended, skipped, known.and_then(|known| known.began)) {
        (Some((_, verdict, ..)), ..) => Came::To(*verdict),
        (None, Some(_), _) => Came::LeftOut,
        (None, None, Some(_)) => Came::Unfinished,
        (None, None, None) => Came::NotReached,
    };
    let stopped = record.state.stopped.as_ref().map(|(_, why)| why.as_str());
    let why = match (ended, skipped) {
        (Some((.., text)), _) => text.as_str(),
        (None, Some(why)) => why,
        (None, None) if came == Came::Unfinished => "it has begun, and its end is not recorded",
        (None, None) => stopped.unwrap_or("the game day was not carried on to it"),
    };
    let checks = || run.iter().flat_map(|run| run.checks.values()).filter(|check| !check.safety);
    let during = || checks().flat_map(|check| &check.windows).filter(|window| window.phase == Phase::During);
    Scenario {
        n,
        title: record.state.title(n),
        experiment: record.state.experiments.get(n).map_or("", String::as_str),
        hypothesis: run.and_then(facts::experiment).map(|x| x.hypothesis.as_str()),
        run_id: known.and_then(|known| known.run.as_deref()),
        run,
        came,
        why,
        hit: run.map(|run| run.hit.iter().map(|i| i.name.as_str()).collect()).unwrap_or_default(),
        spared: run.map_or(0, |run| run.spared.len()),
        asked: during().map(|w| w.samples).sum(),
        failed: during().map(|w| w.failed).sum(),
        unasked: during().map(|w| w.unasked).sum(),
        worst: run.and_then(worst),
        clocks: clocks(run, known, goals),
        bad: run.map(RunState::bad).unwrap_or_default(),
    }
}

fn worst(run: &RunState) -> Option<Worst> {
    let (check, standing) = match run.breach() {
        Some(breach) => (breach.check.clone(), breach.standing.clone()),
        None => facts::tightest(run).map(|budget| (budget.check, budget.standing))?,
    };
    Some(Worst {
        check,
        expectation: standing.expectation,
        bound: standing.bound,
        measured: standing.measured,
        held: standing.held,
    })
}

fn clocks<'a>(run: Option<&RunState>, known: Option<&'a ScenarioState>, goals: &Goals) -> [Clock<'a>; 3] {
    let injected = run.and_then(facts::injected);
    let since = |at: Option<Timestamp>| Some(words::between(injected?, at?));
    Mark::ALL.map(|mark| {
        let machine = match mark {
            Mark::Detected => run.and_then(|run| run.breach().map(|b| b.at)),
            // Nothing is damaged any more where all is well, even if the last change is still being taken back.
            Mark::Mitigated => {
                run.and_then(|run| facts::taken_back(run).into_iter().chain(facts::recovered(run)).min())
            }
            Mark::Recovered => run.and_then(facts::recovered),
        };
        let said = known.and_then(|known| known.marks.get(&mark));
        Clock {
            mark,
            people: said.and_then(|(at, by)| Some((since(Some(*at))?, by.as_deref()))),
            machine: since(machine),
            goal: goals.of(mark).map(|goal| goal.0),
        }
    })
}

/// Nothing where the world was simulated: nobody's budget was spent.
fn budget(record: &Record, scenarios: &[Scenario<'_>]) -> Option<Budget> {
    let budget = record.state.gameday.as_ref()?.budget.filter(|_| !record.state.rehearsal)?;
    Some(Budget {
        objective: budget.objective.to_string(),
        window: super::words::days(budget.window.0),
        whole: budget.window.0.mul_f64(1.0 - budget.objective.0),
        spent: scenarios.iter().map(|s| s.bad).sum(),
    })
}
