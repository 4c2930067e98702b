//! Traffic as a program that the kernel runs on each packet (classic BPF, for cls_bpf). Computation alone.
//!
//! Headers are found from where IP begins, so the link's kind does not matter. What is neither IPv4 nor IPv6 (ARP among
//! it) is never meant, nor is what kernels send by themselves (to find neighbours, to tell of groups). Of IPv6 the fixed header's next header counts: a packet with
//! extension headers is of no protocol we know and has no ports. Only a packet's linear part can be read this way; that
//! is where headers are.

use std::net::IpAddr;

use thiserror::Error;

use super::protocols::{WITH_PORTS, kernels_own};
use crate::model::network::{Cidr, Peers, Ports, Protocol, Traffic};

/// How long a program may be. The kernel runs 4096 instructions, but it answers in at most 32 KiB, and a filter that
/// cannot be listed cannot be told from another program's.
pub const LONGEST: usize = 4000;

/// An instruction (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    code: u16,
    yes: u8,
    no: u8,
    k: u32,
}

/// What a program says of the packets that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// That the filter's action takes them. All others go on to the next filter.
    Match,
    /// That they go on their way and no other filter sees them (for direct-action mode).
    Spare,
}

/// Traffic that no program can be made for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// A peer is known by name alone.
    #[error("the address of `{0}` is not known yet: names have to be looked up first")]
    Name(String),
    /// There are too many peers or ports.
    #[error(
        "so many peers and ports make a filter of {0} instructions, and the kernel takes {LONGEST}: name fewer, or \
         ranges that hold several of them (`10.0.0.0/8`, `8000-8099`)"
    )]
    TooLong(usize),
}

// Loads, in bytes; A is the accumulator, X the index register (linux/bpf_common.h).
const LD_WORD: u16 = 0x20;
const LD_HALF: u16 = 0x28;
const LD_BYTE: u16 = 0x30;
const LD_HALF_X: u16 = 0x48;
/// X = 4 * (byte & 15): the length of an IPv4 header.
const LDX_IHL: u16 = 0xb1;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;
/// `SKF_NET_OFF`: where IP begins.
const IP: u32 = 0xfff0_0000;
/// `SKF_AD_OFF` + `SKF_AD_PROTOCOL`.
const ETHERTYPE: u32 = 0xffff_f000;
/// `SKF_AD_OFF` + `SKF_AD_MARK`.
const MARK: u32 = 0xffff_f014;
/// `TC_ACT_UNSPEC`: as if the filter were not there. As the verdict of a filter with an action: that it matches.
const MINUS_ONE: u32 = u32::MAX;
const ICMPV6: u8 = 58;
/// The options that a packet of IPv6 begins with where each host on the way is to read them, as those about groups do.
const HOP_BY_HOP: u32 = 0;

/// A program for packets that arrive (else: leave), and whose mark has a bit, where one is given.
///
/// # Errors
/// [`Unfit`]
pub fn compile(
    traffic: &Traffic,
    arrives: bool,
    mark: Option<u32>,
    verdict: Verdict,
) -> Result<Vec<Instruction>, Unfit> {
    let mut program = Program::default();
    let (meant, other) = (program.label(), program.label());
    if traffic.has(arrives) {
        if let Some(bit) = mark {
            program.load(LD_WORD, MARK);
            program.unless(JSET, bit, other);
        }
        program.load(LD_WORD, ETHERTYPE);
        for (v6, ethertype) in [(false, 0x0800), (true, 0x86dd)] {
            let Some(peers) = peers(&traffic.peers, v6)? else { continue };
            let not_this = program.label();
            program.unless(JEQ, ethertype, not_this);
            program.family(traffic, arrives, v6, &peers, other);
            program.jump(meant);
            program.place(not_this);
        }
    }
    program.place(other);
    program.ret(if verdict == Verdict::Spare { MINUS_ONE } else { 0 });
    program.place(meant);
    program.ret(match verdict {
        Verdict::Spare => 0, // TC_ACT_OK
        Verdict::Match => MINUS_ONE,
    });
    program.finish()
}

