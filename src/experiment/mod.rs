//! The experiment file as a value: what healthy means, what goes wrong, how much may be hit.
//!
//! Plain data that can be compared, printed and stored in the journal. No I/O: reading files and variables is the
//! caller's business. `docs/experiment-format.md` describes every key for users.

mod check;
pub mod diagnostic;
pub mod document;
mod hint;
pub mod hypothesis;
pub mod quantity;
pub mod radius;
pub mod read;
pub mod schema;
pub mod selector;
mod shape;
pub mod structure;
pub mod tree;

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use hypothesis::{Check, Expect, ValueBound};
pub use quantity::{Percent, Rate, Span, Text};
pub use radius::{BlastRadius, Pick};
pub use selector::Selector;

use crate::fault::Fault;

/// A chaos experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Experiment {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"))]
    pub name: String,
    /// What is believed to be true, in a sentence.
    pub hypothesis: String,
    /// Words to choose experiments by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What healthy means: probes by name, each with its expectations.
    pub steady_state: IndexMap<String, Check>,
    /// Whom the fault hits.
    pub target: Target,
    /// What goes wrong.
    pub fault: Fault,
    /// How much may be hit. Limits only; there is no default.
    pub blast_radius: BlastRadius,
    /// How long each phase takes.
    #[serde(default)]
    pub timing: Timing,
    /// What happens when the hypothesis breaks while the fault is on.
    #[serde(default)]
    pub on_breach: OnBreach,
    /// Probes that only abort: the neighbours that must not suffer.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub safety: IndexMap<String, Check>,
    /// Which label names the zone of an instance (default `squall.zone`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_label: Option<String>,
}

/// Whom the fault hits: a selection, and how many of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// The label `squall.service`, else the compose service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Name of the instance; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Image it was made from; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Labels it carries, each `key` or `key=value`; a single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub labels: Vec<String>,
    /// How many of the selected: a number (default 1), a percentage (rounded down), `all`, or `{ zones: 1 }`.
    #[serde(default)]
    pub pick: Pick,
}

impl Target {
    /// The selection without the number.
    #[must_use]
    pub fn selector(&self) -> Selector {
        Selector {
            service: self.service.clone(),
            zone: self.zone.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            labels: self.labels.clone(),
        }
    }
}

/// How long each phase takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timing {
    /// Samples of this time are not judged (default 0s).
    pub warm_up: Span,
    /// How long steady state is proven before anything is touched (default 5s).
    pub baseline: Span,
    /// How long the fault is held (default 30s).
    pub duration: Span,
    /// How long steady state may take to come back (default 30s).
    pub recovery: Span,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = |s| Span(Duration::from_secs(s));
        Self { warm_up: seconds(0), baseline: seconds(5), duration: seconds(30), recovery: seconds(30) }
    }
}

/// What happens when the hypothesis breaks while the fault is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnBreach {
    /// The fault is taken back at once.
    #[default]
    Abort,
    /// The fault is held to its end, to see how far it goes. `safety` still aborts.
    Observe,
}
