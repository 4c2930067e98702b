//! Addresses by marks: maps of a table, by which connections of a mark leave as if from the address that it stands for. Both are known
//! to the table alone, and are gone with it.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::rule::{LOOPBACK, Match};
use super::{NEWSET, NEWSETELEM, Version, generic, table};
use crate::host::net::netlink::{Message, Socket, flags};

/// What the marks have in their upper half, so that they are told from all others of Squall's.
const MARKED: u32 = 0x7379_0000;
/// Which bits are the same in all of them.
const MASK: u32 = 0xffff_0000;

/// `NFT_SET_MAP`.
const MAP: u32 = 0x8;
/// What `nft list` takes keys for, a mark; and the values, addresses of the two versions of IP.
const MARK: u32 = 19;
const ADDRESS: [u32; 2] = [7, 8];

/// The map's name, of one version of IP.
pub(super) fn map(v6: bool) -> &'static str {
    if v6 { "addresses6" } else { "addresses4" }
}

/// What a packet fits that leaves for this namespace itself, of a connection whose mark stands for an address.
#[must_use]
pub fn from_a_client(v6: bool) -> Vec<Match> {
    let marked = Match::MarkBits { mask: MASK, value: MARKED, equal: true };
    vec![Match::Out(LOOPBACK), Match::V6(v6), marked]
}

/// The addresses that marks of a table stand for.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The one that the table belongs to: no other may write it.
    socket: Arc<Mutex<Socket>>,
    table: String,
}

impl Addresses {
    /// Those of a table by its name.
    pub(super) fn of(socket: &Arc<Mutex<Socket>>, name: &str) -> Self {
        Self { socket: Arc::clone(socket), table: name.to_owned() }
    }

    /// Has a new mark, by its number, stand for an address: the mark.
    ///
    /// # Errors
    /// What the kernel refuses, such as a mark that stands for one already.
    pub fn add(&self, number: u16, address: IpAddr) -> io::Result<u32> {
        let mark = MARKED | u32::from(number);
        let octets = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        // NFTA_SET_ELEM_LIST_SET, _ELEMENTS; NFTA_LIST_ELEM; NFTA_SET_ELEM_KEY, _DATA; NFTA_DATA_VALUE
        let message = table(NEWSETELEM, flags::CREATE | flags::EXCL, Version::Both, &self.table)
            .with_text(2, map(address.is_ipv6()))
            .with_nest(3, |list| {
                list.with_nest(1, |one| {
                    one.with_nest(1, |key| key.with(1, &mark.to_ne_bytes())).with_nest(2, |data| data.with(1, &octets))
                })
            });
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).transaction(vec![message])?;
        Ok(mark)
    }
}

/// Makes the maps of a table that is being filled, empty.
pub(super) fn maps(name: &str) -> [Message; 2] {
    [false, true].map(|v6| {
        let (data, length, id) = if v6 { (ADDRESS[1], 16, 3) } else { (ADDRESS[0], 4, 2) };
        // NFTA_SET_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _DATA_TYPE, _DATA_LEN, _ID
        Message::new(NEWSET, flags::CREATE, &generic(Version::Both))
            .with_text(1, name)
            .with_text(2, map(v6))
            .with_be32(3, MAP)
            .with_be32(4, MARK)
            .with_be32(5, 4)
            .with_be32(6, data)
            .with_be32(7, length)
            .with_be32(10, id)
    })
}
