//! Why a run stops before its planned end.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::abort::{Abort, Level};
use super::broken::Broken;
use super::inject::NotOn;
use crate::engine::EngineError;
use crate::record::event::Reason;
use crate::record::journal::JournalError;
use crate::run::target::Refusal;

/// Why a run stops before its planned end.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) why: Reason,
    pub(super) text: String,
}

/// A phase that a stop ends, and that may panic: both are reasons to roll everything back, not to leave.
pub(super) async fn stoppable<T>(
    abort: &Abort,
    level: Level,
    phase: impl Future<Output = Result<T, Ended>>,
) -> Result<T, Ended> {
    match abort.or(level, AssertUnwindSafe(phase).catch_unwind()).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => {
            let what =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Ended { why: Reason::Panicked, text: format!("a bug in Squall: {}", what.unwrap_or("panic")) })
        }
        Err(stop) => Err(Ended { why: stop.why, text: stop.text }),
    }
}

impl From<Refusal> for Ended {
    fn from(r: Refusal) -> Self {
        Self { why: r.reason, text: r.text }
    }
}

impl From<NotOn> for Ended {
    fn from(n: NotOn) -> Self {
        Self { why: n.why, text: n.text }
    }
}

impl From<Broken> for Ended {
    fn from(b: Broken) -> Self {
        Self { why: b.reason(), text: b.sentence() }
    }
}

impl From<JournalError> for Ended {
    fn from(e: JournalError) -> Self {
        Self { why: Reason::JournalFailed, text: format!("{e}; nothing was touched") }
    }
}

impl From<EngineError> for Ended {
    fn from(e: EngineError) -> Self {
        let why = if matches!(e, EngineError::Claimed(_)) { Reason::Claimed } else { Reason::EngineFailed };
        let next = if why == Reason::Claimed {
            "; wait for its end; `squall recover --unlock` removes the locks of dead runs"
        } else {
            ""
        };
        Self { why, text: format!("{e}{next}") }
    }
}
