//! Rules as plain data: what they look at, and what becomes of a packet that all of it fits.
//!
//! A small part of what nf_tables can say: what [`super::select`] and the shaper need. Nothing here talks to the kernel.

use std::net::IpAddr;

use crate::network::{Cidr, Ports};

/// Where in a packet's way through a namespace a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// It has arrived, and nothing has been decided about it.
    Prerouting,
    /// It has arrived, and is for this namespace.
    Input,
    /// It was made here, and leaves.
    Output,
    /// It leaves, wherever it was made, and nothing comes after this but the interface's queue.
    Postrouting,
}

impl Hook {
    /// The kernel's number for it.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }

    /// Whether packets arrive there (else they leave).
    #[must_use]
    pub fn arriving(self) -> bool {
        matches!(self, Self::Prerouting | Self::Input)
    }
}

/// Rules that packets meet one after the other, at one place. A packet that none ends passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name, once in a table.
    pub name: String,
    /// Where it stands.
    pub hook: Hook,
    /// Before or after what else stands there: lower ones come first. Connections are tracked from -200 on, and
    /// addresses translated at -100.
    pub priority: i32,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A packet that every match fits is counted, and the verdict is final for the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What must fit.
    pub matches: Vec<Match>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What people and [`super::counters`] know it by; at most 250 bytes.
    pub comment: String,
}

/// Something about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The number of the interface it came in by.
    In(u32),
    /// The number of the interface it goes out by.
    Out(u32),
    /// The mark that a socket of this machine has set on it.
    Mark(u32),
    /// IPv6 (else IPv4).
    V6(bool),
    /// The number of the protocol above IP.
    Protocol(u8),
    /// Where it comes from.
    Source(Cidr),
    /// Where it goes.
    Destination(Cidr),
    /// It comes from none of the addresses from the first to the last.
    SourceOutside(IpAddr, IpAddr),
    /// It goes to none of the addresses from the first to the last.
    DestinationOutside(IpAddr, IpAddr),
    /// The port it comes from. Only beside a protocol with ports.
    SourcePort(Ports),
    /// The port it goes to. Only beside a protocol with ports.
    DestinationPort(Ports),
    /// A byte of the header above IP: which, what of it counts, and from which value to which.
    Byte {
        /// Which byte, from 0.
        at: u8,
        /// What of it counts.
        mask: u8,
        /// The lowest value that fits.
        first: u8,
        /// The highest.
        last: u8,
    },
    /// A random number of 32 bits, drawn for the packet, is below this.
    Random(u32),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this chain.
    Accept,
    /// It vanishes, with an error for whoever sends it from here (EPERM).
    Drop,
    /// It vanishes, and a sender here is not told, as on a real way.
    Vanish,
    /// It is answered with a TCP reset.
    Reset,
    /// It is answered with "port unreachable".
    Unreachable,
    /// It is given to whoever has bound this queue; where nobody has, it passes.
    Queue(u16),
}

/// A queue that nobody binds. What is to vanish is given to it: the kernel drops what has no listener, and tells nobody.
pub(super) const NOWHERE: u16 = 0x7370;

/// The number of the loopback interface, in every namespace.
const LOOPBACK: u32 = 1;

/// What begins every chain at a hook: what is never meant passes. That is what a namespace sends to itself, and the
/// finding of neighbours (RFC 4861), without which nothing else would arrive either.
#[must_use]
pub fn never_meant(hook: Hook) -> Vec<Rule> {
    let pass = |matches, comment: &str| Rule { matches, verdict: Verdict::Accept, comment: comment.to_owned() };
    let loopback = if hook.arriving() { Match::In(LOOPBACK) } else { Match::Out(LOOPBACK) };
    let neighbours =
        vec![Match::V6(true), Match::Protocol(58), Match::Byte { at: 0, mask: 0xff, first: 133, last: 137 }];
    vec![pass(vec![loopback], "loopback"), pass(neighbours, "neighbours")]
}
