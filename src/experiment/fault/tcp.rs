//! TCP connections of the instance are refused, hang, end, or are slow, whatever is spoken on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::path::{Side, chooses_connections};
use super::traffic::{Peering, Who, disturbed, keys, path};
use super::{Context, Disturb, Heal, Takes};
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted, positive};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::{self, Direction, Distribution, Existing, Proxied, ProxyFault, Treatment};
use crate::model::quantity::{BitRate, Many, Percent, PortChoice, Size, Span};

/// Do something to TCP connections that the instance begins, whatever is spoken on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tcp {
    /// New connections are refused, as by a server that is not there. Stands alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuse: bool,
    /// Connections are accepted, and nothing passes on them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_then_hang: bool,
    /// Connections are reset so long after their beginning (`0s`: at once).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<Span>,
    /// Connections are closed so long after their beginning (`0s`: at once).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_after: Option<Span>,
    /// A connection is closed when so many bytes have passed one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Size>,
    /// Bytes arrive in small pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<SliceKeys>,
    /// That a connection is closed arrives so much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_close: Option<Span>,
    /// Bytes arrive so much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others (default 0s).
    #[serde(default)]
    pub jitter: Span,
    /// How the delay varies. Needs `jitter`.
    #[serde(default)]
    pub distribution: Distribution,
    /// How much passes in a given time, on each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BitRate>,
    /// How many of the connections are affected, each for as long as it lasts (default 100%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// Which bytes of these connections: `egress`, those that leave the instance, `ingress`, those that arrive, or `both` (default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Connections to these peers (default: to anybody).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// Connections from these peers: the target is their server. In place of `to`.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// On which side of them it happens: `caller` (default), the target begins them, or `callee`, they come to it (default with `from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The server's ports, each `5432` or `8000-8099` (default: all). A single one needs no list; `{ except: 22 }` are all but these.
    #[serde(default, skip_serializing_if = "PortChoice::is_every_one")]
    pub port: PortChoice,
    /// On this network of the engine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What becomes of connections that are open already: they are reset, so that the next ones are affected (default), or left alone.
    #[serde(default)]
    pub existing: Existing,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    #[serde(default)]
    pub idle: Idle,
}

/// How what passes is cut to pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Slice")]
pub struct SliceKeys {
    /// How many bytes a piece has at most.
    pub size: Size,
    /// How long after one piece the next one comes (default 0s: at once).
    #[serde(default)]
    pub every: Span,
}

/// What it can do, of which one must be there.
const DOES: [&str; 9] =
    ["refuse", "accept-then-hang", "reset-after", "close-after", "limit", "slice", "slow-close", "delay", "bandwidth"];

impl Tcp {
    fn fault(&self) -> network::StreamFault {
        let end = |after: Option<Span>, reset| after.map(|after| network::StreamEnd { after: after.0, reset });
        network::StreamFault {
            share: self.share.map_or(1.0, |share| share.0),
            direction: self.direction.unwrap_or(Direction::Both),
            delay: network::Delay {
                delay: self.delay.unwrap_or_default().0,
                jitter: self.jitter.0,
                distribution: self.distribution,
            },
            bandwidth: self.bandwidth.map(|rate| rate.0),
            slice: self.slice.map(|slice| network::Slice { size: slice.size.0, every: slice.every.0 }),
            limit: self.limit.map(|limit| limit.0),
            slow_close: self.slow_close.unwrap_or_default().0,
            hang: self.accept_then_hang,
            end: end(self.reset_after, true).or(end(self.close_after, false)),
        }
    }
}

chooses_connections!(Tcp);

impl Disturb for Tcp {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let treatment = if self.refuse {
            Treatment::Refuse(self.existing)
        } else {
            Treatment::Proxy(Proxied { existing: self.existing, fault: ProxyFault::Stream(self.fault()) })
        };
        disturbed(context, self.connections().traffic(context), treatment, None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        self.connections().check(found, own);
        keys::delay(found, own);
        path::share(found, own);
        let key = |key: &'static str| [own, &[key]].concat();
        let has = |found: &Found<'_>, name: &'static str| found.document.entry(&key(name)).cloned();
        if !DOES.iter().any(|name| has(found, name).is_some()) {
            let at = found.document.key_at(own);
            found.add(
                Mistake::error(&at, format!("`{}` does nothing", dotted(own)))
                    .help(format!("give at least one of {}", or(DOES))),
            );
        }
        for name in ["refuse", "accept-then-hang"] {
            path::is_true(found, &key(name));
        }
        if let (true, Some(refuse)) = (self.refuse, has(found, "refuse")) {
            let others = ["share", "direction"];
            for name in DOES.iter().skip(1).chain(&others) {
                if let Some(other) = has(found, name) {
                    found.add(
                        Mistake::error(&other.key_at, format!("`{name}` does not go with `refuse`"))
                            .also(&refuse.key_at, "no connection comes to stand"),
                    );
                }
            }
        }
        let ends_alone = !DOES.iter().any(|name| !name.ends_with("-after") && has(found, name).is_some());
        if let (true, Some(direction)) = (ends_alone && !self.refuse, has(found, "direction")) {
            found.add(
                Mistake::error(&direction.key_at, "`direction` does nothing here").label("a connection ends both ways"),
            );
        }
        if let (Some(first), Some(second)) = (has(found, "reset-after"), has(found, "close-after")) {
            found.add(
                Mistake::error(&second.key_at, "`reset-after` and `close-after` do not go together")
                    .also(&first.key_at, "the other one")
                    .label("a connection ends once"),
            );
        }
        if let Some(hang) = has(found, "accept-then-hang").filter(|_| self.accept_then_hang) {
            for name in ["limit", "slice", "slow-close", "delay", "bandwidth"] {
                if let Some(other) = has(found, name) {
                    found.add(
                        Mistake::error(&other.key_at, format!("`{name}` does not go with `accept-then-hang`"))
                            .also(&hang.key_at, "nothing passes"),
                    );
                }
            }
        }
        if let Some(span) = self.slow_close {
            positive(found, &key("slow-close"), span);
        }
        for (name, size) in [("limit", self.limit), ("slice.size", self.slice.map(|s| s.size))] {
            if size.is_some_and(|size| size.0 == 0) {
                let at = found.document.value_at(&[own, &name.split('.').collect::<Vec<_>>()].concat());
                found.add(Mistake::error(&at, format!("`{}.{name}` must be above 0", dotted(own))));
            }
        }
    }

    fn takes(&self) -> Vec<Takes> {
        let so = "no connection that begins later is affected before the fault is over";
        [("reset-after", self.reset_after), ("close-after", self.close_after), ("delay", self.delay)]
            .into_iter()
            .filter_map(|(key, takes)| Some(Takes { key, takes: takes?, so }))
            .collect()
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn peers(&self) -> Option<Peering<'_>> {
        self.connections().peers()
    }

    fn unseen(&self) -> Option<&'static str> {
        self.connections().unseen()
    }
}
