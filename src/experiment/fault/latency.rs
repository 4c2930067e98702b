//! Packets arrive later.

use super::traffic::on_traffic;
use crate::model::network::{self, Distribution};
use crate::model::quantity::{Percent, Span};

on_traffic! {
    /// Packets arrive later.
    pub struct Latency {
        /// How much later.
        pub delay: Span,
        /// By how much that varies: half the width of a uniform distribution, the standard deviation of others (default 0s).
        #[serde(default)]
        pub jitter: Span,
        /// How much a packet's delay depends on the one before it (default 0%). Needs `jitter`.
        #[serde(default)]
        pub correlation: Percent,
        /// How the delay varies. Needs `jitter`.
        #[serde(default)]
        pub distribution: Distribution,
    }
    unseen: None
}

impl Latency {
    fn shape(&self) -> network::Shape {
        network::Shape {
            delay: self.delay.0,
            jitter: self.jitter.0,
            correlation: self.correlation.0,
            distribution: self.distribution,
            ..network::Shape::default()
        }
    }
}
