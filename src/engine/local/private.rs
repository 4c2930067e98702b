//! A stack's own network: its seats, and whether this machine can have it. Not how it is made: that is the kernel's.

use std::io;
use std::path::Path;

use crate::engine::EngineError;
use crate::host::facts::{CAPABILITIES, Facts};
use crate::host::net::switch::{self, Seat};
use crate::stack::{Replica, Subnet};

/// What tells the network of a stack from others on this machine: the same for whoever knows the stack's state file.
pub(super) fn id(address: &Path) -> String {
    // 32-bit FNV-1a: the same over versions.
    let hash = address
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// The seat of an instance.
pub(super) fn seat(address: &Path, subnet: Subnet, replica: &Replica) -> Option<Seat> {
    Some(Seat { network: id(address), address: replica.address?, prefix: subnet.prefix(), gateway: subnet.gateway })
}

/// Says no, with the reason, where the network of a seat cannot be made here.
pub(super) fn check(seat: &Seat) -> Result<(), EngineError> {
    let facts = Facts::here();
    let lacks = |name: &str| CAPABILITIES.iter().any(|c| c.name == name && facts.has(*c) != Some(true));
    if lacks("NET_ADMIN") || lacks("SYS_ADMIN") {
        let why =
            "it takes root (CAP_NET_ADMIN and CAP_SYS_ADMIN): run as root, or leave `network` out of the stack file";
        return Err(refused(seat, &why));
    }
    match switch::in_the_way(seat) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(refused(seat, &format!("{why}; give the stack file another `network`"))),
        Err(e) => Err(refused(seat, &e)),
    }
}

/// Makes the network of a seat where it is not there.
pub(super) fn make(seat: &Seat) -> Result<(), EngineError> {
    switch::make(seat).map_err(|e| refused(seat, &e))
}

/// Removes the network of a stack, where it is there.
pub(super) fn remove(address: &Path) -> Result<(), EngineError> {
    let id = id(address);
    let name = || switch::link_of(&id);
    switch::remove(&id).map(drop).map_err(|e: io::Error| EngineError::Refused {
        attempt: format!("remove the stack's network (`ip link del {}`)", name()),
        why: e.to_string(),
    })
}

fn refused(seat: &Seat, why: &dyn std::fmt::Display) -> EngineError {
    EngineError::Refused { attempt: format!("make the stack's own network {}", seat.range()), why: why.to_string() }
}
