//! What can go wrong: one small file per fault.
//!
//! A fault is a pure function from an instance to the settings it shall have; the rollback is what was observed
//! before. It knows no engine, no clock and no I/O. `docs/adding-a-fault.md` walks through adding one.

mod bandwidth;
mod blackhole;
mod corrupt;
mod cpu;
mod disk_fill;
mod disk_readonly;
mod disk_slow;
mod dns;
mod duplicate;
mod exec;
mod file_descriptors;
mod kill;
mod latency;
mod loss;
mod memory;
mod partition;
mod pause;
mod pids;
mod process;
mod reorder;
mod reset;
mod restart;
mod shape;
mod sockets;
mod stop;
mod throttle;
mod traffic;
mod zone_outage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bandwidth::Bandwidth;
pub use blackhole::Blackhole;
pub use corrupt::Corrupt;
pub use cpu::Cpu;
pub use disk_fill::DiskFill;
pub use disk_readonly::DiskReadonly;
pub use disk_slow::DiskSlow;
pub use dns::Dns;
pub use duplicate::Duplicate;
pub use exec::Exec;
pub use file_descriptors::FileDescriptors;
pub use kill::Kill;
pub use latency::Latency;
pub use loss::Loss;
pub use memory::Memory;
pub use partition::Partition;
pub use pause::Pause;
pub use pids::Pids;
pub use process::{Act, Process};
pub use reorder::Reorder;
pub use reset::Reset;
pub use restart::Restart;
pub use shape::Shape;
pub use sockets::Sockets;
pub use stop::Stop;
pub use throttle::Throttle;
pub use traffic::{Peering, Who};
pub use zone_outage::{Clients as OutageClients, Mode as OutageMode, ZoneOutage};

use std::time::Duration;

use crate::model::effect::Idle;
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::quantity::Span;
use crate::model::stressor::{StressSpec, Stressor};

/// What a fault does to one instance. Pure.
pub trait Disturb {
    /// The settings that `instance` shall have; `peers` is everybody else, hit or not.
    fn settings(&self, instance: &Instance, peers: &[Instance]) -> Vec<Setting>;

    /// The rollback: the value observed before, unless a fault knows better.
    fn back(&self, to: &Setting, before: Option<&Setting>) -> Rollback {
        as_before(to, before)
    }

    /// Who makes it good again.
    fn heal(&self) -> Heal;

    /// Which of its targets may be idle.
    fn idle(&self) -> Idle {
        Idle::None
    }

    /// What will do where an engine is not able to make a setting so.
    fn instead(&self, _to: &Setting) -> Option<Setting> {
        None
    }

    /// Whether it is over as soon as it is done, whatever it leaves behind.
    fn is_momentary(&self) -> bool {
        false
    }

    /// Whether it is about whole zones, so that it hits everything of them that its target means.
    fn hits_zones(&self) -> bool {
        false
    }

    /// How far apart its instances come back when its time is over; nothing: all at once.
    fn returns_every(&self) -> Option<Span> {
        None
    }

    /// Why it makes no sense for this instance, as far as that is known, if it makes none.
    fn refuses(&self, _: &Instance) -> Option<String> {
        None
    }

    /// What people should know before they do it to this instance, if anything.
    fn warns(&self, _: &Instance) -> Option<String> {
        None
    }

    /// With whom the traffic is that it is about, where it says so.
    fn peers(&self) -> Option<Peering<'_>> {
        None
    }

    /// What cannot be seen by a certain kind of probe while this fault is on, if anything.
    fn unseen(&self) -> Option<&'static str> {
        None
    }
}

/// The rollback to what was observed.
fn as_before(to: &Setting, before: Option<&Setting>) -> Rollback {
    match to.observed_as() {
        // An amendment finds what an earlier change has laid: what is set back is nothing, never that.
        Some(Setting::Mark(aspect, _)) => Rollback::To(Setting::Mark(aspect, None)),
        _ => before.cloned().map_or(Rollback::Nothing, Rollback::To),
    }
}

/// What a process of Squall's does; for how long at most, the plan says.
fn lasting(work: StressSpec) -> Setting {
    Setting::Stressor(Box::new(Stressor { work, at_most: Duration::from_hours(24) }))
}

/// Who makes a fault good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Squall rolls it back when its time is over; recovery is measured from there.
    #[default]
    Squall,
    /// The system itself must do it: recovery is measured from the injection, and only after the verdict does Squall
    /// put back what is still missing.
    #[serde(rename = "self")]
    Itself,
}

