//! Packets that the kernel hands out and waits for a word about (NFQUEUE). It keeps them; what comes here is their first
//! bytes, or all of them where they are altered or copied.
//!
//! When the socket closes, the kernel drops what it keeps, and lets pass what comes later (if the rule says bypass).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};

use super::netlink::{Family, Message, Socket, attributes, flags, number};

/// Kinds of messages, in the kernel's subsystem 3.
const PACKET: u16 = 3 << 8;
const VERDICT: u16 = PACKET + 1;
const CONFIG: u16 = PACKET + 2;

/// How many packets are received in one system call.
const AT_ONCE: usize = 64;
/// How many bytes of a packet come here: enough for the headers of IP and of what is above.
const FIRST: u32 = 64;
/// What a message has besides: its header and attributes.
const AROUND: usize = 512;
/// Verdicts are sent together up to this many bytes.
const TOGETHER: usize = 32 << 10;

/// How much of each packet comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Its first bytes. What the kernel handles as one (many segments of TCP, up to 64 KiB) counts as one packet.
    First,
    /// All of it, as it is on the wire: cut into segments, with checksums.
    Whole,
}

/// A packet that waits for a word.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packet<'a> {
    /// The queue that it is in.
    pub queue: u16,
    /// Its number there.
    pub id: u32,
    /// Its mark.
    pub mark: u32,
    /// How many bytes it has from the IP header on.
    pub length: usize,
    /// Its first bytes, or all, from the IP header on.
    pub data: &'a [u8],
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// It goes on.
    Accept,
    /// It vanishes; its sender is told nothing.
    Drop,
    /// This goes on in its place.
    Altered(&'a [u8]),
}

/// Some queues of a namespace, on one socket.
#[derive(Debug)]
pub struct Queues {
    socket: Socket,
    /// Room for [`AT_ONCE`] messages, each `size` bytes.
    room: Vec<u8>,
    size: usize,
    words: Vec<u8>,
    /// How often the kernel could not tell of packets, for want of room; these passed.
    pub overruns: u64,
}

impl Queues {
    /// Binds queues in the namespace of this thread. What comes from them is theirs from now on.
    ///
    /// # Errors
    /// Where another process has one of them (EBUSY or EPERM), the kernel has no NFQUEUE, or this user may not.
    pub fn bind(queues: &[(u16, Copied)]) -> io::Result<Self> {
        let mut socket = Socket::open(Family::Netfilter)?;
        // Without the right to this, the usual must do.
        let _ = set_socket_recv_buffer_size_force(socket.fd(), 32 << 20);
        let _ = set_socket_send_buffer_size_force(socket.fd(), 1 << 20);
        socket.requests(queues.iter().map(|(queue, copied)| config(*queue, *copied)).collect())?;
        let whole = queues.iter().any(|(_, copied)| *copied == Copied::Whole);
        let size = AROUND + if whole { 64 << 10 } else { FIRST as usize };
        Ok(Self { socket, room: vec![0; size * AT_ONCE], size, words: Vec::new(), overruns: 0 })
    }

    /// The descriptor, to wait for.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        self.socket.fd()
    }

    /// Hands out what has come, up to some number, without waiting. Says whether there may be more.
    ///
    /// # Errors
    /// Where the socket is broken.
    pub fn receive(&mut self, mut take: impl FnMut(Packet<'_>)) -> io::Result<bool> {
        let mut lengths = [0; AT_ONCE];
        let count = match receive_many(self.socket.fd(), &mut self.room, self.size, &mut lengths) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                self.overruns += 1;
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        for (room, length) in self.room.chunks(self.size).zip(lengths).take(count) {
            // Anything else is the kernel's answer to a word about a packet that is gone.
            if let Some(packet) = room.get(..length).and_then(packet) {
                take(packet);
            }
        }
        Ok(count == AT_ONCE)
    }

    /// Says what becomes of a packet. It happens with the next [`Queues::flush`] at the latest. With a mark to meet them
    /// `again`, a packet that goes on goes through the rules once more that gave it to the queue.
    ///
    /// # Errors
    /// Where the kernel does not listen.
    pub fn decide(&mut self, queue: u16, id: u32, word: Word<'_>, again: Option<u32>) -> io::Result<()> {
        let altered = if let Word::Altered(data) = word { data } else { &[] };
        if !self.words.is_empty() && self.words.len() + altered.len() > TOGETHER {
            self.flush()?;
        }
        write_word(&mut self.words, queue, id, word, again);
        Ok(())
    }

    /// Has everything happen that was decided.
    ///
    /// # Errors
    /// Where the kernel does not listen.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.words.is_empty() {
            self.socket.send(&self.words)?;
            self.words.clear();
        }
        Ok(())
    }
}

fn config(queue: u16, copied: Copied) -> Message {
    /// The kernel's default of 1024 would end a delay of 100 ms at 10,000 packets a second.
    const LONGEST: u32 = 1 << 20;
    const FAIL_OPEN: u32 = 1;
    const SUPER: u32 = 4;
    let (bytes, flags) = match copied {
        Copied::First => (FIRST, FAIL_OPEN | SUPER),
        Copied::Whole => (0xffff, FAIL_OPEN),
    };
    let params: Vec<u8> = bytes.to_be_bytes().into_iter().chain([2]).collect();
    let [high, low] = queue.to_be_bytes();
    // NFQA_CFG_CMD: bind; _PARAMS: copy packets; _QUEUE_MAXLEN; _MASK and _FLAGS
    Message::new(CONFIG, flags::REQUEST, &[0, 0, high, low])
        .with(1, &[1, 0, 0, 0])
        .with(2, &params)
        .with_be32(3, LONGEST)
        .with_be32(4, FAIL_OPEN | SUPER)
        .with_be32(5, flags)
}

