//! The instance and its peers cannot talk with each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::{Peering, Selection, Who, disturbed};
use super::{Disturb, Heal};
use crate::instance::{Instance, Setting};
use crate::network::{Direction, Treatment};

/// Cut the instance off from its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Partition {
    /// From whom (default: from everybody).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Who>,
    /// Which packets: those that leave the instance, those that arrive, or both (default).
    pub direction: Direction,
    /// What becomes of them.
    pub how: How,
    /// On this network of the engine alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `self`: the system must recover with no helping hand.
    pub heal: Heal,
}

/// What becomes of packets that do not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// They vanish, as on a line that is cut: whoever waits for an answer waits until its own timeout.
    #[default]
    Drop,
    /// They are refused, as by a firewall that says so: whoever asks knows at once.
    Reject,
}

impl From<How> for Treatment {
    fn from(how: How) -> Self {
        match how {
            How::Drop => Self::Drop,
            How::Reject => Self::Reject,
        }
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self { from: None, direction: Direction::Both, how: How::Drop, network: None, heal: Heal::default() }
    }
}

impl Disturb for Partition {
    fn settings(&self, _: &Instance, peers: &[Instance]) -> Vec<Setting> {
        let selection = Selection {
            from: self.from.as_ref(),
            direction: Some(self.direction),
            network: self.network.as_ref(),
            ..Selection::default()
        };
        disturbed(selection.traffic(peers), self.how.into(), None)
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn peers(&self) -> Option<Peering<'_>> {
        self.from.as_ref().map(Peering::From)
    }
}
