//! Established connections are torn down: both ends are told so, and may connect anew at once. Momentary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::{Peering, Selection, Who, keys};
use super::{Context, Disturb, Heal};
use crate::experiment::document::found::Found;
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::network::{Direction, Protocol};
use crate::model::quantity::{Many, PortChoice};

/// Tear down established TCP connections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reset {
    /// Connections that were made to these peers (default: to anybody). Not together with `from`.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// Connections that these peers made. Not together with `to`.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// Ports, each `5432` or `8000-8099`: the peers' for connections to them, the instance's own for those that peers made.
    /// A single one needs no list; `{ except: 22 }` are all but these.
    #[serde(skip_serializing_if = "PortChoice::is_every_one")]
    pub port: PortChoice,
    /// `self`: recovery is measured from the reset itself.
    pub heal: Heal,
}

impl Disturb for Reset {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let selection = Selection {
            to: &self.to,
            from: &self.from,
            port: Some(&self.port),
            protocol: Some(Protocol::Tcp),
            direction: Some(Direction::Both),
            network: None,
        };
        vec![Setting::ConnectionsReset(Box::new(selection.traffic(context.peers)))]
    }

    fn back(&self, _: &Setting, _: Option<&Setting>) -> Rollback {
        Rollback::Nothing
    }

    fn is_momentary(&self) -> bool {
        true
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::selection(found, own);
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn peers(&self) -> Option<Peering<'_>> {
        Peering::of(&self.to, &self.from)
    }

    fn unseen(&self) -> Option<&'static str> {
        Some("a `tcp` probe opens a new connection each time: only who keeps one notices that it is torn down")
    }
}
