//! Connection tracking in the namespace of this thread. The kernel begins with it where a rule asks for it, and does not say
//! whether it has.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

/// How many connections are tracked.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// Whether connections are tracked: where none is known, one is made, over the loopback.
///
/// # Errors
/// Where no socket can be had.
pub fn is_active() -> io::Result<bool> {
    let count = || match std::fs::read_to_string(COUNT) {
        Ok(text) => Ok(text.trim() != "0"),
        // The kernel has no such thing, or has not loaded it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    };
    if count()? {
        return Ok(true);
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let sent = socket.and_then(|socket| socket.send_to(&[], socket.local_addr()?));
    // Without a loopback there is no way to see it.
    Ok(sent.is_ok() && count()?)
}
