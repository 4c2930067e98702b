//! What about an instance can be set, and the values that it may have.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{Command, Kill, RestartPolicy, Signal, Signalled};
use crate::model::disk::{DiskLocation, Fill, MountKind};
use crate::model::machine::Limit;
use crate::model::network::{Network, Traffic};
use crate::model::stressor::{Oom, StressSpec, Stressor};
use crate::text::humantime_text;

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
    /// Its processes other than the main one.
    Processes,
    /// What a command of the user's changes, which Squall cannot observe.
    Custom,
}

impl Aspect {
    /// Whether its value can be observed wherever it can be set.
    #[must_use]
    pub fn is_observed(self) -> bool {
        !matches!(self, Self::Connections | Self::Custom)
    }

    /// Whether another aspect's change may change it as a consequence, so that it is put right after any run. What is none of
    /// those may be changed by others for reasons of their own, while a run is about something else.
    #[must_use]
    pub fn may_follow(self) -> bool {
        !matches!(
            self,
            Self::ProcessLimit
                | Self::CpuLimit
                | Self::MemoryLimit
                | Self::IoLimit
                | Self::DescriptorLimit
                | Self::PortRange
                | Self::Disk
                | Self::Mounts
                | Self::Processes
        )
    }

    /// Whether it is about traffic, which is disturbed from outside of the instance.
    #[must_use]
    pub fn is_of_traffic(self) -> bool {
        matches!(self, Self::Network | Self::Connections)
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "main process",
            Self::Paused => "freezer",
            Self::Network => "traffic",
            Self::Connections => "connections",
            Self::ProcessLimit => "limit of processes",
            Self::RestartPolicy => "restart policy",
            Self::Disk => "disk",
            Self::Mounts => "mounts",
            Self::CpuLimit => "limit of processor time",
            Self::MemoryLimit => "limit of memory",
            Self::IoLimit => "limit of reading and writing",
            Self::DescriptorLimit => "limit of descriptors",
            Self::PortRange => "range of ports",
            Self::CpuLoad => "processor load",
            Self::MemoryLoad => "memory load",
            Self::Processes => "processes",
            Self::Custom => "own ways",
        })
    }
}

/// One aspect of an instance and the value it has, or shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// The main process runs, or does not. Observed, and rolled back.
    Running(bool),
    /// The main process is gone because of a signal.
    Killed(Kill),
    /// The main process is gone because it was asked to stop.
    Stopped {
        /// How long it has for that before it is killed.
        #[serde(with = "humantime_text")]
        timeout: Duration,
    },
    /// The main process is another one than before. Momentary: there is nothing to observe but a new epoch.
    Restarted {
        /// How long it has to stop before it is killed.
        #[serde(with = "humantime_text")]
        timeout: Duration,
    },
    /// Its processes are frozen, or are not. Observed, and rolled back.
    Paused(bool),
    /// Its traffic is disturbed. Observed as its mark.
    Network(Box<Network>),
    /// What of Squall's lies on this aspect, told by the mark of what was set (such as [`Network::mark`]), or nothing. Observed;
    /// nothing is what a rollback sets.
    Mark(Aspect, Option<String>),
    /// It may use no more than this of its machine. Observed, and rolled back.
    Limit(Limit),
    /// One of its file systems is filled. Observed as its mark.
    Filled(Box<Fill>),
    /// What filled the file system at this place is gone. A rollback sets it.
    Freed(Box<DiskLocation>),
    /// Nothing can be written through these of its mounts, and through all others it can. Observed, and rolled back.
    ReadOnly(BTreeSet<String>),
    /// A process of Squall's uses up what it has, or holds some of its processes still. Observed as its mark.
    Stressor(Box<Stressor>),
    /// Processes other than the main one have got a signal. Momentary.
    Signalled(Box<Signalled>),
    /// Its established TCP connections of this kind are torn down. Momentary.
    ConnectionsReset(Box<Traffic>),
    /// What its engine does when its main process ends by itself. Observed, and rolled back, in whichever life.
    RestartPolicy(RestartPolicy),
    /// A command of the user's has run. Momentary: its evidence is its exit status.
    Ran(Command),
}

