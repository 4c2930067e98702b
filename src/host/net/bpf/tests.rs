//! Programs against what they were made from, by an interpreter of our own.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::network::{Direction, Packet, Peer};

const ALWAYS: Verdict = Verdict::Match;

/// A packet as the kernel shows it to a program.
#[derive(Debug, Clone)]
struct Wire {
    ethertype: u32,
    mark: u32,
    /// From the IP header on.
    bytes: Vec<u8>,
}

impl Wire {
    fn read(&self, at: u32, size: usize) -> Option<u32> {
        if at == ETHERTYPE {
            return Some(self.ethertype);
        }
        if at == MARK {
            return Some(self.mark);
        }
        let at = usize::try_from(at.checked_sub(IP)?).ok()?;
        Some(self.bytes.get(at..at + size)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }
}

/// What the kernel does with a program. What cannot be read ends it with 0.
fn run(program: &[Instruction], wire: &Wire) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    loop {
        let Instruction { code, yes, no, k } = program[at];
        at += 1;
        let read = match code {
            LD_WORD => wire.read(k, 4),
            LD_HALF => wire.read(k, 2),
            LD_BYTE | LDX_IHL => wire.read(k, 1),
            LD_HALF_X => wire.read(k + x, 2),
            _ => Some(a),
        };
        let Some(read) = read else { return 0 };
        if code == LDX_IHL {
            x = 4 * (read & 15);
        } else {
            a = read;
        }
        let condition = match code {
            JEQ => a == k,
            JGT => a > k,
            JGE => a >= k,
            JSET => a & k != 0,
            JA => {
                at += k as usize;
                continue;
            }
            RET => return k,
            _ => continue,
        };
        at += usize::from(if condition { yes } else { no });
    }
}

