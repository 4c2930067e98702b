//! What a worker on the traffic of a namespace is told by the process that starts it, as JSON on its input.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::net::namespace::Namespace;
use crate::model::network::Network;

/// Whose traffic it is, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Orders {
    /// A file that stands for the namespace.
    pub namespace: PathBuf,
    /// What tells it from others, so that none is entered that has come in its place.
    pub identity: (u64, u64),
    /// A process in the namespace, with whose end the work ends.
    pub holder: u32,
    /// What the table stands for with whose end the work ends.
    pub mark: String,
    /// What becomes of the traffic.
    pub network: Network,
    /// The numbers of the interfaces on the engine's networks that are named in it.
    #[serde(default)]
    pub interfaces: BTreeMap<String, u32>,
}

impl Orders {
    /// Opens the namespace.
    ///
    /// # Errors
    /// Where it is gone, or may not be looked at.
    pub fn namespace(&self) -> io::Result<Namespace> {
        Namespace::at(&self.namespace)
    }
}
