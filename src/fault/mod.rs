//! What can go wrong: one small file per fault.
//!
//! A fault is a pure function from an instance to the settings it shall have; the way back is what was observed
//! before. It knows no engine, no clock and no I/O. `docs/adding-a-fault.md` walks through adding one.

mod bandwidth;
mod blackhole;
mod corrupt;
mod dns;
mod duplicate;
mod exec;
mod kill;
mod latency;
mod loss;
mod partition;
mod pause;
mod reorder;
mod reset;
mod restart;
mod shape;
mod stop;
mod traffic;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bandwidth::Bandwidth;
pub use blackhole::Blackhole;
pub use corrupt::Corrupt;
pub use dns::Dns;
pub use duplicate::Duplicate;
pub use exec::Exec;
pub use kill::Kill;
pub use latency::Latency;
pub use loss::Loss;
pub use partition::Partition;
pub use pause::Pause;
pub use reorder::Reorder;
pub use reset::Reset;
pub use restart::Restart;
pub use shape::Shape;
pub use stop::Stop;
pub use traffic::{Peering, Who};

use crate::instance::{Back, Instance, Setting};

/// What a fault does to one instance. Pure.
pub trait Disturb {
    /// The settings that `instance` shall have; `peers` is everybody else, hit or not.
    fn settings(&self, instance: &Instance, peers: &[Instance]) -> Vec<Setting>;

    /// The way back: the value observed before, unless a fault knows better.
    fn back(&self, to: &Setting, before: Option<&Setting>) -> Back {
        match to {
            // An amendment finds what an earlier change has laid: what is set back is nothing, never that.
            Setting::Network(_) => Back::To(Setting::NetworkMark(None)),
            _ => before.cloned().map_or(Back::Nothing, Back::To),
        }
    }

    /// Who makes it good again.
    fn heal(&self) -> Heal;

    /// With whom the traffic is that it is about, where it says so.
    fn peers(&self) -> Option<Peering<'_>> {
        None
    }

    /// What cannot be seen by a certain kind of probe while this fault is on, if anything.
    fn unseen(&self) -> Option<&'static str> {
        None
    }
}

/// Who makes a fault good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Squall takes it back when its time is over; recovery is measured from there.
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
    /// A command of your own, with the command that undoes it.
    Exec(Exec),
}

impl Fault {
    /// Every fault's name as the file spells it.
    pub const NAMES: [&'static str; 16] = [
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
            Self::Exec(_) => "exec",
        }
    }

    /// Who makes it good again.
    #[must_use]
    pub fn heal(&self) -> Heal {
        self.disturb().heal()
    }
}
