//! DNS queries are answered wrongly, or not at all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic::disturbed;
use super::{Context, Disturb, Heal};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Address, Instance, InstanceId, Setting};
use crate::model::network::{self, Direction, Ports, Traffic, Treatment};

/// Answer the instance's DNS queries wrongly, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-exactly-one" = ["answer", "address"]))]
pub struct Dns {
    /// Queries for which names, `*` standing for any text (default: about every name). A single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub names: Vec<String>,
    /// What is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerKey>,
    /// The address that is answered. Queries for addresses of the other family are answered with none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none` (default), `some` or `allowed`.
    #[serde(default)]
    pub idle: Idle,
}

/// What a DNS query is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DnsAnswer")]
pub enum AnswerKey {
    /// Nothing: the client waits until its own timeout.
    Timeout,
    /// There is no such name.
    Nxdomain,
    /// The server has failed.
    Servfail,
}

impl Dns {
    fn answer(&self) -> network::DnsAnswer {
        match (self.address, self.answer) {
            (Some(address), _) => network::DnsAnswer::Address(address),
            (None, Some(AnswerKey::Nxdomain)) => network::DnsAnswer::Nxdomain,
            (None, Some(AnswerKey::Servfail)) => network::DnsAnswer::Servfail,
            (None, Some(AnswerKey::Timeout) | None) => network::DnsAnswer::Timeout,
        }
    }
}

impl Disturb for Dns {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        let queries = Traffic { remote_ports: vec![Ports { first: 53, last: 53 }], ..Traffic::all(Direction::Egress) };
        let dns = network::Dns { names: self.names.clone(), answer: self.answer() };
        disturbed(context, queries, Treatment::Dns(dns), None)
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        let names = [own, &["names"]].concat();
        if self.names.iter().any(|n| n.trim().is_empty()) {
            let at = found.document.key_at(&names);
            found.add(Mistake::error(&at, "a name in `fault.dns.names` is empty").help("`*` stands for any text"));
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle
    }

    fn unseen(&self) -> Option<&'static str> {
        Some("a `tcp` probe of the target itself makes it ask for no name: only an answer that needs one does")
    }
}

/// Refuses to answer with an address that is the only one that every name that is meant has already, where the instance asks for it.
pub(super) fn differs(to: &Setting, i: &Instance, fleet: &[Instance]) -> Result<(), String> {
    let Setting::Network(network) = to else { return Ok(()) };
    for flow in &network.flows {
        if let Treatment::Dns(network::Dns { names, answer: network::DnsAnswer::Address(address) }) = &flow.treatment
            && !names.is_empty()
            && names.iter().all(|name| known(name, i, fleet) == BTreeSet::from([*address]))
        {
            return Err(format!(
                "{} has the address {address} already, for {}: to answer it would change nothing",
                names.join(", "),
                i.name
            ));
        }
    }
    Ok(())
}

/// The addresses of the instances that go by a name, on the networks that an instance is on, too.
fn known(name: &str, i: &Instance, fleet: &[Instance]) -> BTreeSet<IpAddr> {
    let shared = |other: &Address| i.addresses.iter().any(|a| a.is_beside(other));
    let goes_by = |other: &&Instance| InstanceId::on_its_node(&other.name) == name || other.service == name;
    let addresses = fleet.iter().filter(goes_by).flat_map(|other| &other.addresses);
    addresses.filter(|a| shared(a)).map(|a| a.ip).collect()
}
