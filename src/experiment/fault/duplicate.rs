//! Packets arrive twice.

use super::traffic::on_traffic;
use crate::model::network;
use crate::model::quantity::Percent;

on_traffic! {
    /// Some packets arrive twice.
    pub struct Duplicate (also Duplication) {
        /// How many of them.
        pub percent: Percent,
        /// How much it depends on the packet before (default 0%).
        #[serde(default)]
        pub correlation: Percent,
    }
    unseen: Some("TCP drops what arrives twice: a `tcp` probe sees nothing of it")
}

impl Duplication {
    pub(super) fn chance(&self) -> network::Chance {
        network::Chance { probability: self.percent.0, correlation: self.correlation.0 }
    }
}

impl Duplicate {
    fn shape(&self) -> network::Shape {
        network::Shape { duplicate: Some(self.alone().chance()), ..network::Shape::default() }
    }
}
