//! Faults in the path of connections: what their keys have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Peering, Selection, Who};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::{Found, dotted};
use crate::experiment::fault::Context;
use crate::model::network::{Direction, Protocol, Traffic};
use crate::model::quantity::{Percent, PortChoice};

/// What no probe of the target itself sees.
const UNSEEN: &str = "a `tcp` probe of the target itself sees none of the connections that it begins: only an answer that needs one does";

/// On which side of its connections a fault stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// That of the client, which is the target.
    Caller,
    /// That of the server, which is the target.
    Callee,
}

/// The keys that choose connections.
#[derive(Debug, Clone, Copy)]
pub(in crate::experiment::fault) struct Connections<'a> {
    pub(in crate::experiment::fault) to: &'a [Who],
    pub(in crate::experiment::fault) from: &'a [Who],
    pub(in crate::experiment::fault) side: Option<Side>,
    pub(in crate::experiment::fault) port: &'a PortChoice,
    pub(in crate::experiment::fault) network: Option<&'a String>,
}

impl<'a> Connections<'a> {
    /// Whether others begin them: peers that they come from say so as well.
    fn comes(&self) -> bool {
        self.side.map_or(!self.from.is_empty(), |side| side == Side::Callee)
    }

    /// What they are for rules.
    pub(in crate::experiment::fault) fn traffic(&self, context: &Context<'_>) -> Traffic {
        let selection = Selection {
            to: self.to,
            from: self.from,
            port: Some(self.port),
            protocol: Some(Protocol::Tcp),
            direction: Some(if self.comes() { Direction::Ingress } else { Direction::Egress }),
            network: self.network,
        };
        selection.traffic(context.peers)
    }

    /// Whose they are, where peers are named.
    pub(in crate::experiment::fault) fn peers(&self) -> Option<Peering<'a>> {
        Peering::of(self.to, self.from)
    }

    /// What no probe of the target itself sees.
    pub(in crate::experiment::fault) fn unseen(&self) -> Option<&'static str> {
        (!self.comes()).then_some(UNSEEN)
    }

    /// `to`, `from` and what goes with them.
    pub(in crate::experiment::fault) fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        super::keys::selection(found, own);
        let entry = |found: &Found<'_>, name: &str| found.document.entry(&[own, &[name]].concat()).cloned();
        for (side, is, other, named) in [
            (Side::Caller, "caller", "from", "the target is the one that connects: its peers are `to`"),
            (Side::Callee, "callee", "to", "the target is the one that is connected to: its peers are `from`"),
        ] {
            if let (true, Some(peers), Some(key)) = (self.side == Some(side), entry(found, other), entry(found, "side"))
            {
                found.add(
                    Mistake::error(&peers.key_at, format!("`{other}` does not go with `side: {is}`"))
                        .also(&key.key_at, named),
                );
            }
        }
    }
}

/// `share`, which must affect something.
pub(in crate::experiment::fault) fn share(found: &mut Found<'_>, own: &[&str]) {
    let key = [own, &["share"]].concat();
    if found.document.part::<Percent>(&key).is_some_and(|share| share.0 <= 0.0) {
        let at = found.document.value_at(&key);
        found.add(Mistake::error(&at, format!("`{}` affects nothing", dotted(&key))));
    }
}

/// `first` and `every`, which must leave something.
pub(in crate::experiment::fault) fn check_chosen(
    found: &mut Found<'_>,
    own: &[&str],
    (first, every): (Option<u64>, Option<u64>),
) {
    for (name, number) in [("first", first), ("every", every)] {
        let key = [own, &[name]].concat();
        if number == Some(0) {
            let at = found.document.value_at(&key);
            found.add(Mistake::error(&at, format!("`{}` must be above 0", dotted(&key))));
        }
    }
    if let (Some(first), Some(every)) = (first, every)
        && every > first
        && every > 0
    {
        let at = found.document.value_at(&[own, &["every"]].concat());
        found.add(
            Mistake::error(&at, format!("`{}` affects nothing", dotted(own)))
                .label(format!("of the first {first} none is number {every}")),
        );
    }
}

/// A key that says something by being there.
pub(in crate::experiment::fault) fn is_true(found: &mut Found<'_>, key: &[&str]) {
    if found.document.part::<bool>(key) == Some(false) {
        let at = found.document.value_at(key);
        found.add(Mistake::error(&at, format!("`{}: false` does nothing", dotted(key))).help("leave it out"));
    }
}

/// Gives a fault with the keys that choose connections these in one.
macro_rules! chooses_connections {
    ($fault:ident) => {
        impl $fault {
            fn connections(&self) -> crate::experiment::fault::traffic::path::Connections<'_> {
                crate::experiment::fault::traffic::path::Connections {
                    to: &self.to,
                    from: &self.from,
                    side: self.side,
                    port: &self.port,
                    network: self.network.as_ref(),
                }
            }
        }
    };
}
pub(in crate::experiment::fault) use chooses_connections;

