//! Messages to and from the kernel (netlink(7)): requests, dumps and batches, with attributes read and written as bytes.
//!
//! Blocking, and meant to be: an answer takes microseconds, and a socket belongs to the namespace of the thread that
//! opened it. What the kernel refuses is told with its own words where it has any (extended acknowledgements).

mod message;

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use self::message::HEADER;
pub use self::message::{Message, Reply, attribute, attributes, number, text};

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses and traffic control (rtnetlink(7)).
    Route,
    /// nf_tables and NFQUEUE.
    Netfilter,
    /// Sockets of the namespace (`sock_diag(7)`).
    SockDiag,
}

/// Flags of a request (netlink(7)).
pub mod flags {
    #![expect(missing_docs, reason = "netlink(7) documents them")]
    pub const REQUEST: u16 = 0x1;
    pub const ACK: u16 = 0x4;
    pub const REPLACE: u16 = 0x100;
    pub const EXCL: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
    pub const DUMP: u16 = 0x300;
}

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// In the flags of an answer: what was asked about changed meanwhile.
const DUMP_INTERRUPTED: u16 = 0x10;
/// In the flags of an error: only the header of the request is given back; and: attributes with words follow.
const CAPPED: u16 = 0x100;
const EXTENDED: u16 = 0x200;
/// A socket to a part of the kernel, in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// Where the kernel does not have that part, or is out of descriptors.
    pub fn open(family: Family) -> io::Result<Self> {
        let protocol: Option<Protocol> = match family {
            Family::Route => None, // 0, NETLINK_ROUTE
            Family::Netfilter => Some(netlink::NETFILTER),
            Family::SockDiag => Some(netlink::SOCK_DIAG),
        };
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        in_words(&fd);
        Ok(Self { fd, sequence: 0 })
    }

    /// The descriptor, to wait for.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Has one thing done.
    ///
    /// # Errors
    /// What the kernel refuses, with its reason.
    pub fn request(&mut self, message: Message) -> io::Result<()> {
        self.requests(vec![message])
    }

    /// Has several things done in one go, in this order; the rest is tried even where one is refused.
    ///
    /// # Errors
    /// The first that the kernel refuses.
    pub fn requests(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut awaited = Vec::new();
        for mut message in messages {
            message.flags |= flags::REQUEST | flags::ACK;
            message.write(self.next(), &mut bytes);
            awaited.push(self.sequence);
        }
        self.send(&bytes)?;
        let mut refused = Ok(());
        while !awaited.is_empty() {
            self.receive(|header, body| {
                if header.kind == NLMSG_ERROR && awaited.contains(&header.sequence) {
                    awaited.retain(|s| *s != header.sequence);
                    if refused.is_ok() {
                        refused = result(header, body);
                    }
                }
            })?;
        }
        refused
    }

    /// Has a transaction of nf_tables done: all of it, or nothing.
    ///
    /// # Errors
    /// The first of it that the kernel refuses.
    pub fn transaction(&mut self, messages: Vec<Message>) -> io::Result<()> {
        // NFNL_MSG_BATCH_BEGIN and _END, for the subsystem nf_tables (10).
        const FIXED: [u8; 4] = [0, 0, 0, 10];
        let mut bytes = Vec::new();
        let mut awaited = Vec::new();
        Message::new(16, flags::REQUEST, &FIXED).write(self.next(), &mut bytes);
        let begin = self.sequence;
        for mut message in messages {
            message.flags |= flags::REQUEST | flags::ACK;
            message.write(self.next(), &mut bytes);
            awaited.push(self.sequence);
        }
        Message::new(17, flags::REQUEST, &FIXED).write(self.next(), &mut bytes);
        let end = self.sequence;
        // All of it is one datagram, and every message is answered by one. Without the right to this, the usual must do.
        let _ = set_socket_send_buffer_size_force(&self.fd, bytes.len().max(64 << 10) * 2);
        let _ = set_socket_recv_buffer_size_force(&self.fd, awaited.len().max(64) * 2048);
        self.send(&bytes)?;
        let mut refused = Ok(());
        while !awaited.is_empty() {
            self.receive(|header, body| {
                if header.kind != NLMSG_ERROR || header.sequence < begin || header.sequence > end {
                    return;
                }
                let one = result(header, body);
                // A refusal of the batch itself is answered for its frame, and nothing else is.
                if [begin, end].contains(&header.sequence) && one.is_err() {
                    awaited.clear();
                }
                awaited.retain(|s| *s != header.sequence);
                if refused.is_ok() {
                    refused = one;
                }
            })?;
        }
        refused
    }

    /// Everything that the kernel has of a kind.
    ///
    /// # Errors
    /// What the kernel refuses, with its reason.
    pub fn dump(&mut self, message: &Message) -> io::Result<Vec<Reply>> {
        const ATTEMPTS: usize = 5;
        for _ in 0..ATTEMPTS {
            if let Some(answers) = self.dump_once(message.clone())? {
                return Ok(answers);
            }
        }
        Err(io::Error::other("what is asked about changes faster than it can be read"))
    }

    /// The same, once; `None` where it changed meanwhile.
    fn dump_once(&mut self, mut message: Message) -> io::Result<Option<Vec<Reply>>> {
        message.flags |= flags::REQUEST | flags::DUMP;
        let mut bytes = Vec::new();
        message.write(self.next(), &mut bytes);
        let sequence = self.sequence;
        self.send(&bytes)?;
        let (mut answers, mut end, mut whole) = (Vec::new(), None, true);
        while end.is_none() {
            self.receive(|header, body| {
                if header.sequence != sequence {
                    return;
                }
                whole &= header.flags & DUMP_INTERRUPTED == 0;
                match header.kind {
                    NLMSG_NOOP => {}
                    NLMSG_ERROR => end = Some(result(header, body)),
                    NLMSG_DONE => end = Some(done(body)),
                    kind => answers.push(Reply { kind, body: body.to_vec() }),
                }
            })?;
        }
        end.unwrap_or(Ok(()))?;
        Ok(whole.then_some(answers))
    }

    /// Sends bytes that are messages already, without waiting for anything.
    ///
    /// # Errors
    /// Where the kernel does not take them.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match send(&self.fd, bytes, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Receives what has come, one datagram, and hands its messages out one by one.
    fn receive(&self, mut take: impl FnMut(&Header, &[u8])) -> io::Result<()> {
        let mut buffer = vec![0_u8; 64 << 10];
        let length = loop {
            match recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => break length,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        };
        let mut rest = buffer.get(..length).unwrap_or(&buffer);
        while let Some((header, body, next)) = split(rest) {
            take(&header, body);
            rest = next;
        }
        Ok(())
    }

    fn next(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let head: &[u8; HEADER] = bytes.first_chunk()?;
    let length = usize::try_from(number(head)).ok()?;
    let header = Header {
        kind: u16::from_ne_bytes([head[4], head[5]]),
        flags: u16::from_ne_bytes([head[6], head[7]]),
        sequence: number(&head[8..]),
    };
    let body = bytes.get(HEADER..length)?;
    Some((header, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// What an acknowledgement says: it is done, or why not.
fn result(header: &Header, body: &[u8]) -> io::Result<()> {
    let Some(errno) = body.first_chunk().map(|b| i32::from_ne_bytes(*b)).filter(|e| *e != 0) else { return Ok(()) };
    let error = io::Error::from_raw_os_error(-errno);
    // After the error stands the request, or its header alone; and after that, words.
    let request = body.get(4..).unwrap_or_default();
    let length = if header.flags & CAPPED != 0 { HEADER } else { usize::try_from(number(request)).unwrap_or(HEADER) };
    let words = (header.flags & EXTENDED != 0)
        .then(|| attribute(request.get(length.next_multiple_of(4)..)?, 1).map(text))
        .flatten();
    Err(match words {
        Some(words) => io::Error::new(error.kind(), Refused { words, error }),
        None => error,
    })
}

/// The end of a dump carries an error of its own.
fn done(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map(|b| i32::from_ne_bytes(*b)) {
        Some(errno) if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
        _ => Ok(()),
    }
}

/// A refusal, in the kernel's words and with its number.
#[derive(Debug)]
struct Refused {
    words: String,
    error: io::Error,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.words, self.error)
    }
}

impl std::error::Error for Refused {}

/// The number of a refusal, whether it came with words or not.
#[must_use]
pub fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<Refused>()?.error.raw_os_error())
}

/// Asks for refusals in words. A kernel that has none answers with numbers alone.
#[expect(unsafe_code, reason = "this option has no safe wrapper")]
fn in_words(fd: &OwnedFd) {
    let on: libc::c_int = 1;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        #[expect(clippy::cast_possible_truncation, reason = "an int has four bytes")]
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open, and the pointer is to an int of the length that is given, which lives on.
        let _ = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_and_refuses_in_words() {
        let mut socket = Socket::open(Family::Route).unwrap();
        // RTM_GETLINK: `struct ifinfomsg` of zeros asks for every link.
        let links = socket.dump(&Message::new(18, 0, &[0; 16])).unwrap();
        assert!(!links.is_empty());
        // RTM_DELLINK of a link that does not exist.
        let error = socket.request(Message::new(17, 0, &[0; 16]).with_text(3, "squall-none")).unwrap_err();
        assert!([libc::ENODEV, libc::EPERM].contains(&errno(&error).unwrap()), "{error}");
    }
}
