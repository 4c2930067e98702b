//! What the instance's engine does when its main process ends by itself.

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};

pub(super) fn facts() -> Facts<'static> {
    Facts {
        aspect: Aspect::RestartPolicy,
        observed: Observed::Itself,
        proof: Proof::Seen,
        // Set aside on all targets before any of them ends.
        stage: Stage::First,
        longest: SHORT,
        // It is the instance's own, in whichever life.
        ends_with_life: false,
        lasts: Lasts::UntilRollback,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: &[],
    }
}
