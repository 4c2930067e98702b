//! What a process of Squall's uses up, or holds still.

use super::Aspect;
use super::facts::{Facts, Lasts, Marked, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::stressor::{Oom, StressSpec, Stressor};

/// What is used up below a control group counts above as well.
const GROUP: &[Reach] = &[Reach::Everyone(Resource::Cgroup)];

pub(super) fn facts(stressor: &Stressor) -> Facts<'_> {
    let load = |aspect, starves, reaches| Facts {
        aspect,
        observed: Observed::Mark(stressor),
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: true,
        lasts: Lasts::UntilRollback,
        effect: Shows::WhenMet,
        starves,
        reaches,
    };
    match &stressor.work {
        StressSpec::Cpu { .. } => load(Aspect::CpuLoad, Starves::Never, GROUP),
        StressSpec::Memory(memory) => match memory.oom {
            Oom::Avoid => load(Aspect::MemoryLoad, Starves::Never, GROUP),
            Oom::Allow => load(
                Aspect::MemoryLoad,
                Starves::OnPurpose,
                &[
                    Reach::Everyone(Resource::Cgroup),
                    Reach::Ends(Resource::Network),
                    Reach::Ends(Resource::Processes),
                    Reach::Ends(Resource::Ipc),
                ],
            ),
        },
        StressSpec::Connections(_) => {
            load(Aspect::HeldConnections, Starves::Never, &[Reach::Everyone(Resource::Network)])
        }
        StressSpec::Stop(_) => Facts {
            aspect: Aspect::Processes,
            observed: Observed::Mark(stressor),
            proof: Proof::Seen,
            stage: Stage::Then,
            longest: SHORT,
            // The processes of the next life are others.
            ends_with_life: false,
            lasts: Lasts::UntilRollback,
            effect: Shows::ByItself,
            starves: Starves::Never,
            reaches: &[Reach::Borrowers(Resource::Cgroup)],
        },
    }
}

impl Marked for Stressor {
    fn mark(&self) -> String {
        self.mark()
    }
}
