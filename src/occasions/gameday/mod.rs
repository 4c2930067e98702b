//! The game-day file as a value: an exercise of several experiments, with the people and lists around it.
//!
//! Plain data. What happens on the day is [`event`], and [`state`] is what that comes to.

pub mod event;
pub mod read;
pub mod state;
pub mod timeline;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::{Due, Experiment, OnBreach, Percent, Pick, Span};
use crate::model::quantity::{Day, Wait};
use crate::occasions::notify::Recipient;

/// A game day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gameday {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// A short name, by which game days of the same file are compared: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"))]
    pub name: String,
    /// What it is called in its report.
    pub title: String,
    /// What is to be learned, in a sentence.
    pub objective: String,
    /// Who answers for it.
    pub owner: String,
    /// Who takes part: names by role (`commander`, `observer`, `scribe` …); a single one needs no list.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub participants: IndexMap<String, Names>,
    /// What people are to do before, during and after.
    #[serde(default)]
    pub checklist: Checklist,
    /// What is broken, one after the other.
    pub scenarios: Vec<Scenario>,
    /// How fast people should be.
    #[serde(default)]
    pub goals: Goals,
    /// The error budget that the game day draws on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<ErrorBudget>,
    /// Who is told when it begins, what happens, and when it is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Recipient>,
    /// After what no further scenario begins (default `left-behind`).
    #[serde(default)]
    pub stop_on: StopOn,
    /// When its findings are looked at again: a day, `2026-12-15`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<Day>,
    /// How often it is to be held, such as `every quarter`; `squall history due` tells which are overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
}

/// A game day that was read, with its experiments.
#[derive(Debug, Clone, PartialEq)]
pub struct Agenda {
    /// What the file says.
    pub gameday: Gameday,
    /// The experiment of each scenario, with its overrides.
    pub experiments: Vec<Experiment>,
}

/// One name, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-one" = true))]
pub struct Names(pub Vec<String>);

/// What people are to do, ticked off one by one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Checklist {
    /// Before the first scenario.
    pub before: Vec<String>,
    /// While scenarios go on: after each of them.
    pub during: Vec<String>,
    /// After the last scenario.
    pub after: Vec<String>,
}

/// One experiment of the game day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// The experiment's file, seen from this file.
    pub experiment: String,
    /// What it is called in the report (default: the experiment's name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How long to wait before it, after the one before it (default 0s).
    #[serde(default)]
    pub pause: Span,
    /// What is otherwise than in the experiment's file.
    #[serde(default)]
    pub overrides: Overrides,
}

/// What is otherwise than in an experiment's file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Overrides {
    /// How long the baseline takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Span>,
    /// How long the fault is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// How long recovery may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Span>,
    /// How many are targeted, in an experiment of one fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
    /// What happens when the hypothesis breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_breach: Option<OnBreach>,
    /// Repeats the random choices of an earlier run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Overrides {
    /// Brings them into an experiment; whether all of them could be: one of several faults has no single `pick`. The
    /// seed is not part of an experiment.
    #[must_use]
    pub fn apply(&self, x: &mut Experiment) -> bool {
        let put = |span: Option<Span>, into: &mut Span| *into = span.unwrap_or(*into);
        put(self.baseline, &mut x.timing.baseline);
        put(self.duration, &mut x.timing.duration);
        put(self.recovery, &mut x.timing.recovery);
        x.on_breach = self.on_breach.unwrap_or(x.on_breach);
        self.pick.is_none_or(|pick| x.set_pick(pick))
    }
}

/// How fast people should be, from the injection on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Goals {
    /// Until the failure is noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected: Option<Span>,
    /// Until the damage is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated: Option<Span>,
    /// Until everything is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Span>,
}

impl Goals {
    /// How fast people should be at getting so far.
    #[must_use]
    pub fn of(&self, mark: event::Mark) -> Option<Span> {
        match mark {
            event::Mark::Detected => self.detected,
            event::Mark::Mitigated => self.mitigated,
            event::Mark::Recovered => self.recovered,
        }
    }
}

/// An error budget: the time for which the service may be bad.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ErrorBudget {
    /// The share of the time that is to be good, such as `99.9%`.
    pub objective: Percent,
    /// Over how long (default 30d).
    #[serde(default = "month")]
    pub window: Wait,
}

fn month() -> Wait {
    Wait(std::time::Duration::from_hours(24 * 30))
}

/// After what no further scenario begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopOn {
    /// After a broken hypothesis, and after an incomplete rollback.
    Breach,
    /// After an incomplete rollback.
    #[default]
    LeftBehind,
    /// After nothing.
    Never,
}
