//! Who rolls back in the place of a dead runner, and how instances are afterwards.

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::engine::ProcessId;
use crate::model::instance::Aspect;

/// Who finishes a run in the place of its dead runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// Who.
    pub by: Actor,
    /// Its process.
    pub process: ProcessId,
}

/// An instance that was compared with what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The instance's name.
    pub instance: String,
    /// What differs from before; empty where nothing does.
    pub differences: Vec<Difference>,
}

impl Restored {
    /// One in which nothing differs.
    #[must_use]
    pub fn as_before(instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), differences: Vec::new() }
    }

    /// Whether anything differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.differences.is_empty()
    }

    /// What differs, in one sentence without its subject.
    #[must_use]
    pub fn what_differs(&self) -> String {
        self.differences.iter().map(|d| d.what.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// What of an instance could not be brought back to what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The aspect that differs.
    pub aspect: Aspect,
    /// What it was and what it is, and what the engine answers when it is set; a sentence without its subject, the instance.
    pub what: String,
    /// The command that a person would type, where the value of before is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}
