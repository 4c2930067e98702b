//! Processes of the instance other than its main one: killed, or held still for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Disturb, Heal, keys, stressor};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::instance::{Instance, Rollback, Setting, Signal, Signalled};
use crate::model::stressor::StressSpec;
use crate::model::stressor::called::Which;

/// Signal or stop processes inside the instance, its main process apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Process {
    /// Which: what a process calls itself, or the name of the file that it runs; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which: the whole title that a process has given itself, such as `postgres: walsender*`. With `name`, both must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the process is meant as well with which the instance ends, where its main process is an init or a shell that
    /// waits for it (default false).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub main: bool,
    /// What is done to them.
    #[serde(default)]
    pub act: Act,
    /// Which signal (default SIGKILL). Not for `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// `self`: the system must recover without intervention.
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
    /// They stand still (SIGSTOP) until the fault is rolled back (SIGCONT). Those that are started meanwhile run.
    Stop,
}

impl Process {
    fn which(&self) -> Which {
        let name = self.name.clone().unwrap_or_else(|| "*".to_owned());
        Which { name, title: self.title.clone(), main: self.main }
    }
}

impl Disturb for Process {
    fn settings(&self, _: &Instance, context: &Context<'_>) -> Vec<Setting> {
        vec![match self.act {
            Act::Kill => {
                Setting::Signalled(Box::new(Signalled { which: self.which(), signal: self.signal.unwrap_or_default() }))
            }
            Act::Stop => stressor(context, StressSpec::Stop(self.which())),
        }]
    }

    fn back(&self, to: &Setting, _: Option<&Setting>) -> Rollback {
        match self.act {
            // Who starts them again is what the experiment is about.
            Act::Kill => Rollback::Nothing,
            Act::Stop => Rollback::To(Setting::Mark(to.aspect(), None)),
        }
    }

    fn is_momentary(&self) -> bool {
        self.act == Act::Kill
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        for (key, value) in [("name", &self.name), ("title", &self.title)] {
            if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
                let at = found.document.value_at(&[own, &[key]].concat());
                found.add(Mistake::error(&at, format!("`{key}` names no process")).label("such as `worker*`"));
            }
        }
        if (&self.name, &self.title) == (&None, &None) {
            keys::nothing(found, own, "give `name` or `title`");
        }
        if self.act == Act::Stop && self.signal.is_some() {
            let at = found.document.key_at(&[own, &["signal"]].concat());
            found.add(Mistake::error(&at, "`act: stop` has signals of its own").help(
                "processes are stopped by SIGSTOP and go on by SIGCONT: leave `signal` away, or say `act: kill`",
            ));
        }
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn refuses(&self, instance: &Instance) -> Option<String> {
        // Where its processes cannot be seen, that is what refuses it.
        let processes = instance.processes.as_ref()?;
        let which = self.which();
        let why = which.refuses(processes.iter())?;
        if processes.iter().any(|p| which.means(p)) {
            return Some(why);
        }
        let mut there: Vec<String> = processes.iter().map(ToString::to_string).collect();
        there.truncate(8);
        let there =
            if there.is_empty() { "there is no other".to_owned() } else { format!("there are {}", there.join(", ")) };
        Some(format!("{why} ({there}); for the main process, say `kill`"))
    }

    fn unseen(&self) -> Option<&'static str> {
        (self.act == Act::Stop).then_some(
            "the kernel still accepts connections of a stopped process: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}
