//! A command of the user's own, with the command that undoes it: for what no setting expresses.
//!
//! The undo runs even if the command never did, and perhaps twice: it must be safe to repeat.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal};
use crate::experiment::document::found::{Found, command, positive};
use crate::model::instance::{Command, CommandLocation, Instance, Rollback, Setting};
use crate::model::quantity::{Span, Text};

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
    pub place: CommandLocation,
    /// After this a command is killed and counts as failed (default 30s).
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// `self`: the system must recover without intervention.
    #[serde(default)]
    pub heal: Heal,
}

fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

fn words(list: &[Text]) -> Vec<String> {
    list.iter().map(|text| text.0.clone()).collect()
}

impl Disturb for Exec {
    fn settings(&self, i: &Instance, _: &Context<'_>) -> Vec<Setting> {
        vec![Setting::Ran(Command {
            run: words(&self.run),
            place: self.place,
            timeout: self.timeout.0,
            variables: i.variables(),
            directory: None,
        })]
    }

    fn back(&self, to: &Setting, _: Option<&Setting>) -> Rollback {
        let Setting::Ran(command) = to else { return Rollback::Nothing };
        Rollback::To(Setting::Ran(Command { run: words(&self.undo), ..command.clone() }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        command(found, &[own, &["run"]].concat(), &self.run);
        command(found, &[own, &["undo"]].concat(), &self.undo);
        positive(found, &[own, &["timeout"]].concat(), self.timeout);
    }

    fn heal(&self) -> Heal {
        self.heal
    }
}
