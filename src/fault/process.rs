//! Processes of the instance other than its main one: killed, or held still for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Disturb, Heal, lasting};
use crate::burden::Work;
use crate::instance::{Back, Instance, Setting, Signal, Signalled};

/// Signal or stop processes inside the instance, its main process apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Process {
    /// Which: the name that a process has or was started as, in which `*` stands for any text.
    pub name: String,
    /// What is done to them.
    #[serde(default)]
    pub act: Act,
    /// Which signal (default SIGKILL). Not for `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// `self`: the system must recover with no helping hand.
    #[serde(default)]
    pub heal: Heal,
}

/// What is done to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// They get a signal, once.
    #[default]
    Kill,
    /// They stand still (SIGSTOP) until the fault is taken back (SIGCONT). Those that are started meanwhile run.
    Stop,
}

impl Disturb for Process {
    fn settings(&self, _: &Instance, _: &[Instance]) -> Vec<Setting> {
        vec![match self.act {
            Act::Kill => Setting::Signalled(Box::new(Signalled {
                name: self.name.clone(),
                signal: self.signal.unwrap_or_default(),
            })),
            Act::Stop => lasting(Work::Stop { name: self.name.clone() }),
        }]
    }

    fn back(&self, to: &Setting, _: Option<&Setting>) -> Back {
        match self.act {
            // Who starts them again is what the experiment is about.
            Act::Kill => Back::Nothing,
            Act::Stop => Back::To(Setting::Mark(to.aspect(), None)),
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        // Where its processes cannot be seen, that is what refuses it.
        let processes = instance.processes.as_ref()?;
        if processes.iter().any(|p| p.is_called(&self.name)) {
            return None;
        }
        let mut there: Vec<String> = processes.iter().map(ToString::to_string).collect();
        there.truncate(8);
        let there =
            if there.is_empty() { "there is no other".to_owned() } else { format!("there are {}", there.join(", ")) };
        Some(format!(
            "it has no process `{}` beside its main one ({there}); for the main process, say `kill`",
            self.name
        ))
    }

    fn unseen(&self) -> Option<&'static str> {
        (self.act == Act::Stop).then_some(
            "the kernel still accepts connections of a stopped process: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
