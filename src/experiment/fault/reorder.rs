//! Packets overtake others: they are sent at once while the others are delayed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::on_traffic;
use crate::model::network;
use crate::model::quantity::{Percent, Span};

on_traffic! {
    /// Some packets overtake the others.
    pub struct Reorder {
        /// How many of them.
        pub percent: Percent,
        /// How much it depends on the packet before (default 0%).
        #[serde(default)]
        pub correlation: Percent,
        /// Only every n-th packet has the chance (default 1: every one).
        #[serde(default = "every_one")]
        #[schemars(range(min = 1))]
        pub gap: u32,
        /// By how much the others are delayed: without it nothing could overtake.
        pub delay: Span,
    }
    unseen: Some("a `tcp` probe exchanges too few packets for any to overtake")
}

/// Some packets overtake those that are delayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Overtaking {
    /// How many of them.
    pub percent: Percent,
    /// How much it depends on the packet before (default 0%).
    #[serde(default)]
    pub correlation: Percent,
    /// Only every n-th packet has the chance (default 1: every one).
    #[serde(default = "every_one")]
    #[schemars(range(min = 1))]
    pub gap: u32,
}

fn every_one() -> u32 {
    1
}

impl Overtaking {
    pub(super) fn reorder(&self) -> network::Reorder {
        let chance = network::Chance { probability: self.percent.0, correlation: self.correlation.0 };
        network::Reorder { chance, gap: self.gap }
    }
}

impl Reorder {
    fn shape(&self) -> network::Shape {
        let overtaking = Overtaking { percent: self.percent, correlation: self.correlation, gap: self.gap };
        network::Shape { delay: self.delay.0, reorder: Some(overtaking.reorder()), ..network::Shape::default() }
    }
}
