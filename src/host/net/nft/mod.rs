//! nf_tables (nft(8)): tables of our own in a namespace, their rules, and how often these applied.
//!
//! A table's name tells what it stands for: `squall_` and a mark. It is there or it is not, so it serves as the marker
//! of everything else that is laid on the namespace, too. Knows packets, not faults.

mod addresses;
mod lease;
pub mod rule;
mod select;
mod write;

use std::io;

pub use addresses::{Addresses, from_a_client};
pub use lease::{LEASE, Lease};
pub use rule::{Chain, Hook, Match, Rule, Verdict, Version};
pub use select::{beginnings, refuse, select, too_many};

use self::write::Queueing;
use super::netlink::{self, Family, Message, Socket, attribute, attributes, flags};

/// What the names of our tables begin with.
const PREFIX: &str = "squall_";

/// What the names of tables begin with whose rules lead to a proxy: they belong to its process, and stand for nothing.
pub const PROXY_PREFIX: &str = "squallproxy_";

/// Kinds of messages, in the kernel's subsystem 10.
const NEWTABLE: u16 = 10 << 8;
const GETTABLE: u16 = NEWTABLE + 1;
const DELTABLE: u16 = NEWTABLE + 2;
const NEWCHAIN: u16 = NEWTABLE + 3;
const NEWRULE: u16 = NEWTABLE + 6;
const GETRULE: u16 = NEWTABLE + 7;
const NEWSET: u16 = NEWTABLE + 9;
const NEWSETELEM: u16 = NEWTABLE + 12;

/// An attribute of a table, and flags in it: its chains are not asked; it belongs to the socket that has made it.
const TABLE_FLAGS: u16 = 2;
const DORMANT: u32 = 1;
const OWNED: u32 = 2;
/// The number of that socket.
const TABLE_OWNER: u16 = 7;

/// `struct nfgenmsg`, for tables of one kind; and for all.
fn generic(version: Version) -> [u8; 4] {
    [version.number(), 0, 0, 0]
}
const ANY: [u8; 4] = [0; 4];

/// How often a rule applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The rule's chain.
    pub chain: String,
    /// The rule's comment.
    pub comment: String,
    /// How many packets; one that the kernel keeps whole though it is sent as many counts once.
    pub packets: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Whether it hands them to a queue that a process is to bind.
    pub queued: bool,
}

/// A table of Squall's, with those for one version of IP that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it stands for.
    pub mark: String,
    /// How far that is in place.
    pub state: TableState,
}

/// How far what a table stands for is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableState {
    /// Not all of it, yet or any more.
    Unfinished,
    /// All of it.
    Whole,
    /// Nothing of it: its rules let everything pass, because no process has renewed their lease.
    Lapsed,
}

