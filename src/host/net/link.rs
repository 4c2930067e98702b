//! Links of the namespace: what there are, and the intermediate ones (ifb) that carry our queues.

use std::io;
use std::net::IpAddr;

use super::netlink::{Message, Reply, Socket, attribute, errno, flags, number, text};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
/// `struct ifinfomsg`: family, padding, type (16 bit), index, flags, which flags to change.
const IFINFO: usize = 16;
/// `struct ifaddrmsg`: family, prefix, flags, scope (8 bit each), index.
const IFADDR: usize = 8;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const UP: u32 = 1;
const LOOPBACK: u32 = 8;

/// A link of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What the kernel knows it by.
    pub index: u32,
    /// What people know it by.
    pub name: String,
    /// What made it, such as `veth` or `ifb`; nothing for hardware and the loopback.
    pub kind: Option<String>,
    /// The link that it is a port of, such as a bridge.
    pub master: Option<u32>,
    /// Whether it is set up.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// The largest packet that it carries, in bytes.
    pub mtu: u32,
    /// How many packets a queue of its own would hold unless told otherwise.
    pub queue_length: u32,
    /// Its own addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Every link of the namespace.
///
/// # Errors
/// What the kernel refuses.
pub fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut links: Vec<Link> =
        socket.dump(&Message::new(RTM_GETLINK, 0, &[0; IFINFO]))?.iter().filter_map(link).collect();
    for answer in socket.dump(&Message::new(RTM_GETADDR, 0, &[0; IFADDR]))? {
        let Some((index, address, prefix)) = address(&answer) else { continue };
        if let Some(link) = links.iter_mut().find(|l| l.index == index) {
            link.addresses.push((address, prefix));
        }
    }
    Ok(links)
}

/// Adds an ifb and tells its index. It is down: nothing passes it yet.
///
/// # Errors
/// What the kernel refuses; [`io::ErrorKind::Unsupported`] where it has no ifb.
pub fn add_ifb(socket: &mut Socket, name: &str) -> io::Result<u32> {
    let message = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCL, &[0; IFINFO])
        .with_text(IFLA_IFNAME, name)
        .with_nest(IFLA_LINKINFO, |m| m.with_text(IFLA_INFO_KIND, "ifb"));
    socket.request(message).map_err(|e| match errno(&e) {
        Some(libc::EOPNOTSUPP) => io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no ifb (CONFIG_IFB): install kernel-modules-extra, or your system's like",
        ),
        _ => e,
    })?;
    let links = socket.dump(&Message::new(RTM_GETLINK, 0, &[0; IFINFO]))?;
    let made = links.iter().filter_map(link).find(|l| l.name == name);
    made.map(|l| l.index).ok_or_else(|| io::Error::other(format!("the link {name} was made and is not there")))
}

/// Sets a link up. It gets no IPv6 address of its own: a program that looks at its links would take it for a way out.
///
/// # Errors
/// What the kernel refuses.
pub fn set_up(socket: &mut Socket, index: u32) -> io::Result<()> {
    const INET6: u16 = 10;
    const NONE: u8 = 1; // IN6_ADDR_GEN_MODE_NONE
    let quiet = Message::new(RTM_NEWLINK, 0, &info(index, 0))
        .with_nest(IFLA_AF_SPEC, |m| m.with_nest(INET6, |m| m.with(IFLA_INET6_ADDR_GEN_MODE, &[NONE])));
    // Where the namespace has no IPv6, this is refused, and not needed.
    let _ = socket.request(quiet);
    socket.request(Message::new(RTM_NEWLINK, 0, &info(index, UP)))
}

/// Deletes a link; whether it was there.
///
/// # Errors
/// What the kernel refuses.
pub fn delete(socket: &mut Socket, name: &str) -> io::Result<bool> {
    match socket.request(Message::new(RTM_DELLINK, 0, &[0; IFINFO]).with_text(IFLA_IFNAME, name)) {
        Ok(()) => Ok(true),
        Err(e) if errno(&e) == Some(libc::ENODEV) => Ok(false),
        Err(e) => Err(e),
    }
}

/// `struct ifinfomsg` that sets flags.
/// The request that gives a link back the length of its queue. The kernel takes a length of zero for a mistake, and mends
/// it, as soon as the link gets a qdisc of any kind (`qdisc_create()`); virtual links have zero on purpose.
#[must_use]
pub fn set_queue_length(link: &Link) -> Message {
    Message::new(RTM_NEWLINK, 0, &info(link.index, 0)).with_u32(IFLA_TXQLEN, link.queue_length)
}

fn info(index: u32, set: u32) -> [u8; IFINFO] {
    let mut info = [0; IFINFO];
    info[4..8].copy_from_slice(&index.to_ne_bytes());
    info[8..12].copy_from_slice(&set.to_ne_bytes());
    info[12..].copy_from_slice(&set.to_ne_bytes());
    info
}

fn link(answer: &Reply) -> Option<Link> {
    let has = number(answer.body.get(8..)?);
    let attributes = answer.body.get(IFINFO..)?;
    Some(Link {
        index: number(&answer.body[4..]),
        name: text(attribute(attributes, IFLA_IFNAME)?),
        kind: attribute(attributes, IFLA_LINKINFO).and_then(|i| attribute(i, IFLA_INFO_KIND)).map(text),
        master: attribute(attributes, IFLA_MASTER).map(number),
        up: has & UP != 0,
        loopback: has & LOOPBACK != 0,
        mtu: attribute(attributes, IFLA_MTU).map_or(0, number),
        queue_length: attribute(attributes, IFLA_TXQLEN).map_or(0, number),
        addresses: Vec::new(),
    })
}

fn address(answer: &Reply) -> Option<(u32, IpAddr, u8)> {
    let [_, prefix, ..] = answer.body[..] else { return None };
    let attributes = answer.body.get(IFADDR..)?;
    // On a link from point to point, IFA_ADDRESS is the other end's.
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let address = match *value {
        [a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
    };
    Some((number(answer.body.get(4..)?), address, prefix))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::Family;
    use super::*;

    #[test]
    fn the_loopback_is_known_by_what_it_is() {
        let links = links(&mut Socket::open(Family::Route).unwrap()).unwrap();
        let lo = links.iter().find(|l| l.name == "lo").unwrap();
        assert!(lo.loopback && lo.index == 1 && lo.kind.is_none());
        assert!(!lo.up || lo.addresses.contains(&("127.0.0.1".parse().unwrap(), 8)), "{lo:?}");
    }
}
