//! One bit of a packet is turned over; its receiver finds the checksum wrong and drops it.

use super::traffic::on_traffic;
use crate::model::network;
use crate::model::quantity::Percent;

on_traffic! {
    /// One bit of some packets is turned over.
    pub struct Corrupt (also Corruption) {
        /// How many of them.
        pub percent: Percent,
        /// How much it depends on the packet before (default 0%).
        #[serde(default)]
        pub correlation: Percent,
    }
    unseen: None
}

impl Corruption {
    pub(super) fn chance(&self) -> network::Chance {
        network::Chance { probability: self.percent.0, correlation: self.correlation.0 }
    }
}

impl Corrupt {
    fn shape(&self) -> network::Shape {
        network::Shape { corrupt: Some(self.alone().chance()), ..network::Shape::default() }
    }
}
