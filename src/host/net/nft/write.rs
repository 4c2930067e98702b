//! Rules as the kernel reads them: a list of expressions that work on registers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rule::{Match, NOWHERE, Rule, Verdict};
use super::{addresses, lease};
use crate::host::net::netlink::Message;
use crate::model::network::{Cidr, Ports};

/// How a packet is given to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queueing {
    /// By nf_tables itself (`CONFIG_NFT_QUEUE`).
    Native,
    /// By what iptables has for it (`CONFIG_NFT_COMPAT`, `CONFIG_NETFILTER_XT_TARGET_NFQUEUE`).
    Compat,
}

/// The register that everything is loaded into, and the one that verdicts go to.
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;
const OTHER_REGISTER: u32 = 2;
/// `NFT_META_NFPROTO`.
const VERSION: u32 = 15;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const LESS: u32 = 2;
/// Where in an IPv4 header flags stand; one of them; and where its checksum is.
const FRAGMENT: u32 = 6;
const DONT_FRAGMENT: u8 = 0x40;
const CHECKSUM: u32 = 10;
/// `NFT_QUEUE_FLAG_BYPASS`: a packet passes where no process listens.
const BYPASS: u16 = 1;

/// `NFTA_RULE_EXPRESSIONS`: what a rule looks at, its counter, its verdict.
pub(super) fn expressions(message: Message, rule: &Rule, queueing: Queueing) -> Message {
    message.with_nest(4, |mut list| {
        let mut before = None;
        for m in &rule.matches {
            list = look(list, m, before);
            before = Some(m);
        }
        list = expression(list, "counter", |m| m);
        decide(list, rule.verdict, queueing)
    })
}

fn expression(list: Message, name: &str, fill: impl FnOnce(Message) -> Message) -> Message {
    // NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA
    list.with_nest(1, |m| m.with_text(1, name).with_nest(2, fill))
}

fn look(list: Message, what: &Match, before: Option<&Match>) -> Message {
    match what {
        Match::In(index) => equal(meta(list, 4), &index.to_ne_bytes()),
        Match::Out(index) => equal(meta(list, 5), &index.to_ne_bytes()),
        Match::Mark(mark) => equal(meta(list, 3), &mark.to_ne_bytes()),
        Match::MarkBits { mask, value: bits, equal } => {
            let list = masked(meta(list, 3), &mask.to_ne_bytes());
            compare(list, if *equal { EQUAL } else { NOT_EQUAL }, &bits.to_ne_bytes())
        }
        // NFTA_RT_DREG, NFTA_RT_KEY: NFT_RT_XFRM
        Match::Encrypted => equal(expression(list, "rt", |m| m.with_be32(1, REGISTER).with_be32(2, 4)), &[1]),
        Match::MayFragment => equal(masked(payload(list, 1, FRAGMENT, 1), &[DONT_FRAGMENT]), &[0]),
        Match::V6(v6) => equal(meta(list, VERSION), &[if *v6 { 10 } else { 2 }]),
        Match::Protocol(number) => equal(meta(list, 16), &[*number]),
        Match::Source(range) => address(list, range, 12, 8),
        Match::Destination(range) => address(list, range, 16, 24),
        // What is in the register stays there: the next one need not load it again.
        Match::SourceOutside(from, to) => {
            outside(list, (*from, *to), (12, 8), matches!(before, Some(Match::SourceOutside(..))))
        }
        Match::DestinationOutside(from, to) => {
            outside(list, (*from, *to), (16, 24), matches!(before, Some(Match::DestinationOutside(..))))
        }
        Match::SourcePort(ports) => port(list, *ports, 0),
        Match::DestinationPort(ports) => port(list, *ports, 2),
        Match::Byte { at, mask, first, last } => {
            let list = masked(payload(list, 2, u32::from(*at), 1), &[*mask]);
            within(list, &[*first], &[*last])
        }
        // NFTA_LOOKUP_SET, _SREG, _FLAGS: NFT_LOOKUP_F_INV
        Match::Lapsed => expression(meta(list, VERSION), "lookup", |m| {
            m.with_text(1, lease::SET).with_be32(2, REGISTER).with_be32(5, 1)
        }),
        // Compared byte by byte: the order of a random number's bytes means nothing.
        Match::Random(below) => compare(meta(list, 24), LESS, &below.to_be_bytes()),
    }
}

/// Loads something about the packet.
fn meta(list: Message, key: u32) -> Message {
    expression(list, "meta", |m| m.with_be32(1, REGISTER).with_be32(2, key))
}

