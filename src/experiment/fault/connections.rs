//! Connections that the instance's server has room for are used up: a process of Squall's holds them, and says nothing on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys, stressor};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::{Found, dotted};
use crate::model::instance::{Instance, Setting};
use crate::model::quantity::Percent;
use crate::model::stressor::{HeldConnections, Speaks, StressSpec};

/// Use up the connections that a server of the instance has room for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Connections {
    /// The server's port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// How much of what the server has room for, which is `max`. Either this or `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Percent>,
    /// How many connections the server has room for, as it is configured. Needs `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// How many connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// What each of them begins with, so that the server takes it for a session: `nothing` (default) or `postgres`.
    #[serde(default)]
    pub speaks: Speaks,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
}

/// As many as the kernel has ports for, to one server and from one address.
const MOST: u32 = 20_000;

impl Connections {
    fn held(&self) -> u32 {
        let share = self.hold.zip(self.max).map(|(hold, max)| hold.0 * f64::from(max));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number is none of both"
        )]
        let share = share.map(|count| count.round() as u32);
        self.count.or(share).unwrap_or_default()
    }
}

impl Disturb for Connections {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let held = HeldConnections { count: self.held(), port: self.port, speaks: self.speaks };
        vec![stressor(context, StressSpec::Connections(held))]
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        let key = |key: &'static str| [own, &[key]].concat();
        keys::one_of(found, own, ["hold", "count"], "`hold` is a share of `max`, `count` an amount");
        if self.port == 0 {
            let at = found.document.value_at(&key("port"));
            found.add(Mistake::error(&at, "no server has this port").label("at least 1"));
        }
        for (name, other, is_there) in [("hold", "max", self.max.is_some()), ("max", "hold", self.hold.is_some())] {
            if let (Some(entry), false) = (found.document.entry(&key(name)).cloned(), is_there) {
                found.add(
                    Mistake::error(&entry.key_at, format!("`{}` needs `{other}`", dotted(&key(name))))
                        .label("how many the server has room for is not asked of it: `max: 100`"),
                );
            }
        }
        let (held, known) = (self.held(), self.count.is_some() || self.hold.is_some() && self.max.is_some());
        if known && !(1..=MOST).contains(&held) {
            let at = found.document.key_at(own);
            found.add(
                Mistake::error(&at, format!("{held} connections cannot be held")).label(format!("from 1 to {MOST}")),
            );
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn unseen(&self) -> Option<&'static str> {
        Some(
            "a `tcp` probe of the target itself is accepted by the kernel before its server has room for it: only an answer tells",
        )
    }
}
