//! A judge of one phase of one check.

use std::time::Duration;

use crate::record::event::Phase;
use crate::run::steady::Judge;

/// A judge, and when its phase was cut short, if it was.
pub(super) struct PhaseJudge {
    pub(super) phase: Phase,
    pub(super) judge: Judge,
    pub(super) cut: Duration,
}

impl PhaseJudge {
    pub(super) fn until(&self) -> Duration {
        self.judge.end().min(self.cut)
    }
}
