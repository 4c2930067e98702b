//! A TCP connection: it opens, or it does not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::Text;

/// Connect over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tcp {
    /// `host:port`.
    pub address: Text,
}
