//! Whole IP packets, sent as they are: a source address that is not ours is sent, too.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

/// Sockets for packets that carry a mark, in the namespace of the thread that opened them.
#[derive(Debug)]
pub struct Raw {
    v4: OwnedFd,
    /// Where the kernel has IPv6.
    v6: Option<OwnedFd>,
}

impl Raw {
    /// Opens them.
    ///
    /// # Errors
    /// Where this user may not (it takes `CAP_NET_RAW` and `CAP_NET_ADMIN`).
    pub fn open(mark: u32) -> io::Result<Self> {
        let one = |family| -> io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))?;
            set_mark(&fd, mark)?;
            Ok(fd)
        };
        Ok(Self { v4: one(AddressFamily::INET)?, v6: one(AddressFamily::INET6).ok() })
    }

    /// Sends a packet, from its IP header on, to the address that it names.
    ///
    /// # Errors
    /// Where it is no IP packet, there is no way to the address, or it is too long for the way.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let no_packet = || io::Error::from(io::ErrorKind::InvalidData);
        let (fd, to): (_, SocketAddr) = match packet.first().map(|byte| byte >> 4) {
            Some(4) => {
                let to: [u8; 4] = *packet.get(16..).and_then(<[u8]>::first_chunk).ok_or_else(no_packet)?;
                (Some(&self.v4), (Ipv4Addr::from(to), 0).into())
            }
            Some(6) => {
                let to: [u8; 16] = *packet.get(24..).and_then(<[u8]>::first_chunk).ok_or_else(no_packet)?;
                (self.v6.as_ref(), (Ipv6Addr::from(to), 0).into())
            }
            _ => return Err(no_packet()),
        };
        let fd = fd.ok_or(io::ErrorKind::Unsupported)?;
        sendto(fd, packet, SendFlags::empty(), &to)?;
        Ok(())
    }
}

/// Has all packets of a socket carry a mark.
///
/// # Errors
/// Where this user may not (it takes `CAP_NET_ADMIN`).
pub fn set_mark(fd: &impl AsFd, mark: u32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark)
}

/// Has binding a socket to an address alone choose no port yet, so that as many connections can be made as without it (ip(7)).
///
/// # Errors
/// Where the kernel does not know that (before Linux 4.2).
pub fn bind_without_port(fd: &impl AsFd) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Has a socket take up connections that go elsewhere, where a rule leads them to it (ip(7), ipv6(7)).
///
/// # Errors
/// Where this user may not (it takes `CAP_NET_ADMIN`).
pub fn set_transparent(fd: &impl AsFd, v6: bool) -> io::Result<()> {
    let (level, option) =
        if v6 { (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT) } else { (libc::IPPROTO_IP, libc::IP_TRANSPARENT) };
    set_option(fd, level, option, 1)
}

#[expect(unsafe_code, reason = "these options have no safe wrapper")]
fn set_option(fd: &impl AsFd, level: i32, option: i32, value: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the pointer is to a number of the length that is given, which lives on.
    let result = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, (&raw const value).cast(), 4) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
