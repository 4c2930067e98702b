//! Rules as plain data: what they look at, and what becomes of a packet that all of it fits.
//!
//! A small part of what nf_tables can say: what [`super::select`] and the shaper need. Nothing here talks to the kernel.

use crate::host::net::protocols::kernels_own;
use std::net::IpAddr;

use crate::model::network::{Cidr, Ports};

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

/// Which packets a chain sees. Some verdicts exist for one version of IP at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// Each of them.
    pub(super) const ALL: [Self; 3] = [Self::Both, Self::V4, Self::V6];

    /// The kernel's number for it (`NFPROTO_*`).
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Both => 1,
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// Rules that packets meet one after the other, at one place. A packet that none ends passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Which packets see it.
    pub version: Version,
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
    /// Some bits of its mark: which of them count, and their value.
    MarkBits {
        /// Which bits count.
        mask: u32,
        /// Their value.
        value: u32,
        /// Whether it must be this value (else: any other).
        equal: bool,
    },
    /// Its route leads through a transformation of `IPsec`.
    Encrypted,
    /// It is IPv4, and routers may cut it to pieces ("don't fragment" is not set).
    MayFragment,
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
    /// The lease of its table has lapsed.
    Lapsed,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this chain.
    Accept,
    /// A copy that belongs to no socket takes its place, and meets this hook from its beginning; the packet itself vanishes.
    /// The copy is routed again, by its destination and the same interface, and cannot be cut to pieces on the way.
    Copy {
        /// Whether it is IPv6.
        v6: bool,
        /// Which bits of the copy's mark are turned over.
        mark: u32,
    },
    /// Its mark keeps these bits only, and it passes this chain.
    KeepMark(u32),
    /// Its mark gets these bits; it meets the next rule.
    AddMark(u32),
    /// IPv4: routers may cut it to pieces; it meets the next rule.
    AllowFragments,
    /// Connection tracking looks at it though it is a copy; it meets the next rule.
    Track,
    /// It vanishes, with an error for the process that sends it from here (EPERM).
    Drop,
    /// It vanishes, and a sender here is not told, as on a real way.
    Vanish,
    /// It is answered with a TCP reset.
    Reset,
    /// It is answered with "port unreachable".
    Unreachable,
    /// It is given to the process that has bound this queue; where none has, it passes.
    Queue(u16),
    /// Its connection goes to this port of the namespace itself. The chain meets the first packet of each connection alone.
    Redirect(u16),
    /// Its connection is taken up by the process that listens transparently at this port of the loopback, which sees both ends as they
    /// are; where none does, it meets the next rule.
    TakeUp {
        /// Whether it is IPv6.
        v6: bool,
        /// The port.
        port: u16,
    },
    /// Its connection leaves as if from the address that its mark stands for ([`super::Addresses`]).
    LeaveFrom {
        /// Whether it is IPv6.
        v6: bool,
    },
}

/// A queue that is never bound. What is to vanish is given to it: the kernel drops what has no listener, and sends no error.
pub(super) const NOWHERE: u16 = 0x7370;

/// The number of the loopback interface, in every namespace.
pub(super) const LOOPBACK: u32 = 1;

/// What the mark of packets has on their way out, for as long as the lease runs of a table whose queues they are for. It is set where
/// nothing but the interface comes after it, and in the lower half: in the upper one copies have theirs.
pub const LEASED: u32 = 0x0800;

/// What Squall's own packets carry, so that its rules do not meet them again ("sq").
pub const OWN: u32 = 0x7371;

/// By this they pass.
#[must_use]
pub fn own() -> Rule {
    Rule { matches: vec![Match::Mark(OWN)], verdict: Verdict::Accept, comment: "own".to_owned() }
}

/// What a chain begins with that has no effect without its table's lease: then everything passes.
#[must_use]
pub fn lapsed() -> Rule {
    Rule { matches: vec![Match::Lapsed], verdict: Verdict::Accept, comment: "lease over".to_owned() }
}

/// What begins every chain at a hook: what is never meant passes. That is what a namespace sends to itself, and what kernels
/// send by themselves: to find neighbours and routers (RFC 4861), without which nothing else would arrive either, and to tell
/// which groups they listen to (MLD, IGMP), by which neighbours are found behind a switch. It flows where nothing else
/// does, so that a fault that has met nothing else has met nothing.
#[must_use]
pub fn never_meant(hook: Hook) -> Vec<Rule> {
    let pass = |matches, comment: &str| Rule { matches, verdict: Verdict::Accept, comment: comment.to_owned() };
    let loopback = if hook.arriving() { Match::In(LOOPBACK) } else { Match::Out(LOOPBACK) };
    let mut rules = vec![
        pass(vec![loopback], "loopback"),
        pass(vec![Match::V6(false), Match::Protocol(kernels_own::IGMP)], "groups"),
    ];
    for (first, last) in kernels_own::ICMPV6 {
        let kind = Match::Byte { at: 0, mask: 0xff, first, last };
        rules.push(pass(vec![Match::V6(true), Match::Protocol(58), kind], "neighbours and groups"));
    }
    rules
}
