//! What became of each scenario of a game day, in figures. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::super::{facts, words};
use super::Record;
use crate::model::exit::Verdict;
use crate::occasions::gameday::Goals;
use crate::occasions::gameday::event::Mark;
use crate::occasions::gameday::state::ScenarioState;
use crate::record::event::{Excerpt, Judgement, Phase, Standing};
use crate::record::state::{Comeback, RunState};

/// What became of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScenarioOutcome {
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
    pub(super) came: ScenarioOutcome,
    /// Why, in words without a capital and a full stop of their own.
    pub(super) why: &'a str,
    /// The names of those that were targeted.
    pub(super) targeted: Vec<&'a str>,
    pub(super) spared: usize,
    /// Requests while the fault was on.
    pub(super) asked: u64,
    pub(super) failed: u64,
    pub(super) unmeasured: u64,
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
    pub(super) value: Option<Excerpt>,
    pub(super) came: Judgement,
}

/// How long something took, from the injection on.
pub(super) struct Clock<'a> {
    pub(super) mark: Mark,
    /// People, and who said so.
    pub(super) people: Option<(Duration, Option<&'a str>)>,
    pub(super) machine: Option<Duration>,
    pub(super) goal: Option<Duration>,
}

impl ScenarioOutcome {
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

    /// What became of steady state; `None` where it was not back.
    pub(super) fn recovery(&self) -> Option<Comeback> {
        Some(self.run?.recovery.as_ref()?.comeback()).filter(|came| came.took().is_some())
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
        (Some(end), ..) => ScenarioOutcome::To(end.verdict),
        (None, Some(_), _) => ScenarioOutcome::LeftOut,
        (None, None, Some(_)) => ScenarioOutcome::Unfinished,
        (None, None, None) => ScenarioOutcome::NotReached,
    };
    let stopped = record.state.stopped.as_ref().map(|stopped| stopped.why.as_str());
    let why = match (ended, skipped) {
        (Some(end), _) => end.text.as_str(),
        (None, Some(why)) => why,
        (None, None) if came == ScenarioOutcome::Unfinished => "it has begun, and its end is not recorded",
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
        targeted: run.map(|run| run.targeted.iter().map(|i| i.name.as_str()).collect()).unwrap_or_default(),
        spared: run.map_or(0, |run| run.spared.len()),
        asked: during().map(|w| w.samples).sum(),
        failed: during().map(|w| w.failed).sum(),
        unmeasured: during().map(|w| w.unmeasured).sum(),
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
    let came = standing.judgement();
    let Standing { expectation, bound, measured, value, .. } = standing;
    Some(Worst { check, expectation, bound, measured, value, came })
}

fn clocks<'a>(run: Option<&RunState>, known: Option<&'a ScenarioState>, goals: &Goals) -> [Clock<'a>; 3] {
    let injected = run.and_then(facts::injected);
    let since = |at: Option<Timestamp>| Some(words::between(injected?, at?));
    Mark::ALL.map(|mark| {
        let machine = match mark {
            Mark::Detected => run.and_then(|run| run.breach().map(|b| b.at)),
            // Nothing is damaged any more where all is well, even if the last change is still being rolled back.
            Mark::Mitigated => {
                run.and_then(|run| facts::rolled_back(run).into_iter().chain(facts::recovered(run)).min())
            }
            Mark::Recovered => run.and_then(facts::recovered),
        };
        let said = known.and_then(|known| known.marks.get(&mark));
        Clock {
            mark,
            people: said.and_then(|said| Some((since(Some(said.at))?, said.by.as_deref()))),
            machine: since(machine),
            goal: goals.of(mark).map(|goal| goal.0),
        }
    })
}
