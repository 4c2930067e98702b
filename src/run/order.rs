//! In which order instances are rolled back. Most are independent of each other; those that are started again on one network are
//! not: an engine gives each that starts the first address that is free, so that several that start at once may come back with the
//! addresses of each other, and who looked them up before finds the wrong one, or none. Pure, but for the waiting.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::model::instance::{Instance, InstanceId};

/// How long the next one waits for one that does not get on.
const TURN: Duration = Duration::from_secs(3);

/// The instances, in lists that are independent of each other; those of one list come one after the other. `starting` are those that
/// are to be started.
pub(super) fn queues(
    targeted: &[Instance],
    all: Vec<InstanceId>,
    starting: &BTreeSet<InstanceId>,
) -> Vec<Vec<InstanceId>> {
    let addresses = |id: &InstanceId| -> Vec<(&str, IpAddr)> {
        let of = targeted.iter().filter(|i| i.id == *id && starting.contains(id)).flat_map(|i| &i.addresses);
        of.filter(|a| !a.ip.is_loopback()).map(|a| (a.network_id.as_deref().unwrap_or(&a.network), a.ip)).collect()
    };
    let networks = |id: &InstanceId| addresses(id).into_iter().map(|(network, _)| network).collect::<BTreeSet<_>>();
    let mut queues: Vec<Vec<InstanceId>> = Vec::new();
    for id in all {
        let own = networks(&id);
        let meets = |queue: &Vec<InstanceId>| queue.iter().any(|other| !networks(other).is_disjoint(&own));
        let (met, rest): (Vec<_>, Vec<_>) = queues.into_iter().partition(meets);
        queues = rest;
        queues.push(met.into_iter().flatten().chain([id]).collect());
    }
    for queue in &mut queues {
        queue.sort_by_cached_key(|id| addresses(id).into_iter().map(|(network, ip)| (ip, network.to_owned())).min());
    }
    queues
}

/// Does one after the other; the next one waits for no longer than its turn.
pub(super) async fn in_turn(all: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut going = FuturesUnordered::new();
    for next in all {
        let before = going.len();
        going.push(next);
        let _ = timeout(TURN, async {
            while going.len() > before {
                going.next().await;
            }
        })
        .await;
    }
    while going.next().await.is_some() {}
}

/// How long so many instances may wait for each other.
pub(super) fn longest_wait(instances: usize) -> Duration {
    TURN * u32::try_from(instances).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::Address;

    #[test]
    fn those_that_start_on_one_network_come_by_their_addresses() {
        let instance = |id: &str, at: &[(&str, u8)]| {
            let mut instance = Instance::new(id, id, "shop");
            let address = |(network, last): &(&str, u8)| Address {
                network: (*network).to_owned(),
                network_id: None,
                ip: IpAddr::from([10, 0, 0, *last]),
            };
            instance.addresses = at.iter().map(address).collect();
            instance
        };
        let targeted = [
            instance("a", &[("front", 12)]),
            instance("b", &[("front", 3), ("back", 9)]),
            instance("c", &[("back", 2)]),
            instance("d", &[("other", 4)]),
            instance("e", &[("front", 2)]),
        ];
        let ids = |all: &str| all.chars().map(|c| InstanceId(c.to_string())).collect::<Vec<_>>();
        let starting: BTreeSet<InstanceId> = ids("abcd").into_iter().collect();
        let mut found = queues(&targeted, ids("abcde"), &starting);
        found.sort();
        assert_eq!(found, [ids("cba"), ids("d"), ids("e")], "`e` is not started");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_get_on_holds_up_the_others_for_its_turn_alone() {
        let begin = tokio::time::Instant::now();
        let ends = std::sync::Mutex::new(Vec::new());
        let one = |n: u64, seconds: u64| {
            let ends = &ends;
            async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                ends.lock().expect("nobody panics here").push((n, begin.elapsed().as_secs()));
            }
        };
        in_turn([one(1, 1), one(2, 60), one(3, 1), one(4, 1)]).await;
        assert_eq!(*ends.lock().expect("nobody panics here"), [(1, 1), (3, 5), (4, 6), (2, 61)]);
    }
}
