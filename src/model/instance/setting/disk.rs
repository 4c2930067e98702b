//! What fills the instance's file systems.

use std::fmt;
use std::time::Duration;

use super::Aspect;
use super::facts::{Facts, Lasts, Marked, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::disk::{DiskLocation, Fill, MountKind};
use crate::model::instance::sharing::{Reach, Resource};

/// Where an IPC namespace has its shared memory.
const SHM: &str = "/dev/shm";

pub(super) fn filled(fill: &Fill) -> Facts<'_> {
    let is_shared = fill.place.path.strip_prefix(SHM).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Facts {
        aspect: Aspect::Disk,
        observed: Observed::Mark(fill),
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        // Memory does; what is written to a file system stays.
        ends_with_life: fill.place.mount.kind == MountKind::Tmpfs,
        lasts: Lasts::UntilRollback,
        effect: Shows::WhenMet,
        starves: Starves::Never,
        reaches: if is_shared { &[Reach::Everyone(Resource::Ipc)] } else { &[] },
    }
}

impl Marked for Fill {
    fn mark(&self) -> String {
        self.mark()
    }
}

pub(super) fn freed() -> Facts<'static> {
    Facts {
        aspect: Aspect::Disk,
        observed: Observed::Untouched,
        proof: Proof::Seen,
        stage: Stage::Then,
        // A directory with a million files goes file by file.
        longest: Duration::from_secs(20),
        ends_with_life: false,
        lasts: Lasts::UntilRollback,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: &[],
    }
}

pub(super) fn freed_in_words(place: &DiskLocation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "freed at {}", place.path)
}
