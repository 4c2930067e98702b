//! A command of the user's that has run.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Observed, Proof, SHORT, Stage, Starves};
use crate::model::instance::Command;

pub(super) fn facts(command: &Command) -> Facts<'static> {
    Facts {
        aspect: Aspect::Custom,
        observed: Observed::Nothing,
        proof: Proof::Claimed,
        stage: Stage::Then,
        longest: command.timeout + SHORT,
        ends_with_life: false,
        // It may do nothing.
        can_be_idle: true,
        starves: Starves::Never,
        reaches: &[],
    }
}

pub(super) fn words(command: &Command, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "ran {command}")
}
