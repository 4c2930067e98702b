//! What follows from what is known: which changes count, when phases were, when the fault came and went, how long it was bad.

use std::time::Duration;

use jiff::Timestamp;

use super::{Breach, ChangeState, RunState};
use crate::experiment::OnBreach;
use crate::record::event::{Phase, Reason};

impl RunState {
    /// The changes that count: the newest of each fault, aspect and instance. An amendment takes the place of what it amends.
    pub fn current(&self) -> impl Iterator<Item = &ChangeState> {
        self.changes
            .iter()
            .enumerate()
            .filter_map(|(n, c)| (!self.changes[n + 1..].iter().any(|later| later.takes_the_place_of(c))).then_some(c))
    }

    /// The changes that should be in effect: made, and not being rolled back.
    pub fn on(&self) -> impl Iterator<Item = &ChangeState> {
        self.current().filter(|c| c.injected.is_some() && c.rolling_back.is_none())
    }

    /// Whether a phase has been reached.
    #[must_use]
    pub fn reached(&self, phase: Phase) -> bool {
        self.phases.iter().any(|p| p.phase == phase)
    }

    /// From when to when a phase was on; the last one ends with the run.
    #[must_use]
    pub fn span_of(&self, phase: Phase) -> Option<(Timestamp, Timestamp)> {
        let i = self.phases.iter().position(|p| p.phase == phase)?;
        let end = self.phases.get(i + 1).map(|p| p.at).or(self.finished.as_ref().map(|f| f.at)).or(self.last)?;
        Some((self.phases[i].at, end))
    }

    /// The breach that decided the run, if one did: the first while the fault was on.
    #[must_use]
    pub fn breach(&self) -> Option<&Breach> {
        self.breaches.iter().find(|b| b.phase == Phase::During && !b.safety)
    }

    /// When the first change was injected: what people's times count from.
    #[must_use]
    pub fn injected(&self) -> Option<Timestamp> {
        self.changes.iter().filter_map(|c| c.injected.as_ref().map(|i| i.at)).min()
    }

    /// When the last change was rolled back, so far.
    #[must_use]
    pub fn rolled_back(&self) -> Option<Timestamp> {
        self.changes.iter().filter_map(|c| Some(c.rolled_back?.at)).max()
    }

    /// From the breach that stopped the run to the last change rolled back, if everything was; nothing where none stopped it,
    /// such as one that was observed.
    #[must_use]
    pub fn stopped_in(&self) -> Option<Duration> {
        let why = self.stopping.as_ref()?.why;
        let observed = self.started.as_ref().is_some_and(|s| s.experiment.on_breach == OnBreach::Observe);
        let safety = match why {
            Reason::SafetyBreached => true,
            Reason::HypothesisBroken | Reason::AlertMissing if !observed => false,
            _ => return None,
        };
        let breach = self.breaches.iter().find(|b| b.phase == Phase::During && b.safety == safety)?.at;
        let last = self.rolled_back()?;
        let all_back = self.outstanding().is_empty();
        Duration::try_from(last.duration_since(breach)).ok().filter(|_| all_back)
    }

    /// The time for which the system was bad from the injection on, by the worst check of the hypothesis.
    #[must_use]
    pub fn bad(&self) -> Duration {
        let Some(x) = self.started.as_ref().map(|s| &s.experiment) else { return Duration::ZERO };
        let bad = x.steady_state.iter().filter_map(|(name, check)| {
            let windows = &self.checks.get(name)?.windows;
            let after = windows.iter().filter(|w| matches!(w.phase, Phase::During | Phase::Rollback | Phase::Recovery));
            let failed: u64 = after.map(|w| w.failed).sum();
            Duration::try_from_secs_f64(failed as f64 / check.rate.0).ok()
        });
        bad.max().unwrap_or_default()
    }
}
