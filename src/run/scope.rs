//! What of a run is rolled back at once. Pure.

use crate::model::instance::{Change, InstanceId, Setting};

/// What of a run is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// All of the run.
    Everything,
    /// One fault of its list, whose time is over.
    Fault(usize),
    /// All that a node can roll back by itself: what is on it, by its name where the run has several, and not what commands of the user's
    /// have done, which have their variables from where the runner was.
    OfNode(Option<&'a str>),
}

impl Scope<'_> {
    /// Whether a change is of it.
    pub(super) fn covers(self, change: &Change) -> bool {
        match self {
            Self::Everything => true,
            Self::Fault(fault) => fault == change.fault,
            Self::OfNode(node) => is_on(node, change) && !matches!(change.to, Setting::Ran(_)),
        }
    }
}

/// Whether a change is of an instance on a machine; of any, where the run has one machine alone.
pub(super) fn is_on(node: Option<&str>, change: &Change) -> bool {
    node.is_none_or(|node| InstanceId::split(&change.instance.0).is_some_and(|(on, _)| on == node))
}
