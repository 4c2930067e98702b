//! TCP connections of the namespace: which there are, and how they are ended from outside (`sock_diag(7)`).

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{Family, Message, Reply, Socket, attribute, errno, flags};
use super::nft::rule::OWN;
use crate::model::network::{Packet, Protocol, Talk, Traffic};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// `struct inet_diag_sockid`: both ports, both addresses, link, cookie. It stands after four bytes in an answer, and after
/// eight in a request.
const ID: usize = 48;
const ANSWER_ID: usize = 4;
/// The length of `struct inet_diag_msg`, and the attribute after it that is a mark (`INET_DIAG_MARK`).
const ANSWER: usize = 72;
const MARK: u16 = 15;
/// Those that data may flow over: established, and closed by the other end alone (bits of the kernel's TCP states).
const OPEN: u32 = 1 << 1 | 1 << 8;
/// Not answered yet, and over since less than a minute.
const TRIED_OR_OVER: u32 = 1 << 2 | 1 << 6;
const LISTENING: u32 = 1 << 10;

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The own address and port.
    pub local: (IpAddr, u16),
    /// The peer's.
    pub remote: (IpAddr, u16),
    /// The mark of its packets, where the kernel tells.
    mark: Option<u32>,
    family: u8,
    id: [u8; ID],
}

/// Every open TCP connection, IPv4 and IPv6.
///
/// # Errors
/// What the kernel refuses.
pub fn connections(socket: &mut Socket) -> io::Result<Vec<Connection>> {
    in_states(socket, OPEN)
}

fn in_states(socket: &mut Socket, states: u32) -> io::Result<Vec<Connection>> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or_default();
        let answers = socket.dump(&Message::new(SOCK_DIAG_BY_FAMILY, 0, &request(family, states, &[0; ID])))?;
        all.extend(answers.iter().filter_map(connection));
    }
    Ok(all)
}

/// With whom there are TCP connections, or were a moment ago.
///
/// # Errors
/// What the kernel refuses.
pub fn talk() -> io::Result<Talk> {
    let mut socket = Socket::open(Family::SockDiag)?;
    let listening = in_states(&mut socket, LISTENING)?.iter().map(|c| c.local.1).collect();
    let ends = |c: Connection| (c.local.into(), c.remote.into());
    Ok(Talk::of(in_states(&mut socket, OPEN | TRIED_OR_OVER)?.into_iter().map(ends), &listening))
}

/// Ends every open TCP connection that is meant: the peer gets a reset, and the own process an error. How many they were.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where the kernel cannot do it; else what it refuses.
pub fn reset(traffic: &Traffic) -> io::Result<usize> {
    let mut socket = Socket::open(Family::SockDiag)?;
    let all = connections(&mut socket)?;
    end(&mut socket, all.iter().filter(|c| meant(c, traffic)))
}

/// Ends those alone that this namespace has begun, or, where what arrives is meant, that others have, with one of its `own` addresses where
/// these are told; and not Squall's own, nor those that go through a proxy of this namespace with these `ports`. How many they were.
///
/// # Errors
/// As for [`reset`].
pub fn reset_begun(traffic: &Traffic, own: Option<&[IpAddr]>, ports: &[u16]) -> io::Result<usize> {
    let mut socket = Socket::open(Family::SockDiag)?;
    let all = connections(&mut socket)?;
    // Looked at afterwards: the other end of whatever was seen before is among them, even if it comes to stand just now, or has ended.
    let listening: HashSet<u16> = in_states(&mut socket, LISTENING)?.iter().map(|c| c.local.1).collect();
    let ends = if ports.is_empty() { Vec::new() } else { in_states(&mut socket, !LISTENING)? };
    let here: HashSet<_> = ends.iter().filter(|c| ports.contains(&c.local.1)).map(|c| c.remote).collect();
    // The proxy's own end has the port that the server sees, at another address.
    let through: HashSet<_> = ends.iter().map(|c| (c.remote, c.local.1)).filter(|_| traffic.comes()).collect();
    let is_begun = |c: &Connection| {
        listening.contains(&c.local.1) == traffic.comes() && own.is_none_or(|own| own.contains(&c.local.0))
    };
    let spared =
        |c: &Connection| c.mark == Some(OWN) || here.contains(&c.local) || through.contains(&(c.local, c.remote.1));
    end(&mut socket, all.iter().filter(|c| meant(c, traffic) && is_begun(c) && !spared(c)))
}

fn end<'a>(socket: &mut Socket, connections: impl Iterator<Item = &'a Connection>) -> io::Result<usize> {
    let mut ended = 0;
    for connection in connections {
        let body = request(connection.family, u32::MAX, &connection.id);
        match socket.request(Message::new(SOCK_DESTROY, flags::REQUEST, &body)) {
            Ok(()) => ended += 1,
            // It ended by itself meanwhile.
            Err(e) if errno(&e) == Some(libc::ENOENT) => {}
            Err(e) if errno(&e) == Some(libc::EOPNOTSUPP) => {
                let text = "this kernel cannot end connections from outside (CONFIG_INET_DIAG_DESTROY is not set)";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(ended)
}

/// Whether packets of a connection are meant, whichever way; never those of a process to its own namespace.
fn meant(connection: &Connection, traffic: &Traffic) -> bool {
    let Connection { local, remote, .. } = connection;
    let packet = Packet {
        arrives: traffic.has(true),
        remote: remote.0,
        protocol: Protocol::Tcp.number(false),
        ports: Some((remote.1, local.1)),
    };
    !remote.0.is_loopback() && remote.0 != local.0 && traffic.matches(&packet)
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, id.
fn request(family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let mut bytes = vec![family, Protocol::Tcp.number(false), 0, 0];
    bytes.extend(states.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// From `struct inet_diag_msg`: family, state, timer, retransmissions, id, and more.
fn connection(answer: &Reply) -> Option<Connection> {
    let family = *answer.body.first()?;
    let id: &[u8; ID] = answer.body.get(ANSWER_ID..)?.first_chunk()?;
    let port = |at: usize| u16::from_be_bytes([id[at], id[at + 1]]);
    let address = |at: usize| -> Option<IpAddr> {
        if i32::from(family) == libc::AF_INET {
            return Some(Ipv4Addr::from(*id.get(at..)?.first_chunk::<4>()?).into());
        }
        // A socket for both families has its IPv4 peers inside IPv6 addresses.
        Some(Ipv6Addr::from(*id.get(at..)?.first_chunk::<16>()?).to_canonical())
    };
    let mark = answer.body.get(ANSWER..).and_then(|more| attribute(more, MARK)).and_then(|m| m.first_chunk().copied());
    let (local, remote) = ((address(4)?, port(0)), (address(20)?, port(2)));
    Some(Connection { local, remote, mark: mark.map(u32::from_ne_bytes), family, id: *id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::Direction;

    #[test]
    fn a_connection_is_found_by_both_its_ends_and_never_ended_inside_the_namespace() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let all = connections(&mut Socket::open(Family::SockDiag).unwrap()).unwrap();
        let ends = |c: &&Connection| (c.local, c.remote) == ((local.ip(), local.port()), (remote.ip(), remote.port()));
        let found = all.iter().find(ends).unwrap();
        assert!(!meant(found, &Traffic::all(Direction::Both)));
    }
}
