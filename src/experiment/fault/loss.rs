//! Packets vanish: each by itself, or in bursts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::on_traffic;
use crate::model::network;
use crate::model::quantity::Percent;

on_traffic! {
    /// Packets vanish.
    #[schemars(extend("x-exactly-one" = ["percent", "gilbert-elliott", "markov"]))]
    pub struct Loss (also Losses) {
        /// How many of them, each by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub percent: Option<Percent>,
        /// How much it depends on the packet before (default 0%). Goes with `percent` alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub correlation: Option<Percent>,
        /// In bursts, by the model of Gilbert and Elliott: two states, good and bad.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub gilbert_elliott: Option<GilbertElliott>,
        /// In bursts, by a Markov chain of four states (`loss state` of tc-netem(8)).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub markov: Option<Markov>,
    }
    unseen: None
}

/// The model of Gilbert and Elliott.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GilbertElliott {
    /// How likely a packet is to turn good into bad.
    pub p: Percent,
    /// How likely a packet is to turn bad into good.
    pub r: Percent,
    /// How many are lost in the bad state (default 100%).
    #[serde(default = "every_one")]
    pub bad: Percent,
    /// How many are lost in the good state (default 0%).
    #[serde(default)]
    pub good: Percent,
}

/// How likely a packet is to lead from one state to another. State 1: received in a gap, 2: received in a burst, 3: lost in
/// a burst, 4: lost by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Markov {
    /// From received in a gap to lost in a burst.
    pub p13: Percent,
    /// From lost in a burst to received in a gap.
    pub p31: Percent,
    /// From lost in a burst to received in a burst.
    pub p32: Percent,
    /// From received in a burst to lost in a burst.
    pub p23: Percent,
    /// From received in a gap to lost by itself.
    pub p14: Percent,
}

fn every_one() -> Percent {
    Percent(1.0)
}

impl Losses {
    pub(super) fn loss(&self) -> Option<network::Loss> {
        if let Some(Percent(probability)) = self.percent {
            let correlation = self.correlation.unwrap_or_default().0;
            return Some(network::Loss::Random(network::Chance { probability, correlation }));
        }
        if let Some(GilbertElliott { p, r, bad, good }) = self.gilbert_elliott {
            return Some(network::Loss::GilbertElliott { p: p.0, r: r.0, bad: bad.0, good: good.0 });
        }
        let Markov { p13, p31, p32, p23, p14 } = self.markov?;
        Some(network::Loss::Markov { p13: p13.0, p31: p31.0, p32: p32.0, p23: p23.0, p14: p14.0 })
    }
}

impl Loss {
    fn shape(&self) -> network::Shape {
        network::Shape { loss: self.alone().loss(), ..network::Shape::default() }
    }
}
