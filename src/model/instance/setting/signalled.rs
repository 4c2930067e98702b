//! A signal to processes other than the main one.

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::instance::{Signal, Signalled};

pub(super) fn facts(signalled: &Signalled) -> Facts<'static> {
    Facts {
        aspect: Aspect::Processes,
        observed: Observed::Nothing,
        proof: Proof::Answered,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: false,
        lasts: Lasts::Momentary,
        effect: match signalled.signal {
            Signal::SigKill => Shows::ByItself,
            Signal::SigTerm
            | Signal::SigInt
            | Signal::SigQuit
            | Signal::SigHup
            | Signal::SigAbrt
            | Signal::SigSegv
            | Signal::SigUsr1
            | Signal::SigUsr2 => Shows::InNothing("what processes make of that signal is not observed"),
        },
        starves: Starves::Never,
        reaches: &[Reach::Borrowers(Resource::Cgroup)],
    }
}
