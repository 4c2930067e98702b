//! The addresses that clients come from, on the side of the server: connections in their place leave as if from there.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::host::net::nft::Addresses;

/// Clients so far, and the mark that stands for each.
#[derive(Debug)]
pub(super) struct Clients {
    marks: Mutex<HashMap<IpAddr, u32>>,
    addresses: Addresses,
}

impl Clients {
    pub(super) fn new(addresses: Addresses) -> Self {
        Self { marks: Mutex::default(), addresses }
    }

    /// The mark with which a connection leaves as if from this address.
    ///
    /// # Errors
    /// Where there are more than 65,535 clients, or the kernel refuses.
    pub(super) fn mark(&self, of: IpAddr) -> io::Result<u32> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = marks.get(&of) {
            return Ok(*mark);
        }
        let number = u16::try_from(marks.len() + 1).map_err(io::Error::other)?;
        let mark = self.addresses.add(number, of)?;
        marks.insert(of, mark);
        Ok(mark)
    }
}
