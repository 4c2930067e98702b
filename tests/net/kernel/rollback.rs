//! Nothing is left of what was laid, however far it came, and what others made on the same links stays.

use std::io::ErrorKind;
use std::net::IpAddr;

use squall::engine::net::kernel::clear;
use squall::host::net::link::Link;
use squall::host::net::nft;
use squall::model::network::{Bandwidth, Direction, Peer, Peers, Shape, Traffic};

use super::{SOON, arrive, cleared, count, dropped, laid, lay_all, lossy, port, ready, shaped, slow, sockets, wires};
use crate::pair::{FAR, FAR6, NEAR, NEAR6, Pair, output, told};

/// Everything that can be seen of a namespace's links, queues and filters.
fn state(pair: &Pair) -> String {
    let filters = |hook| output(&format!("tc filter show dev wire {hook}")).map(|o| o.stdout);
    let filters = pair.near.run(|| Ok([filters("ingress")?, filters("egress")?].concat())).unwrap();
    let filters = String::from_utf8(filters).unwrap();
    [
        "ip -d address",
        "ip -d link",
        "ip route show table all",
        "ip -6 route show table all",
        "tc qdisc show",
        "nft --stateless list ruleset",
    ]
    .map(|command| told(&pair.near, command))
    .join("\n")
    .replace(" tentative", "")
        + &filters
}

#[test]
fn nothing_is_left_and_what_others_made_stays() {
    let pair = ready();
    told(&pair.near, "tc qdisc add dev wire root handle 7: tbf rate 1gbit burst 100kb latency 50ms");
    let before = state(&pair);
    assert!(!cleared(&pair), "there was nothing");
    let flows = [
        dropped(port(81)),
        shaped(port(82), lossy(0.5)),
        shaped(port(83), Shape { bandwidth: Some(Bandwidth { rate: 1000, burst: 0 }), ..Shape::default() }),
    ];
    lay_all(&pair, &flows);
    let once = state(&pair);
    assert!(once.contains("sq2e") && once.contains("qdisc tbf 7:") && !once.contains("sq2e2: fe80"), "{once}");
    lay_all(&pair, &flows);
    let names = |state: &str| state.lines().filter(|l| l.contains(": sq")).count();
    assert_eq!(names(&state(&pair)), names(&once), "laid twice is laid once");
    assert!(cleared(&pair));
    assert_eq!(state(&pair), before);
    assert!(!cleared(&pair));
}

#[test]
fn an_interface_between_has_no_address() {
    let pair = ready();
    lay_all(&pair, &[slow(port(81))]);
    let links = wires(&pair);
    let ours: Vec<&Link> = links.iter().filter(|l| l.name.starts_with("sq")).collect();
    assert_eq!(ours.len(), 2);
    assert!(ours.iter().all(|l| l.up && l.addresses.is_empty()), "{ours:?}");
    cleared(&pair);
}

#[test]
fn a_link_that_somebody_else_filters_is_refused_by_name() {
    for kind in ["clsact", "ingress"] {
        let pair = ready();
        told(&pair.near, &format!("tc qdisc add dev wire {kind}"));
        let before = state(&pair);
        let error = laid(&pair, &[slow(port(81))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().starts_with(&format!("wire has a {kind} qdisc already")), "{error}");
        assert!(!pair.near.run(clear).unwrap());
        cleared(&pair);
        assert_eq!(state(&pair), before);
        // What needs no queue is no matter of theirs.
        lay_all(&pair, &[dropped(port(81))]);
        cleared(&pair);
    }
}

#[test]
fn filters_that_somebody_added_to_ours_stay() {
    let pair = ready();
    lay_all(&pair, &[slow(port(81))]);
    told(&pair.near, "tc filter add dev wire egress prio 9 protocol ip u32 match u32 0 0 flowid 1:1");
    assert!(cleared(&pair));
    let left = told(&pair.near, "tc filter show dev wire egress");
    assert!(left.contains("u32") && !left.contains("bpf"), "{left}");
    assert!(!cleared(&pair));
}

#[test]
fn what_a_process_began_that_died_before_the_first_filter_is_rolled_back() {
    let pair = ready();
    let index = wires(&pair).iter().find(|l| l.name == "wire").unwrap().index;
    let before = state(&pair);
    told(&pair.near, &format!("ip link add sq0e{index} type ifb"));
    told(&pair.near, "tc qdisc add dev wire clsact");
    assert!(cleared(&pair));
    assert_eq!(state(&pair), before);
}

#[test]
fn what_was_begun_is_rolled_back_when_the_rest_is_refused() {
    let pair = ready();
    let index = wires(&pair).iter().find(|l| l.name == "wire").unwrap().index;
    // Somebody has the name that the second flow needs.
    told(&pair.near, &format!("ip link add sq1i{index} type veth peer name other"));
    let before = state(&pair);
    let error = laid(&pair, &[slow(port(81)), slow(port(82))]).unwrap_err();
    assert!(error.to_string().starts_with("nothing can be laid on wire: "), "{error}");
    pair.near.run(nft::delete_all).unwrap();
    assert_eq!(state(&pair), before);
}

#[test]
fn hundreds_of_peers_are_laid_seen_and_rolled_back() {
    let pair = ready();
    let before = state(&pair);
    let far: IpAddr = FAR.parse().unwrap();
    let others = (0..400_u32).map(|i| IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + i * 2)));
    let others6 = (0..250_u16).map(|i| IpAddr::from(std::net::Ipv6Addr::new(0xfd78, i, 0, 0, 0, 0, 0, 1)));
    let peers = others.chain(others6).chain([far]).map(|a| Peer::Addresses(a.into())).collect();
    lay_all(&pair, &[dropped(Traffic { peers: Peers::These(peers), ..Traffic::all(Direction::Both) })]);
    let (meant, meant_far) = sockets(&pair, NEAR, FAR, 81);
    let (other, other_far) = sockets(&pair, NEAR6, FAR6, 81);
    assert_eq!(arrive(&meant, &meant_far, 5, SOON), 0);
    assert_eq!(arrive(&other, &other_far, 5, SOON), 5);
    assert_eq!(count(&pair).dropped, 5);
    assert!(cleared(&pair));
    assert_eq!(state(&pair), before);
}
