//! Steady state is a budget: from samples to a verdict, at the earliest moment the evidence allows.
//!
//! Pure: no clock, no I/O, no runtime. Time is a `Duration` since one origin that the caller chooses (the sampler's).

mod alert;
mod budget;
mod failover;
mod judge;
mod latency;
mod recovery;
mod show;
mod streak;
#[cfg(test)]
mod truth;
mod value;
mod window;

pub use alert::{AlertClock, Turn};
pub use budget::{allowed, samples};
pub use failover::Failover;
pub use judge::Judge;
pub use recovery::Recovery;
pub use window::WindowBuilder;

/// Above this share of questions that could not be asked there is no verdict.
pub const MOST_UNASKED: f64 = 0.01;
