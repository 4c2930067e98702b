//! The links of a machine that lead out of it, and the rules that let nothing pass there. Knows packets and links; no container.
//!
//! What leaves or arrives by such a link meets the rules before its addresses are translated or after they are, whatever process or
//! namespace it comes from: of a process of the machine, forwarded for a container, or with another network inside (VXLAN). Between the
//! links that stay inside, a bridge and its ports, nothing changes.

use super::link::Link;
use super::nft::rule::lapsed;
use super::nft::{Chain, Hook, Match, Rule, Verdict, Version};
use crate::model::network::Ports;

const TCP: u8 = 6;
const ICMP_V6: u8 = 58;
/// The messages of ICMPv6 by which neighbours find each other: without them no connection over IPv6 is let through for long.
const NEIGHBOURS: (u8, u8) = (133, 136);

/// Before connections are tracked; and after addresses are translated.
const FIRST: i32 = -310;
const LAST: i32 = 310;

/// Those that lead out of the machine.
///
/// # Errors
/// Where a bridge joins one of them with instances: what passes between its ports meets no rule.
pub fn links(all: &[Link]) -> Result<Vec<&Link>, String> {
    let is = |link: &Link, kinds: &[&str]| link.kind.as_deref().is_some_and(|kind| kinds.contains(&kind));
    let ports = |bridge: &Link| all.iter().filter(|port| port.master == Some(bridge.index)).collect::<Vec<_>>();
    let leads_to_instances = |port: &&Link| is(port, &["veth", "tun"]);
    let stays_inside = |link: &Link| {
        link.loopback
            || is(link, &["dummy", "ifb", "nlmon"])
            || is(link, &["bridge"]) && ports(link).iter().all(leads_to_instances)
    };
    for bridge in all.iter().filter(|link| is(link, &["bridge"]) && !stays_inside(link)) {
        let (instances, others): (Vec<&Link>, Vec<&Link>) = ports(bridge).into_iter().partition(leads_to_instances);
        if let (Some(instance), Some(other)) = (instances.first(), others.first()) {
            return Err(format!(
                "its bridge {} joins {}, which leads out of the machine, with {}: what passes between them meets no rule",
                bridge.name, other.name, instance.name
            ));
        }
    }
    let of_inside = |link: &Link| all.iter().any(|bridge| link.master == Some(bridge.index) && stays_inside(bridge));
    Ok(all.iter().filter(|link| !stays_inside(link) && !of_inside(link)).collect())
}

/// The rules by which nothing passes these links, but connections to a port of the machine, if one is given.
#[must_use]
pub fn cut(links: &[&Link], let_through: Option<u16>, leaves: Verdict) -> Vec<Chain> {
    let chain = |name: &str, hook, priority, verdict| {
        let rules = links.iter().flat_map(|link| {
            let by = if matches!(hook, Hook::Prerouting) { Match::In(link.index) } else { Match::Out(link.index) };
            let passes = let_through.into_iter().flat_map(move |port| {
                let port = Ports { first: port, last: port };
                let own = if matches!(hook, Hook::Prerouting) {
                    Match::DestinationPort(port)
                } else {
                    Match::SourcePort(port)
                };
                let (first, last) = NEIGHBOURS;
                let neighbours = Match::Byte { at: 0, mask: 0xff, first, last };
                [vec![by, Match::Protocol(TCP), own], vec![by, Match::V6(true), Match::Protocol(ICMP_V6), neighbours]]
                    .map(|matches| Rule { matches, verdict: Verdict::Accept, comment: "passes".to_owned() })
            });
            passes.chain([Rule { matches: vec![by], verdict, comment: "cut".to_owned() }])
        });
        Chain {
            version: Version::Both,
            name: name.to_owned(),
            hook,
            priority,
            rules: std::iter::once(lapsed()).chain(rules).collect(),
        }
    };
    vec![chain("arrives", Hook::Prerouting, FIRST, Verdict::Drop), chain("leaves", Hook::Postrouting, LAST, leaves)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: Option<&str>, master: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            master,
            up: true,
            loopback: name == "lo",
            mtu: 1500,
            queue_length: 1000,
            addresses: Vec::new(),
        }
    }

    /// A machine of an engine: a card, a bridge with two ports, one without any.
    fn machine() -> Vec<Link> {
        vec![
            link(1, "lo", None, None),
            link(2, "eth0", None, None),
            link(3, "docker0", Some("bridge"), None),
            link(4, "br-1", Some("bridge"), None),
            link(5, "veth1", Some("veth"), Some(4)),
            link(6, "veth2", Some("veth"), Some(4)),
        ]
    }

    fn outside(all: &[Link]) -> Result<Vec<&str>, String> {
        links(all).map(|found| found.into_iter().map(|link| link.name.as_str()).collect())
    }

    #[test]
    fn a_bridge_and_its_ports_stay_inside_and_what_else_there_is_leads_out() {
        let mut all = machine();
        assert_eq!(outside(&all).unwrap(), ["eth0"]);
        all.extend([link(7, "wg0", Some("wireguard"), None), link(8, "eth0.5", Some("vlan"), None)]);
        all.push(link(9, "uplink", Some("veth"), None));
        assert_eq!(outside(&all).unwrap(), ["eth0", "wg0", "eth0.5", "uplink"]);
        // A bridge for the card alone.
        all.push(link(10, "br0", Some("bridge"), None));
        all[1].master = Some(10);
        assert_eq!(outside(&all).unwrap(), ["eth0", "wg0", "eth0.5", "uplink", "br0"]);
        all.push(link(11, "veth3", Some("veth"), Some(10)));
        let why = outside(&all).unwrap_err();
        assert!(why.contains("br0") && why.contains("eth0") && why.contains("veth3"), "{why}");
    }

    #[test]
    fn only_connections_to_the_port_pass() {
        let all = machine();
        let found = links(&all).unwrap();
        let rules = |port| cut(&found, port, Verdict::Vanish).into_iter().map(|c| c.rules).collect::<Vec<_>>();
        let ends = |rules: &[Rule]| rules.last().map(|rule| (rule.matches.clone(), rule.verdict));
        for (port, passing) in [(None, 0), (Some(2375), 2)] {
            let [arrives, leaves] = &rules(port)[..] else { panic!("two chains") };
            assert_eq!((arrives.len(), leaves.len()), (passing + 2, passing + 2), "its lease comes first");
            assert_eq!(ends(arrives), Some((vec![Match::In(2)], Verdict::Drop)));
            assert_eq!(ends(leaves), Some((vec![Match::Out(2)], Verdict::Vanish)));
        }
        let port = Ports { first: 22, last: 22 };
        assert_eq!(rules(Some(22))[0][1].matches, [Match::In(2), Match::Protocol(TCP), Match::DestinationPort(port)]);
        assert_eq!(rules(Some(22))[1][1].matches, [Match::Out(2), Match::Protocol(TCP), Match::SourcePort(port)]);
    }
}
