//! Through which of the instance's mounts nothing can be written.

use std::collections::BTreeSet;
use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};

pub(super) fn facts() -> Facts<'static> {
    Facts {
        aspect: Aspect::Mounts,
        observed: Observed::Itself,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: true,
        lasts: Lasts::UntilRollback,
        effect: Shows::WhenMet,
        starves: Starves::Never,
        reaches: &[],
    }
}

pub(super) fn words(read_only: &BTreeSet<String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if read_only.is_empty() {
        return f.write_str("writable everywhere");
    }
    let paths: Vec<&str> = read_only.iter().map(String::as_str).collect();
    write!(f, "read-only at {}", paths.join(" and "))
}
