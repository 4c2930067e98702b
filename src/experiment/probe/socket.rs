//! A unix socket of this machine, asked instead of a port.

use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

use anyhow::anyhow;

use super::ask::ProbeSetup;
use crate::model::quantity::Text;

/// The path of a socket, as far as it can be one.
pub(super) fn path(text: &Text, setup: &ProbeSetup) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(setup.text(text)?);
    // The kernel's limit is about a hundred bytes.
    SocketAddr::from_pathname(&path).map_err(|e| anyhow!("`{text}` cannot be the path of a socket: {e}"))?;
    Ok(path)
}
