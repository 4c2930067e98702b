//! A stack's own network: its seats, and whether this machine can have it. Not how it is made: that is the kernel's.

use std::io;
use std::path::Path;

use crate::engine::EngineError;
use crate::experiment::stack::{Replica, Subnet};
use crate::host::facts::{CAPABILITIES, Facts};
use crate::host::net::switch::{self, NetworkSlot};

/// What tells the network of a stack from others on this machine: the same for every process that knows the stack's state file.
pub(super) fn id(address: &Path) -> String {
    // 32-bit FNV-1a: the same over versions.
    let hash = address
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// The slot of an instance.
pub(super) fn slot(address: &Path, subnet: Subnet, replica: &Replica) -> Option<NetworkSlot> {
    Some(NetworkSlot {
        network: id(address),
        address: replica.address?,
        prefix: subnet.prefix(),
        gateway: subnet.gateway,
    })
}

/// Says no, with the reason, where the network of a slot cannot be made here.
pub(super) fn check(slot: &NetworkSlot) -> Result<(), EngineError> {
    let facts = Facts::here();
    let lacks = |name: &str| CAPABILITIES.iter().any(|c| c.name == name && facts.has(*c) != Some(true));
    if lacks("NET_ADMIN") || lacks("SYS_ADMIN") {
        let why =
            "it takes root (CAP_NET_ADMIN and CAP_SYS_ADMIN): run as root, or leave `network` out of the stack file";
        return Err(refused(slot, &why));
    }
    match switch::in_the_way(slot) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(refused(slot, &format!("{why}; give the stack file another `network`"))),
        Err(e) => Err(refused(slot, &e)),
    }
}

/// Makes the network of a slot where it is not there.
pub(super) fn make(slot: &NetworkSlot) -> Result<(), EngineError> {
    switch::make(slot).map_err(|e| refused(slot, &e))
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

fn refused(slot: &NetworkSlot, why: &dyn std::fmt::Display) -> EngineError {
    EngineError::Refused { attempt: format!("make the stack's own network {}", slot.range()), why: why.to_string() }
}
