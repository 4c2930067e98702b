//! Several impairments of the same traffic at once: a bad line.

use super::bandwidth::Limit;
use super::corrupt::Corruption;
use super::duplicate::Duplication;
use super::loss::Losses;
use super::reorder::Overtaking;
use super::traffic::on_traffic;
use crate::model::network::{self, Distribution};
use crate::model::quantity::{Percent, Span};

on_traffic! {
    /// Several impairments at once.
    pub struct Shape {
        /// How much later packets arrive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delay: Option<Span>,
        /// By how much that varies (default 0s). Needs `delay`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub jitter: Option<Span>,
        /// How much a packet's delay depends on the one before it (default 0%). Needs `jitter`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub correlation: Option<Percent>,
        /// How the delay varies (default `uniform`). Needs `jitter`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub distribution: Option<Distribution>,
        /// Packets that vanish.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub loss: Option<Losses>,
        /// Packets of which one bit is turned over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub corrupt: Option<Corruption>,
        /// Packets that arrive twice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub duplicate: Option<Duplication>,
        /// Packets that overtake those that are delayed. Needs `delay`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reorder: Option<Overtaking>,
        /// How much passes in a given time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub bandwidth: Option<Limit>,
    }
    unseen: None
}

impl Shape {
    fn shape(&self) -> network::Shape {
        network::Shape {
            delay: self.delay.unwrap_or_default().0,
            jitter: self.jitter.unwrap_or_default().0,
            correlation: self.correlation.unwrap_or_default().0,
            distribution: self.distribution.unwrap_or_default(),
            loss: self.loss.as_ref().and_then(Losses::loss),
            corrupt: self.corrupt.as_ref().map(Corruption::chance),
            duplicate: self.duplicate.as_ref().map(Duplication::chance),
            reorder: self.reorder.as_ref().map(Overtaking::reorder),
            bandwidth: self.bandwidth.as_ref().map(Limit::bandwidth),
        }
    }
}
