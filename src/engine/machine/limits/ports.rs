//! Which ports the instance's own connections have: `net.ipv4.ip_local_port_range` of its network namespace, for IPv6 as well.

use std::io::{Error, Result};

use super::Read;
use crate::engine::Outcome;
use crate::engine::machine::MachineAccess;
use crate::host::net::namespace::Namespace;
use crate::model::machine::Limit;

/// The file stands for the namespace of the process that opens it.
const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

pub(super) fn read(site: &MachineAccess) -> Result<Option<Read>> {
    if !site.host.may_enter() {
        return Ok(None);
    }
    let (first, last) = namespace(site)?.run(range)?;
    let limit = Limit::Ports { first, last };
    let n = u32::from(last).saturating_sub(first.into()) + 1;
    Ok(Some(Read { limit, sees: format!("{n} ports for its own connections, from {first}") }))
}

pub(super) fn set(site: &MachineAccess, to: (u16, u16)) -> Result<Outcome> {
    namespace(site)?.run(|| {
        if range()? == to {
            return Ok(Outcome::Already);
        }
        std::fs::write(FILE, format!("{} {}", to.0, to.1)).map_err(|e| Error::new(e.kind(), format!("{FILE}: {e}")))?;
        Ok(Outcome::Done)
    })
}

/// Its network namespace. Never this machine's own.
fn namespace(site: &MachineAccess) -> Result<Namespace> {
    let namespace = Namespace::of(site.process.pid())?;
    if namespace.identity()? == Namespace::own()?.identity()? {
        return Err(Error::other("it shares the network of its host, where every program would be affected"));
    }
    // Asked last: only then was it that process's, and not a successor's.
    if site.process.is_alive() { Ok(namespace) } else { Err(Error::other("it has ended")) }
}

fn range() -> Result<(u16, u16)> {
    let text = std::fs::read_to_string(FILE)?;
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok((first, last)),
        _ => Err(Error::other(format!("{FILE}: `{}` is no range", text.trim()))),
    }
}
