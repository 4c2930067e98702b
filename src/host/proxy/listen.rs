//! Where connections come in, and the rules that lead them there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::host::net::nft::rule::{lapsed, never_meant, own};
use crate::host::net::nft::{self, Chain, Hook, Match, Rule, Verdict, Version};
use crate::host::orders::Orders;
use crate::model::network::{Direction, Network, Protocol, Proxied, Traffic, Treatment};

/// How many connections may wait to be taken up; the kernel may have a lower limit.
const BACKLOG: i32 = 65_535;

/// Where one flow's connections come in.
#[derive(Debug)]
pub(super) struct Entry {
    /// The flow's place.
    pub(super) flow: usize,
    /// The port, on the loopback alone.
    pub(super) port: u16,
    /// IPv4, and IPv6 where the namespace has it.
    pub(super) listeners: Vec<TcpListener>,
}

/// The name of the table whose rules lead connections to the proxy of a mark.
#[must_use]
pub fn table_of(mark: &str) -> String {
    format!("{}{mark}", nft::PROXY_PREFIX)
}

/// The flows that go through a proxy, by their places.
pub(super) fn proxied(network: &Network) -> impl Iterator<Item = (usize, &Traffic, &Proxied)> {
    network.flows.iter().enumerate().filter_map(|(n, flow)| match &flow.treatment {
        Treatment::Proxy(proxied) => Some((n, &flow.traffic, proxied)),
        _ => None,
    })
}

/// Opens an entry for a flow, in the namespace of this thread.
pub(super) fn open(flow: usize) -> io::Result<Entry> {
    /// Another socket may have the port on the other loopback.
    const ATTEMPTS: usize = 20;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let v4 = listener((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = v4.local_addr()?.port();
        match listener((Ipv6Addr::LOCALHOST, port).into()) {
            Ok(v6) => return Ok(Entry { flow, port, listeners: vec![v4, v6] }),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
            // There is no IPv6 on the loopback: then nothing is led there by it.
            Err(e) if no_ipv6(&e) => return Ok(Entry { flow, port, listeners: vec![v4] }),
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &at)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The rules that lead new connections of each flow to its entry. A connection that no rule has met at its beginning is never met: not
/// even where connections are tracked from now on.
pub(super) fn path(orders: &Orders, entries: &[Entry]) -> Chain {
    let mut rules = vec![lapsed(), own()];
    rules.extend(never_meant(Hook::Output));
    for (flow, traffic, _) in proxied(&orders.network) {
        let Some(entry) = entries.iter().find(|entry| entry.flow == flow) else { continue };
        let comment = format!("flow {flow}");
        let v4_alone = (entry.listeners.len() == 1).then_some(Match::V6(false));
        for matches in beginnings(traffic, orders) {
            let matches = v4_alone.into_iter().chain(matches).collect();
            rules.push(Rule { matches, verdict: Verdict::Redirect(entry.port), comment: comment.clone() });
        }
    }
    // Before an engine's own translations of addresses.
    Chain { version: Version::Both, name: "path".to_owned(), hook: Hook::Output, priority: -101, rules }
}

/// The first packets of a flow's connections.
fn beginnings(traffic: &Traffic, orders: &Orders) -> Vec<Vec<Match>> {
    let interface = traffic.network.as_ref().map(|name| orders.interfaces.get(name).copied());
    if interface == Some(None) {
        return Vec::new();
    }
    nft::beginnings(traffic, interface.flatten())
}

/// Connections that a flow means, whichever way their packets go.
pub(super) fn connections(traffic: &Traffic) -> Traffic {
    Traffic { direction: Direction::Egress, protocol: Some(Protocol::Tcp), ..traffic.clone() }
}
