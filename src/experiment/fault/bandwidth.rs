//! Only so much passes in a given time.

use super::traffic::on_traffic;
use crate::model::network;
use crate::model::quantity::{BitRate, Size};

on_traffic! {
    /// Only so much passes in a given time.
    pub struct Bandwidth (also Limit) {
        /// How many bits per second.
        pub rate: BitRate,
        /// How much may pass at once after a pause (default 32KiB).
        #[serde(default = "usual_burst")]
        pub burst: Size,
    }
    unseen: Some("a connection that opens is a few small packets: a `tcp` probe fits through almost any bandwidth")
}

fn usual_burst() -> Size {
    Size(32 << 10)
}

impl Limit {
    pub(super) fn bandwidth(&self) -> network::Bandwidth {
        network::Bandwidth { rate: self.rate.0, burst: self.burst.0 }
    }
}

impl Bandwidth {
    fn shape(&self) -> network::Shape {
        network::Shape { bandwidth: Some(self.alone().bandwidth()), ..network::Shape::default() }
    }
}
