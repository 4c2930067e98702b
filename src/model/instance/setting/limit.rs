//! What the instance may use of its machine.

use std::fmt;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::machine::Limit;

/// Who is below a control group is limited with it.
const GROUP: &[Reach] = &[Reach::Borrowers(Resource::Cgroup)];

pub(super) fn facts(limit: &Limit) -> Facts<'static> {
    let (aspect, starves, reaches): (_, _, &[Reach]) = match limit {
        Limit::Processes(_) => (Aspect::ProcessLimit, Starves::Never, GROUP),
        Limit::Cpu(_) => (Aspect::CpuLimit, Starves::Never, GROUP),
        Limit::Memory(_) => (
            Aspect::MemoryLimit,
            Starves::Perhaps,
            &[
                Reach::Borrowers(Resource::Cgroup),
                Reach::Ends(Resource::Network),
                Reach::Ends(Resource::Processes),
                Reach::Ends(Resource::Ipc),
            ],
        ),
        Limit::Io(_) => (Aspect::IoLimit, Starves::Never, GROUP),
        Limit::Descriptors(_) => (Aspect::DescriptorLimit, Starves::Never, GROUP),
        Limit::Ports { .. } => (Aspect::PortRange, Starves::Never, &[Reach::Everyone(Resource::Network)]),
    };
    Facts {
        aspect,
        observed: Observed::Itself,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: true,
        lasts: Lasts::UntilRollback,
        effect: Shows::WhenMet,
        starves,
        reaches,
    }
}

pub(super) fn words(limit: &Limit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "limited to {limit}")
}