/// A fault that answers in a server's own words: its `error`, and after it the keys that choose connections. What it does stands in its
/// `fault`, and what is wrong with its error in its `check_error`.
///
/// A macro, since reading a shared struct through `serde(flatten)` would lose the places of mistakes.
macro_rules! answers_for {
    (
        $(#[$about:meta])*
        pub struct $fault:ident {
            $(#[$error_about:meta])* pub error: $error:ty,
        }
    ) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$about])*
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $fault {
            $(#[$error_about])* pub error: $error,
            /// How many are affected (default 100%).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub share: Option<crate::model::quantity::Percent>,
            /// Connections to these peers (default: to anybody).
            #[serde(default, skip_serializing_if = "crate::model::quantity::Many::is_empty")]
            pub to: crate::model::quantity::Many<crate::experiment::fault::Who>,
            /// Connections from these peers: the target is their server. In place of `to`.
            #[serde(default, skip_serializing_if = "crate::model::quantity::Many::is_empty")]
            pub from: crate::model::quantity::Many<crate::experiment::fault::Who>,
            /// On which side of them it happens: `caller` (default), the target begins them, or `callee`, they come to it (default with `from`).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub side: Option<crate::experiment::fault::traffic::path::Side>,
            /// The server's ports, each `5432` or `8000-8099` (default: that of the protocol). A single one needs no list;
            /// `{ except: 22 }` are all but these.
            #[serde(default, skip_serializing_if = "crate::model::quantity::PortChoice::is_every_one")]
            pub port: crate::model::quantity::PortChoice,
            /// On this network of the engine alone.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub network: Option<String>,
            /// What becomes of connections that are open already: they are reset, so that the next ones are affected (default), or left
            /// alone.
            #[serde(default)]
            pub existing: crate::model::network::Existing,
            /// `self`: the system must recover without intervention.
            #[serde(default)]
            pub heal: crate::experiment::fault::Heal,
            /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
            #[serde(default)]
            pub idle: crate::model::effect::Idle,
        }

        impl crate::experiment::fault::Disturb for $fault {
            fn settings(
                &self,
                _: &crate::model::instance::Instance,
                context: &crate::experiment::fault::Context<'_>,
            ) -> Vec<crate::model::instance::Setting> {
                use crate::model::network::{Proxied, Treatment};
                let usual = crate::model::quantity::PortChoice::These(vec![crate::model::quantity::Port(Self::PORT)]);
                let port = if self.port.is_every_one() { &usual } else { &self.port };
                let connections = crate::experiment::fault::traffic::path::Connections { port, ..self.connections() };
                let fault = self.fault(self.share.map_or(1.0, |share| share.0));
                let treatment = Treatment::Proxy(Proxied { existing: self.existing, fault });
                crate::experiment::fault::traffic::disturbed(context, connections.traffic(context), treatment, None)
            }

            fn check(&self, found: &mut crate::experiment::document::found::Found<'_>, own: &[&str]) {
                self.connections().check(found, own);
                crate::experiment::fault::traffic::path::share(found, own);
                self.check_error(found, own);
            }

            fn heal(&self) -> crate::experiment::fault::Heal {
                self.heal
            }

            fn idle(&self) -> crate::model::effect::Idle {
                self.idle
            }

            fn peers(&self) -> Option<crate::experiment::fault::Peering<'_>> {
                self.connections().peers()
            }

            fn unseen(&self) -> Option<&'static str> {
                self.connections().unseen()
            }
        }

        crate::experiment::fault::traffic::path::chooses_connections!($fault);
    };
}
pub(in crate::experiment::fault) use answers_for;

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{read_fault, set};

    #[test]
    fn what_is_written_is_what_is_set() {
        for (fault, want) in [
            (
                "{ http: { to: { service: store }, match: { method: get, path: '/a*', status: 200-299 }, status: 503, when: after } }",
                "HTTP requests GET /a* that are answered 200-299: answered 503, after the server has answered, to store-1, tcp",
            ),
            (
                "{ http: { port: 80, delay: 1s, jitter: 100ms, share: 10%, first: 6, every: 3 } }",
                "10 % of each 3rd of the first 6 HTTP requests: 1s ± 100ms later, to everybody, tcp, port 80",
            ),
            (
                "{ http: { from: { service: store }, port: 80, stall: true } }",
                "HTTP requests: never answered, from store-1, tcp, own port 80",
            ),
            (
                "{ postgres: { error: 53300, side: callee } }",
                "connections to PostgreSQL: refused with 53300 (sorry, too many clients already), from everybody, tcp, own port 5432",
            ),
            ("{ http: { stall: true, every: 5 } }", "each 5th of the HTTP requests: never answered, to everybody, tcp"),
            (
                "{ http: { cut-after: 16KiB, corrupt-body: true, bandwidth: 1mbit } }",
                "HTTP requests: reset after 16,384 bytes of the body, the body is altered, the body at most 1mbit, to everybody, tcp",
            ),
            ("{ tcp: { refuse: true, to: { service: store } } }", "new connections refused, to store-1, tcp"),
            (
                "{ tcp: { accept-then-hang: true, close-after: 2s, share: 25% } }",
                "25 % of the connections: nothing passes, closed after 2s, to everybody, tcp",
            ),
            (
                "{ tcp: { delay: 5ms, slice: { size: 1b, every: 1ms }, limit: 1kb, slow-close: 1s, direction: ingress } }",
                "connections: 5ms later, in pieces of 1 byte, one each 1ms, closed after 1,024 bytes, its end 1s later (what is received), to everybody, tcp",
            ),
            (
                "{ postgres: { error: 53300, share: 50% } }",
                "50 % of the connections to PostgreSQL: refused with 53300 (sorry, too many clients already), to everybody, tcp, port 5432",
            ),
            (
                "{ postgres: { error: XX000, port: 6432 } }",
                "connections to PostgreSQL: refused with XX000 (refused), to everybody, tcp, port 6432",
            ),
            (
                "{ grpc: { to: { service: store }, match: { service: 'shop.*', method: [Get, Put] }, status: UNAVAILABLE, share: 10% } }",
                "10 % of gRPC calls of shop.*, Get or Put: answered UNAVAILABLE, to store-1, tcp",
            ),
            (
                "{ grpc: { cut-after: 1kb, port: 50051 } }",
                "gRPC calls: reset after 1,024 bytes of the answers, to everybody, tcp, port 50051",
            ),
            (
                "{ tls: { match: { sni: '*.Store' }, alert: certificate-expired, share: 50% } }",
                "50 % of the TLS handshakes for *.store: refused with the alert certificate-expired, to everybody, tcp",
            ),
            (
                "{ tls: { delay: 1s, stall: true, port: 443 } }",
                "TLS handshakes: 1s later, never answered, to everybody, tcp, port 443",
            ),
            ("{ redis: { error: LOADING } }", "Redis commands: answered LOADING, to everybody, tcp, port 6379"),
        ] {
            assert_eq!(set(fault).replace("traffic: ", ""), want, "{fault}");
        }
    }

    #[test]
    fn what_does_nothing_or_cannot_be_is_refused() {
        for (fault, told) in [
            ("{ http: { status: 503, side: callee, to: { service: store } } }", "`to` does not go with `side: callee`"),
            (
                "{ redis: { error: OOM, side: caller, from: { service: store } } }",
                "`from` does not go with `side: caller`",
            ),
            ("{ tcp: { refuse: true, side: server } }", "known here: caller, callee"),
            ("{ http: {} }", "does nothing"),
            ("{ http: { match: { path: / } } }", "does nothing"),
            ("{ http: { status: 101 } }", "is no status of an answer"),
            ("{ http: { status: 503, share: 0% } }", "affects nothing"),
            ("{ http: { status: 503, first: 0 } }", "must be above 0"),
            ("{ http: { status: 503, first: 2, every: 3 } }", "affects nothing"),
            ("{ http: { stall: false } }", "does nothing"),
            ("{ http: { status: 503, stall: true } }", "`stall` does not go with `status`"),
            ("{ http: { delay: 1s, body: x } }", "needs `status`"),
            ("{ http: { status: 204, body: x } }", "has no body"),
            ("{ http: { status: 503, headers: { Content-Length: '5' } } }", "cannot be sent"),
            ("{ http: { status: 503, headers: { x: \"a\\r\\nb: c\" } } }", "cannot be sent"),
            ("{ http: { status: 503, match: { status: 200 } } }", "needs `when: after`"),
            ("{ http: { jitter: 1s, status: 503 } }", "needs"),
            ("{ postgres: { error: 5330 } }", "is no SQLSTATE"),
            ("{ postgres: { error: '57p03' } }", "is no SQLSTATE"),
            ("{ grpc: {} }", "does nothing"),
            ("{ grpc: { status: DOWN } }", "UNAVAILABLE"),
            ("{ grpc: { message: x, delay: 1s } }", "needs `status`"),
            ("{ grpc: { status: INTERNAL, cut-after: 1kb } }", "`cut-after` does not go with `status`"),
            ("{ tls: {} }", "does nothing"),
            ("{ tls: { alert: no } }", "handshake-failure"),
            ("{ tls: { reset: true, cut: true } }", "`cut` does not go with `reset`"),
            ("{ redis: { error: LOADING, share: 0% } }", "affects nothing"),
            ("{ redis: { error: SLOW } }", "LOADING"),
            ("{ tcp: {} }", "does nothing"),
            ("{ tcp: { refuse: true, share: 5% } }", "`share` does not go with `refuse`"),
            ("{ tcp: { reset-after: 0s, close-after: 1s } }", "do not go together"),
            ("{ tcp: { accept-then-hang: true, delay: 1s } }", "`delay` does not go with `accept-then-hang`"),
            ("{ http: { stall: true, bandwidth: 1mbit } }", "`bandwidth` does not go with `stall`"),
            ("{ tcp: { reset-after: 0s, direction: egress } }", "`direction` does nothing here"),
            ("{ tcp: { limit: 0b } }", "must be above 0"),
            ("{ tcp: { slice: { size: 0b } } }", "must be above 0"),
        ] {
            let mistakes = read_fault(fault).err().unwrap_or_else(|| panic!("{fault} is accepted")).to_string();
            assert!(mistakes.contains(told), "{fault}\n{mistakes}");
        }
    }
}
