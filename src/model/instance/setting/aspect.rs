//! What about an instance can be set, as such: of which aspect a setting is the value. One line for each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What about an instance can be set; at most one active fault per aspect of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Whether the main process runs.
    Running,
    /// Whether its processes are frozen.
    Paused,
    /// What happens to its traffic.
    Network,
    /// Its established connections.
    Connections,
    /// How many processes it may have.
    ProcessLimit,
    /// Whether its engine starts it again when its main process ends by itself.
    RestartPolicy,
    /// What fills its file systems.
    Disk,
    /// Through which of its mounts nothing can be written.
    Mounts,
    /// How much processor time it may use.
    CpuLimit,
    /// How much memory it may use.
    MemoryLimit,
    /// How fast it may read and write its disks.
    IoLimit,
    /// How many descriptors its processes may have.
    DescriptorLimit,
    /// From which ports its own connections begin.
    PortRange,
    /// What a process of Squall's uses of its processor.
    CpuLoad,
    /// What a process of Squall's uses of its memory.
    MemoryLoad,
    /// Connections to it that a process of Squall's holds.
    HeldConnections,
    /// Its processes other than the main one.
    Processes,
    /// What reaches its node.
    NodeNetwork,
    /// Whether the orchestrator of its node gives that tasks.
    NodeAvailability,
    /// What a command of the user's changes, which Squall cannot observe.
    Custom,
}

/// What is to be known of an aspect. Without a default: each aspect says all of it.
struct Facts {
    /// Its words for people.
    name: &'static str,
    seen: Seen,
    follows: bool,
    traffic: bool,
}

/// As what an aspect can be observed wherever it can be set.
enum Seen {
    /// As its value.
    Value,
    /// As the mark of what of Squall's lies there, or that nothing does.
    Mark(Laid),
    /// Not at all.
    Not,
}

/// What of Squall's can lie on an instance, where it is found by its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laid {
    /// A disturbance of its traffic.
    Traffic,
    /// What fills one of its file systems.
    Filling,
    /// A process that uses its processor.
    Cpu,
    /// A process that uses its memory.
    Memory,
    /// A process that holds connections to it.
    Connections,
    /// A process that holds others of it still.
    Still,
    /// What cuts off its node.
    Isolation,
}

impl Aspect {
    const fn facts(self) -> Facts {
        use Seen::{Mark, Not, Value};
        match self {
            Self::Running => Facts { name: "main process", seen: Value, follows: true, traffic: false },
            Self::Paused => Facts { name: "freezer", seen: Value, follows: true, traffic: false },
            Self::Network => Facts { name: "traffic", seen: Mark(Laid::Traffic), follows: true, traffic: true },
            Self::Connections => Facts { name: "connections", seen: Not, follows: true, traffic: true },
            Self::ProcessLimit => Facts { name: "limit of processes", seen: Value, follows: false, traffic: false },
            Self::RestartPolicy => Facts { name: "restart policy", seen: Value, follows: true, traffic: false },
            Self::Disk => Facts { name: "disk", seen: Mark(Laid::Filling), follows: false, traffic: false },
            Self::Mounts => Facts { name: "mounts", seen: Value, follows: false, traffic: false },
            Self::CpuLimit => Facts { name: "limit of processor time", seen: Value, follows: false, traffic: false },
            Self::MemoryLimit => Facts { name: "limit of memory", seen: Value, follows: false, traffic: false },
            Self::IoLimit => {
                Facts { name: "limit of reading and writing", seen: Value, follows: false, traffic: false }
            }
            Self::DescriptorLimit => {
                Facts { name: "limit of descriptors", seen: Value, follows: false, traffic: false }
            }
            Self::PortRange => Facts { name: "range of ports", seen: Value, follows: false, traffic: false },
            Self::CpuLoad => Facts { name: "processor load", seen: Mark(Laid::Cpu), follows: true, traffic: false },
            Self::MemoryLoad => Facts { name: "memory load", seen: Mark(Laid::Memory), follows: true, traffic: false },
            Self::HeldConnections => {
                Facts { name: "held connections", seen: Mark(Laid::Connections), follows: true, traffic: false }
            }
            Self::Processes => Facts { name: "processes", seen: Mark(Laid::Still), follows: false, traffic: false },
            // Persons and other runs have reasons of their own to change them.
            Self::NodeNetwork => {
                Facts { name: "network of its node", seen: Mark(Laid::Isolation), follows: false, traffic: false }
            }
            Self::NodeAvailability => {
                Facts { name: "availability of its node", seen: Value, follows: false, traffic: false }
            }
            Self::Custom => Facts { name: "own ways", seen: Not, follows: true, traffic: false },
        }
    }

    /// Whether its value can be observed wherever it can be set.
    #[must_use]
    pub fn is_observed(self) -> bool {
        !matches!(self.facts().seen, Seen::Not)
    }

    /// What of Squall's can lie there, if anything.
    #[must_use]
    pub fn laid(self) -> Option<Laid> {
        match self.facts().seen {
            Seen::Mark(laid) => Some(laid),
            Seen::Value | Seen::Not => None,
        }
    }

    /// Whether another aspect's change may change it as a consequence, so that it is put right after any run. What is none of
    /// those may be changed by others for reasons of their own, while a run is about something else.
    #[must_use]
    pub fn may_follow(self) -> bool {
        self.facts().follows
    }

    /// Whether it is about the node of the instance.
    #[must_use]
    pub fn is_of_node(self) -> bool {
        matches!(self, Self::NodeNetwork | Self::NodeAvailability)
    }

    /// Whether it is about traffic, which is disturbed from outside of the instance.
    #[must_use]
    pub fn is_of_traffic(self) -> bool {
        self.facts().traffic
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)
    }
}
