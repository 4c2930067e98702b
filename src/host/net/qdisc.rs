//! Queues of the kernel (qdiscs): `clsact`, which filters hang on, and what an ifb of Squall's carries.

use std::io;

use super::netem::{self, words};
use super::netlink::{Message, Reply, Socket, attribute, errno, flags, number, text};
use crate::model::network::{Bandwidth, Shape};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
/// `struct tcmsg`: family, padding, link, handle, parent, info.
pub(super) const TCMSG: usize = 20;
pub(super) const TCA_KIND: u16 = 1;
pub(super) const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const ROOT: u32 = u32::MAX;
/// Where `clsact` and `ingress` stand; a link has room for one of them, beside its root qdisc.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// What a qdisc or an action has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets, those of a segmented one each by itself.
    pub packets: u64,
    /// Bytes, with the link's header.
    pub bytes: u64,
    /// Packets that it has dropped.
    pub drops: u64,
    /// How often it had a packet that it was not yet to let go.
    pub overlimits: u64,
    /// Bytes that wait in it.
    pub backlog: u64,
}

/// A qdisc that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// The index of its link.
    pub link: u32,
    /// Such as `netem`.
    pub kind: String,
    /// Whether it stands where `clsact` does.
    pub clsact: bool,
    /// What it has seen.
    pub statistics: Statistics,
}

/// What an ifb does with the packets it is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Carries<'a> {
    /// They are shaped (`sch_netem`), by random numbers from a seed where the kernel takes one.
    Netem(&'a Shape, u64),
    /// They are held to a rate (`sch_tbf`). `mtu` is the largest packet of the link in bytes: a burst must hold it.
    Tbf {
        /// The rate, and the burst.
        bandwidth: Bandwidth,
        /// In bytes, without the link's header.
        mtu: u32,
    },
}

/// Every qdisc of the namespace.
///
/// # Errors
/// What the kernel refuses.
pub fn qdiscs(socket: &mut Socket) -> io::Result<Vec<Qdisc>> {
    let answers = socket.dump(&Message::new(RTM_GETQDISC, 0, &[0; TCMSG]))?;
    Ok(answers.iter().filter_map(qdisc).collect())
}

/// The request that makes a link's `clsact`; refused where there is one.
#[must_use]
pub fn clsact(link: u32) -> Message {
    Message::new(RTM_NEWQDISC, flags::CREATE | flags::EXCL, &tcmsg(link, CLSACT_HANDLE, CLSACT, 0))
        .with_text(TCA_KIND, "clsact")
}

