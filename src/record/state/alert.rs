//! What is known of an alert that was expected.

use std::time::Duration;

use jiff::Timestamp;

use crate::experiment::ExpectedAlert;
use crate::record::event::Phase;

/// What is known of an alert.
#[derive(Debug, Clone, Default)]
pub struct AlertState {
    /// Within which time of the first change it was to fire.
    pub fires_within: Duration,
    /// Within which time of the fault's end it was to be resolved, where that was asked for.
    pub resolves_within: Option<Duration>,
    /// That it fired; `after` the first change: the time to detect.
    pub fired: Option<AlertTurn>,
    /// That it fired no more; `after` the fault was gone.
    pub resolved: Option<AlertTurn>,
    /// In which phases it did not do what it should.
    pub failed: Vec<Phase>,
}

/// An alert that began or ceased to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertTurn {
    /// When that was first seen.
    pub at: Timestamp,
    /// How long it took.
    pub after: Duration,
}

/// One of the two things that an alert was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertStep {
    /// `fires-within` or `resolves-within`.
    pub expectation: &'static str,
    /// Its bound.
    pub within: Duration,
    /// How long it took; nothing where it did not come to it.
    pub took: Option<Duration>,
    /// Whether it did so in time; nothing where that was not judged.
    pub held: Option<bool>,
}

impl AlertState {
    pub(super) fn of(expected: &ExpectedAlert) -> Self {
        Self {
            fires_within: expected.fires_within.0,
            resolves_within: expected.resolves_within.map(|span| span.0),
            ..Self::default()
        }
    }

    /// What it was to do, and how that came out.
    #[must_use]
    pub fn steps(&self) -> Vec<AlertStep> {
        let step = |expectation, within, turn: Option<AlertTurn>, phase| {
            let took = turn.map(|turn| turn.after);
            let held = if self.failed.contains(&phase) { Some(false) } else { took.map(|took| took <= within) };
            AlertStep { expectation, within, took, held }
        };
        let mut steps = vec![step("fires-within", self.fires_within, self.fired, Phase::During)];
        steps
            .extend(self.resolves_within.map(|within| step("resolves-within", within, self.resolved, Phase::Recovery)));
        steps
    }
}