fn packet(message: &[u8]) -> Option<Packet<'_>> {
    const HEADER: usize = 16;
    if message.get(4..6)? != PACKET.to_ne_bytes() {
        return None;
    }
    let length = usize::try_from(number(message)).ok()?;
    let body = message.get(HEADER..length.min(message.len()))?;
    let mut packet = Packet { queue: u16::from_be_bytes([*body.get(2)?, *body.get(3)?]), ..Packet::default() };
    for (kind, value) in attributes(body.get(4..)?) {
        match kind {
            // NFQA_PACKET_HDR, _MARK, _PAYLOAD, _CAP_LEN
            1 => packet.id = u32::from_be_bytes(*value.first_chunk()?),
            3 => packet.mark = u32::from_be_bytes(*value.first_chunk()?),
            10 => (packet.data, packet.length) = (value, packet.length.max(value.len())),
            13 => packet.length = usize::try_from(u32::from_be_bytes(*value.first_chunk()?)).ok()?,
            _ => {}
        }
    }
    Some(packet)
}

fn write_word(to: &mut Vec<u8>, queue: u16, id: u32, word: Word<'_>, again: Option<u32>) {
    const DROP: u32 = 0;
    const ACCEPT: u32 = 1;
    const REPEAT: u32 = 4;
    let goes_on = if again.is_some() { REPEAT } else { ACCEPT };
    let (verdict, altered) = match word {
        Word::Accept => (goes_on, None),
        Word::Drop => (DROP, None),
        Word::Altered(data) => (goes_on, Some(data)),
    };
    let begin = to.len();
    to.extend([0; 4]);
    to.extend(VERDICT.to_ne_bytes());
    to.extend(flags::REQUEST.to_ne_bytes());
    to.extend([0; 8]);
    let [high, low] = queue.to_be_bytes();
    to.extend([0, 0, high, low]);
    // NFQA_VERDICT_HDR, _MARK, _PAYLOAD
    to.extend(12_u16.to_ne_bytes());
    to.extend(2_u16.to_ne_bytes());
    to.extend(verdict.to_be_bytes());
    to.extend(id.to_be_bytes());
    if let Some(mark) = again {
        to.extend(8_u16.to_ne_bytes());
        to.extend(3_u16.to_ne_bytes());
        to.extend(mark.to_be_bytes());
    }
    if let Some(data) = altered {
        to.extend(u16::try_from(data.len() + 4).unwrap_or(u16::MAX).to_ne_bytes());
        to.extend(10_u16.to_ne_bytes());
        to.extend(data);
        to.resize(to.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(to.len() - begin).unwrap_or(u32::MAX);
    to[begin..begin + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Receives several datagrams at once: each into `size` bytes of the room. Says how many came, and how long each is.
#[expect(unsafe_code, reason = "recvmmsg(2) has no safe wrapper")]
fn receive_many(fd: &OwnedFd, room: &mut [u8], size: usize, lengths: &mut [usize; AT_ONCE]) -> io::Result<usize> {
    let mut vectors: Vec<libc::iovec> = room
        .chunks_exact_mut(size)
        .take(AT_ONCE)
        .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: a `mmsghdr` is numbers and pointers, for which zeros mean "nothing".
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    let most = libc::c_uint::try_from(headers.len()).unwrap_or(0);
    // SAFETY: the descriptor is open; the headers point to vectors, and these to parts of `room` that do not overlap; all
    // of them live longer than the call and nothing else uses them meanwhile.
    let count = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), most, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    for (length, header) in lengths.iter_mut().zip(&headers) {
        *length = usize::try_from(header.msg_len).unwrap_or(0).min(size);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_messages_one_after_the_other() {
        let mut bytes = Vec::new();
        write_word(&mut bytes, 7, 1, Word::Drop, None);
        assert_eq!(bytes.len(), 32);
        write_word(&mut bytes, 7, 0x0102_0304, Word::Altered(&[9; 5]), None);
        assert_eq!(number(&bytes[32..]), 32 + 12);
        assert_eq!(bytes[32 + 16..32 + 20], [0, 0, 0, 7]);
        assert_eq!(bytes[32 + 24..32 + 32], [0, 0, 0, 1, 1, 2, 3, 4]);
        assert_eq!(attributes(&bytes[32 + 20..]).nth(1), Some((10, &[9; 5][..])));
        let begin = bytes.len();
        write_word(&mut bytes, 7, 1, Word::Accept, Some(0x7372_0000));
        assert_eq!(bytes[begin + 24..begin + 28], [0, 0, 0, 4], "it meets its rules again");
        assert_eq!(attributes(&bytes[begin + 20..]).nth(1), Some((3, &[0x73, 0x72, 0, 0][..])));
    }

    #[test]
    fn a_packet_cut_short_is_as_long_as_it_was() {
        let mut message = vec![0; 16];
        message[4..6].copy_from_slice(&PACKET.to_ne_bytes());
        message.extend([2, 0, 0, 9]);
        message.extend([11, 0, 1, 0, 0, 0, 0, 5, 8, 0, 3, 0]);
        message.extend([6, 0, 10, 0, 0x45, 0, 0, 0]);
        message.extend([8, 0, 13, 0, 0, 0, 0x40, 0]);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        let packet = packet(&message).unwrap();
        assert_eq!((packet.queue, packet.id, packet.length, packet.data), (9, 5, 0x4000, &[0x45, 0][..]));
    }
}
