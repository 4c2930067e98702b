//! The instance and its peers cannot talk with each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::{Peering, Selection, Who, disturbed, keys};
use super::{Context, Disturb, Heal};
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::{Direction, Treatment};
use crate::model::quantity::Many;

/// Cut the instance off from its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Partition {
    /// From whom (default: from everybody).
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// Which packets: those that leave the instance, those that arrive, or both (default).
    pub direction: Direction,
    /// What becomes of them.
    pub how: Undelivered,
    /// On this network of the engine alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `self`: the system must recover without intervention.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    #[serde(default)]
    pub idle: Idle,
}

/// What becomes of packets that do not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Undelivered {
    /// They vanish, as on a line that is cut: a client that waits for an answer waits until its own timeout.
    #[default]
    Drop,
    /// They are refused, as by a firewall that says so: the client knows at once.
    Reject,
}

impl From<Undelivered> for Treatment {
    fn from(how: Undelivered) -> Self {
        match how {
            Undelivered::Drop => Self::Drop,
            Undelivered::Reject => Self::Reject,
        }
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            from: Many::default(),
            direction: Direction::Both,
            how: Undelivered::Drop,
            network: None,
            heal: Heal::default(),
            idle: Idle::default(),
        }
    }
}

impl Disturb for Partition {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let selection = Selection {
            from: &self.from,
            direction: Some(self.direction),
            network: self.network.as_ref(),
            ..Selection::default()
        };
        disturbed(context, selection.traffic(context.peers), self.how.into(), None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::selection(found, own);
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn peers(&self) -> Option<Peering<'_>> {
        Peering::of(&[], &self.from)
    }
}
