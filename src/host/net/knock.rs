//! A packet of our own, to see whether a disturbance of traffic meets one where nobody else sends any.
//!
//! It leaves as those that are meant would, and means nothing to whoever gets it: its checksum is wrong, so that it is
//! thrown away before any program sees it, and it lives for one hop only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use crate::network::{Peers, Protocol, Traffic};

/// Addresses that are nobody's (RFC 5737, RFC 3849), for traffic that goes to everybody.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOBODY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// No program expects this: what a checksum would hardly come to, twice.
const WRONG: [u8; 2] = [0xde, 0xad];

/// Sends a packet that is meant by `traffic`, from the namespace of the calling thread. Says whether there was one to
/// send: traffic that only arrives cannot be sent from here, nor to peers of whom there are none.
///
/// # Errors
/// Where the kernel does not send it; a way that is blocked is no error.
pub fn knock(traffic: &Traffic) -> io::Result<bool> {
    let to = match &traffic.peers {
        Peers::Everybody | Peers::AllBut(_) => Some(NOBODY),
        Peers::These(peers) => peers.iter().find_map(|p| Some(p.range()?.address())),
    };
    let Some(to) = to.filter(|_| traffic.has(false)) else { return Ok(false) };
    // The first address of everybody's range is no address to send to.
    let to = match to {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => NOBODY,
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => NOBODY6,
        to => to,
    };
    let bytes = packet(to, traffic);
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))?;
    match sendto(&socket, &bytes, SendFlags::DONTWAIT, &SocketAddr::new(to, 0)) {
        // EPERM: a rule has dropped it, as it may be meant to.
        Ok(_) | Err(rustix::io::Errno::PERM | rustix::io::Errno::NOBUFS) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// The packet. The kernel fills in the source, the length and the checksum of an IPv4 header.
fn packet(to: IpAddr, traffic: &Traffic) -> Vec<u8> {
    let protocol = traffic.protocol.unwrap_or(Protocol::Udp);
    let port = |ports: &[crate::network::Ports], other: u16| ports.first().map_or(other, |p| p.first).to_be_bytes();
    // 9 is the port of what discards (RFC 863).
    let (from_port, to_port) = (port(&traffic.local_ports, 9), port(&traffic.remote_ports, 9));
    let mut body = [from_port, to_port].concat();
    match protocol {
        Protocol::Tcp => {
            body.extend([0; 8]); // sequence and acknowledgement numbers
            body.extend([0x50, 0x02, 0, 0]); // five words of header; SYN; no window
            body.extend(WRONG);
            body.extend([0, 0]);
        }
        Protocol::Udp => {
            body.extend([0, 8]);
            body.extend(WRONG);
        }
        Protocol::Icmp => {
            body = vec![if to.is_ipv4() { 8 } else { 128 }, 0];
            body.extend(WRONG);
            body.extend([0; 4]);
        }
    }
    let number = protocol.number(to.is_ipv6());
    let mut bytes = match to {
        IpAddr::V4(to) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 1, number, 0, 0, 0, 0, 0, 0];
            header.extend(to.octets());
            header
        }
        IpAddr::V6(to) => {
            let length = u16::try_from(body.len()).unwrap_or_default().to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, length[0], length[1], number, 1];
            header.extend(Ipv6Addr::UNSPECIFIED.octets());
            header.extend(to.octets());
            header
        }
    };
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Direction, Peer};

    #[test]
    fn it_is_one_of_those_that_are_meant() {
        let traffic = Traffic {
            peers: Peers::These(vec![Peer::Addresses("10.1.2.3".parse().unwrap())]),
            protocol: Some(Protocol::Tcp),
            remote_ports: vec!["5432".parse().unwrap()],
            ..Traffic::all(Direction::Egress)
        };
        let bytes = packet("10.1.2.3".parse().unwrap(), &traffic);
        assert_eq!((bytes.len(), bytes[9]), (40, 6));
        assert_eq!(bytes[16..20], [10, 1, 2, 3]);
        assert_eq!(bytes[22..24], 5432_u16.to_be_bytes());
        assert_eq!(bytes[8], 1, "one hop");
    }

    #[test]
    fn what_only_arrives_and_nobody_cannot_be_sent() {
        assert!(!knock(&Traffic::all(Direction::Ingress)).unwrap());
        let nobody = Traffic { peers: Peers::These(Vec::new()), ..Traffic::all(Direction::Egress) };
        assert!(!knock(&nobody).unwrap());
    }
}
