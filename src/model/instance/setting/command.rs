//! A command of the user's that has run.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::Command;

pub(super) fn facts(command: &Command) -> Facts<'static> {
    Facts {
        aspect: Aspect::Custom,
        observed: Observed::Nothing,
        proof: Proof::Claimed,
        stage: Stage::Then,
        longest: command.timeout + SHORT,
        ends_with_life: false,
        lasts: Lasts::Momentary,
        effect: Shows::InNothing("a command tells its exit status, which was 0, and not what it did"),
        starves: Starves::Never,
        reaches: &[],
    }
}

pub(super) fn words(command: &Command, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "ran {command}")
}
