//! A private network within this machine: a switch that this namespace has one link to, and namespaces of their own others.
//!
//! It is a pair of veths and no bridge: one end is this namespace's link, on the other stand macvlans, one in each namespace
//! that joins. So what they send each other passes no firewall (a machine with Docker drops what its bridges forward), and all
//! of it goes with the one link that is removed.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::link::{self, Link, links, set_up};
use super::namespace::Namespace;
use super::netlink::{Family, Message, Reply, Socket, attribute, errno, flags, number};
use crate::model::network::Cidr;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
/// `struct ifinfomsg`, of which nothing is said.
const ANY_LINK: [u8; 16] = [0; 16];
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
/// Those on the same link reach each other without leaving it.
const MACVLAN_MODE_BRIDGE: u32 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const INET: u8 = 2;
/// `struct rtmsg`: family, two prefixes, type of service, table, protocol, scope, type (8 bit each), flags.
const ROUTE: usize = 12;

/// How long the namespace of the instance that had an address before may take to go: it does so on its own time.
const GONE: Duration = Duration::from_secs(5);

/// A private network, and one address in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSlot {
    /// What tells the network from others on this machine, up to 12 letters and digits.
    pub network: String,
    /// The address.
    pub address: Ipv4Addr,
    /// How many leading bits all addresses of the network have in common.
    pub prefix: u8,
    /// The address of this machine's own link to it.
    pub gateway: Ipv4Addr,
}

impl NetworkSlot {
    /// All addresses of the network.
    #[must_use]
    pub fn range(&self) -> Cidr {
        // Of a prefix that is longer than an address there is only the address.
        Cidr::new(self.gateway.into(), self.prefix).unwrap_or_else(|_| IpAddr::V4(self.gateway).into())
    }
}

/// The names of the two ends: this namespace's link, and the one that the others stand on.
fn ends(network: &str) -> [String; 2] {
    [format!("sqb{network}"), format!("sqp{network}")]
}

/// The link by which this namespace reaches a network.
#[must_use]
pub fn link_of(network: &str) -> String {
    ends(network)[0].clone()
}

/// Makes the network that a slot is in, where it is not there as it shall be.
///
/// # Errors
/// Where something of this machine is in the way, or the kernel refuses. Then nothing of it is there.
pub fn make(slot: &NetworkSlot) -> io::Result<()> {
    let [near, far] = ends(&slot.network);
    let mut socket = Socket::open(Family::Route)?;
    let links = links(&mut socket)?;
    let shall = (IpAddr::V4(slot.gateway), slot.prefix);
    let is_so = |l: &Link| l.up && l.addresses.iter().filter(|(ip, _)| ip.is_ipv4()).eq([&shall]);
    if named(&links, &near).is_some_and(is_so) && named(&links, &far).is_some_and(|l| l.up) {
        return Ok(());
    }
    if let Some(why) = in_the_way(slot)? {
        return Err(io::Error::other(why));
    }
    remove(&slot.network)?;
    let made = make_links(&mut socket, slot, &near, &far);
    if made.is_err() {
        // The reason to tell is the first one.
        let _ = remove(&slot.network);
    }
    made
}

fn make_links(socket: &mut Socket, slot: &NetworkSlot, near: &str, far: &str) -> io::Result<()> {
    let peer = Message::new(0, 0, &ANY_LINK).with_text(IFLA_IFNAME, far).into_body();
    let pair = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCL, &ANY_LINK)
        .with_text(IFLA_IFNAME, near)
        .with(IFLA_ADDRESS, &hardware(slot.gateway))
        .with_nest(IFLA_LINKINFO, |m| {
            m.with_text(IFLA_INFO_KIND, "veth").with_nest(IFLA_INFO_DATA, |m| m.with(VETH_INFO_PEER, &peer))
        });
    socket.request(pair).map_err(|e| unknown(e, "veth", "CONFIG_VETH"))?;
    let near = index(socket, near)?;
    let far = index(socket, far)?;
    socket.request(address(near, slot.gateway, slot.prefix))?;
    set_up(socket, near)?;
    set_up(socket, far)
}

/// Removes a network, with every link to it in whatever namespace; whether it was there. Who may not change anything can
/// ask for the removal of what is not there.
///
/// # Errors
/// What the kernel refuses.
pub fn remove(network: &str) -> io::Result<bool> {
    let mut socket = Socket::open(Family::Route)?;
    let links = links(&mut socket)?;
    let [near, far] = ends(network);
    let mut was = false;
    for end in [&near, &far] {
        if let Some(link) = named(&links, end) {
            if link.kind.as_deref() != Some("veth") {
                return Err(io::Error::other(format!("the link {end} is none of Squall's, and has the name of one")));
            }
            was |= link::delete(&mut socket, end)?;
        }
    }
    Ok(was)
}

