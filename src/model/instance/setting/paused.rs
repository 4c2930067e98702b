//! Whether the instance's processes are frozen.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};

pub(super) fn facts(frozen: bool) -> Facts<'static> {
    Facts {
        aspect: Aspect::Paused,
        observed: Observed::Itself,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        // It does, and is over by that.
        ends_with_life: false,
        lasts: Lasts::UntilRollback,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: if frozen { &[Reach::Borrowers(Resource::Cgroup)] } else { &[] },
    }
}

pub(super) fn words(frozen: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(if frozen { "paused" } else { "not paused" })
}
