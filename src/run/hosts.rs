//! Peers that are known by the name of a host: looked up before anything is touched, so that a name which means nothing is
//! refused then, and not when the fault begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::engine::{Apply, EngineError};
use crate::model::instance::Change;
use crate::model::network::{Peer, Peers};
use crate::run::target::Refusal;

/// The addresses of each host that these changes are about.
///
/// # Errors
/// The first that cannot be looked up.
pub(crate) async fn addresses(
    engine: &dyn Apply,
    changes: &[Change],
) -> Result<BTreeMap<String, Vec<IpAddr>>, Refusal> {
    let mut known = BTreeMap::new();
    for host in hosts(changes) {
        let found = found(&host, engine.addresses_of(&host).await)?;
        known.insert(host, found);
    }
    Ok(known)
}

fn found(host: &str, found: Result<Vec<IpAddr>, EngineError>) -> Result<Vec<IpAddr>, Refusal> {
    found.map_err(|e| Refusal::limits(format!("the peer `{host}` is no host that is known here: {e}")))
}

/// The hosts that are peers in these changes.
fn hosts(changes: &[Change]) -> BTreeSet<String> {
    let peers = changes.iter().flat_map(|c| c.to.traffic()).flat_map(|traffic| match &traffic.peers {
        Peers::Everybody => &[],
        Peers::These(peers) | Peers::AllBut(peers) => peers.as_slice(),
    });
    peers.filter_map(|peer| if let Peer::Host(name) = peer { Some(name.clone()) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Epoch, InstanceId, Rollback, Setting};
    use crate::model::network::{Direction, Traffic};

    #[test]
    fn a_host_that_is_not_known_is_refused_before_anything_is_touched() {
        let peers = Peers::These(vec![Peer::Host("db.example".to_owned())]);
        let to = Setting::ConnectionsReset(Box::new(Traffic { peers, ..Traffic::all(Direction::Both) }));
        let (id, name) = (InstanceId("x".to_owned()), "x".to_owned());
        let change = Change {
            n: 0,
            fault: 0,
            instance: id,
            name,
            epoch: Epoch::default(),
            before: None,
            to,
            back: Rollback::Nothing,
        };
        assert_eq!(hosts(&[change]).into_iter().collect::<Vec<_>>(), ["db.example"]);
        let unknown =
            EngineError::Refused { attempt: "look up `db.example`".to_owned(), why: "no such name".to_owned() };
        let refusal = found("db.example", Err(unknown)).unwrap_err();
        assert!(refusal.text.contains("the peer `db.example` is no host") && refusal.text.contains("no such name"));
        let one: IpAddr = [10, 0, 0, 1].into();
        assert_eq!(found("db.example", Ok(vec![one])).unwrap(), [one]);
    }
}
