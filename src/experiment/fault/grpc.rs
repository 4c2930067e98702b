//! gRPC calls of the instance end with an error, late, in part, or not at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::path::{Side, check_chosen, chooses_connections};
use super::traffic::{Peering, Who, disturbed, keys, path};
use super::{Context, Disturb, Heal, Takes};
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::{self, Distribution, Existing, GrpcStatus, Proxied, ProxyFault, Treatment, When};
use crate::model::quantity::{Many, Percent, PortChoice, Size, Span};

/// Do something to gRPC calls that the instance makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Grpc {
    /// Which calls are meant (default: all).
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<CallKeys>,
    /// How many of those are affected (default 100%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// Only the first so many of each target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Only each so-manieth: `5` is the fifth, the tenth …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// `before`: the server never sees an affected call (default); `after`: it has begun to answer, and its answer is lost.
    #[serde(default)]
    pub when: When,
    /// What the call ends with: `UNAVAILABLE`, `DEADLINE_EXCEEDED` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GrpcStatus>,
    /// What is said beside that. Needs `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How much later: before the server has the call, or, with `when: after`, before the client has its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others (default 0s).
    #[serde(default)]
    pub jitter: Span,
    /// How the delay varies. Needs `jitter`.
    #[serde(default)]
    pub distribution: Distribution,
    /// There is no answer: the client waits until its own deadline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stall: bool,
    /// The call is reset after so much of its answers: in the middle of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<Size>,
    /// Calls to these peers (default: to anybody).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// Calls from these peers: the target is their server. In place of `to`.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// On which side of them it happens: `caller` (default), the target begins them, or `callee`, they come to it (default with `from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The server's ports, each `50051` or `8000-8099` (default: all). A single one needs no list; `{ except: 22 }` are all but these.
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

/// Which calls are meant: all that is given must fit. In texts, `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "CallMatch")]
pub struct CallKeys {
    /// Of one of these services, with their packages: `shop.v1.Orders`. A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub service: Many<String>,
    /// One of these methods: `Place`. A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub method: Many<String>,
}

/// What it can do, of which one must be there.
const DOES: [&str; 4] = ["status", "delay", "stall", "cut-after"];

impl Grpc {
    fn fault(&self) -> network::GrpcFault {
        let keys = self.matching.clone().unwrap_or_default();
        network::GrpcFault {
            services: keys.service.0,
            methods: keys.method.0,
            chosen: network::Chosen {
                first: self.first,
                every: self.every.unwrap_or(1),
                share: self.share.map_or(1.0, |share| share.0),
            },
            when: self.when,
            status: self.status,
            message: self.message.clone().unwrap_or_default(),
            delay: network::Delay {
                delay: self.delay.unwrap_or_default().0,
                jitter: self.jitter.0,
                distribution: self.distribution,
            },
            stall: self.stall,
            cut_after: self.cut_after.map(|size| size.0),
        }
    }
}

chooses_connections!(Grpc);

impl Disturb for Grpc {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let proxied = Proxied { existing: self.existing, fault: ProxyFault::Grpc(Box::new(self.fault())) };
        disturbed(context, self.connections().traffic(context), Treatment::Proxy(proxied), None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        self.connections().check(found, own);
        keys::delay(found, own);
        path::share(found, own);
        check_chosen(found, own, (self.first, self.every));
        let key = |key: &'static str| [own, &[key]].concat();
        let has = |found: &Found<'_>, name: &'static str| found.document.entry(&key(name)).cloned();
        if !DOES.iter().any(|name| has(found, name).is_some()) {
            let at = found.document.key_at(own);
            found.add(
                Mistake::error(&at, format!("`{}` does nothing", dotted(own)))
                    .help(format!("give at least one of {}", or(DOES))),
            );
        }
        path::is_true(found, &key("stall"));
        if let (Some(message), None) = (has(found, "message"), self.status) {
            found.add(
                Mistake::error(&message.key_at, format!("`{}` needs `status`", dotted(&key("message"))))
                    .label("it is part of how a call ends"),
            );
        }
        for (name, others, why) in [
            ("status", ["stall", "cut-after"].as_slice(), "the server's answer never arrives"),
            ("stall", &["cut-after"], "there is no answer"),
        ] {
            let Some(first) = has(found, name) else { continue };
            for other in others {
                if let Some(second) = has(found, other) {
                    found.add(
                        Mistake::error(&second.key_at, format!("`{other}` does not go with `{name}`"))
                            .also(&first.key_at, why),
                    );
                }
            }
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
