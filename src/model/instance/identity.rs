//! Which instance it is, and in which of its lives. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of an instance on its engine: a container id, or the name of a local or simulated process.
/// Never a PID or a namespace, which other processes inherit.
///
/// It does not name its engine: a run has one, which its journal names once, and all its ids are that engine's. To all others an id is
/// opaque, so that an engine of several machines can tell ids that name the machine, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Between the name of a machine and what is on it.
const ON_NODE: char = '/';

impl InstanceId {
    /// The id of what goes by this one, or this name, on a machine, among several machines.
    #[must_use]
    pub fn of_node(node: &str, id: &str) -> String {
        format!("{node}{ON_NODE}{id}")
    }

    /// The machine that an id or a name tells, and what it is there; `None` where it tells none.
    #[must_use]
    pub fn split(id: &str) -> Option<(&str, &str)> {
        id.split_once(ON_NODE)
    }

    /// What goes by this id, or this name, on its own machine.
    #[must_use]
    pub fn on_its_node(id: &str) -> &str {
        Self::split(id).map_or(id, |(_, there)| there)
    }
}

/// Which life of the instance this is: a container's `StartedAt`, a process's start time.
/// Settings that die with the process (a pause) are gone in another epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);
