//! A command of the user's own, with the command that undoes it: for what no setting expresses.
//!
//! The undo runs even if the command never did, and perhaps twice: it must be safe to repeat.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Disturb, Heal};
use crate::experiment::quantity::{Span, Text};
use crate::instance::{Back, Command, Instance, Place, Setting};

/// Run a command, and another one to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "ExecFault")]
pub struct Exec {
    /// Program and arguments; no shell. Exit status 0 counts as injected.
    pub run: Vec<Text>,
    /// What undoes it. It must be safe to run when `run` never ran, and to run twice.
    pub undo: Vec<Text>,
    /// `target` (default): inside each target. `here`: on this machine, once per target, with the target's name in
    /// `SQUALL_NAME`.
    #[serde(default)]
    pub place: Place,
    /// After this a command is killed and counts as failed (default 30s).
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// `self`: the system must recover with no helping hand.
    #[serde(default)]
    pub heal: Heal,
}

fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

impl Exec {
    fn command(&self, run: &[Text], variables: BTreeMap<String, String>) -> Setting {
        Setting::Ran(Command {
            run: run.iter().map(|t| t.0.clone()).collect(),
            place: self.place,
            timeout: self.timeout.0,
            variables,
        })
    }
}

impl Disturb for Exec {
    fn settings(&self, i: &Instance, _: &[Instance]) -> Vec<Setting> {
        vec![self.command(&self.run, i.variables())]
    }

    fn back(&self, to: &Setting, _: Option<&Setting>) -> Back {
        let Setting::Ran(Command { variables, .. }) = to else { return Back::Nothing };
        Back::To(self.command(&self.undo, variables.clone()))
    }

    fn heal(&self) -> Heal {
        self.heal
    }
}
