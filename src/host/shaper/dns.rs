//! DNS queries, answered wrongly or not at all: pure, from packet to packet.
//!
//! A query is a UDP packet with one query in it (RFC 1035). Whatever else comes by passes.

use std::net::IpAddr;

use crate::model::network::{Dns, DnsAnswer, Packet, Traffic};
use crate::text::glob::glob;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It goes on.
    Pass,
    /// It vanishes.
    Drop,
    /// It vanishes, and this packet comes back from whom it was for.
    Answer(Vec<u8>),
}

/// A query, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Query<'a> {
    /// The packet's IP header.
    ip: &'a [u8],
    /// The ports it comes from and goes to.
    ports: [u16; 2],
    /// The message's fixed part and its query.
    message: &'a [u8],
    /// The name, in lower case, without a last dot.
    name: String,
    /// What is asked about the name: 1 for an IPv4 address, 28 for an IPv6 address.
    kind: u16,
}

const UDP: u8 = 17;
/// The message's fixed part.
const HEADER: usize = 12;
/// How long a wrong address may be remembered, in seconds: not beyond the fault.
const LIFE: u32 = 0;

/// What becomes of a packet, by the first of these that means it and its name.
pub(super) fn react(packet: &[u8], names: &[(Traffic, Dns)]) -> Reaction {
    let Some(query) = read(packet) else { return Reaction::Pass };
    let about =
        Packet { arrives: false, remote: query.to(), protocol: UDP, ports: Some((query.ports[1], query.ports[0])) };
    let meant = |(traffic, dns): &&(Traffic, Dns)| {
        let about_it = dns.names.is_empty() || dns.names.iter().any(|glob| fits(&glob.to_lowercase(), &query.name));
        about_it && traffic.matches(&about)
    };
    match names.iter().find(meant).map(|(_, dns)| dns.answer) {
        None => Reaction::Pass,
        Some(DnsAnswer::Timeout) => Reaction::Drop,
        Some(answer) => Reaction::Answer(query.answered(answer)),
    }
}

/// Whether a name is meant by a text in which `*` stands for any text. A last dot says nothing.
fn fits(pattern: &str, name: &str) -> bool {
    glob(pattern.strip_suffix('.').unwrap_or(pattern), name)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn read(packet: &[u8]) -> Option<Query<'_>> {
    let v6 = match packet.first()? >> 4 {
        4 => false,
        6 => true,
        _ => return None,
    };
    let length = if v6 { 40 } else { usize::from(packet.first()? & 15) * 4 };
    // A fragment, or an extension header, is nothing that resolvers send.
    let fragment = !v6 && short(packet, 6)? & 0x3fff != 0;
    if *packet.get(if v6 { 6 } else { 9 })? != UDP || fragment || length < 20 {
        return None;
    }
    let (ip, udp) = packet.split_at_checked(length)?;
    let message = udp.get(8..usize::from(short(udp, 4)?))?;
    // A query (QR 0) of the usual kind (opcode 0), and one of them.
    if short(message, 2)? & 0xf800 != 0 || short(message, 4)? != 1 {
        return None;
    }
    let (name, end) = name(message)?;
    Some(Query {
        ip,
        ports: [short(udp, 0)?, short(udp, 2)?],
        kind: short(message, end)?,
        message: message.get(..end + 4)?,
        name,
    })
}

/// The name that a message asks about, and where it ends.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), HEADER);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        match length {
            0 => return Some((name, at)),
            1..=63 => {
                if !name.is_empty() {
                    name.push('.');
                }
                let label = message.get(at..at + length)?;
                name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                at += length;
            }
            // A reference to an earlier name, where there is none.
            _ => return None,
        }
    }
}

