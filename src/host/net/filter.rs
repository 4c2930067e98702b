//! Filters on a link's `clsact`: programs ([`super::bpf`]) that pick packets, and what becomes of those.
//!
//! A filter of Squall's is known by its priority and handle, as a classic program can carry no name.

use std::io;

use super::bpf::{Instruction, bytes};
use super::netlink::{Message, Reply, Socket, attribute, errno, flags, number, text};
use super::qdisc::{Statistics, TCA_KIND, TCA_OPTIONS, TCMSG, statistics, tcmsg};

const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const TCA_BPF_ACT: u16 = 1;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FLAGS: u16 = 8;
const DIRECT_ACTION: u32 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_ACT_STATS: u16 = 4;
const TCA_MIRRED_PARMS: u16 = 2;

/// The priorities that are ours, and how many; the first of a packet's filters has the lowest.
const PRIORITY: u16 = 0x5000;
const PRIORITIES: u16 = 0x1000;
/// The upper half of our handles: "SQ".
const HANDLE: u32 = 0x5351_0000;

/// Where packets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they leave the namespace by this link.
    Egress,
    /// As they arrive.
    Ingress,
}

/// What becomes of the packets that a program picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// They are given to the link with this index, an ifb, and go on from there when it lets them go.
    Redirect(u32),
    /// What the program itself says (direct action).
    AsItSays,
}

/// A filter that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Where it looks.
    pub hook: Hook,
    /// Which of Squall's it is, in order; `None`: another program's.
    pub ours: Option<u16>,
    /// What its action has seen: the packets that it picked. Always zero for [`Then::AsItSays`].
    pub statistics: Statistics,
}

impl Hook {
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// The request that adds the filter number `order` of Squall's to a link that has a `clsact`.
///
/// # Errors
/// Where there are too many.
pub fn filter(link: u32, hook: Hook, order: u16, program: &[Instruction], then: Then) -> io::Result<Message> {
    if order >= PRIORITIES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{PRIORITIES} filters on a link are the most"),
        ));
    }
    let length = u16::try_from(program.len()).unwrap_or(u16::MAX);
    let message = tcmsg(link, HANDLE | u32::from(order), hook.parent(), info(PRIORITY + order));
    Ok(Message::new(RTM_NEWTFILTER, flags::CREATE | flags::EXCL, &message).with_text(TCA_KIND, "bpf").with_nest(
        TCA_OPTIONS,
        |m| {
            let m = m.with(TCA_BPF_OPS_LEN, &length.to_ne_bytes()).with(TCA_BPF_OPS, &bytes(program));
            match then {
                Then::AsItSays => m.with_u32(TCA_BPF_FLAGS, DIRECT_ACTION),
                Then::Redirect(to) => m.with_nest(TCA_BPF_ACT, |m| {
                    m.with_nest(1, |m| {
                        m.with_text(TCA_ACT_KIND, "mirred")
                            .with_nest(TCA_ACT_OPTIONS, |m| m.with(TCA_MIRRED_PARMS, &redirect(to)))
                    })
                }),
            }
        },
    ))
}

/// Every filter on a link's `clsact`.
///
/// # Errors
/// What the kernel refuses.
pub fn filters(socket: &mut Socket, link: u32) -> io::Result<Vec<Filter>> {
    let mut all = Vec::new();
    for hook in [Hook::Egress, Hook::Ingress] {
        let message = Message::new(RTM_GETTFILTER, 0, &tcmsg(link, 0, hook.parent(), 0));
        match socket.dump(&message) {
            Ok(answers) => all.extend(answers.iter().filter_map(|a| read(a, hook))),
            Err(e) if matches!(errno(&e), Some(libc::ENODEV | libc::EINVAL | libc::ENOENT)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// Deletes one of our filters; whether it was there.
///
/// # Errors
/// What the kernel refuses.
pub fn delete(socket: &mut Socket, link: u32, hook: Hook, order: u16) -> io::Result<bool> {
    // By priority alone: kernels before 6.8 cannot tell of a long program's deletion, and then do not delete it.
    let message = Message::new(RTM_DELTFILTER, 0, &tcmsg(link, 0, hook.parent(), info(PRIORITY + order)));
    match socket.request(message.with_text(TCA_KIND, "bpf")) {
        Ok(()) => Ok(true),
        Err(e) if matches!(errno(&e), Some(libc::ENODEV | libc::EINVAL | libc::ENOENT)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Priority, and every protocol (`ETH_P_ALL`) in network byte order.
fn info(priority: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(3_u16.to_be())
}

/// `struct tc_mirred`: index, capabilities, what then (4: the packet is taken), two counters, how (1: redirect, leaving),
/// and whereto.
fn redirect(to: u32) -> Vec<u8> {
    [0, 0, 4, 0, 0, 1, to].iter().flat_map(|n: &u32| n.to_ne_bytes()).collect()
}

fn read(answer: &Reply, hook: Hook) -> Option<Filter> {
    let attributes = answer.body.get(TCMSG..)?;
    let (handle, info) = (number(&answer.body[8..]), number(&answer.body[16..]));
    let kind = text(attribute(attributes, TCA_KIND)?);
    let order = u16::try_from(info >> 16).ok()?.checked_sub(PRIORITY).filter(|o| *o < PRIORITIES);
    let ours = order.filter(|o| kind == "bpf" && handle == HANDLE | u32::from(*o));
    if handle == 0 && order.is_some() && kind == "bpf" {
        // Before the filters of a priority, the priority itself is told.
        return None;
    }
    let action = attribute(attributes, TCA_OPTIONS)
        .and_then(|o| attribute(o, TCA_BPF_ACT))
        .and_then(|a| attribute(a, 1))
        .and_then(|one| attribute(one, TCA_ACT_STATS));
    Some(Filter { hook, ours, statistics: action.map(statistics).unwrap_or_default() })
}