/// Loads bytes of the network header (base 1), or of the one above (base 2).
fn payload(list: Message, base: u32, offset: u32, length: usize) -> Message {
    let length = u32::try_from(length).unwrap_or(0);
    expression(list, "payload", |m| {
        m.with_be32(1, REGISTER).with_be32(2, base).with_be32(3, offset).with_be32(4, length)
    })
}

fn masked(list: Message, mask: &[u8]) -> Message {
    if mask.iter().all(|byte| *byte == 0xff) {
        return list;
    }
    bitwise(list, mask, &vec![0; mask.len()])
}

/// Keeps the bits of a mask, and turns others over.
fn bitwise(list: Message, mask: &[u8], turn: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).unwrap_or(0);
    expression(list, "bitwise", |m| {
        let m = m.with_be32(1, REGISTER).with_be32(2, REGISTER).with_be32(3, length);
        value(value(m, 4, mask), 5, turn)
    })
}

/// Sets the packet's mark to what it was, but for the bits that are not kept, and those that are turned over.
fn set_mark(list: Message, keep: u32, turn: u32) -> Message {
    let list = bitwise(meta(list, 3), &keep.to_ne_bytes(), &turn.to_ne_bytes());
    // NFTA_META_KEY, NFTA_META_SREG
    expression(list, "meta", |m| m.with_be32(2, 3).with_be32(3, REGISTER))
}

fn equal(list: Message, to: &[u8]) -> Message {
    compare(list, EQUAL, to)
}

fn compare(list: Message, how: u32, with: &[u8]) -> Message {
    expression(list, "cmp", |m| value(m.with_be32(1, REGISTER).with_be32(2, how), 3, with))
}

fn within(list: Message, from: &[u8], to: &[u8]) -> Message {
    if from == to {
        return equal(list, from);
    }
    expression(list, "range", |m| value(value(m.with_be32(1, REGISTER).with_be32(2, EQUAL), 3, from), 4, to))
}

/// `NFTA_DATA_VALUE` in an attribute.
fn value(message: Message, kind: u16, bytes: &[u8]) -> Message {
    message.with_nest(kind, |m| m.with(1, bytes))
}

fn address(list: Message, range: &Cidr, offset4: u32, offset6: u32) -> Message {
    let prefix = u32::from(range.prefix());
    let (bytes, mask, offset) = match range.address() {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            (a.octets().to_vec(), mask.to_be_bytes().to_vec(), offset4)
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            (a.octets().to_vec(), mask.to_be_bytes().to_vec(), offset6)
        }
    };
    if prefix == 0 {
        return list;
    }
    equal(masked(payload(list, 1, offset, bytes.len()), &mask), &bytes)
}

/// An address (at these offsets, by family) before the first or behind the last of some.
fn outside(list: Message, span: (IpAddr, IpAddr), offsets: (u32, u32), loaded: bool) -> Message {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let (from, to) = (octets(span.0), octets(span.1));
    let offset = if span.0.is_ipv4() { offsets.0 } else { offsets.1 };
    let list = if loaded { list } else { payload(list, 1, offset, from.len()) };
    // NFT_CMP_NEQ and NFT_RANGE_NEQ are both 1.
    if from == to {
        expression(list, "cmp", |m| value(m.with_be32(1, REGISTER).with_be32(2, 1), 3, &from))
    } else {
        expression(list, "range", |m| value(value(m.with_be32(1, REGISTER).with_be32(2, 1), 3, &from), 4, &to))
    }
}

fn port(list: Message, ports: Ports, offset: u32) -> Message {
    within(payload(list, 2, offset, 2), &ports.first.to_be_bytes(), &ports.last.to_be_bytes())
}