/// Makes an empty table that stands for a mark, in the namespace of this thread. It is dormant until it is filled. One
/// that is there stays as it is.
///
/// # Errors
/// Where the kernel has no nf_tables, or this user may not (it takes `CAP_NET_ADMIN`).
pub fn create(mark: &str) -> io::Result<()> {
    let dormant = table(NEWTABLE, flags::CREATE | flags::EXCL, Version::Both, &name(mark));
    let dormant = dormant.with_be32(TABLE_FLAGS, DORMANT);
    match Socket::open(Family::Netfilter)?.transaction(vec![dormant]) {
        Err(e) if netlink::errno(&e) == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}

/// Puts a table of this name in place with these chains, all at once, in the namespace of this thread. It is none of those that stand for
/// a mark.
///
/// # Errors
/// As for [`fill`].
pub fn put(name: &str, chains: &[Chain]) -> io::Result<Lease> {
    write(name, false, chains)
}

/// Puts a table of this name in place, in the namespace of this thread, that is gone with the lease, and so with this process. Where the
/// kernel knows no such table (before Linux 5.12), it has to be removed.
///
/// # Errors
/// As for [`fill`].
pub fn put_owned(name: &str, chains: &[Chain]) -> io::Result<Lease> {
    // What is left of one that did not belong to its process.
    remove(name)?;
    let mut socket = Socket::open(Family::Netfilter)?;
    let make = |flags| {
        let table = table(NEWTABLE, flags::CREATE | flags::EXCL, Version::Both, name).with_be32(TABLE_FLAGS, flags);
        std::iter::once(table).chain(contents(name, chains, Queueing::Native)).collect()
    };
    match socket.transaction(make(OWNED)) {
        Err(e) if matches!(netlink::errno(&e), Some(libc::EINVAL | libc::EOPNOTSUPP)) => socket.transaction(make(0)),
        result => result,
    }?;
    Ok(Lease::of(socket, name, std::iter::once(Version::Both)))
}

/// The socket that a table of this name belongs to, whose number is usually that of its process; nothing where it belongs to none.
///
/// # Errors
/// As for [`marks`].
pub fn owner(name: &str) -> io::Result<Option<u32>> {
    Ok(parts()?.into_iter().find(|part| part.name == name).and_then(|part| part.owner))
}

/// The names of tables for both versions of IP that begin so.
///
/// # Errors
/// As for [`marks`].
pub fn named(prefix: &str) -> io::Result<Vec<String>> {
    let all = parts()?.into_iter().filter(|part| part.version == Version::Both);
    Ok(all.map(|part| part.name).filter(|name| name.starts_with(prefix)).collect())
}

/// Takes over the lease of a table by its name, which another process kept; nothing where it has lapsed, or there is no such table.
///
/// # Errors
/// As for [`marks`].
pub fn take_over(name: &str) -> io::Result<Option<Lease>> {
    let there: Vec<Version> = parts()?.into_iter().filter(|part| part.name == name).map(|part| part.version).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let mut lease = Lease::of(Socket::open(Family::Netfilter)?, name, there.into_iter());
    Ok(lease.renew()?.then_some(lease))
}

/// The same of the table that stands for a mark.
///
/// # Errors
/// As for [`marks`].
pub fn take_over_mark(mark: &str) -> io::Result<Option<Lease>> {
    take_over(&name(mark))
}

/// Whether the rules of a table of this name let everything pass, because no process has renewed their lease.
///
/// # Errors
/// As for [`marks`].
pub fn has_lapsed(name: &str) -> io::Result<bool> {
    Ok(!lease::runs(&mut Socket::open(Family::Netfilter)?, name)?)
}

/// Removes a table of this name; whether it was there.
///
/// # Errors
/// As for [`create`].
pub fn remove(name: &str) -> io::Result<bool> {
    match Socket::open(Family::Netfilter)?.transaction(vec![table(DELTABLE, 0, Version::Both, name)]) {
        Ok(()) => Ok(true),
        Err(e) if netlink::errno(&e) == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Fills the table that stands for a mark: afterwards it has these chains and no others, all at once or not at all. Those of them that
/// begin with [`rule::lapsed`] have an effect as long as the lease is renewed.
///
/// # Errors
/// As for [`create`], and where the kernel lacks what a rule needs.
pub fn fill(mark: &str, chains: &[Chain]) -> io::Result<Lease> {
    // A socket that deletes waits for the kernel's readers when it is closed, some 20 ms: a new table needs none of it.
    let fresh = tables()?.contains(&Table { mark: mark.to_owned(), state: TableState::Unfinished });
    write(&name(mark), fresh, chains)
}

fn write(name: &str, fresh: bool, chains: &[Chain]) -> io::Result<Lease> {
    let mut socket = Socket::open(Family::Netfilter)?;
    match socket.transaction(filled(name, fresh, chains, Queueing::Native)) {
        // The kernel may lack this word for what it can do nevertheless.
        Err(e) if missing(&e) && queues(chains) => socket.transaction(filled(name, fresh, chains, Queueing::Compat)),
        result => result,
    }?;
    // In a transaction of its own: kernels refuse chains for a table that is being woken.
    if fresh {
        let wake = |version| table(NEWTABLE, 0, version, name).with_be32(TABLE_FLAGS, 0);
        socket.transaction(versions(chains).map(wake).collect())?;
    }
    Ok(Lease::of(socket, name, versions(chains)))
}

/// Which tables chains take. That for both versions stands for the mark, and is always there.
fn versions(chains: &[Chain]) -> impl Iterator<Item = Version> {
    let has = |version: &Version| *version == Version::Both || chains.iter().any(|c| c.version == *version);
    Version::ALL.into_iter().filter(has)
}

/// The marks that our tables in this thread's namespace stand for.
///
/// # Errors
/// Where this user may not ask. A kernel without nf_tables has none.
pub fn marks() -> io::Result<Vec<String>> {
    let mut marks: Vec<String> =
        parts()?.iter().filter_map(|part| part.name.strip_prefix(PREFIX)).map(str::to_owned).collect();
    marks.dedup();
    Ok(marks)
}

/// Our tables in this thread's namespace.
///
/// # Errors
/// As for [`marks`].
pub fn tables() -> io::Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    let mut socket = Socket::open(Family::Netfilter)?;
    for Part { version, name, awake, .. } in parts()? {
        let Some(mark) = name.strip_prefix(PREFIX).map(str::to_owned) else { continue };
        // Those for one version mean nothing without the one that stands for the mark.
        let state = match (version, awake) {
            (Version::Both, true) if lease::runs(&mut socket, &name)? => TableState::Whole,
            (Version::Both, true) => TableState::Lapsed,
            _ => TableState::Unfinished,
        };
        match tables.iter_mut().find(|table| table.mark == mark) {
            Some(table) if version == Version::Both => table.state = state,
            Some(_) => {}
            None => tables.push(Table { mark, state }),
        }
    }
    Ok(tables)
}

/// A table as the kernel has it.
struct Part {
    version: Version,
    name: String,
    awake: bool,
    owner: Option<u32>,
}

fn parts() -> io::Result<Vec<Part>> {
    let tables = match Socket::open(Family::Netfilter)?.dump(&Message::new(GETTABLE, 0, &ANY)) {
        Err(e) if netlink::errno(&e) == Some(libc::EINVAL) || missing(&e) => return Ok(Vec::new()),
        tables => tables?,
    };
    let part = |body: &[u8]| {
        let (kind, attributes) = (body.first()?, body.get(4..)?);
        let version = Version::ALL.into_iter().find(|version| version.number() == *kind)?;
        let name = attribute(attributes, 1).map(netlink::text)?;
        let flags =
            attribute(attributes, TABLE_FLAGS).and_then(|f| f.first_chunk().copied()).map_or(0, u32::from_be_bytes);
        let owner = attribute(attributes, TABLE_OWNER).and_then(|o| o.first_chunk().copied()).map(u32::from_be_bytes);
        Some(Part { version, name, awake: flags & DORMANT == 0, owner })
    };
    Ok(tables.iter().filter_map(|table| part(&table.body)).collect())
}

/// Removes the table that stands for a mark, with those that belong to it. One that is gone is no error.
///
/// # Errors
/// As for [`create`].
pub fn delete(mark: &str) -> io::Result<()> {
    /// Another process may delete some of it at the same time.
    const ATTEMPTS: usize = 5;
    let mut deleted = Ok(());
    for _ in 0..ATTEMPTS {
        let there = parts()?.into_iter().filter(|part| part.name == name(mark));
        let messages: Vec<_> = there.map(|part| table(DELTABLE, 0, part.version, &name(mark))).collect();
        if messages.is_empty() {
            return Ok(());
        }
        deleted = Socket::open(Family::Netfilter)?.transaction(messages);
        if !deleted.as_ref().is_err_and(|e| netlink::errno(e) == Some(libc::ENOENT)) {
            break;
        }
    }
    deleted
}

/// Removes every table of Squall's, no matter which process made it.
///
/// # Errors
/// As for [`create`].
pub fn delete_all() -> io::Result<()> {
    marks()?.iter().try_for_each(|mark| delete(mark))
}

/// How often each rule for both versions of IP applied, in the rules' order. A table that is gone has none.
///
/// # Errors
/// As for [`marks`].
pub fn counters(mark: &str) -> io::Result<Vec<Counter>> {
    counters_of(&name(mark))
}

/// The same of a table by its name.
///
/// # Errors
/// As for [`marks`].
pub fn counters_of(name: &str) -> io::Result<Vec<Counter>> {
    let rules = match Socket::open(Family::Netfilter)?.dump(&table(GETRULE, 0, Version::Both, name)) {
        Err(e) if netlink::errno(&e) == Some(libc::ENOENT) => return Ok(Vec::new()),
        rules => rules?,
    };
    Ok(rules.iter().filter_map(|rule| counter(rule.body.get(4..)?)).collect())
}

fn name(mark: &str) -> String {
    format!("{PREFIX}{mark}")
}

fn missing(error: &io::Error) -> bool {
    matches!(netlink::errno(error), Some(libc::ENOENT | libc::EOPNOTSUPP))
}

fn queues(chains: &[Chain]) -> bool {
    let queues = |verdict| matches!(verdict, Verdict::Queue(_) | Verdict::Vanish | Verdict::Copy { .. });
    chains.iter().flat_map(|c| &c.rules).any(|rule| queues(rule.verdict))
}

/// A message about a table. Rules name theirs in the same attribute.
fn table(kind: u16, flags: u16, version: Version, name: &str) -> Message {
    Message::new(kind, flags, &generic(version)).with_text(1, name)
}

fn filled(name: &str, fresh: bool, chains: &[Chain], queueing: Queueing) -> Vec<Message> {
    let make = |version| table(NEWTABLE, flags::CREATE, version, name);
    let mut messages = Vec::new();
    if fresh {
        // As the one that is there: all of them wake at once.
        let dormant = |version| make(version).with_be32(TABLE_FLAGS, DORMANT);
        messages.extend(versions(chains).filter(|version| *version != Version::Both).map(dormant));
    } else {
        // Deleting wants something to be there, and making wants nothing.
        messages.extend(Version::ALL.into_iter().flat_map(|v| [make(v), table(DELTABLE, 0, v, name)]));
        messages.extend(versions(chains).map(make));
    }
    messages.extend(contents(name, chains, queueing));
    messages
}

/// What stands in tables: their lease, and their chains.
fn contents(name: &str, chains: &[Chain], queueing: Queueing) -> Vec<Message> {
    let mut messages: Vec<Message> = versions(chains).flat_map(|version| lease::start(version, name)).collect();
    if chains.iter().flat_map(|chain| &chain.rules).any(|rule| matches!(rule.verdict, Verdict::LeaveFrom { .. })) {
        messages.extend(addresses::maps(name));
    }
    for chain in chains {
        let table = |kind, flags| table(kind, flags, chain.version, name);
        // NFTA_CHAIN_NAME, _HOOK { _HOOKNUM, _PRIORITY }, _POLICY: accept, _TYPE
        messages.push(
            table(NEWCHAIN, flags::CREATE)
                .with_text(3, &chain.name)
                .with_nest(4, |m| m.with_be32(1, chain.hook.number()).with(2, &chain.priority.to_be_bytes()))
                .with_be32(5, 1)
                .with_text(7, kind(chain)),
        );
        for rule in &chain.rules {
            let message = table(NEWRULE, flags::CREATE | flags::APPEND).with_text(2, &chain.name);
            // NFTA_RULE_USERDATA: a comment (0), its length, its text and a zero.
            let length = u8::try_from(rule.comment.len() + 1).unwrap_or(u8::MAX);
            let text = rule.comment.bytes().take(usize::from(length) - 1);
            let comment: Vec<u8> = [0, length].into_iter().chain(text).chain([0]).collect();
            messages.push(write::expressions(message, rule, queueing).with(7, &comment));
        }
    }
    messages
}

/// The kernel's word for what a chain may do.
fn kind(chain: &Chain) -> &'static str {
    let translates = |rule: &Rule| matches!(rule.verdict, Verdict::Redirect(_) | Verdict::LeaveFrom { .. });
    if chain.rules.iter().any(translates) { "nat" } else { "filter" }
}

/// What a dump says of a rule.
fn counter(rule: &[u8]) -> Option<Counter> {
    let long = |bytes: &[u8], kind| {
        attribute(bytes, kind).and_then(|b| b.first_chunk().copied()).map_or(0, u64::from_be_bytes)
    };
    let expressions = attribute(rule, 4)?;
    let is = |expression, name| attribute(expression, 1).map(netlink::text).as_deref() == Some(name);
    let counts = attributes(expressions)
        .find_map(|(_, expression)| is(expression, "counter").then(|| attribute(expression, 2)).flatten())?;
    Some(Counter {
        chain: netlink::text(attribute(rule, 2)?),
        comment: attribute(rule, 7).and_then(|data| data.get(2..)).map(netlink::text).unwrap_or_default(),
        packets: long(counts, 2),
        bytes: long(counts, 1),
        queued: attributes(expressions).any(|(_, expression)| queue(expression).is_some_and(|q| q != rule::NOWHERE)),
    })
}

/// The queue that an expression hands packets to, in either of the two ways to say so.
fn queue(expression: &[u8]) -> Option<u16> {
    let name = attribute(expression, 1).map(netlink::text)?;
    let data = attribute(expression, 2)?;
    match name.as_str() {
        "queue" => attribute(data, 1)?.first_chunk().copied().map(u16::from_be_bytes),
        "target" => attribute(data, 3)?.first_chunk().copied().map(u16::from_ne_bytes),
        _ => None,
    }
}
