//! Who may stop a run, and how firmly. What takes an `Abort` can be stopped; the rollback takes none.

use std::future::Future;

use tokio::sync::watch;

use crate::record::event::Reason;

/// How firmly a run is to be stopped; each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Stop, roll everything back, measure the recovery.
    RollBack,
    /// Roll everything back, and do not wait for probes.
    Hurry,
    /// Leave at once; the guard rolls everything back.
    Leave,
}

/// A wish to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// How firmly.
    pub level: Level,
    /// Why.
    pub why: Reason,
    /// In a sentence.
    pub text: String,
}

/// Held by those who may stop a run: signals, the halt note.
#[derive(Debug, Clone)]
pub struct AbortHandle(watch::Sender<Option<Stop>>);

/// Held by the run.
#[derive(Debug, Clone)]
pub struct Abort(watch::Receiver<Option<Stop>>);

/// A handle and what it stops.
#[must_use]
pub fn abort() -> (AbortHandle, Abort) {
    let (sender, receiver) = watch::channel(None);
    (AbortHandle(sender), Abort(receiver))
}

impl AbortHandle {
    /// Asks for a stop. The first reason stays; the level only rises.
    pub fn stop(&self, level: Level, why: Reason, text: &str) {
        self.0.send_modify(|stop| match stop {
            Some(stop) => stop.level = stop.level.max(level),
            None => *stop = Some(Stop { level, why, text: text.to_owned() }),
        });
    }

    /// Asks more firmly than before: what a further signal means.
    pub fn press(&self, why: Reason, text: &str) {
        let level = match self.0.borrow().as_ref().map(|s| s.level) {
            None => Level::RollBack,
            Some(Level::RollBack) => Level::Hurry,
            Some(Level::Hurry | Level::Leave) => Level::Leave,
        };
        self.stop(level, why, text);
    }

    /// Returns when nobody can be stopped any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Abort {
    /// Returns when a stop of at least this level is asked for; never, if nobody asks.
    pub async fn asked(&self, level: Level) -> Stop {
        let mut receiver = self.0.clone();
        let stop = receiver.wait_for(|stop| stop.as_ref().is_some_and(|s| s.level >= level)).await;
        match stop.ok().and_then(|s| s.clone()) {
            Some(stop) => stop,
            // All handles are gone: nobody will ask.
            None => std::future::pending().await,
        }
    }

    /// The result of a phase, or the stop that came first. Wrap whole phases: a phase that loses is dropped.
    ///
    /// # Errors
    /// The stop.
    pub async fn or<T>(&self, level: Level, phase: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            stop = self.asked(level) => Err(stop),
            done = phase => Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_and_the_level_rises() {
        let (handle, abort) = abort();
        handle.press(Reason::Interrupted, "SIGINT");
        handle.press(Reason::Halted, "later");
        let stop = abort.asked(Level::Hurry).await;
        assert_eq!((stop.why, stop.level), (Reason::Interrupted, Level::Hurry));
        assert!(abort.or(Level::RollBack, std::future::pending::<()>()).await.is_err());
        assert!(abort.or(Level::Leave, std::future::ready(())).await.is_ok());
    }
}
