//! A machine on which instances run, as a whole: what reaches it, and whether its orchestrator gives it tasks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node is cut off from everything but itself: what runs there goes on talking with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Isolation {
    /// The port of the node by which its engine is reached from elsewhere: connections to it pass, so that the runner can end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_through: Option<u16>,
}

impl Isolation {
    /// What it is known by where it is laid.
    #[must_use]
    pub fn mark(&self) -> String {
        self.let_through.map_or_else(|| "all".to_owned(), |port| format!("all_but_{port}"))
    }
}

/// Whether an orchestrator gives a node tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Availability {
    /// It does.
    Active,
    /// It gives it no new ones.
    Pause,
    /// It gives it none, and moves those that it has.
    Drain,
}

/// The availability of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAvailability {
    /// The node, by its id in its cluster.
    pub node: String,
    /// What it is.
    pub is: Availability,
    /// Whether a run of Squall's has made it so, which a label on the node tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_run: bool,
}

impl NodeAvailability {
    /// The same node, where a run makes it `is`.
    #[must_use]
    pub fn made(&self, is: Availability) -> Self {
        Self { node: self.node.clone(), is, of_run: true }
    }
}

impl fmt::Display for NodeAvailability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is {
            Availability::Active => "on a node that is given tasks",
            Availability::Pause => "on a node that is given no new tasks",
            Availability::Drain => "on a node that is drained of its tasks",
        })?;
        f.write_str(if self.of_run { " (by Squall)" } else { "" })
    }
}
