//! Which packets are meant, as rules: one for each combination, because matches of a rule must all fit. Pure.

use std::net::IpAddr;

use super::rule::{Match, Rule, Verdict};
use crate::host::net::protocols::WITH_PORTS;
use crate::model::network::{Cidr, Peer, Peers, Ports, Protocol, Traffic};

/// What a packet that arrives (else: that leaves) must fit to be meant: any of these, all of it. Nothing of it: none
/// is meant. Peers must be addresses; `interface` is the number of the only one that is meant.
#[must_use]
pub fn select(traffic: &Traffic, arriving: bool, interface: Option<u32>) -> Vec<Vec<Match>> {
    if !traffic.has(arriving) {
        return Vec::new();
    }
    let interface = interface.map(|index| if arriving { Match::In(index) } else { Match::Out(index) });
    let mut any = vec![interface.into_iter().collect()];
    any = each(any, protocols(traffic).as_ref());
    any = each(any, peers(&traffic.peers, arriving).as_ref());
    any = each(any, ports(&traffic.remote_ports, arriving).as_ref());
    each(any, ports(&traffic.local_ports, !arriving).as_ref()).into_iter().filter(|all| possible(all)).collect()
}

/// What the first packet of a TCP connection must fit, where the connection is meant: one that others begin, where what arrives is meant, or
/// one that this namespace begins.
#[must_use]
pub fn beginnings(traffic: &Traffic, interface: Option<u32>) -> Vec<Vec<Match>> {
    /// Of the flags, SYN without ACK.
    const BEGINS: Match = Match::Byte { at: 13, mask: 0x12, first: 2, last: 2 };
    let of_tcp = Traffic { protocol: Some(Protocol::Tcp), ..traffic.clone() };
    select(&of_tcp, traffic.comes(), interface).into_iter().map(|all| [all.as_slice(), &[BEGINS]].concat()).collect()
}

/// Rules that refuse: TCP with a reset, everything else with "port unreachable".
#[must_use]
pub fn refuse(meant: &[Vec<Match>], comment: &str) -> Vec<Rule> {
    let tcp = Match::Protocol(Protocol::Tcp.number(false));
    let rule = |matches: Vec<Match>, verdict| Rule { matches, verdict, comment: comment.to_owned() };
    let mut rules = Vec::new();
    for all in meant {
        let other = all.iter().any(|m| matches!(m, Match::Protocol(_)) && *m != tcp);
        if !other {
            let with = (!all.contains(&tcp)).then_some(tcp);
            rules.push(rule(all.iter().copied().chain(with).collect(), Verdict::Reset));
        }
        if !all.contains(&tcp) {
            rules.push(rule(all.clone(), Verdict::Unreachable));
        }
    }
    rules
}

/// Every combination of what there is with what comes; nothing to choose from changes nothing.
fn each(have: Vec<Vec<Match>>, choices: Option<&Vec<Vec<Match>>>) -> Vec<Vec<Match>> {
    let Some(choices) = choices else { return have };
    have.iter().flat_map(|all| choices.iter().map(|choice| [all.as_slice(), choice].concat())).collect()
}

fn protocols(traffic: &Traffic) -> Option<Vec<Vec<Match>>> {
    let ported = !traffic.remote_ports.is_empty() || !traffic.local_ports.is_empty();
    match traffic.protocol {
        Some(Protocol::Icmp) if ported => Some(Vec::new()),
        Some(Protocol::Icmp) => {
            let one = |v6| vec![Match::V6(v6), Match::Protocol(Protocol::Icmp.number(v6))];
            Some(vec![one(false), one(true)])
        }
        Some(protocol) => Some(vec![vec![Match::Protocol(protocol.number(false))]]),
        None if ported => Some(WITH_PORTS.map(|number| vec![Match::Protocol(number)]).to_vec()),
        None => None,
    }
}

fn peers(peers: &Peers, arriving: bool) -> Option<Vec<Vec<Match>>> {
    let peers = match peers {
        Peers::Everybody => return None,
        Peers::These(peers) => peers,
        Peers::AllBut(peers) => {
            let side = if arriving { Match::SourceOutside } else { Match::DestinationOutside };
            let family = |v6| {
                let outside = spans(peers, v6).into_iter().map(move |(first, last)| side(first, last));
                std::iter::once(Match::V6(v6)).chain(outside).collect()
            };
            return Some(vec![family(false), family(true)]);
        }
    };
    let one = |range: Cidr| {
        let side = if arriving { Match::Source(range) } else { Match::Destination(range) };
        vec![Match::V6(range.address().is_ipv6()), side]
    };
    Some(peers.iter().filter_map(Peer::range).map(one).collect())
}

/// From the first address to the last one, of a family's ranges; those that touch are one, since a rule has room for a hundred.
fn spans(peers: &[Peer], v6: bool) -> Vec<(IpAddr, IpAddr)> {
    let mut ranges: Vec<Cidr> = peers.iter().filter_map(Peer::range).filter(|r| r.address().is_ipv6() == v6).collect();
    ranges.sort_unstable();
    let next = |address: IpAddr| match address {
        IpAddr::V4(a) => u32::from(a).checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(a) => u128::from(a).checked_add(1).map(|n| IpAddr::V6(n.into())),
    };
    let mut spans: Vec<(IpAddr, IpAddr)> = Vec::new();
    for range in ranges {
        match spans.last_mut() {
            Some((_, last)) if next(*last).is_none_or(|next| range.address() <= next) => {
                *last = (*last).max(range.last());
            }
            _ => spans.push((range.address(), range.last())),
        }
    }
    spans
}

