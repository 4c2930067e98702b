//! What of a run is rolled back at once. Pure.

use crate::model::instance::{Change, Setting};

/// What of a run is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the run.
    Everything,
    /// One fault of its list, whose time is over.
    Fault(usize),
    /// All that a node can roll back by itself: not what commands of the user's have done, which have their variables from where the
    /// runner was.
    OfNode,
}

impl Scope {
    /// Whether a change is of it.
    pub(super) fn covers(self, change: &Change) -> bool {
        match self {
            Self::Everything => true,
            Self::Fault(fault) => fault == change.fault,
            Self::OfNode => !matches!(change.to, Setting::Ran(_)),
        }
    }
}