/// A program as the kernel takes it.
#[must_use]
pub fn bytes(program: &[Instruction]) -> Vec<u8> {
    let one = |i: &Instruction| [&i.code.to_ne_bytes()[..], &[i.yes, i.no], &i.k.to_ne_bytes()].concat();
    program.iter().flat_map(one).collect()
}

/// The peers of a family, or all those who are none, none inside another; empty: everybody. `None`: nobody of this family.
fn peers(peers: &Peers, v6: bool) -> Result<Option<Vec<Cidr>>, Unfit> {
    let (these, named) = match peers {
        Peers::Everybody => return Ok(Some(Vec::new())),
        Peers::These(these) => (these, true),
        Peers::AllBut(these) => (these, false),
    };
    let mut all = Vec::new();
    for peer in these {
        match peer.range() {
            Some(range) if range.address().is_ipv6() == v6 => all.push(range),
            Some(_) => {}
            None => return Err(Unfit::Name(peer.to_string())),
        }
    }
    // What holds others comes right before them.
    all.sort_unstable();
    all.dedup_by(|inner, outer| outer.contains(inner.address()));
    Ok((!all.is_empty() || !named).then_some(all))
}

/// A place that is jumped to.
#[derive(Clone, Copy)]
struct Label(usize);

/// A program being written. Conditions reach 255 instructions only, so that they skip a jump that reaches everything.
#[derive(Default)]
struct Program {
    code: Vec<Instruction>,
    places: Vec<usize>,
    jumps: Vec<(usize, Label)>,
}

impl Program {
    /// Tests of one family's packets: goes on where they are meant, else to `other`.
    fn family(&mut self, traffic: &Traffic, arrives: bool, v6: bool, peers: &[Cidr], other: Label) {
        let protocol = IP + if v6 { 6 } else { 9 };
        if let Some(wanted) = traffic.protocol {
            self.load(LD_BYTE, protocol);
            self.unless(JEQ, wanted.number(v6).into(), other);
        }
        if v6 && traffic.protocol.is_none_or(|p| p == Protocol::Icmp) {
            self.kernels_own(protocol, IP + 40, other);
        }
        if traffic.protocol.is_none() {
            self.load(LD_BYTE, protocol);
            if v6 {
                let fine = self.label();
                self.unless(JEQ, HOP_BY_HOP, fine);
                self.kernels_own(IP + 40, IP + 48, other);
                self.place(fine);
            } else {
                self.when(JEQ, kernels_own::IGMP.into(), other);
            }
        }
        if !peers.is_empty() {
            let all_but = matches!(traffic.peers, Peers::AllBut(_));
            let known = self.label();
            let remote = IP
                + match (v6, arrives) {
                    (false, true) => 12,
                    (false, false) => 16,
                    (true, true) => 8,
                    (true, false) => 24,
                };
            if !v6 {
                self.load(LD_WORD, remote);
            }
            for peer in peers {
                self.peer(peer, remote, if all_but { other } else { known });
            }
            if !all_but {
                self.jump(other);
            }
            self.place(known);
        }
        // A packet begins with its sender's port.
        let (source, destination) = if arrives {
            (&traffic.remote_ports, &traffic.local_ports)
        } else {
            (&traffic.local_ports, &traffic.remote_ports)
        };
        if source.is_empty() && destination.is_empty() {
            return;
        }
        let ported = self.label();
        self.load(LD_BYTE, protocol);
        for number in WITH_PORTS {
            self.when(JEQ, number.into(), ported);
        }
        self.jump(other);
        self.place(ported);
        if !v6 {
            // Later fragments have no ports.
            self.load(LD_HALF, IP + 6);
            self.when(JSET, 0x1fff, other);
            self.load(LDX_IHL, IP);
        }
        for (ports, at) in [(source, 0), (destination, 2)] {
            self.ports(ports, if v6 { (LD_HALF, IP + 40 + at) } else { (LD_HALF_X, IP + at) }, other);
        }
    }

