//! What of Squall's lies on an aspect, told by its mark, or that nothing does.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};

/// The mark of what has no effect any more, since the process that laid it has not said for a while that it is to go on.
pub const LAPSED: &str = "lapsed";

pub(super) fn facts(aspect: Aspect) -> Facts<'static> {
    Facts {
        aspect,
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

pub(super) fn words(aspect: Aspect, mark: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match mark {
        None => write!(f, "{aspect} untouched"),
        Some(mark) => write!(f, "{aspect} disturbed ({mark})"),
    }
}
