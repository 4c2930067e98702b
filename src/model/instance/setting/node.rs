//! What happens to the node of an instance as a whole. It outlasts the instance's lives, and the instance itself.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Marked, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::node::Isolation;

pub(super) fn isolated(isolation: &Isolation) -> Facts<'_> {
    Facts { aspect: Aspect::NodeNetwork, observed: Observed::Mark(isolation), stage: Stage::Then, ..of_node() }
}

pub(super) fn availability() -> Facts<'static> {
    // No task is put in the place of one that ends, before any ends.
    Facts { aspect: Aspect::NodeAvailability, observed: Observed::Itself, stage: Stage::First, ..of_node() }
}

fn of_node() -> Facts<'static> {
    Facts {
        aspect: Aspect::NodeNetwork,
        observed: Observed::Itself,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: false,
        lasts: Lasts::UntilRollback,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: &[],
    }
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
