//! What happens to the instance's traffic, and to its established connections.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Marked, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::network::{Network, Traffic};

/// A network namespace is one for all that share it.
const NAMESPACE: &[Reach] = &[Reach::Everyone(Resource::Network)];

pub(super) fn disturbed(network: &Network) -> Facts<'_> {
    Facts {
        aspect: Aspect::Network,
        observed: Observed::Mark(network),
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: true,
        lasts: Lasts::UntilRollback,
        effect: Shows::WhenMet,
        starves: Starves::Never,
        reaches: NAMESPACE,
    }
}

impl Marked for Network {
    fn mark(&self) -> String {
        self.mark()
    }
}

pub(super) fn connections_reset() -> Facts<'static> {
    Facts {
        aspect: Aspect::Connections,
        observed: Observed::Nothing,
        proof: Proof::Answered,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: false,
        lasts: Lasts::Momentary,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: NAMESPACE,
    }
}

pub(super) fn connections_reset_in_words(traffic: &Traffic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "connections reset {traffic}")
}