/// A fault with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The main process is killed by a signal.
    Kill(Kill),
    /// The instance is stopped as an operator would stop it.
    Stop(Stop),
    /// The instance is frozen: it keeps its connections and answers nothing.
    Pause(Pause),
    /// The instance is stopped and started again at once.
    Restart(Restart),
    /// Packets arrive later.
    Latency(Latency),
    /// Packets vanish.
    Loss(Loss),
    /// One bit of some packets is turned over.
    Corrupt(Corrupt),
    /// Some packets arrive twice.
    Duplicate(Duplicate),
    /// Some packets overtake the others.
    Reorder(Reorder),
    /// Only so much passes in a given time.
    Bandwidth(Bandwidth),
    /// Several impairments at once: a bad line.
    Shape(Shape),
    /// The instance and its peers cannot talk with each other.
    Partition(Partition),
    /// What the instance sends to some peers or ports leads nowhere.
    Blackhole(Blackhole),
    /// Questions about names are answered wrongly, or not at all.
    Dns(Dns),
    /// Established connections are torn down.
    Reset(Reset),
    /// The instance cannot have another process.
    Pids(Pids),
    /// Processor time of the instance is used up.
    Cpu(Cpu),
    /// Memory of the instance is used up.
    Memory(Memory),
    /// Processes other than the main one are killed or stopped.
    Process(Process),
    /// Everything in a zone at once: without power, cut off, frozen, or behind a bad line.
    ZoneOutage(ZoneOutage),
    /// A file system fills up.
    DiskFill(DiskFill),
    /// A mount lets nothing be written.
    DiskReadonly(DiskReadonly),
    /// The instance gets less processor time or memory than it has.
    Throttle(Throttle),
    /// The instance reads and writes its disks more slowly.
    DiskSlow(DiskSlow),
    /// The instance can open no other file or socket.
    FileDescriptors(FileDescriptors),
    /// The instance has few ports for its own connections.
    Sockets(Sockets),
    /// A command of your own, with the command that undoes it.
    Exec(Exec),
}

impl Fault {
    /// Every fault's name as the file spells it.
    pub const NAMES: [&'static str; 27] = [
        "kill",
        "stop",
        "pause",
        "restart",
        "latency",
        "loss",
        "corrupt",
        "duplicate",
        "reorder",
        "bandwidth",
        "shape",
        "partition",
        "blackhole",
        "dns",
        "reset",
        "pids",
        "cpu",
        "memory",
        "process",
        "zone-outage",
        "disk-fill",
        "disk-readonly",
        "throttle",
        "disk-slow",
        "file-descriptors",
        "sockets",
        "exec",
    ];

    /// The fault's own file.
    #[must_use]
    pub fn disturb(&self) -> &dyn Disturb {
        match self {
            Self::Kill(f) => f,
            Self::Stop(f) => f,
            Self::Pause(f) => f,
            Self::Restart(f) => f,
            Self::Latency(f) => f,
            Self::Loss(f) => f,
            Self::Corrupt(f) => f,
            Self::Duplicate(f) => f,
            Self::Reorder(f) => f,
            Self::Bandwidth(f) => f,
            Self::Shape(f) => f,
            Self::Partition(f) => f,
            Self::Blackhole(f) => f,
            Self::Dns(f) => f,
            Self::Reset(f) => f,
            Self::Pids(f) => f,
            Self::Cpu(f) => f,
            Self::Memory(f) => f,
            Self::Process(f) => f,
            Self::ZoneOutage(f) => f,
            Self::DiskFill(f) => f,
            Self::DiskReadonly(f) => f,
            Self::Throttle(f) => f,
            Self::DiskSlow(f) => f,
            Self::FileDescriptors(f) => f,
            Self::Sockets(f) => f,
            Self::Exec(f) => f,
        }
    }

    /// Its name as the file spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::Pause(_) => "pause",
            Self::Restart(_) => "restart",
            Self::Latency(_) => "latency",
            Self::Loss(_) => "loss",
            Self::Corrupt(_) => "corrupt",
            Self::Duplicate(_) => "duplicate",
            Self::Reorder(_) => "reorder",
            Self::Bandwidth(_) => "bandwidth",
            Self::Shape(_) => "shape",
            Self::Partition(_) => "partition",
            Self::Blackhole(_) => "blackhole",
            Self::Dns(_) => "dns",
            Self::Reset(_) => "reset",
            Self::Pids(_) => "pids",
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::Process(_) => "process",
            Self::ZoneOutage(_) => "zone-outage",
            Self::DiskFill(_) => "disk-fill",
            Self::DiskReadonly(_) => "disk-readonly",
            Self::Throttle(_) => "throttle",
            Self::DiskSlow(_) => "disk-slow",
            Self::FileDescriptors(_) => "file-descriptors",
            Self::Sockets(_) => "sockets",
            Self::Exec(_) => "exec",
        }
    }

    /// Who makes it good again.
    #[must_use]
    pub fn heal(&self) -> Heal {
        self.disturb().heal()
    }
}
