//! Rules that choose among tables of routes (ip-rule(8)), in the namespace of this thread.

use std::io;

use super::netlink::{Family, Message, Reply, Socket, attribute, errno, number};

const RTM_GETRULE: u16 = 34;
/// `struct fib_rule_hdr`: family, lengths of destination and source, TOS, table, two that are unused, action, flags.
const HEADER: usize = 12;
/// What a rule can look at besides: destination, source, input interface, mark, output interface, the master device,
/// the user, protocol and ports (`FRA_*`).
const LOOKS_AT: [u16; 9] = [1, 2, 3, 10, 17, 19, 20, 22, 23];
const FRA_DPORT_RANGE: u16 = 24;
/// The tables that every namespace has (default, main, local), and "look in a table".
const USUAL: std::ops::RangeInclusive<u8> = 253..=255;
const TO_TABLE: u8 = 1;
const INVERTED: u32 = 2;

/// Whether any route depends on more than the destination and the interface: a rule that the kernel does not begin with.
///
/// # Errors
/// What the kernel refuses.
pub fn by_policy() -> io::Result<bool> {
    let mut socket = Socket::open(Family::Route)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut header = [0; HEADER];
        header[0] = u8::try_from(family).unwrap_or_default();
        let rules = match socket.dump(&Message::new(RTM_GETRULE, 0, &header)) {
            // A kernel without this version of IP, or without such rules.
            Err(e) if matches!(errno(&e), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => Vec::new(),
            rules => rules?,
        };
        if !rules.iter().all(usual) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a rule sends everything to a table that is always there.
fn usual(rule: &Reply) -> bool {
    let (Some(header), Some(attributes)) = (rule.body.first_chunk::<HEADER>(), rule.body.get(HEADER..)) else {
        return false;
    };
    let [_, to, from, tos, table, _, _, action, flags @ ..] = header;
    let chooses = LOOKS_AT.iter().chain([&FRA_DPORT_RANGE]).any(|kind| attribute(attributes, *kind).is_some());
    let everything = [to, from, tos] == [&0; 3] && number(flags) & INVERTED == 0 && !chooses;
    everything && *action == TO_TABLE && USUAL.contains(table)
}
