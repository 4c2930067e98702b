//! Where connections come in, and the rules that lead them there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::host::net::nft::rule::{OWN, lapsed, never_meant, own};
use crate::host::net::nft::{self, Chain, Hook, Match, Rule, Verdict, Version};
use crate::host::net::raw::{set_mark, set_transparent};
use crate::host::orders::Orders;
use crate::model::network::{Network, Proxied, Traffic, Treatment};

/// How many connections may wait to be taken up; the kernel may have a lower limit.
const BACKLOG: i32 = 65_535;

/// Where one flow's connections come in.
#[derive(Debug)]
pub(super) struct Entry {
    /// The flow's place.
    pub(super) flow: usize,
    /// Whether others begin its connections.
    pub(super) comes: bool,
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

/// Opens an entry for a flow, in the namespace of this thread; `comes` tells whether others begin its connections.
pub(super) fn open(flow: usize, comes: bool) -> io::Result<Entry> {
    /// Another socket may have the port on the other loopback.
    const ATTEMPTS: usize = 20;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let v4 = listener((Ipv4Addr::LOCALHOST, 0).into(), comes)?;
        let port = v4.local_addr()?.port();
        match listener((Ipv6Addr::LOCALHOST, port).into(), comes) {
            Ok(v6) => return Ok(Entry { flow, comes, port, listeners: vec![v4, v6] }),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
            // There is no IPv6 on the loopback: then nothing is led there by it.
            Err(e) if no_ipv6(&e) => return Ok(Entry { flow, comes, port, listeners: vec![v4] }),
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

fn listener(at: SocketAddr, comes: bool) -> io::Result<TcpListener> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if comes {
        set_transparent(&socket, at.is_ipv6())?;
        // Those that it takes up are known by it.
        set_mark(&socket, OWN)?;
    }
    bind(&socket, &at)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The rules that lead new connections of each flow to its entry. A connection that no rule has met at its beginning is never met: not
/// even where connections are tracked from now on.
pub(super) fn path(orders: &Orders, entries: &[Entry]) -> Vec<Chain> {
    let begun = |hook| [vec![lapsed(), own()], never_meant(hook)].concat();
    let (mut out, mut arrive) = (begun(Hook::Output), begun(Hook::Prerouting));
    for (flow, traffic, _) in proxied(&orders.network) {
        let Some(entry) = entries.iter().find(|entry| entry.flow == flow) else { continue };
        let (comment, port) = (format!("flow {flow}"), entry.port);
        for matches in beginnings(traffic, orders) {
            let both = [Match::V6(false), Match::V6(true)];
            for version in both.into_iter().take(entry.listeners.len()) {
                let v6 = version == both[1];
                if matches.contains(&Match::V6(!v6)) {
                    continue;
                }
                let matches = [version].into_iter().chain(matches.iter().copied()).collect();
                let verdict = if entry.comes { Verdict::TakeUp { v6, port } } else { Verdict::Redirect(port) };
                let rules = if entry.comes { &mut arrive } else { &mut out };
                rules.push(Rule { matches, verdict, comment: comment.clone() });
            }
        }
    }
    let chain = |name: &str, hook, priority, rules| {
        let name = name.to_owned();
        Chain { version: Version::Both, name, hook, priority, rules }
    };
    let mut chains = Vec::new();
    if entries.iter().any(|entry| !entry.comes) {
        // Before an engine's own translations of addresses.
        chains.push(chain("path", Hook::Output, -101, out));
    }
    if entries.iter().any(|entry| entry.comes) {
        chains.push(chain("arrive", Hook::Prerouting, -150, arrive));
        // What the proxy sends to the server itself has a client's address in its place, and so goes the answer.
        let leave = [false, true].map(|v6| Rule {
            matches: nft::from_a_client(v6),
            verdict: Verdict::LeaveFrom { v6 },
            comment: "from its client".to_owned(),
        });
        chains.push(chain("leave", Hook::Postrouting, 99, leave.into()));
    }
    chains
}

/// The first packets of a flow's connections.
fn beginnings(traffic: &Traffic, orders: &Orders) -> Vec<Vec<Match>> {
    let interface = traffic.network.as_ref().map(|name| orders.interfaces.get(name).copied());
    if interface == Some(None) {
        return Vec::new();
    }
    nft::beginnings(traffic, interface.flatten())
}