fn decide(list: Message, verdict: Verdict, queueing: Queueing) -> Message {
    let immediate = |list, code| {
        // NFTA_IMMEDIATE_DREG, _DATA; NFTA_DATA_VERDICT; NFTA_VERDICT_CODE
        expression(list, "immediate", |m| {
            m.with_be32(1, VERDICT).with_nest(2, |m| m.with_nest(2, |m| m.with_be32(1, code)))
        })
    };
    match verdict {
        Verdict::Drop => immediate(list, 0),
        Verdict::Accept => immediate(list, 1),
        // NFT_REJECT_TCP_RST; NFT_REJECT_ICMPX_UNREACH with NFT_REJECT_ICMPX_PORT_UNREACH
        Verdict::Reset => expression(list, "reject", |m| m.with_be32(1, 1)),
        Verdict::Unreachable => expression(list, "reject", |m| m.with_be32(1, 2).with(2, &[1])),
        Verdict::AddMark(bits) => set_mark(list, !bits, bits),
        Verdict::KeepMark(bits) => immediate(set_mark(list, bits, 0), 1),
        Verdict::AllowFragments => {
            let list = bitwise(payload(list, 1, FRAGMENT, 1), &[!DONT_FRAGMENT], &[0]);
            // NFTA_PAYLOAD_BASE, _OFFSET, _LEN, _SREG, _CSUM_TYPE: that of IP, _CSUM_OFFSET
            expression(list, "payload", |m| {
                let m = m.with_be32(2, 1).with_be32(3, FRAGMENT).with_be32(4, 1).with_be32(5, REGISTER);
                m.with_be32(6, 1).with_be32(7, CHECKSUM)
            })
        }
        Verdict::Track => {
            let zero = |m: Message| value(m.with_be32(1, REGISTER), 2, &0_u16.to_ne_bytes());
            // NFTA_CT_KEY: the zone; NFTA_CT_SREG. Naming the usual zone has an untracked packet looked at.
            expression(expression(list, "immediate", zero), "ct", |m| m.with_be32(2, 17).with_be32(4, REGISTER))
        }
        Verdict::Copy { v6, mark } => {
            let list = set_mark(list, u32::MAX, mark);
            let (offset, length) = if v6 { (24, 16) } else { (16, 4) };
            // NFTA_META_DREG, NFTA_META_KEY: the interface it leaves by
            let list = expression(payload(list, 1, offset, length), "meta", |m| {
                m.with_be32(1, OTHER_REGISTER).with_be32(2, 5)
            });
            // NFTA_DUP_SREG_ADDR, NFTA_DUP_SREG_DEV
            let list = expression(list, "dup", |m| m.with_be32(1, REGISTER).with_be32(2, OTHER_REGISTER));
            queue(list, NOWHERE, 0, queueing)
        }
        Verdict::Queue(number) => queue(list, number, BYPASS, queueing),
        Verdict::Vanish => queue(list, NOWHERE, 0, queueing),
        Verdict::Redirect(port) => {
            // NFTA_IMMEDIATE_DREG, _DATA; NFTA_REDIR_REG_PROTO_MIN
            let list = expression(list, "immediate", |m| value(m.with_be32(1, REGISTER), 2, &port.to_be_bytes()));
            expression(list, "redir", |m| m.with_be32(1, REGISTER))
        }
        Verdict::TakeUp { v6, port } => {
            let loopback =
                if v6 { Ipv6Addr::LOCALHOST.octets().to_vec() } else { Ipv4Addr::LOCALHOST.octets().to_vec() };
            let list = expression(list, "immediate", |m| value(m.with_be32(1, REGISTER), 2, &loopback));
            let list = expression(list, "immediate", |m| value(m.with_be32(1, OTHER_REGISTER), 2, &port.to_be_bytes()));
            // NFTA_TPROXY_FAMILY, _REG_ADDR, _REG_PORT
            let list = expression(list, "tproxy", |m| {
                m.with_be32(1, family(v6)).with_be32(2, REGISTER).with_be32(3, OTHER_REGISTER)
            });
            immediate(list, 1)
        }
        Verdict::LeaveFrom { v6 } => {
            // NFTA_LOOKUP_SET, _SREG, _DREG
            let list = expression(meta(list, 3), "lookup", |m| {
                m.with_text(1, addresses::map(v6)).with_be32(2, REGISTER).with_be32(3, OTHER_REGISTER)
            });
            // NFTA_NAT_TYPE: NFT_NAT_SNAT; _FAMILY, _REG_ADDR_MIN
            expression(list, "nat", |m| m.with_be32(1, 0).with_be32(2, family(v6)).with_be32(3, OTHER_REGISTER))
        }
    }
}

/// The kernel's number for a version of IP, where an address is of one.
fn family(v6: bool) -> u32 {
    if v6 { 10 } else { 2 }
}

/// Gives a packet to a queue. Without [`BYPASS`] it vanishes where no process listens.
fn queue(list: Message, number: u16, bypass: u16, queueing: Queueing) -> Message {
    match queueing {
        // NFTA_QUEUE_NUM, _TOTAL, _FLAGS
        Queueing::Native => expression(list, "queue", |m| {
            m.with(1, &number.to_be_bytes()).with(2, &1_u16.to_be_bytes()).with(3, &bypass.to_be_bytes())
        }),
        Queueing::Compat => {
            // struct xt_NFQ_info_v3 { queuenum, queues_total, flags }, filled up to 8 bytes.
            let info: Vec<u8> = [number, 1, bypass, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
            expression(list, "target", |m| m.with_text(1, "NFQUEUE").with_be32(2, 3).with(3, &info))
        }
    }
}
