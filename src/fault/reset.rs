//! Established connections are torn down: both ends are told so, and may connect anew at once. Momentary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::{Peering, Selection, Who};
use super::{Disturb, Heal};
use crate::experiment::quantity::Port;
use crate::instance::{Back, Instance, Setting};
use crate::network::{Direction, Protocol};

/// Tear down established TCP connections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reset {
    /// Connections that were made to these peers (default: to anybody). Not together with `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Who>,
    /// Connections that these peers made. Not together with `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Who>,
    /// Ports, each `5432` or `8000-8099`: the peers' for connections to them, the instance's own for those that peers made.
    /// A single one needs no list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub port: Vec<Port>,
    /// `self`: recovery is measured from the reset itself.
    pub heal: Heal,
}

impl Disturb for Reset {
    fn settings(&self, _: &Instance, peers: &[Instance]) -> Vec<Setting> {
        let selection = Selection {
            to: self.to.as_ref(),
            from: self.from.as_ref(),
            port: &self.port,
            protocol: Some(Protocol::Tcp),
            direction: Some(Direction::Both),
            network: None,
        };
        vec![Setting::ConnectionsReset(Box::new(selection.traffic(peers)))]
    }

    fn back(&self, _: &Setting, _: Option<&Setting>) -> Back {
        Back::Nothing
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn peers(&self) -> Option<Peering<'_>> {
        self.to.as_ref().map(Peering::To).or(self.from.as_ref().map(Peering::From))
    }

    fn unseen(&self) -> Option<&'static str> {
        Some("a `tcp` probe opens a new connection each time: only who keeps one notices that it is torn down")
    }
}
