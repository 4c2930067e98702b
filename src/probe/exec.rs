//! A command's exit status, and what it prints as a value.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::Text;

/// Run a command. The short form is the argument list alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments; no shell.
    pub run: Vec<Text>,
    /// The exit status that is expected (default 0).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub status: i32,
    /// The name of the instance it runs in (default: here, on this machine).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<Text>,
    /// Environment of the command, on top of this one's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Text>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}
