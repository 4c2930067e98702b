//! Asks open-loop: every question goes out when it is due, however late the answers to earlier ones are.
//!
//! Knows nothing of expectations. Works in paused time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::experiment::Rate;
use crate::probe::{Answer, Senses};

/// What is asked, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The check's name, as the senses know it.
    pub check: String,
    /// How often.
    pub rate: Rate,
    /// How long one answer may take: bounds how many questions are in flight.
    pub timeout: Duration,
}

/// What happened to a question. Times are since [`Sampler::origin`].
/// Every `Answered` has its `Asked` before it, and those of a check are in the order of `seq`.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// It went out.
    Asked {
        /// The check's place in the list that the sampler was started with.
        check: usize,
        /// Its number in the check, from 0.
        seq: u64,
        /// When it should go out.
        due: Duration,
    },
    /// It came to something.
    Answered {
        /// The check's place in the list that the sampler was started with.
        check: usize,
        /// Its number in the check, from 0.
        seq: u64,
        /// When it should have gone out.
        due: Duration,
        /// When the answer was there.
        end: Duration,
        /// The answer.
        answer: Answer,
    },
}

/// Asks until it is stopped or dropped.
#[derive(Debug)]
pub struct Sampler {
    origin: Instant,
    driver: JoinSet<()>,
}

impl Sampler {
    /// Begins to ask. The samples end when the sampler is stopped.
    #[must_use]
    pub fn start(series: Vec<Series>, senses: Arc<dyn Senses>) -> (Self, UnboundedReceiver<Sample>) {
        let _ = (series, senses);
        let (_send, receive) = unbounded_channel();
        (Self { origin: Instant::now(), driver: JoinSet::new() }, receive)
    }

    /// The moment that all times of its samples are counted from.
    #[must_use]
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Stops at once: questions in flight are dropped, and their answers with them.
    pub async fn stop(mut self) {
        self.driver.shutdown().await;
    }
}