/// Why a network cannot be made here: a route that goes elsewhere, or an address of this machine.
///
/// # Errors
/// Where the kernel does not say.
pub fn in_the_way(slot: &NetworkSlot) -> io::Result<Option<String>> {
    let range = slot.range();
    let mut socket = Socket::open(Family::Route)?;
    let links = links(&mut socket)?;
    let mut family = [0; ROUTE];
    family[0] = INET;
    let routes = socket.dump(&Message::new(RTM_GETROUTE, 0, &family))?;
    let own = ends(&slot.network);
    let other = routes.iter().filter_map(route).find_map(|(to, link)| {
        let name = links.iter().find(|l| Some(l.index) == link).map(|l| l.name.as_str());
        let meets = range.contains(to.address()) || to.contains(range.address());
        let is_own = name.is_some_and(|n| own.iter().any(|o| o == n));
        (meets && !is_own).then(|| name.map_or_else(|| to.to_string(), |name| format!("{to} on {name}")))
    });
    Ok(other.map(|other| format!("it overlaps with {other}, which this machine has a way to already")))
}

/// Where a route leads to, and by which link. The default route leads everywhere and is no network's in particular.
fn route(answer: &Reply) -> Option<(Cidr, Option<u32>)> {
    let prefix = *answer.body.get(1).filter(|prefix| **prefix > 0)?;
    let attributes = answer.body.get(ROUTE..)?;
    let to: [u8; 4] = attribute(attributes, RTA_DST)?.try_into().ok()?;
    Some((Cidr::new(to.into(), prefix).ok()?, attribute(attributes, RTA_OIF).map(number)))
}

/// Moves the calling thread, and what it starts from now on, into a new namespace that has this slot, and lives as long as
/// the last process in it. Only for threads that do nothing else.
///
/// # Errors
/// Where the network is not there, another process has the slot, or the kernel refuses.
pub fn join(slot: &NetworkSlot) -> io::Result<()> {
    let mut outside = Socket::open(Family::Route)?;
    let on = index(&mut outside, &ends(&slot.network)[1])?;
    let inside = Namespace::new()?;
    let file = File::open(inside.path())?;
    let number = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    let seated = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCL, &ANY_LINK)
        .with_text(IFLA_IFNAME, "eth0")
        .with(IFLA_ADDRESS, &hardware(slot.address))
        .with_u32(IFLA_LINK, on)
        .with_u32(IFLA_NET_NS_FD, number)
        .with_nest(IFLA_LINKINFO, |m| {
            m.with_text(IFLA_INFO_KIND, "macvlan")
                .with_nest(IFLA_INFO_DATA, |m| m.with_u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE))
        });
    outside.request(seated).map_err(|e| unknown(e, "macvlan", "CONFIG_MACVLAN"))?;

    inside.enter()?;
    let mut socket = Socket::open(Family::Route)?;
    let (loopback, own) = (index(&mut socket, "lo")?, index(&mut socket, "eth0")?);
    set_up(&mut socket, loopback)?;
    socket.request(address(own, slot.address, slot.prefix))?;
    let deadline = Instant::now() + GONE;
    #[expect(clippy::disallowed_methods, reason = "there is nothing else on this thread")]
    loop {
        match set_up(&mut socket, own) {
            Ok(()) => break,
            Err(e) if errno(&e) != Some(libc::EADDRINUSE) => return Err(e),
            Err(_) if Instant::now() > deadline => {
                let why = format!("something that was started before still has the address {}", slot.address);
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    socket.request(default_route(slot.gateway, own))
}

/// An address of the Ethernet for one of the Internet, the same in every life, so that no neighbor has to forget an old one.
fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x53, a, b, c, d]
}

/// `struct ifaddrmsg`: family, prefix, flags, scope (8 bit each), index.
fn address(link: u32, address: Ipv4Addr, prefix: u8) -> Message {
    let mut fixed = [INET, prefix, 0, 0, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&link.to_ne_bytes());
    Message::new(RTM_NEWADDR, flags::CREATE | flags::REPLACE, &fixed)
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets())
}

fn default_route(gateway: Ipv4Addr, link: u32) -> Message {
    const MAIN: u8 = 254;
    const BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let mut fixed = [0; ROUTE];
    fixed[..8].copy_from_slice(&[INET, 0, 0, 0, MAIN, BOOT, 0, UNICAST]);
    Message::new(RTM_NEWROUTE, flags::CREATE | flags::REPLACE, &fixed)
        .with(RTA_GATEWAY, &gateway.octets())
        .with_u32(RTA_OIF, link)
}

fn named<'a>(links: &'a [Link], name: &str) -> Option<&'a Link> {
    links.iter().find(|l| l.name == name)
}

fn index(socket: &mut Socket, name: &str) -> io::Result<u32> {
    let links = links(socket)?;
    let found = named(&links, name).map(|l| l.index);
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the link {name} is not there")))
}

/// A refusal of a kind of link that the kernel does not have.
fn unknown(error: io::Error, kind: &str, option: &str) -> io::Error {
    if errno(&error) != Some(libc::EOPNOTSUPP) {
        return error;
    }
    let why = format!("this kernel has no {kind} ({option}): install kernel-modules-extra, or your system's like");
    io::Error::new(io::ErrorKind::Unsupported, why)
}