/// How many spans of addresses a rule has room for: the kernel takes 128 expressions.
const ROOM: usize = 100;

/// Whether rules can be made of it: nothing, or why not.
#[must_use]
pub fn too_many(traffic: &Traffic) -> Option<String> {
    let Peers::AllBut(peers) = &traffic.peers else { return None };
    let most = spans(peers, false).len().max(spans(peers, true).len());
    (most > ROOM).then(|| {
        format!("everybody but {most} spans of addresses is meant, and a rule of the kernel's has room for {ROOM}")
    })
}

fn ports(ports: &[Ports], source: bool) -> Option<Vec<Vec<Match>>> {
    let one = |ports: &Ports| vec![if source { Match::SourcePort(*ports) } else { Match::DestinationPort(*ports) }];
    (!ports.is_empty()).then(|| ports.iter().map(one).collect())
}

/// A packet is of one family.
fn possible(all: &[Match]) -> bool {
    !(all.contains(&Match::V6(true)) && all.contains(&Match::V6(false)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::network::{Cidr, Direction, Packet};

    /// A tiny nf_tables: whether a packet fits, with the own address of no interest.
    fn fits(all: &[Match], packet: &Packet) -> bool {
        let (remote, local) = packet.ports.unzip();
        let (from, to) = if packet.arrives { (remote, local) } else { (local, remote) };
        let ported = |port: Option<u16>, ports: Ports| port.is_some_and(|p| ports.contains(p));
        all.iter().all(|m| match m {
            Match::V6(v6) => packet.remote.is_ipv6() == *v6,
            Match::Protocol(number) => packet.protocol == *number,
            Match::Source(range) => packet.arrives && range.contains(packet.remote),
            Match::Destination(range) => !packet.arrives && range.contains(packet.remote),
            Match::SourceOutside(first, last) => packet.arrives && !(*first..=*last).contains(&packet.remote),
            Match::DestinationOutside(first, last) => !packet.arrives && !(*first..=*last).contains(&packet.remote),
            Match::SourcePort(ports) => ported(from, *ports),
            Match::DestinationPort(ports) => ported(to, *ports),
            other => panic!("{other:?} is not about traffic"),
        })
    }

    /// Few values, so that they meet.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..4_u32).prop_map(|n| IpAddr::V4((0x0a00_0000 | n << 22 | n).into())),
            (0..4_u128).prop_map(|n| IpAddr::V6((0xfd00_u128 << 112 | n << 60 | n).into())),
        ]
    }

    fn range() -> impl Strategy<Value = Cidr> {
        (address(), prop::sample::select(vec![0, 8, 10, 31, 32, 64, 68, 127, 128])).prop_map(|(address, prefix)| {
            Cidr::new(address, prefix.min(if address.is_ipv4() { 32 } else { 128 })).unwrap()
        })
    }

    fn some_ports() -> impl Strategy<Value = Vec<Ports>> {
        prop::collection::vec((1..6_u16, 0..3_u16).prop_map(|(first, more)| Ports { first, last: first + more }), 0..3)
    }

    fn traffic() -> impl Strategy<Value = Traffic> {
        let some = || {
            let one = prop_oneof![4 => range().prop_map(Peer::Addresses), 1 => Just(Peer::Host("a".to_owned()))];
            prop::collection::vec(one, 0..4)
        };
        let peers = prop_oneof![Just(Peers::Everybody), some().prop_map(Peers::These), some().prop_map(Peers::AllBut),];
        let protocol = prop::sample::select(vec![None, Some(Protocol::Tcp), Some(Protocol::Udp), Some(Protocol::Icmp)]);
        let direction = prop::sample::select(vec![Direction::Egress, Direction::Ingress, Direction::Both]);
        (direction, peers, protocol, some_ports(), some_ports()).prop_map(|(direction, peers, protocol, r, l)| {
            Traffic { peers, protocol, remote_ports: r, local_ports: l, ..Traffic::all(direction) }
        })
    }

    fn packet() -> impl Strategy<Value = Packet> {
        let protocol = prop::sample::select(vec![1_u8, 6, 17, 58, 132, 47]);
        (any::<bool>(), address(), protocol, prop::option::weighted(0.9, (1..8_u16, 1..8_u16))).prop_map(
            |(arrives, remote, protocol, ports)| Packet {
                arrives,
                remote,
                protocol,
                ports: ports.filter(|_| WITH_PORTS.contains(&protocol)),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn rules_mean_what_the_law_means(traffic in traffic(), packets in prop::collection::vec(packet(), 20)) {
            for packet in packets {
                let meant = select(&traffic, packet.arrives, None);
                let fitting = meant.iter().any(|all| fits(all, &packet));
                prop_assert_eq!(fitting, traffic.matches(&packet), "{:?}: {:?}", packet, meant);
            }
        }

        #[test]
        fn whatever_is_meant_is_refused_in_its_own_way(traffic in traffic(), packet in packet()) {
            let rules = refuse(&select(&traffic, packet.arrives, None), "");
            let first = rules.iter().find(|rule| fits(&rule.matches, &packet)).map(|rule| rule.verdict);
            let way = if packet.protocol == 6 { Verdict::Reset } else { Verdict::Unreachable };
            prop_assert_eq!(first, traffic.matches(&packet).then_some(way));
        }
    }
}