impl Setting {
    /// Which aspect this is a value of.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        match self {
            Self::Running(_) | Self::Killed(_) | Self::Stopped { .. } | Self::Restarted { .. } => Aspect::Running,
            Self::Paused(_) => Aspect::Paused,
            Self::Network(_) => Aspect::Network,
            Self::Mark(aspect, _) => *aspect,
            Self::Limit(limit) => match limit {
                Limit::Processes(_) => Aspect::ProcessLimit,
                Limit::Cpu(_) => Aspect::CpuLimit,
                Limit::Memory(_) => Aspect::MemoryLimit,
                Limit::Io(_) => Aspect::IoLimit,
                Limit::Descriptors(_) => Aspect::DescriptorLimit,
                Limit::Ports { .. } => Aspect::PortRange,
            },
            Self::Filled(_) | Self::Freed(_) => Aspect::Disk,
            Self::ReadOnly(_) => Aspect::Mounts,
            Self::Stressor(stressor) => match stressor.work {
                StressSpec::Cpu { .. } => Aspect::CpuLoad,
                StressSpec::Memory(_) => Aspect::MemoryLoad,
                StressSpec::Stop(_) => Aspect::Processes,
            },
            Self::Signalled(_) => Aspect::Processes,
            Self::ConnectionsReset(_) => Aspect::Connections,
            Self::RestartPolicy(_) => Aspect::RestartPolicy,
            Self::Ran(_) => Aspect::Custom,
        }
    }

    /// What is observed of it while it is in effect: the value itself, the mark of what is laid, or, where it is momentary or
    /// shows otherwise (in a life that ended), nothing.
    #[must_use]
    pub fn observed_as(&self) -> Option<Self> {
        match self {
            Self::Running(_)
            | Self::Paused(_)
            | Self::Mark(..)
            | Self::Limit(_)
            | Self::ReadOnly(_)
            | Self::RestartPolicy(_) => Some(self.clone()),
            Self::Filled(fill) => Some(Self::Mark(Aspect::Disk, Some(fill.mark()))),
            Self::Freed(_) => Some(Self::Mark(Aspect::Disk, None)),
            Self::Network(network) => Some(Self::Mark(Aspect::Network, Some(network.mark()))),
            Self::Stressor(stressor) => Some(Self::Mark(self.aspect(), Some(stressor.mark()))),
            Self::Killed(_)
            | Self::Stopped { .. }
            | Self::Restarted { .. }
            | Self::ConnectionsReset(_)
            | Self::Signalled(_)
            | Self::Ran(_) => None,
        }
    }

    /// In which stage of a fault it is set: what must be in place on all targets before anything else happens to them comes
    /// first.
    #[must_use]
    pub fn stage(&self) -> u8 {
        u8::from(!matches!(self, Self::RestartPolicy(_)))
    }

    /// How long an engine may still be busy with this after the process that asked for it has died.
    /// A rollback is proven only after that time (an injection without a recorded end may still be executing).
    #[must_use]
    pub fn longest(&self) -> Duration {
        const MARGIN: Duration = Duration::from_millis(500);
        match self {
            Self::Stopped { timeout } | Self::Restarted { timeout } => *timeout + 2 * MARGIN,
            Self::Ran(command) => command.timeout + MARGIN,
            Self::Running(_)
            | Self::Killed(_)
            | Self::Paused(_)
            | Self::Network(_)
            | Self::Mark(..)
            | Self::Limit(_)
            | Self::RestartPolicy(_)
            | Self::Filled(_)
            | Self::ReadOnly(_)
            | Self::Stressor(_)
            | Self::Signalled(_)
            | Self::ConnectionsReset(_) => MARGIN,
            // A directory with a million files goes file by file.
            Self::Freed(_) => Duration::from_secs(20),
        }
    }

    /// Whether it ends with the life of the instance that it was made for, without being over by that: it is made again in
    /// the next life, for as long as the fault is on.
    #[must_use]
    pub fn ends_with_life(&self) -> bool {
        match self {
            Self::Network(_) | Self::Limit(_) | Self::ReadOnly(_) => true,
            // Memory does; what is written to a file system stays.
            Self::Filled(fill) => fill.place.mount.kind == MountKind::Tmpfs,
            // The processes of the next life are others.
            Self::Stressor(stressor) => !matches!(stressor.work, StressSpec::Stop(_)),
            _ => false,
        }
    }

    /// Whether nothing but a command's exit status tells that it was made: what the command did is not observed.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        matches!(self, Self::Ran(_))
    }

    /// Whether it can be in place without anything that meets it, so that its effect has to be shown. An instance that ends,
    /// is frozen, or has processes that are, is what was to be brought about; a command may do nothing, and processes may take no
    /// notice of a signal.
    #[must_use]
    pub fn can_be_idle(&self) -> bool {
        match self {
            Self::Network(_) | Self::Limit(_) | Self::Filled(_) | Self::ReadOnly(_) | Self::Ran(_) => true,
            Self::Stressor(stressor) => !matches!(stressor.work, StressSpec::Stop(_)),
            Self::Signalled(signalled) => signalled.signal != Signal::SigKill,
            _ => false,
        }
    }

    /// Whether the end of the instance's main process may be its very effect.
    #[must_use]
    pub fn may_end_life(&self) -> bool {
        matches!(self, Self::Stressor(stressor) if matches!(&stressor.work, StressSpec::Memory(load) if load.oom == Oom::Allow))
    }

    /// Whether the instance's main process may end for want of memory.
    #[must_use]
    pub fn may_starve(&self) -> bool {
        self.may_end_life() || matches!(self, Self::Limit(Limit::Memory(_)))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(true) => f.write_str("running"),
            Self::Running(false) => f.write_str("not running"),
            Self::Killed(Kill { signal, via }) => write!(f, "killed with {signal} ({via})"),
            Self::Stopped { timeout } => write!(f, "stopped within {}", humantime::format_duration(*timeout)),
            Self::Restarted { .. } => f.write_str("restarted"),
            Self::Paused(true) => f.write_str("paused"),
            Self::Paused(false) => f.write_str("not paused"),
            Self::Network(network) => network.fmt(f),
            Self::Mark(aspect, None) => write!(f, "{aspect} untouched"),
            Self::Mark(aspect, Some(mark)) => write!(f, "{aspect} disturbed ({mark})"),
            Self::Limit(limit) => write!(f, "limited to {limit}"),
            Self::Filled(fill) => fill.fmt(f),
            Self::Freed(place) => write!(f, "freed at {}", place.path),
            Self::ReadOnly(paths) if paths.is_empty() => f.write_str("writable everywhere"),
            Self::ReadOnly(paths) => {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                write!(f, "read-only at {}", paths.join(" and "))
            }
            Self::Stressor(stressor) => stressor.fmt(f),
            Self::Signalled(signalled) => signalled.fmt(f),
            Self::ConnectionsReset(traffic) => write!(f, "connections reset {traffic}"),
            Self::RestartPolicy(policy) => policy.fmt(f),
            Self::Ran(command) => write!(f, "ran {command}"),
        }
    }
}
