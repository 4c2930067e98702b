//! Whether a change had an effect on what goes on at its target, as plain data.
//!
//! A change can be in place (its injection is verified) and meet nothing: a delay on a port without traffic, a limit of
//! processor time above what is used. Such a fault says nothing about a hypothesis, so a run that has one comes to no verdict,
//! unless its file says `idle: allowed`. Whether a full disk was written to, no kernel counts: the verdict then says so.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a change did to what goes on at its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Effect {
    /// Something met it and was changed by it.
    Affected {
        /// What shows it, such as `312 packets met it`.
        evidence: String,
    },
    /// Nothing met it, or what met it was not changed by it.
    Unaffected {
        /// What the change was about, such as `traffic to every peer, port 5432`.
        selected: String,
        /// What was seen instead, such as `no packet met it`.
        seen: String,
    },
    /// Whether anything met it cannot be known.
    Unknown {
        /// What the change was about, such as `descriptors below 9`.
        selected: String,
        /// Why not, such as `the kernel does not count it`.
        why: String,
    },
}

impl Effect {
    /// Whether something was affected.
    #[must_use]
    pub fn is_affected(&self) -> bool {
        matches!(self, Self::Affected { .. })
    }

    /// Whether nothing was affected, as far as that can be known.
    #[must_use]
    pub fn is_unaffected(&self) -> bool {
        matches!(self, Self::Unaffected { .. })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Affected { evidence } => f.write_str(evidence),
            Self::Unaffected { selected, seen } => write!(f, "{seen} (selected: {selected})"),
            Self::Unknown { selected, why } => write!(f, "{why} (selected: {selected})"),
        }
    }
}

/// Which targets of a fault may be idle: not affected, without the run coming to no verdict for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// None: every target must be affected.
    #[default]
    None,
    /// Some, as long as one target is affected.
    Some,
    /// All of them; the verdict then says that the fault had no effect.
    Allowed,
}

impl Idle {
    /// Whether a fault may come to this.
    #[must_use]
    pub fn allows(self, idle: usize, targets: usize) -> bool {
        match self {
            Self::None => idle == 0,
            Self::Some => targets == 0 || idle < targets,
            Self::Allowed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_without_effect_must_be_allowed() {
        for (idle, none, some, allowed) in [(0, true, true, true), (1, false, true, true), (3, false, false, true)] {
            assert_eq!(Idle::None.allows(idle, 3), none);
            assert_eq!(Idle::Some.allows(idle, 3), some);
            assert_eq!(Idle::Allowed.allows(idle, 3), allowed);
        }
    }
}
