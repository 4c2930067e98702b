//! The schedule file as a value, and when its entries start. Arithmetic alone: the next start is a function of the file, the
//! seed, the past and a moment called now. What starts anything has the clock.

mod open;
pub mod read;
mod start;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use open::Open;
pub use start::{Missed, Past, Timetable};

use crate::experiment::{Check, Percent, Span};
use crate::model::quantity::{Cron, Days, TimeOfDay, Wait, Weekdays, Zone};
use crate::occasions::notify::Recipient;

/// What is to be run, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Schedule {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"))]
    pub name: String,
    /// The time zone of all days and times in this file (default UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// Days on which nothing starts; a single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub blackout: Vec<Days>,
    /// Labels of instances that nothing in this file targets, each `key` or `key=value`, on top of what an experiment
    /// protects itself; a single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub opt_out: Vec<String>,
    /// Who is told what runs come to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Recipient>,
    /// What they are told (default `trouble`).
    #[serde(default)]
    pub tell: Tell,
    /// The entries, by name.
    pub entries: IndexMap<String, Entry>,
}

/// One experiment, or several of which one is chosen each time, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-exactly-one" = ["cron", "random"]))]
pub struct Entry {
    /// Experiment files, seen from this file; of several, one is chosen at random each time. A single one needs no list.
    #[schemars(extend("x-one" = true))]
    pub experiments: Vec<String>,
    /// At certain times: minute, hour, day of the month, month, day of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Cron>,
    /// At random times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<Random>,
    /// Only at these hours (default: at any).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Each start that `cron` gives is put off by a random time below this (default 0s).
    #[serde(default)]
    pub jitter: Span,
    /// What becomes of starts that were missed (default `skip`).
    #[serde(default)]
    pub missed: Missed,
    /// Whether anything is touched (default `run`).
    #[serde(default)]
    pub mode: Mode,
    /// Probes that are each asked once before a start; where one does not get a good answer, nothing starts.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub only_while: IndexMap<String, Check>,
    /// How much of the error budget must be left, or nothing starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// At random times: independent of each other, so that the next cannot be foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Random {
    /// The mean time from one start to the next. Only time counts at which it may start: that of `hours`, without `blackout`.
    pub mean: Wait,
    /// The least time from one start to the next, counted in the same way (default 0s).
    #[serde(default)]
    pub at_least: Wait,
    /// At most so many starts on one day (default: any number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

/// Hours of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hours {
    /// On these days (default: on all).
    #[serde(default)]
    pub days: Weekdays,
    /// From this time of day.
    pub from: TimeOfDay,
    /// To this time of day, which is not among them; `24:00` is the end of the day.
    pub to: TimeOfDay,
}

/// Whether anything is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Experiments are run.
    #[default]
    Run,
    /// Experiments are planned and reported: what would be targeted, and how. Nothing is touched.
    DryRun,
}

/// What recipients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// Runs that did not hold, and the first after them that did.
    #[default]
    Trouble,
    /// The begin and the end of every run.
    Everything,
}

/// An error budget, from the history: the time for which runs may have made the system bad.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Budget {
    /// The share of the time that is to be good, such as `99.9%`.
    pub objective: Percent,
    /// Over how long (default 30d).
    #[serde(default = "month")]
    pub window: Wait,
    /// How much of the budget must be left, such as `25%`.
    pub left: Percent,
}

fn month() -> Wait {
    Wait(std::time::Duration::from_hours(24 * 30))
}

impl Budget {
    /// The share of the budget that is left after so long a bad time; less than nothing, where it is overspent.
    #[must_use]
    pub fn left_after(&self, bad: std::time::Duration) -> f64 {
        let whole = self.window.0.as_secs_f64() * (1.0 - self.objective.0);
        if whole > 0.0 {
            1.0 - bad.as_secs_f64() / whole
        } else if bad.is_zero() {
            1.0
        } else {
            f64::NEG_INFINITY
        }
    }
}
