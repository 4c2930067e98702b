//! What the instance sends to some peers or ports leads nowhere: a dependency that is not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition::How;
use super::traffic::{Peering, Selection, Who, disturbed};
use super::{Disturb, Heal};
use crate::experiment::quantity::Port;
use crate::instance::{Instance, Setting};
use crate::network::Protocol;

/// Let what the instance sends to some peers or ports lead nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Blackhole {
    /// To whom. Needed unless there is a `port`, which then means everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Who>,
    /// The peers' ports, each `5432` or `8000-8099` (default: all). A single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub port: Vec<Port>,
    /// By which protocol (default: any).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// What becomes of the packets.
    #[serde(default)]
    pub how: How,
    /// On this network of the engine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `self`: the system must recover with no helping hand.
    #[serde(default)]
    pub heal: Heal,
}

impl Disturb for Blackhole {
    fn settings(&self, _: &Instance, peers: &[Instance]) -> Vec<Setting> {
        let selection = Selection {
            to: self.to.as_ref(),
            port: &self.port,
            protocol: self.protocol,
            network: self.network.as_ref(),
            ..Selection::default()
        };
        disturbed(selection.traffic(peers), self.how.into(), None)
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn peers(&self) -> Option<Peering<'_>> {
        self.to.as_ref().map(Peering::To)
    }
}
