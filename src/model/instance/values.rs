//! What settings are made of: signals, restart policies, commands.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::stressor::called::Which;
use crate::text::humantime_text;

/// How a main process is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// Which signal.
    pub signal: Signal,
    /// Who sends it.
    pub via: Via,
}

/// A signal by its name, such as `SIGKILL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "signal(7) documents them")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Signal {
    #[default]
    SigKill,
    SigTerm,
    SigInt,
    SigQuit,
    SigHup,
    SigAbrt,
    SigSegv,
    SigUsr1,
    SigUsr2,
}

impl Signal {
    /// The name as signal(7) spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who sends a signal to the main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The engine: an operator's kill. Restart policies do not act.
    #[default]
    #[strum(to_string = "by the engine")]
    Engine,
    /// The host's kernel: a crash. Restart policies act.
    #[strum(to_string = "as a crash")]
    Host,
}

/// What an engine does when a main process ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    Never,
    /// It starts it again where the exit status is not 0.
    OnFailure {
        /// So many times at most; 0: without a limit.
        most: u32,
    },
    /// It starts it again, unless it was stopped on purpose; with the engine itself, too.
    UnlessStopped,
    /// It starts it again; with the engine itself, too, even if it was stopped on purpose.
    Always,
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never restarted by its engine"),
            Self::OnFailure { most: 0 } => f.write_str("restarted on failure"),
            Self::OnFailure { most } => write!(f, "restarted on failure (at most {most} times)"),
            Self::UnlessStopped => f.write_str("restarted unless stopped"),
            Self::Always => f.write_str("always restarted"),
        }
    }
}

/// A signal to processes other than the main one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// Which processes.
    #[serde(flatten)]
    pub which: Which,
    /// Which signal.
    pub signal: Signal,
}

impl fmt::Display for Signalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {} in its processes {}", self.signal, self.which)
    }
}

/// A command: an argument list, never a shell's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments. `${NAME}` is resolved only where the command runs, so that journals hold no secret.
    pub run: Vec<String>,
    /// Where it runs.
    pub place: CommandLocation,
    /// After this it is killed and counts as failed.
    #[serde(with = "humantime_text")]
    pub timeout: Duration,
    /// Whom it is for ([`Instance::variables`](super::Instance::variables)), in its environment where it runs here. Kept with it, because an undo runs
    /// even if its instance is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The directory in which it runs where it runs here: that of the runner, wherever the process stands that undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.run.join(" "))?;
        match self.place {
            CommandLocation::Target => f.write_str(" in it"),
            CommandLocation::Here => f.write_str(" here"),
        }
    }
}

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommandLocation {
    /// Inside the instance.
    #[default]
    Target,
    /// On the machine where Squall runs, with `SQUALL_INSTANCE`, `SQUALL_NAME`, `SQUALL_SERVICE`, `SQUALL_NODE` and
    /// `SQUALL_ZONE` in its environment.
    Here,
}
