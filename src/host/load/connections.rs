//! Holds connections to a port of the instance from inside its own network, on which nothing is said but how the protocol begins. One that the
//! server closes is made again, so that there are as many as the server lets there be, and never more than asked for.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::host::mapped::{self, Mapped};
use crate::host::net::link;
use crate::host::net::netlink::{Family, Socket};
use crate::model::stressor::{HeldConnections, Speaks};

/// The name that its counters go by.
const NAME: &str = "squall-connections";

/// How many are held now, and how many were at most.
const NOW: usize = 0;
const MOST: usize = 1;

/// How often it looks whether they are there.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the server may take to accept one.
const ACCEPTED: Duration = Duration::from_secs(1);

/// Descriptors beside those of connections.
const OTHERS: u64 = 32;

/// Connections that are to be held.
pub(super) struct Holding {
    order: HeldConnections,
    to: SocketAddr,
    open: Vec<TcpStream>,
    counters: Mapped<2>,
}

/// How many connections the process that is this one holds, and held at most; nothing where it holds none.
#[must_use]
pub fn held_by(pid: u32) -> Option<(u64, u64)> {
    let counters: [u64; 2] = mapped::read(pid, NAME)?;
    Some((counters[NOW], counters[MOST]))
}

impl Holding {
    /// Finds the server, in the network of this process.
    pub(super) fn new(order: HeldConnections) -> io::Result<Self> {
        let wanted = u64::from(order.count) + OTHERS;
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|now| now < wanted) {
            let maximum = limit.maximum.map(|most| most.max(wanted));
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).map_err(|e| {
                io::Error::other(format!(
                    "a process here may not have descriptors for {} connections: {e}",
                    order.count
                ))
            })?;
        }
        let links = link::links(&mut Socket::open(Family::Route)?)?;
        let own = links.into_iter().flat_map(|link| link.addresses).map(|(address, _)| address);
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let mut last = io::Error::from(io::ErrorKind::ConnectionRefused);
        for address in loopback.into_iter().chain(own) {
            let to = SocketAddr::new(address, order.port);
            match begin(to, order.speaks) {
                Ok(first) => return Ok(Self { order, to, open: vec![first], counters: Mapped::new(NAME)? }),
                Err(e) => last = e,
            }
        }
        Err(io::Error::other(format!("nothing can be connected to at its port {}: {last}", order.port)))
    }

    /// Goes on for ever.
    #[expect(clippy::disallowed_methods, reason = "it is a thread of its own")]
    pub(super) fn hold(mut self) {
        loop {
            self.open.retain_mut(is_open);
            let held = self.open.len() as u64;
            self.counters[NOW].store(held, Ordering::Relaxed);
            self.counters[MOST].fetch_max(held, Ordering::Relaxed);
            while self.open.len() < self.order.count as usize {
                // Where the server has no room for another one, it may have at the next look.
                let Ok(stream) = begin(self.to, self.order.speaks) else { break };
                self.open.push(stream);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Makes one.
fn begin(to: SocketAddr, speaks: Speaks) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, ACCEPTED)?;
    stream.write_all(beginning(speaks))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// What a client begins with, so that the server takes it for a session.
fn beginning(speaks: Speaks) -> &'static [u8] {
    match speaks {
        Speaks::Nothing => &[],
        // Its length, the protocol's third version, and the names that every server has; what is asked for then is never answered ("Message Formats").
        Speaks::Postgres => b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0",
    }
}

/// Whether it is there still. What the server says is not heard.
fn is_open(stream: &mut TcpStream) -> bool {
    let mut unheard = [0; 4096];
    loop {
        match stream.read(&mut unheard) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_says_how_long_it_is() {
        let start = beginning(Speaks::Postgres);
        assert_eq!(start[..4], u32::try_from(start.len()).unwrap().to_be_bytes());
        assert!(start.ends_with(b"\0\0"));
    }
}
