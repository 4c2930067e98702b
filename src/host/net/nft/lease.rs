//! Leases: what a table does, it does for as long as a process says so again and again. The rules of each of its chains begin with one
//! that lets every packet pass once nothing has been said for [`LEASE`]; the kernel keeps that time, so it takes no process to end it.
//!
//! A lease is the elements of a set that the kernel forgets. To renew them is to replace them: where they are forgotten already, there is
//! nothing to replace, the whole transaction is refused, and what has lapsed stays so.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::addresses::Addresses;
use super::{NEWSET, NEWSETELEM, Version, generic, table};
use crate::host::net::netlink::{self, Message, Socket, flags};

/// How long rules have an effect after they were renewed last. Traffic of a machine on which every process of Squall's dies or hangs
/// flows as before after this long.
pub const LEASE: Duration = Duration::from_millis(1400);

/// The set's name in each table.
pub(super) const SET: &str = "lease";

const GETSETELEM: u16 = NEWSETELEM + 1;
const DELSETELEM: u16 = NEWSETELEM + 2;

/// `NFT_SET_TIMEOUT`.
const TIMEOUT: u32 = 0x10;
/// What `nft list` takes the elements for: versions of IP.
const NFPROTO: u32 = 2;
/// IPv4 and IPv6.
const ELEMENTS: [u8; 2] = [2, 10];

/// The right of a table's rules to have an effect. Its holder renews it; dropping it lets it lapse.
#[derive(Debug)]
#[must_use = "the rules have no effect any more when it has lapsed"]
pub struct Lease {
    /// Of the namespace that the table is in, which lives on as long as this does.
    socket: Arc<Mutex<Socket>>,
    renewal: Vec<Message>,
}

impl Lease {
    /// That of a table and those that belong to it, by a socket of their namespace.
    pub(super) fn of(socket: Socket, name: &str, versions: impl Iterator<Item = Version>) -> Self {
        let renewal =
            versions.flat_map(|version| [elements(DELSETELEM, version, name), begin(version, name)]).collect();
        Self { socket: Arc::new(Mutex::new(socket)), renewal }
    }

    /// Renews it; whether it was there: else it has lapsed, or its table is gone, and it is over for good.
    ///
    /// # Errors
    /// Where the kernel does not do it for another reason. It may be tried again.
    pub fn renew(&mut self) -> io::Result<bool> {
        match self.socket.lock().unwrap_or_else(PoisonError::into_inner).transaction(self.renewal.clone()) {
            Ok(()) => Ok(true),
            Err(e) if netlink::errno(&e) == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The addresses that marks of its table stand for.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Addresses {
        Addresses::of(&self.socket, name)
    }
}

/// Makes the set of a table that is being filled, and begins its lease.
pub(super) fn start(version: Version, name: &str) -> [Message; 2] {
    // NFTA_SET_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _ID
    let set = Message::new(NEWSET, flags::CREATE, &generic(version)).with_text(1, name).with_text(2, SET);
    [set.with_be32(3, TIMEOUT).with_be32(4, NFPROTO).with_be32(5, 1).with_be32(10, 1), begin(version, name)]
}

fn begin(version: Version, name: &str) -> Message {
    elements(NEWSETELEM, version, name)
}

fn elements(kind: u16, version: Version, name: &str) -> Message {
    let flags = if kind == NEWSETELEM { flags::CREATE } else { 0 };
    let milliseconds = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS; NFTA_LIST_ELEM; NFTA_SET_ELEM_KEY, _TIMEOUT
    table(kind, flags, version, name).with_text(2, SET).with_nest(3, |list| {
        ELEMENTS.iter().fold(list, |list, element| {
            list.with_nest(1, |one| {
                let one = one.with_nest(1, |key| key.with(1, &[*element]));
                if kind == NEWSETELEM { one.with(4, &milliseconds.to_be_bytes()) } else { one }
            })
        })
    })
}

/// Whether a table has a lease that runs.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn runs(socket: &mut Socket, name: &str) -> io::Result<bool> {
    // NFTA_SET_ELEM_LIST_ELEMENTS
    let has =
        |body: &[u8]| body.get(4..).and_then(|body| netlink::attribute(body, 3)).is_some_and(|all| !all.is_empty());
    match socket.dump(&table(GETSETELEM, 0, Version::Both, name).with_text(2, SET)) {
        Ok(answers) => Ok(answers.iter().any(|answer| has(&answer.body))),
        Err(e) if netlink::errno(&e) == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}