/// Deletes a link's `clsact` with all filters on it, in one step; whether it was there.
///
/// # Errors
/// What the kernel refuses.
pub fn delete_clsact(socket: &mut Socket, link: u32) -> io::Result<bool> {
    match socket.request(Message::new(RTM_DELQDISC, 0, &tcmsg(link, CLSACT_HANDLE, CLSACT, 0))) {
        Ok(()) => Ok(true),
        Err(e) if matches!(errno(&e), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Gives a link its root qdisc.
///
/// # Errors
/// What the kernel refuses; [`io::ErrorKind::Unsupported`] where it has no such qdisc, and
/// [`io::ErrorKind::InvalidInput`] what cannot be asked of it.
pub fn set_root(socket: &mut Socket, link: u32, carries: Carries<'_>) -> io::Result<()> {
    let message = Message::new(RTM_NEWQDISC, flags::CREATE | flags::REPLACE, &tcmsg(link, 0x1_0000, ROOT, 0));
    let (kind, options) = match carries {
        Carries::Netem(shape, seed) => {
            let options = netem::options(shape, seed).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            ("netem", options)
        }
        Carries::Tbf { bandwidth, mtu } => ("tbf", tbf(bandwidth, mtu)),
    };
    socket.request(message.with_text(TCA_KIND, kind).with(TCA_OPTIONS, &options)).map_err(|e| match errno(&e) {
        Some(libc::ENOENT) => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this kernel has no sch_{kind}: install kernel-modules-extra, or your system's like"),
        ),
        _ => e,
    })
}

/// The options of a tbf qdisc. Beside what is on its way for a burst, 200 ms of traffic may wait, and four packets at least.
fn tbf(Bandwidth { rate, burst }: Bandwidth, mtu: u32) -> Vec<u8> {
    const PARMS: u16 = 1;
    const RATE64: u16 = 4;
    const BURST: u16 = 6;
    /// Ethernet, VLAN: what a packet has beyond its MTU.
    const HEADER: u32 = 18;
    let bytes = (rate / 8).max(1);
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let packet = mtu.saturating_add(HEADER);
    let burst = small(burst).max(packet);
    let limit = burst.saturating_add(small(bytes / 5).max(packet.saturating_mul(4)));
    // In ticks of 64 ns, for kernels that pass over BURST.
    let ticks = small((u64::from(burst) * (1_000_000_000 / 64)).checked_div(bytes).unwrap_or(u64::MAX)).max(1);
    // `struct tc_tbf_qopt`: two of `struct tc_ratespec` (the second, for peaks, empty), limit, burst, MTU. A rate spec
    // begins with the link layer in its second byte; 1 (Ethernet) means that no rate table is given.
    let mut fixed = vec![0, 1, 0, 0, 0, 0, 0, 0];
    fixed.extend(small(bytes).to_ne_bytes());
    fixed.extend([0; 12]);
    fixed.extend(words([limit, ticks, 0]));
    let message = Message::new(0, 0, &[]).with(PARMS, &fixed).with_u32(BURST, burst);
    if u32::try_from(bytes).is_err() { message.with(RATE64, &bytes.to_ne_bytes()) } else { message }.into_body()
}

pub(super) fn tcmsg(link: u32, handle: u32, parent: u32, info: u32) -> [u8; TCMSG] {
    let mut bytes = [0; TCMSG];
    for (at, number) in [(4, link), (8, handle), (12, parent), (16, info)] {
        bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

fn qdisc(answer: &Reply) -> Option<Qdisc> {
    let attributes = answer.body.get(TCMSG..)?;
    Some(Qdisc {
        link: number(&answer.body[4..]),
        kind: text(attribute(attributes, TCA_KIND)?),
        clsact: number(&answer.body[12..]) == CLSACT,
        statistics: attribute(attributes, TCA_STATS2).map(statistics).unwrap_or_default(),
    })
}

/// What `TCA_STATS2` and an action's statistics hold (`linux/gen_stats.h`).
pub(super) fn statistics(attributes: &[u8]) -> Statistics {
    const BASIC: u16 = 1;
    const QUEUE: u16 = 3;
    const PACKETS: u16 = 8;
    let large = |bytes: &[u8]| bytes.first_chunk().copied().map_or(0, u64::from_ne_bytes);
    let basic = attribute(attributes, BASIC).unwrap_or_default();
    let queue = attribute(attributes, QUEUE).unwrap_or_default();
    let small = |bytes: &[u8], at: usize| u64::from(bytes.get(at..).map_or(0, number));
    Statistics {
        packets: attribute(attributes, PACKETS).map_or_else(|| small(basic, 8), large),
        bytes: large(basic),
        drops: small(queue, 8),
        overlimits: small(queue, 16),
        backlog: small(queue, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_holds_a_packet_and_a_queue_some_of_them() {
        let of = |rate, burst| {
            let bytes = tbf(Bandwidth { rate, burst }, 1500);
            let parms = attribute(&bytes, 1).unwrap();
            (
                number(&parms[8..]),
                number(&parms[24..]),
                number(attribute(&bytes, 6).unwrap()),
                attribute(&bytes, 4).map(<[u8]>::to_vec),
            )
        };
        assert_eq!(of(8000, 0), (1000, 1518 * 5, 1518, None));
        assert_eq!(of(8_000_000, 32_768), (1_000_000, 32_768 + 200_000, 32_768, None));
        let (rate, .., exact) = of(80_000_000_000, 1 << 20);
        assert_eq!((rate, exact), (u32::MAX, Some(10_000_000_000_u64.to_ne_bytes().to_vec())));
    }
}
