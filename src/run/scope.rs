//! What of a run is rolled back at once. Pure.

use crate::model::instance::Change;

/// What of a run is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the run.
    Everything,
    /// One fault of its list, whose time is over.
    Fault(usize),
}

impl Scope {
    /// Whether a change is of it.
    pub(super) fn covers(self, change: &Change) -> bool {
        self == Self::Everything || self == Self::Fault(change.fault)
    }
}
