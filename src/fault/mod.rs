//! What can go wrong: one small file per fault.
//!
//! A fault is a pure function from an instance to the settings it shall have; the way back is what was observed
//! before. It knows no engine, no clock and no I/O. `docs/adding-a-fault.md` walks through adding one.

mod exec;
mod kill;
mod pause;
mod restart;
mod stop;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use exec::Exec;
pub use kill::Kill;
pub use pause::Pause;
pub use restart::Restart;
pub use stop::Stop;

use crate::instance::{Back, Instance, Setting};

/// What a fault does to one instance. Pure.
pub trait Disturb {
    /// The settings that `instance` shall have; `peers` are the instances that are not hit.
    fn settings(&self, instance: &Instance, peers: &[Instance]) -> Vec<Setting>;

    /// The way back, where it is not simply the value observed before.
    fn back(&self, _to: &Setting, before: Option<&Setting>) -> Back {
        before.cloned().map_or(Back::Nothing, Back::To)
    }

    /// Who makes it good again.
    fn heal(&self) -> Heal;

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
    /// A command of your own, with the command that undoes it.
    Exec(Exec),
}

impl Fault {
    /// Every fault's name as the file spells it.
    pub const NAMES: [&'static str; 5] = ["kill", "stop", "pause", "restart", "exec"];

    /// The fault's own file.
    #[must_use]
    pub fn disturb(&self) -> &dyn Disturb {
        match self {
            Self::Kill(f) => f,
            Self::Stop(f) => f,
            Self::Pause(f) => f,
            Self::Restart(f) => f,
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
            Self::Exec(_) => "exec",
        }
    }

    /// Who makes it good again.
    #[must_use]
    pub fn heal(&self) -> Heal {
        self.disturb().heal()
    }
}
