//! For how long a run may hold its faults, by plan: what its guard waits for, and after which Squall's processes end by themselves.
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::experiment::Experiment;
use crate::experiment::fault::Heal;
use crate::model::instance::{Change, Rollback};

/// How long it may take, beyond the engine's own time, until an injection is verified or a rollback proven.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long after its time one of Squall's processes ends by itself.
const LAST_RESORT: Duration = Duration::from_mins(1);

/// The fault phase with every turn of it at its slowest, and the wait for self-healing.
#[must_use]
pub fn time_limit(x: &Experiment, changes: &[Change]) -> Duration {
    let (hold, faults) = (x.timing.duration, x.faults());
    let apart = |c: &Change| faults.get(c.fault).and_then(|i| i.fault.disturb().returns_every()).unwrap_or_default().0;
    let coming_back: Duration = changes.iter().map(apart).sum();
    let mut slowest: BTreeMap<usize, Duration> = BTreeMap::new();
    for change in changes {
        let back = match &change.back {
            Rollback::To(to) => to.longest() + VERIFY_TIMEOUT,
            Rollback::Nothing => Duration::ZERO,
        };
        let both = slowest.entry(change.fault).or_default();
        *both = (*both).max(change.to.longest() + VERIFY_TIMEOUT + back);
    }
    let turns: Duration = slowest.values().sum();
    let recovery = if x.heal() == Heal::Itself { x.timing.recovery.0 } else { Duration::ZERO };
    turns + coming_back + hold.0 + recovery
}

/// After which time one of Squall's own processes ends by itself.
pub(super) fn of_stressors(x: &Experiment, changes: &[Change]) -> Duration {
    time_limit(x, changes) + LAST_RESORT
}