impl Query<'_> {
    fn v6(&self) -> bool {
        self.ip.first().is_some_and(|byte| byte >> 4 == 6)
    }

    /// Whom the query is for.
    fn to(&self) -> IpAddr {
        let bytes = |at: usize| self.ip.get(at..).unwrap_or_default();
        if self.v6() {
            bytes(24).first_chunk::<16>().copied().unwrap_or_default().into()
        } else {
            bytes(16).first_chunk::<4>().copied().unwrap_or_default().into()
        }
    }

    /// The packet that answers it.
    fn answered(&self, answer: DnsAnswer) -> Vec<u8> {
        let record: Option<Vec<u8>> = match (answer, self.kind) {
            (DnsAnswer::Address(IpAddr::V4(address)), 1) => Some(address.octets().to_vec()),
            (DnsAnswer::Address(IpAddr::V6(address)), 28) => Some(address.octets().to_vec()),
            _ => None,
        };
        let code = match answer {
            DnsAnswer::Nxdomain => 3,
            DnsAnswer::Servfail => 2,
            DnsAnswer::Timeout | DnsAnswer::Address(_) => 0_u16,
        };
        let asked = short(self.message, 2).unwrap_or(0);
        // An answer (QR) with recursion available (RA), and with recursion desired (RD) as it was.
        let flags = 0x8080 | asked & 0x0100 | code;
        let mut message = self.message.to_vec();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[4..HEADER].copy_from_slice(&[0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
        if let Some(address) = record {
            // The name asked about, by reference; kind, class IN, life.
            message.extend([0xc0, 12]);
            message.extend(self.kind.to_be_bytes());
            message.extend(1_u16.to_be_bytes());
            message.extend(LIFE.to_be_bytes());
            message.extend(u16::try_from(address.len()).unwrap_or(0).to_be_bytes());
            message.extend(address);
        }
        self.packet_back(&message)
    }

    /// A packet with a message, from whom the query is for to whom it is from.
    fn packet_back(&self, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len() + 8).unwrap_or(u16::MAX);
        let [from, to] = self.ports.map(u16::to_be_bytes);
        let length_bytes = length.to_be_bytes();
        let mut udp = [to, from, length_bytes, [0, 0]].concat();
        udp.extend(message);
        let (mut ip, addresses) = if self.v6() {
            let mut ip = vec![0x60, 0, 0, 0, length_bytes[0], length_bytes[1], UDP, 64];
            let addresses = [&self.ip[24..40], &self.ip[8..24]].concat();
            ip.extend(&addresses);
            (ip, addresses)
        } else {
            let whole = (length + 20).to_be_bytes();
            let mut ip = vec![0x45, 0, whole[0], whole[1], 0, 0, 0x40, 0, 64, UDP, 0, 0];
            let addresses = [&self.ip[16..20], &self.ip[12..16]].concat();
            ip.extend(&addresses);
            let sum = checksum(&ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            (ip, addresses)
        };
        let sum = checksum(&[&addresses, &[0, UDP][..], &length_bytes, &udp].concat());
        // Zero would mean "none".
        udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        ip.extend(udp);
        ip
    }
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::network::Direction;

    fn query(v6: bool, name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend([kind.to_be_bytes(), [0, 1]].concat());
        // EDNS: an additional record that the answer does not have.
        message.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        let header = if v6 {
            [&[0x60, 0, 0, 0, 0, 0, UDP, 64][..], &[0xfd; 16], &[0xfe; 16]].concat()
        } else {
            [&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0][..], &[10, 0, 0, 1], &[127, 0, 0, 11]].concat()
        };
        let length = u16::try_from(message.len() + 8).unwrap().to_be_bytes();
        [&header[..], &[0x9c, 0x40, 0, 53, length[0], length[1], 0, 0], &message].concat()
    }

    fn dns(names: &[&str], answer: DnsAnswer) -> (Traffic, Dns) {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        (Traffic::all(Direction::Egress), Dns { names, answer })
    }

    fn answer(v6: bool, kind: u16, answer: DnsAnswer) -> Vec<u8> {
        match react(&query(v6, "db.Store.example", kind), &[dns(&["*.STORE.example"], answer)]) {
            Reaction::Answer(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn globs_mean_names() {
        for (glob, name, meant) in [
            ("*", "a.b", true),
            ("*.store", "db.store", true),
            ("*.store", "store", false),
            ("*.store.", "a.b.store", true),
            ("db*.s*e", "db2.store", true),
            ("db*.s*e", "db2.stores", false),
            ("store", "store", true),
            ("store", "store2", false),
            ("a*b", "ab", true),
            ("a*b", "a", false),
        ] {
            assert_eq!(fits(glob, name), meant, "{glob} {name}");
        }
    }

    #[test]
    fn the_first_that_means_a_name_decides() {
        let names = [dns(&["db.*"], DnsAnswer::Timeout), dns(&[], DnsAnswer::Nxdomain)];
        assert_eq!(react(&query(false, "DB.x", 1), &names), Reaction::Drop);
        assert!(matches!(react(&query(false, "other.x", 1), &names), Reaction::Answer(_)));
        assert_eq!(react(&query(false, "other.x", 1), &names[..1]), Reaction::Pass);
        let elsewhere = (
            Traffic { protocol: Some(crate::model::network::Protocol::Tcp), ..names[1].0.clone() },
            names[1].1.clone(),
        );
        assert_eq!(react(&query(false, "other.x", 1), &[elsewhere]), Reaction::Pass);
    }

    #[test]
    fn answers_come_from_whom_was_asked_with_right_checksums() {
        for v6 in [false, true] {
            let packet = answer(v6, 1, DnsAnswer::Nxdomain);
            let (ip, addresses) = if v6 { (40, packet[8..40].to_vec()) } else { (20, packet[12..20].to_vec()) };
            if !v6 {
                assert_eq!(packet[12..20], [127, 0, 0, 11, 10, 0, 0, 1]);
                assert_eq!(checksum(&packet[..20]), 0);
                assert_eq!(usize::from(short(&packet, 2).unwrap()), packet.len());
            }
            let udp = &packet[ip..];
            assert_eq!(checksum(&[&addresses, &[0, UDP][..], &udp[4..6], udp].concat()), 0);
            assert_eq!((short(udp, 0), short(udp, 2)), (Some(53), Some(40_000)));
            assert_eq!(udp[8..20], [0xab, 0xcd, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        assert_eq!(answer(false, 1, DnsAnswer::Servfail)[28 + 3], 0x82);
    }

    #[test]
    fn an_address_is_answered_to_who_asks_for_its_family() {
        let v4 = DnsAnswer::Address("192.0.2.1".parse().unwrap());
        let packet = answer(false, 1, v4);
        assert_eq!(packet[packet.len() - 6..], [0, 4, 192, 0, 2, 1]);
        assert_eq!(short(&packet, 28 + 6), Some(1));
        // A query for IPv6 is answered with none, and no error.
        let packet = answer(false, 28, v4);
        assert_eq!((packet[28 + 3], short(&packet, 28 + 6)), (0x80, Some(0)));
        let v6 = answer(true, 28, DnsAnswer::Address("fd00::7".parse().unwrap()));
        assert_eq!(v6[v6.len() - 17..], [16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_breaks(mut bytes in prop::collection::vec(any::<u8>(), 0..120), v6: bool, cut in 0..90_usize) {
            let names = [dns(&[], DnsAnswer::Servfail)];
            react(&bytes, &names);
            let packet = query(v6, "a.b.c", 1);
            react(&packet[..cut.min(packet.len())], &names);
            bytes.truncate(packet.len());
            let damaged: Vec<u8> = packet.iter().enumerate().map(|(n, b)| b ^ (bytes.get(n).unwrap_or(&0) & 0x11)).collect();
            react(&damaged, &names);
        }
    }
}
