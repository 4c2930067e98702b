//! Machines that cannot be heard, and so have to be taken to roll back of their own accord: what is asked of an engine meanwhile is not waited for.

use std::time::Duration;

use tokio::time::sleep;

use super::ended::Ended;
use crate::engine::Engine;
use crate::record::event::Reason;

/// How often it is looked whether one is.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What an engine answers, unless it turns out meanwhile that it rolls back of its own accord. Only for what changes nothing: it is dropped then.
///
/// # Errors
/// Where it does: the fault is not what it should be any more.
pub(super) async fn unless_alone<T>(engine: &dyn Engine, asked: impl Future<Output = T>) -> Result<T, Ended> {
    let alone = async {
        loop {
            if let Some(text) = engine.acts_alone() {
                return Ended { why: Reason::FaultVanished, text };
            }
            sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        ended = alone => Err(ended),
        answer = asked => Ok(answer),
    }
}
