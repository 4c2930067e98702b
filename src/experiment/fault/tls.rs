//! TLS handshakes of the instance are refused, late, cut, or never answered; nothing is opened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::path::{Side, chooses_connections};
use super::traffic::{Peering, Who, disturbed, keys, path};
use super::{Context, Disturb, Heal, Takes};
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::{self, Distribution, Existing, Proxied, ProxyFault, TlsAlert, TlsEnd, TlsFault, Treatment};
use crate::model::quantity::{Many, Percent, PortChoice, Span};

/// Do something to TLS connections that the instance begins, while they begin. What is said on them is never opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// Which handshakes are meant (default: all).
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<HandshakeKeys>,
    /// How many of those are affected (default 100%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// The server, which never sees it, refuses with this alert: `handshake-failure`, `certificate-expired` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<TlsAlert>,
    /// The connection is reset before the server has answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// The connection is closed in the middle of the server's first answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// There is no answer: the client waits until its own timeout.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stall: bool,
    /// How much later the server has the client's first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others (default 0s).
    #[serde(default)]
    pub jitter: Span,
    /// How the delay varies. Needs `jitter`.
    #[serde(default)]
    pub distribution: Distribution,
    /// Connections to these peers (default: to anybody).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// Connections from these peers: the target is their server. In place of `to`.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// On which side of them it happens: `caller` (default), the target begins them, or `callee`, they come to it (default with `from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The server's ports, each `443` or `8000-8099` (default: all). A single one needs no list; `{ except: 22 }` are all but these.
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

/// Which handshakes are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "HandshakeMatch")]
pub struct HandshakeKeys {
    /// For one of these names of servers, `api.example.com` or `*.example.com`, as the client says them (SNI). A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub sni: Many<String>,
}

/// How a handshake can end, of which one may be there; and what else it can do.
const ENDS: [&str; 4] = ["alert", "reset", "cut", "stall"];
const DELAY: &str = "delay";

impl Tls {
    fn fault(&self) -> TlsFault {
        let either = [(self.reset, TlsEnd::Reset), (self.cut, TlsEnd::Cut), (self.stall, TlsEnd::Stall)];
        let ends = either.into_iter().find_map(|(is, end)| is.then_some(end));
        let names = self.matching.iter().flat_map(|keys| &keys.sni.0);
        TlsFault {
            names: names.map(|name| name.to_lowercase()).collect(),
            share: self.share.map_or(1.0, |share| share.0),
            delay: network::Delay {
                delay: self.delay.unwrap_or_default().0,
                jitter: self.jitter.0,
                distribution: self.distribution,
            },
            end: self.alert.map(TlsEnd::Alert).or(ends),
        }
    }
}

chooses_connections!(Tls);

impl Disturb for Tls {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let proxied = Proxied { existing: self.existing, fault: ProxyFault::Tls(Box::new(self.fault())) };
        disturbed(context, self.connections().traffic(context), Treatment::Proxy(proxied), None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        self.connections().check(found, own);
        keys::delay(found, own);
        path::share(found, own);
        let key = |key: &'static str| [own, &[key]].concat();
        let has = |found: &Found<'_>, name: &'static str| found.document.entry(&key(name)).cloned();
        for name in ["reset", "cut", "stall"] {
            path::is_true(found, &key(name));
        }
        let there: Vec<_> = ENDS.iter().filter_map(|name| Some((name, has(found, name)?))).collect();
        match there.as_slice() {
            [] if has(found, DELAY).is_none() => {
                let at = found.document.key_at(own);
                let all: Vec<&str> = ENDS.into_iter().chain([DELAY]).collect();
                found.add(
                    Mistake::error(&at, format!("`{}` does nothing", dotted(own)))
                        .help(format!("give at least one of {}", or(all))),
                );
            }
            [(first, at), (second, other), ..] => {
                found.add(
                    Mistake::error(&other.key_at, format!("`{second}` does not go with `{first}`"))
                        .also(&at.key_at, "a handshake ends once"),
                );
            }
            _ => {}
        }
    }

    fn takes(&self) -> Vec<Takes> {
        let so = "what it delays arrives when the fault is over";
        self.delay.map(|takes| Takes { key: "delay", takes, so }).into_iter().collect()
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
