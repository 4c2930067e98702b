//! Peers that are known by the name of a host: their addresses, as this machine knows them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::engine::EngineError;
use crate::model::network::{Cidr, Network, Peer, Peers};

/// How long a name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(10);

/// The addresses of a host, as this machine knows it.
///
/// # Errors
/// If it knows none.
pub async fn addresses_of(host: &str) -> Result<Vec<IpAddr>, EngineError> {
    let attempt = format!("look up `{host}`");
    match tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, 0))).await {
        Err(_) => Err(EngineError::TimedOut { attempt, after: LOOK_UP }),
        Ok(Err(e)) => Err(EngineError::Refused { attempt, why: e.to_string() }),
        Ok(Ok(found)) => {
            let addresses: BTreeSet<IpAddr> = found.map(|a| a.ip()).collect();
            Ok(addresses.into_iter().collect())
        }
    }
}

/// The same network with the addresses of peers that are known by name.
pub(super) async fn look_up(network: &Network) -> io::Result<Network> {
    let mut network = network.clone();
    for flow in &mut network.flows {
        flow.traffic.peers = look_up_peers(&flow.traffic.peers).await?;
    }
    Ok(network)
}

pub(super) async fn look_up_peers(peers: &Peers) -> io::Result<Peers> {
    match peers {
        Peers::Everybody => Ok(Peers::Everybody),
        Peers::These(peers) => look_up_each(peers).await.map(Peers::These),
        Peers::AllBut(peers) => look_up_each(peers).await.map(Peers::AllBut),
    }
}

async fn look_up_each(peers: &[Peer]) -> io::Result<Vec<Peer>> {
    let mut addresses = Vec::new();
    for peer in peers {
        match peer {
            Peer::Addresses(_) | Peer::Instance { .. } => addresses.push(peer.clone()),
            Peer::Host(name) => {
                let found = addresses_of(name).await.map_err(io::Error::other)?;
                addresses.extend(found.into_iter().map(|ip| Peer::Addresses(Cidr::from(ip))));
            }
        }
    }
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}
