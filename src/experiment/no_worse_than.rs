//! How much worse than before a service may be under the same fault.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percent;

/// How much worse than an earlier run this one may be, where the two are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("x-short" = "latency"))]
pub struct NoWorseThan {
    /// By how much latency may be longer, as a share of what it was (default 10%).
    pub latency: Percent,
    /// By how much the share of failures may be larger, in percentage points (default 2%).
    pub failures: Percent,
    /// How sure a finding has to be (default 95%).
    pub confidence: Percent,
}

impl Default for NoWorseThan {
    fn default() -> Self {
        Self { latency: Percent(0.1), failures: Percent(0.02), confidence: Percent(0.95) }
    }
}
