//! Answers about names that are the right ones, as far as the engine's own instances tell. Pure; it asks no name server.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::instance::{Instance, Setting};
use crate::model::network::{Answer, Dns, Treatment};
use crate::run::target::Refusal;

/// Refuses an address that is the only one that every name in question has already, where the instance asks for it.
pub(super) fn differ(to: &Setting, i: &Instance, fleet: &[Instance]) -> Result<(), Refusal> {
    let Setting::Network(network) = to else { return Ok(()) };
    for flow in &network.flows {
        if let Treatment::Dns(Dns { names, answer: Answer::Address(address) }) = &flow.treatment
            && !names.is_empty()
            && names.iter().all(|name| known(name, i, fleet) == BTreeSet::from([*address]))
        {
            return Err(Refusal::limits(format!(
                "{} has the address {address} already, for {}: to answer it would change nothing",
                names.join(", "),
                i.name
            )));
        }
    }
    Ok(())
}

/// The addresses of the instances that go by a name, on the networks that an instance is on, too.
fn known(name: &str, i: &Instance, fleet: &[Instance]) -> BTreeSet<IpAddr> {
    let shared = |network: &str| i.addresses.iter().any(|a| a.network == network);
    let goes_by = |other: &&Instance| other.name == name || other.service == name;
    let addresses = fleet.iter().filter(goes_by).flat_map(|other| &other.addresses);
    addresses.filter(|a| shared(&a.network)).map(|a| a.ip).collect()
}
