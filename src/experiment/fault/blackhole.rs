//! What the instance sends to some peers or ports leads nowhere: a dependency that is not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition::Undelivered;
use super::traffic::{Peering, Selection, Who, disturbed, keys};
use super::{Context, Disturb, Heal};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::{Found, dotted};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::Protocol;
use crate::model::quantity::{Many, PortChoice};

/// Let what the instance sends to some peers or ports lead nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Blackhole {
    /// To whom. Needed unless there is a `port`, which then means everybody's.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// The peers' ports, each `5432` or `8000-8099` (default: all). A single one needs no list; `{ except: 22 }` are all but these.
    #[serde(default, skip_serializing_if = "PortChoice::is_every_one")]
    pub port: PortChoice,
    /// By which protocol (default: any).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// What becomes of the packets.
    #[serde(default)]
    pub how: Undelivered,
    /// On this network of the engine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    #[serde(default)]
    pub idle: Idle,
}

impl Disturb for Blackhole {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let selection = Selection {
            to: &self.to,
            port: Some(&self.port),
            protocol: self.protocol,
            network: self.network.as_ref(),
            ..Selection::default()
        };
        disturbed(context, selection.traffic(context.peers), self.how.into(), None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        keys::selection(found, own);
        let has = |key: &str| found.document.entry(&[own, &[key]].concat()).is_some();
        if !has("to") && !has("port") {
            let at = found.document.key_at(own);
            found.add(
                Mistake::error(&at, format!("`{}` needs `to`, or a `port`", dotted(own)))
                    .help("to cut an instance off from everybody there is `partition`"),
            );
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn peers(&self) -> Option<Peering<'_>> {
        Peering::of(&self.to, &[])
    }
}
