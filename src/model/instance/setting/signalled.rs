//! A signal to processes other than the main one.

use super::Aspect;
use super::facts::{Facts, Observed, Proof, SHORT, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::instance::{Signal, Signalled};

pub(super) fn facts(signalled: &Signalled) -> Facts<'static> {
    Facts {
        aspect: Aspect::Processes,
        observed: Observed::Nothing,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: false,
        // Processes may take no notice of any other signal.
        can_be_idle: signalled.signal != Signal::SigKill,
        starves: Starves::Never,
        reaches: &[Reach::Borrowers(Resource::Cgroup)],
    }
}
