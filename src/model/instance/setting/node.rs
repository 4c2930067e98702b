//! What happens to the node of an instance as a whole. It outlasts the instance's lives, and the instance itself.

use std::fmt;

use super::facts::{Facts, Marked, Observed, Stage};
use super::{Aspect, mark};
use crate::model::node::Isolation;

pub(super) fn isolated(isolation: &Isolation) -> Facts<'_> {
    Facts { observed: Observed::Mark(isolation), ..mark::facts(Aspect::NodeNetwork) }
}

pub(super) fn availability() -> Facts<'static> {
    // No task is put in the place of one that ends, before any ends.
    Facts { stage: Stage::First, ..mark::facts(Aspect::NodeAvailability) }
}

impl Marked for Isolation {
    fn mark(&self) -> String {
        self.mark()
    }
}

pub(super) fn isolated_in_words(isolation: Isolation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("cut off together with its node")?;
    isolation.let_through.map_or(Ok(()), |port| write!(f, " (but for port {port})"))
}
