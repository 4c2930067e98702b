//! What is known of an alert that was expected.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::Phase;
use crate::experiment::ExpectedAlert;

/// What is known of an alert.
#[derive(Debug, Clone, Default)]
pub struct AlertState {
    /// Within which time of the first change it was to fire.
    pub fires_within: Duration,
    /// Within which time of the fault's end it was to be resolved, where that was asked for.
    pub resolves_within: Option<Duration>,
    /// When it was first seen firing, and how long that was after the first change: the time to detect.
    pub fired: Option<(Timestamp, Duration)>,
    /// When it was first seen not to fire any more, and how long that was after the fault was gone.
    pub resolved: Option<(Timestamp, Duration)>,
    /// In which phases it did not do what it should.
    pub failed: Vec<Phase>,
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
        let step = |expectation, within, at: Option<(Timestamp, Duration)>, phase| {
            let took = at.map(|(_, took)| took);
            let held = if self.failed.contains(&phase) { Some(false) } else { took.map(|took| took <= within) };
            AlertStep { expectation, within, took, held }
        };
        let mut steps = vec![step("fires-within", self.fires_within, self.fired, Phase::During)];
        steps
            .extend(self.resolves_within.map(|within| step("resolves-within", within, self.resolved, Phase::Recovery)));
        steps
    }
}