/// A packet, and what it is on the wire.
fn packet() -> impl Strategy<Value = (Packet, Wire)> {
    let protocol = prop_oneof![Just(6_u8), Just(17), Just(1), Just(58), Just(132), Just(47), Just(2), any::<u8>()];
    // Few values, so that they meet.
    let numbers = (0..4_u8, 0..4_u8, 0..6_u16, 0..6_u16);
    (any::<(bool, bool)>(), numbers, protocol, 5..=15_u8, prop_oneof![4 => Just(0_u16), 1 => 0..8192_u16]).prop_map(
        |((v6, arrives), (net, host, remote, local), protocol, ihl, fragment)| {
            let ports: Vec<u16> = if arrives { vec![remote, local] } else { vec![local, remote] };
            let ports = ports.iter().flat_map(|p| p.to_be_bytes());
            let mut bytes;
            let address: IpAddr;
            if v6 {
                let ip = Ipv6Addr::new(0xfd00, u16::from(net), 0, 0, u16::from(host), 0, 0, u16::from(host));
                address = ip.into();
                bytes = vec![0_u8; 40];
                bytes[6] = protocol;
                let at = if arrives { 8 } else { 24 };
                bytes[at..at + 16].copy_from_slice(&ip.octets());
            } else {
                let ip = Ipv4Addr::new(10, net, 0, host);
                address = ip.into();
                bytes = vec![0_u8; usize::from(ihl) * 4];
                bytes[0] = 0x40 | ihl;
                bytes[6..8].copy_from_slice(&(fragment | 0x4000).to_be_bytes());
                bytes[9] = protocol;
                let at = if arrives { 12 } else { 16 };
                bytes[at..at + 4].copy_from_slice(&ip.octets());
            }
            bytes.extend(ports);
            bytes.extend([0; 4]);
            let whole = v6 || fragment == 0;
            let ports = (WITH_PORTS.contains(&protocol) && whole).then_some((remote, local));
            let ethertype = if v6 { 0x86dd } else { 0x0800 };
            (Packet { arrives, remote: address, protocol, ports }, Wire { ethertype, mark: 0, bytes })
        },
    )
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let ports = || {
        let range = (0..6_u16, 0..3_u16).prop_map(|(first, more)| Ports { first, last: first + more });
        prop_oneof![2 => Just(Vec::new()), 1 => vec(range, 1..4)]
    };
    let v4 = (0..4_u8, 0..4_u8, prop_oneof![Just(32), Just(24), Just(31), 0..=32_u8])
        .prop_map(|(net, host, prefix)| Cidr::new(Ipv4Addr::new(10, net, 0, host).into(), prefix).unwrap());
    let v6 = (0..4_u16, 0..4_u16, prop_oneof![Just(128), Just(32), Just(64), 0..=128_u8])
        .prop_map(|(net, host, p)| Cidr::new(Ipv6Addr::new(0xfd00, net, 0, 0, host, 0, 0, host).into(), p).unwrap());
    let peers = (vec(prop_oneof![v4, v6].prop_map(Peer::Addresses), 0..6), any::<bool>())
        .prop_map(|(these, but)| if but { Peers::AllBut(these) } else { Peers::These(these) });
    let protocol = proptest::option::of(prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)]);
    let direction = prop_oneof![Just(Direction::Both), Just(Direction::Egress), Just(Direction::Ingress)];
    (direction, prop_oneof![Just(Peers::Everybody), peers], protocol, ports(), ports()).prop_map(
        |(direction, peers, protocol, remote_ports, local_ports)| Traffic {
            direction,
            peers,
            protocol,
            remote_ports,
            local_ports,
            network: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_program_means_what_its_traffic_means(traffic in traffic(), (packet, wire) in packet()) {
        let kernels_own = match wire.ethertype {
            0x86dd => packet.protocol == 58 && matches!(wire.bytes[40], 130..=137 | 143),
            _ => packet.protocol == 2,
        };
        let meant = traffic.matches(&packet) && !kernels_own;
        let all = compile(&traffic, packet.arrives, None, ALWAYS).unwrap();
        prop_assert_eq!(run(&all, &wire), if meant { MINUS_ONE } else { 0 });
        let spare = compile(&traffic, packet.arrives, None, Verdict::Spare).unwrap();
        prop_assert_eq!(run(&spare, &wire), if meant { 0 } else { MINUS_ONE });
        let marked = compile(&traffic, packet.arrives, Some(4), ALWAYS).unwrap();
        for mark in [0, 3, 4, 7, u32::MAX] {
            let wire = Wire { mark, ..wire.clone() };
            prop_assert_eq!(run(&marked, &wire), if meant && mark & 4 != 0 { MINUS_ONE } else { 0 });
        }
    }
}

#[test]
fn what_kernels_send_by_themselves_always_passes() {
    let program = compile(&Traffic::all(Direction::Both), true, None, ALWAYS).unwrap();
    let mut bytes = vec![0; 48];
    bytes[6] = ICMPV6;
    // About groups, a packet begins with options for each host on the way.
    let mut optional = [&[0; 40][..], &[ICMPV6, 0, 5, 2, 0, 0, 1, 0], &[0; 8]].concat();
    for (kind, verdict) in [
        (128, MINUS_ONE),
        (130, 0),
        (132, 0),
        (133, 0),
        (135, 0),
        (137, 0),
        (138, MINUS_ONE),
        (142, MINUS_ONE),
        (143, 0),
    ] {
        (bytes[40], optional[48]) = (kind, kind);
        for bytes in [&bytes, &optional] {
            assert_eq!(run(&program, &Wire { ethertype: 0x86dd, mark: 0, bytes: bytes.clone() }), verdict, "{kind}");
        }
    }
    for (protocol, verdict) in [(1, MINUS_ONE), (2, 0)] {
        let mut bytes = vec![0; 28];
        (bytes[0], bytes[9]) = (0x46, protocol);
        assert_eq!(run(&program, &Wire { ethertype: 0x0800, mark: 0, bytes }), verdict, "{protocol}");
    }
    let arp = Wire { ethertype: 0x0806, mark: 0, bytes };
    assert_eq!(run(&program, &arp), 0);
}

#[test]
fn hundreds_of_peers_and_ports_fit_and_thousands_are_refused_with_a_remedy() {
    let many = |n: u16| {
        let v4 = (0..n).map(|i| Cidr::new(Ipv4Addr::from(0x0a00_0000 + u32::from(i) * 4).into(), 31).unwrap());
        let v6 = (0..n).map(|i| Cidr::from(IpAddr::from(Ipv6Addr::new(0xfd00, i, 0, 0, 0, 0, 0, 1))));
        let ports = (0..100).map(|i| Ports { first: i * 10, last: i * 10 + 3 }).collect();
        Traffic {
            peers: Peers::These(v4.chain(v6).map(Peer::Addresses).collect()),
            remote_ports: ports,
            ..Traffic::all(Direction::Egress)
        }
    };
    let program = compile(&many(250), false, None, ALWAYS).unwrap();
    assert!(program.len() > 2000 && program.iter().all(|i| i.code != JA || (i.k as usize) < LONGEST));
    let mut bytes = vec![0; 44];
    bytes[6] = 17;
    bytes[24..40].copy_from_slice(&Ipv6Addr::new(0xfd00, 249, 0, 0, 0, 0, 0, 1).octets());
    bytes[42..].copy_from_slice(&993_u16.to_be_bytes());
    let mut wire = Wire { ethertype: 0x86dd, mark: 0, bytes };
    assert_eq!(run(&program, &wire), MINUS_ONE);
    wire.bytes[43] += 1;
    assert_eq!(run(&program, &wire), 0);
    let error = compile(&many(1000), false, None, ALWAYS).unwrap_err().to_string();
    assert!(error.contains("name fewer, or ranges"), "{error}");
}

#[test]
fn a_name_has_to_be_looked_up_first() {
    let traffic = Traffic { peers: Peers::These(vec![Peer::Host("db".into())]), ..Traffic::all(Direction::Both) };
    assert!(compile(&traffic, true, None, ALWAYS).unwrap_err().to_string().contains("`db`"));
}
