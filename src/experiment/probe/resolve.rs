//! Names to addresses. A name that cannot be resolved is our own failure to ask, whatever the reason: the resolver of
//! this machine is not part of the system, and it does not tell reliably whether a name does not exist or nobody knew.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The addresses of a host, asked anew each time: a fail-over by name must show. A resolver that is still silent shortly
/// before the sample's `timeout` has failed, so that its silence is not taken for the system's.
pub(super) async fn addresses(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // Needs no resolver, which would cost a thread for each sample.
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    let found = tokio::time::timeout(timeout * 9 / 10, tokio::net::lookup_host((host, port))).await??;
    Ok(reachable(found.collect()))
}

/// Leaves out IPv6 where this machine has no route for it and there is another way: "no route from here" to the last
/// address would hide what the first one said.
fn reachable(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let has_route = |to: &SocketAddr| {
        // Connecting a datagram socket sends nothing.
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect(to)).is_ok()
    };
    match found.iter().find(|a| a.is_ipv6()) {
        Some(six) if found.iter().any(SocketAddr::is_ipv4) && !has_route(six) => {
            found.into_iter().filter(SocketAddr::is_ipv4).collect()
        }
        _ => found,
    }
}

/// The same for the HTTP client.
pub(super) struct Resolver {
    pub(super) timeout: Duration,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let timeout = self.timeout;
        Box::pin(async move {
            let found = addresses(name.as_str(), 0, timeout).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
