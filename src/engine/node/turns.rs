//! Attempts of which one is made at a time. Who waits meanwhile shares the end of one that fails: each would take as long.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::EngineError;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    turn: tokio::sync::Mutex<()>,
    /// How many attempts failed, and why the last one did.
    failed: Mutex<(u64, Option<EngineError>)>,
}

/// A turn, for as long as it is there.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Of an attempt that failed meanwhile.
    pub(crate) async fn next(&self) -> Result<Turn<'_>, EngineError> {
        let before = self.failed().0;
        let turn = self.turn.lock().await;
        let (failures, error) = self.failed().clone();
        match error.filter(|_| failures > before) {
            Some(error) => Err(error),
            None => Ok(Turn { turns: self, _turn: turn }),
        }
    }

    fn failed(&self) -> MutexGuard<'_, (u64, Option<EngineError>)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// What came of the attempt, for who waits as well.
    pub(crate) fn came_to<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        result.inspect_err(|e| {
            let mut failed = self.turns.failed();
            *failed = (failed.0 + 1, Some(e.clone()));
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    #[tokio::test]
    async fn who_waited_shares_a_failure_and_who_comes_later_tries() {
        let turns = Turns::default();
        let failing = EngineError::Refused { attempt: "reach it".to_owned(), why: "it is off".to_owned() };
        let first = async {
            let turn = turns.next().await.unwrap();
            tokio::task::yield_now().await;
            turn.came_to::<()>(Err(failing.clone())).unwrap_err()
        };
        let second = async { turns.next().await.err() };
        assert_eq!(join(first, second).await, (failing.clone(), Some(failing)));
        assert!(turns.next().await.is_ok());
    }
}
