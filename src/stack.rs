//! A small stack file: the services that the local engine starts, and that the sim imitates. A value; no I/O.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::{Span, Text};

/// A stack of services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stack {
    /// Version of the file format; 1.
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The services, in the order in which they are started.
    pub services: IndexMap<String, Service>,
}

/// A service of a stack: one command, some replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Program and arguments; no shell. `{port}`, `{name}` and `{zone}` stand for the replica's own.
    pub command: Vec<Text>,
    /// How many instances (default 1); they are named `SERVICE-1`, `SERVICE-2` and so on.
    #[serde(default = "one")]
    pub replicas: usize,
    /// The zones they are in, in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The port of the first instance; each further one has the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Environment, on top of this one's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environment: IndexMap<String, Text>,
    /// Labels to select by.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// The services it cannot answer without. (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How long its callers take to notice that one instance is down (default 0s). (Only the sim needs to know.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Span>,
    /// Whether a crashed instance is started again. (Only the sim does.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
}

fn one() -> usize {
    1
}
