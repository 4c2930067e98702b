//! How far a change is, and which step may come next: above all, nothing is made once its rollback has begun. Pure.

use crate::record::event::Event;

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ChangeStatus {
    /// It is on disk, and not begun.
    #[default]
    Planned,
    /// It is being made.
    Injecting,
    /// It is made.
    Injected,
    /// It could not be made, as far as is known: an engine that has not answered may still make it.
    NotInjected,
    /// It is being rolled back.
    RollingBack,
    /// It is rolled back.
    RolledBack,
    /// It could not be rolled back: a person has to, or a later attempt.
    Stuck,
}

/// A step of a change, as events record it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeStep {
    /// Its target has another life, after an earlier fault of the run.
    NewLife,
    /// It is about to be made.
    Inject,
    /// It is made.
    Injected,
    /// It could not be made.
    InjectFailed,
    /// Something of it is recorded that an earlier look has found: its verification, its effect, that it is off.
    Observed,
    /// What its target sees is recorded. Also of what was never begun, where all that a fault plans is compared at its end.
    Seen,
    /// It is about to be rolled back.
    RollBack,
    /// An attempt to roll it back failed.
    RollbackFailed,
    /// It is rolled back.
    RolledBack,
    /// All attempts failed.
    GivenUp,
}

impl ChangeStatus {
    /// What it is after a step, if that may come next.
    #[must_use]
    pub fn after(self, step: ChangeStep) -> Option<Self> {
        self.may_take(step).then(|| step.leads_to(self))
    }

    /// A rollback may begin anywhere and any number of times: who begins it may have lost what came before, or died at it, and what
    /// an engine makes late is rolled back again.
    fn may_take(self, step: ChangeStep) -> bool {
        match step {
            ChangeStep::NewLife | ChangeStep::Inject => self == Self::Planned,
            ChangeStep::Injected | ChangeStep::InjectFailed => self == Self::Injecting,
            // A look takes its time, and may see what an engine has not answered yet: only of what was never begun there is nothing.
            ChangeStep::Observed => self != Self::Planned,
            ChangeStep::Seen | ChangeStep::RollBack => true,
            ChangeStep::RollbackFailed | ChangeStep::RolledBack | ChangeStep::GivenUp => self == Self::RollingBack,
        }
    }
}

impl ChangeStep {
    /// The step that an event records, and of which change; none where it is about no change.
    #[must_use]
    pub fn of(event: &Event) -> Option<(usize, Self)> {
        Some(match event {
            Event::NewLife { n, .. } => (*n, Self::NewLife),
            Event::Injecting { n } => (*n, Self::Inject),
            Event::Injected { n, .. } => (*n, Self::Injected),
            Event::InjectFailed { n, .. } => (*n, Self::InjectFailed),
            Event::Verified { n, .. }
            | Event::Measured { n, .. }
            | Event::Effect { n, .. }
            | Event::Off { n, .. }
            | Event::Again { n } => (*n, Self::Observed),
            Event::Seen { n, .. } => (*n, Self::Seen),
            Event::RollingBack { n } => (*n, Self::RollBack),
            Event::RollbackFailed { n, .. } => (*n, Self::RollbackFailed),
            Event::RolledBack { n, .. } => (*n, Self::RolledBack),
            Event::Stuck { n, .. } => (*n, Self::GivenUp),
            Event::Started(_)
            | Event::Claiming { .. }
            | Event::UnlockFailed { .. }
            | Event::Unlocked { .. }
            | Event::Warned { .. }
            | Event::PhaseBegan { .. }
            | Event::Sampled(_)
            | Event::Judged(_)
            | Event::Breached { .. }
            | Event::Targeted { .. }
            | Event::Guarded { .. }
            | Event::Planned { .. }
            | Event::Amended { .. }
            | Event::Noticed { .. }
            | Event::TakenOver(_)
            | Event::Stopping { .. }
            | Event::Restored(_)
            | Event::Readdressed(_)
            | Event::Settled { .. }
            | Event::Recovery { .. }
            | Event::AlertFired { .. }
            | Event::AlertResolved { .. }
            | Event::Failover { .. }
            | Event::Finished { .. } => return None,
        })
    }

    /// Where it leads from anywhere, also in a journal with damage, in which what came before may be missing.
    #[must_use]
    pub(super) fn leads_to(self, from: ChangeStatus) -> ChangeStatus {
        match self {
            Self::NewLife | Self::Observed | Self::Seen => from,
            Self::Inject => ChangeStatus::Injecting,
            Self::Injected => ChangeStatus::Injected,
            Self::InjectFailed => ChangeStatus::NotInjected,
            Self::RollBack | Self::RollbackFailed => ChangeStatus::RollingBack,
            Self::RolledBack => ChangeStatus::RolledBack,
            Self::GivenUp => ChangeStatus::Stuck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ChangeStatus::{Injected, Injecting, NotInjected, Planned, RolledBack, RollingBack, Stuck};
    use super::*;

    const STATUSES: [ChangeStatus; 7] = [Planned, Injecting, Injected, NotInjected, RollingBack, RolledBack, Stuck];

    /// Every pair: a row for each step, a column for each status in the order above, by their initials; a dot is refused.
    #[test]
    fn every_step_after_every_status() {
        const INITIALS: [char; 7] = ['P', 'i', 'I', 'N', 'r', 'R', 'S'];
        for (step, row) in [
            (ChangeStep::NewLife, "P......"),
            (ChangeStep::Inject, "i......"),
            (ChangeStep::Injected, ".I....."),
            (ChangeStep::InjectFailed, ".N....."),
            (ChangeStep::Observed, ".iINrRS"),
            (ChangeStep::Seen, "PiINrRS"),
            (ChangeStep::RollBack, "rrrrrrr"),
            (ChangeStep::RollbackFailed, "....r.."),
            (ChangeStep::RolledBack, "....R.."),
            (ChangeStep::GivenUp, "....S.."),
        ] {
            let initial = |next: ChangeStatus| INITIALS[STATUSES.iter().position(|s| *s == next).unwrap()];
            let got: String = STATUSES.map(|status| status.after(step).map_or('.', initial)).iter().collect();
            assert_eq!(got, row, "{step:?}");
        }
    }

    #[test]
    fn where_a_step_may_come_it_leads_where_it_always_leads() {
        let steps = [
            ChangeStep::NewLife,
            ChangeStep::Inject,
            ChangeStep::Injected,
            ChangeStep::InjectFailed,
            ChangeStep::Observed,
            ChangeStep::Seen,
            ChangeStep::RollBack,
            ChangeStep::RollbackFailed,
            ChangeStep::RolledBack,
            ChangeStep::GivenUp,
        ];
        for (status, step) in STATUSES.into_iter().flat_map(|status| steps.map(|step| (status, step))) {
            assert!(status.after(step).is_none_or(|next| next == step.leads_to(status)), "{status:?}, {step:?}");
        }
    }
}
