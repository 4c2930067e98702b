//! HTTP requests of the instance are answered wrongly, late, in part, or not at all.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::path::{Side, check_chosen, chooses_connections};
use super::traffic::{Peering, Who, disturbed, keys, path};
use super::{Context, Disturb, Heal, Takes};
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Setting};
use crate::model::network::{self, Distribution, Existing, Proxied, ProxyFault, Treatment, When};
use crate::model::quantity::{BitRate, Many, Percent, PortChoice, Size, Span};

/// Do something to HTTP requests that the instance sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Http {
    /// Which requests are meant (default: all).
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<RequestKeys>,
    /// How many of those are affected (default 100%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// Only the first so many of each target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Only each so-manieth: `5` is the fifth, the tenth …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// `before`: the server never sees an affected request (default); `after`: it has done its work, and its answer is lost.
    #[serde(default)]
    pub when: When,
    /// The status of the answer, from 200 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its headers. Needs `status`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// Its body (default: none). Needs `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How much later: before the server has the request, or, with `when: after`, before the client has its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others (default 0s).
    #[serde(default)]
    pub jitter: Span,
    /// How the delay varies. Needs `jitter`.
    #[serde(default)]
    pub distribution: Distribution,
    /// There is no answer: the client waits until its own timeout.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stall: bool,
    /// The connection is reset after so much of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<Size>,
    /// Bits of the answer's body are turned over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub corrupt_body: bool,
    /// How much of the answer's body passes in a given time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BitRate>,
    /// Requests to these peers (default: to anybody).
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub to: Many<Who>,
    /// Requests from these peers: the target is their server. In place of `to`.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub from: Many<Who>,
    /// On which side of them it happens: `caller` (default), the target begins them, or `callee`, they come to it (default with `from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The server's ports, each `8080` or `8000-8099` (default: all). A single one needs no list; `{ except: 22 }` are all but these.
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

/// Which requests are meant: all that is given must fit. In texts, `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "RequestMatch")]
pub struct RequestKeys {
    /// One of these methods: `GET`, `POST` … A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub method: Many<String>,
    /// One of these paths, without the query: `/orders/*`. A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub path: Many<String>,
    /// One of these hosts (the header `host`, without the port). A single one needs no list.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub host: Many<String>,
    /// Each of these headers.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub header: IndexMap<String, String>,
    /// What the server answers: one of these statuses, each `200` or `200-299`. Needs `when: after`.
    #[serde(skip_serializing_if = "PortChoice::is_every_one")]
    pub status: PortChoice,
}

/// What it can do, of which one must be there.
const DOES: [&str; 6] = ["status", "delay", "stall", "cut-after", "corrupt-body", "bandwidth"];

impl Http {
    fn fault(&self) -> network::HttpFault {
        let pairs = |map: &IndexMap<String, String>| map.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
        let keys = self.matching.clone().unwrap_or_default();
        let matching = network::RequestMatch {
            methods: keys.method.0.iter().map(|method| method.to_uppercase()).collect(),
            paths: keys.path.0,
            hosts: keys.host.0.iter().map(|host| host.to_lowercase()).collect(),
            headers: pairs(&keys.header),
            statuses: keys.status.ranges().iter().map(|range| (range.first, range.last)).collect(),
        };
        network::HttpFault {
            matching,
            chosen: network::Chosen {
                first: self.first,
                every: self.every.unwrap_or(1),
                share: self.share.map_or(1.0, |share| share.0),
            },
            when: self.when,
            answer: self.status.map(|status| network::HttpAnswer {
                status,
                headers: self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                body: self.body.clone().unwrap_or_default(),
            }),
            delay: network::Delay {
                delay: self.delay.unwrap_or_default().0,
                jitter: self.jitter.0,
                distribution: self.distribution,
            },
            stall: self.stall,
            cut_after: self.cut_after.map(|size| size.0),
            corrupt_body: self.corrupt_body,
            bandwidth: self.bandwidth.map(|rate| rate.0),
        }
    }
}

chooses_connections!(Http);

impl Disturb for Http {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let proxied = Proxied { existing: self.existing, fault: ProxyFault::Http(Box::new(self.fault())) };
        disturbed(context, self.connections().traffic(context), Treatment::Proxy(proxied), None)
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
        for name in ["stall", "corrupt-body"] {
            path::is_true(found, &key(name));
        }
        check_chosen(found, own, (self.first, self.every));
        self.check_answer(found, own);
        if let Some(status) = has(found, "status") {
            for name in ["stall", "cut-after", "corrupt-body", "bandwidth"] {
                if let Some(other) = has(found, name) {
                    found.add(
                        Mistake::error(&other.key_at, format!("`{name}` does not go with `status`"))
                            .also(&status.key_at, "the server's answer never arrives"),
                    );
                }
            }
        }
        if let Some(stall) = has(found, "stall").filter(|_| self.stall) {
            for name in ["cut-after", "corrupt-body", "bandwidth"] {
                if let Some(other) = has(found, name) {
                    found.add(
                        Mistake::error(&other.key_at, format!("`{name}` does not go with `stall`"))
                            .also(&stall.key_at, "there is no answer"),
                    );
                }
            }
        }
        let statuses = [own, &["match", "status"]].concat();
        if let (Some(entry), When::Before) = (found.document.entry(&statuses).cloned(), self.when) {
            found.add(
                Mistake::error(&entry.key_at, format!("`{}` needs `when: after`", dotted(&statuses)))
                    .label("what the server answers is not known before"),
            );
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

impl Http {
    /// What is to be answered.
    fn check_answer(&self, found: &mut Found<'_>, own: &[&str]) {
        let key = |key: &'static str| [own, &[key]].concat();
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            let at = found.document.value_at(&key("status"));
            found.add(
                Mistake::error(&at, format!("`{}` is no status of an answer", dotted(&key("status"))))
                    .label("from 200 to 599"),
            );
        }
        for name in ["headers", "body"] {
            if let (Some(entry), None) = (found.document.entry(&key(name)).cloned(), self.status) {
                found.add(
                    Mistake::error(&entry.key_at, format!("`{}` needs `status`", dotted(&key(name))))
                        .label("it is part of an answer in place of the server's"),
                );
            }
        }
        for (name, value) in &self.headers {
            let says_length = ["content-length", "transfer-encoding"].contains(&name.to_lowercase().as_str());
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            let is_header = !name.is_empty()
                && name.bytes().all(token)
                && value.bytes().all(|b| b == b'\t' || (32..127).contains(&b));
            if says_length || !is_header {
                let at = found.document.key_at(&[own, &["headers", name]].concat());
                let why = if says_length {
                    "how long the answer is, Squall says itself"
                } else {
                    "it is no header (RFC 9110)"
                };
                found.add(Mistake::error(&at, format!("`{}` cannot be sent", dotted(&key("headers")))).label(why));
            }
        }
        if let (true, Some(204 | 304)) = (self.body.as_ref().is_some_and(|b| !b.is_empty()), self.status) {
            let at = found.document.key_at(&key("body"));
            found.add(Mistake::error(&at, "an answer of this status has no body (RFC 9110)"));
        }
    }
}
