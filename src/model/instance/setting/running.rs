//! Whether the main process runs, and the ways in which it comes to an end.

use std::fmt;
use std::time::Duration;

use super::Aspect;
use super::facts::{Facts, Lasts, Observed, Proof, SHORT, Shows, Stage, Starves};
use crate::model::instance::sharing::{Reach, Resource};
use crate::model::instance::{Kill, Via};

/// It ends, and with it what others borrow of it.
const ENDS: &[Reach] = &[
    Reach::Ends(Resource::Network),
    Reach::Ends(Resource::Processes),
    Reach::Ends(Resource::Ipc),
    Reach::Ends(Resource::Cgroup),
];

pub(super) fn running(runs: bool) -> Facts<'static> {
    Facts {
        aspect: Aspect::Running,
        observed: Observed::Itself,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest: SHORT,
        ends_with_life: false,
        lasts: Lasts::UntilRollback,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: if runs { &[] } else { ENDS },
    }
}

/// The same for a kill, a stop and a restart: what shows is a life that ended.
fn ended(longest: Duration, lasts: Lasts) -> Facts<'static> {
    Facts {
        aspect: Aspect::Running,
        observed: Observed::Nothing,
        proof: Proof::Seen,
        stage: Stage::Then,
        longest,
        ends_with_life: false,
        lasts,
        effect: Shows::ByItself,
        starves: Starves::Never,
        reaches: ENDS,
    }
}

pub(super) fn killed(kill: &Kill) -> Facts<'static> {
    let lasts = match kill.via {
        Via::Engine => Lasts::UntilRollback,
        Via::Host => Lasts::UntilRestart,
    };
    ended(SHORT, lasts)
}

pub(super) fn stopped(timeout: Duration) -> Facts<'static> {
    ended(timeout + 2 * SHORT, Lasts::UntilRollback)
}

pub(super) fn restarted(timeout: Duration) -> Facts<'static> {
    ended(timeout + 2 * SHORT, Lasts::Momentary)
}

pub(super) fn running_in_words(runs: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(if runs { "running" } else { "not running" })
}

pub(super) fn killed_in_words(Kill { signal, via }: &Kill, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "killed with {signal} ({via})")
}

pub(super) fn stopped_in_words(timeout: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "stopped within {}", humantime::format_duration(timeout))
}

pub(super) fn restarted_in_words(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("restarted")
}