    /// Jumps where the protocol at a place is ICMPv6, and of the type at another one what kernels send by themselves.
    fn kernels_own(&mut self, protocol: u32, kind: u32, to: Label) {
        let fine = self.label();
        self.load(LD_BYTE, protocol);
        self.unless(JEQ, ICMPV6.into(), fine);
        self.load(LD_BYTE, kind);
        for (first, last) in kernels_own::ICMPV6 {
            self.within(first.into(), last.into(), to);
        }
        self.place(fine);
    }

    /// Jumps where the address in A (IPv4) or at `remote` (IPv6) is in a range.
    fn peer(&mut self, peer: &Cidr, remote: u32, known: Label) {
        let address = match peer.address() {
            IpAddr::V4(a) => {
                let first = u32::from(a);
                return self.within(first, first | rest(peer.prefix()), known);
            }
            IpAddr::V6(a) => u128::from(a),
        };
        // The four words of the address, as far as the prefix goes; a word that differs leads behind all of them.
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for (word, at) in (0_u8..4).zip((0_u32..).step_by(4)) {
            let bits = peer.prefix().saturating_sub(32 * word).min(32);
            if bits == 0 {
                break;
            }
            #[expect(clippy::cast_possible_truncation, reason = "one word of four")]
            let first = (address >> (96 - 32 * u32::from(word))) as u32;
            self.load(LD_WORD, remote + at);
            no.push(self.code.len());
            if bits == 32 {
                self.push(JEQ, 0, 0, first);
            } else {
                self.push(JGE, 0, 0, first);
                yes.push(self.code.len());
                self.push(JGT, 0, 0, first | rest(bits));
            }
        }
        self.jump(known);
        let end = self.code.len();
        let distance = |at: usize| u8::try_from(end - at - 1).unwrap_or(u8::MAX);
        for at in no {
            self.code[at].no = distance(at);
        }
        for at in yes {
            self.code[at].yes = distance(at);
        }
    }

    /// Goes on where one of the ports is there, else to `other`.
    fn ports(&mut self, ports: &[Ports], (code, at): (u16, u32), other: Label) {
        if ports.is_empty() {
            return;
        }
        let found = self.label();
        self.load(code, at);
        for range in ports {
            self.within(range.first.into(), range.last.into(), found);
        }
        self.jump(other);
        self.place(found);
    }

    /// Jumps where A is between two numbers, both included.
    fn within(&mut self, first: u32, last: u32, to: Label) {
        if first == last {
            return self.when(JEQ, first, to);
        }
        self.push(JGE, 0, 2, first);
        self.push(JGT, 1, 0, last);
        self.jump(to);
    }

    fn when(&mut self, code: u16, k: u32, to: Label) {
        self.push(code, 0, 1, k);
        self.jump(to);
    }

    fn unless(&mut self, code: u16, k: u32, to: Label) {
        self.push(code, 1, 0, k);
        self.jump(to);
    }

    fn load(&mut self, code: u16, k: u32) {
        self.push(code, 0, 0, k);
    }

    fn ret(&mut self, k: u32) {
        self.push(RET, 0, 0, k);
    }

    fn push(&mut self, code: u16, yes: u8, no: u8, k: u32) {
        self.code.push(Instruction { code, yes, no, k });
    }

    fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JA, 0, 0, 0);
    }

    fn label(&mut self) -> Label {
        self.places.push(0);
        Label(self.places.len() - 1)
    }

    fn place(&mut self, label: Label) {
        self.places[label.0] = self.code.len();
    }

    fn finish(mut self) -> Result<Vec<Instruction>, Unfit> {
        for (at, to) in self.jumps {
            self.code[at].k = u32::try_from(self.places[to.0] - at - 1).unwrap_or(u32::MAX);
        }
        if self.code.len() > LONGEST {
            return Err(Unfit::TooLong(self.code.len()));
        }
        Ok(self.code)
    }
}

/// The bits of a word beyond a prefix.
fn rest(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
