//! The world that holds the instances: what an engine can observe and set.
//!
//! An engine does one thing to one instance at a time and keeps no record of runs; choosing, ordering, journaling and
//! judging belong to others. One suite (`tests/conformance`) says what every engine must do.

pub mod docker;
pub mod here;
pub mod local;
pub mod machine;
pub mod net;
mod shell;
pub mod sim;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::instance::{Change, Command, Instance, InstanceId, Setting};

/// Observes and sets.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What it is, and how another process finds the same one.
    fn describe(&self) -> Description;

    /// Every instance as it is now, in every state, ordered by name.
    async fn observe(&self) -> Result<Vec<Instance>, EngineError>;

    /// One instance as it is now; `None` where it does not exist (any more).
    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError>;

    /// Looks at what these settings will need, so that they can then be set in the same moment. Changes nothing; what it does not
    /// find, [`Engine::set`] finds for itself.
    async fn prepare(&self, _all: &[(InstanceId, Setting)]) {}

    /// Makes one setting so. Safe to repeat; what is already so, or already gone, is not an error.
    /// Everything that it creates is named after `tag`.
    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError>;

    /// Sends a packet of our own the way of those that a disturbance of traffic is about, where that can be done: the proof
    /// that it bites where nobody else sends any.
    async fn knock(&self, _id: &InstanceId, _to: &Setting) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether it can make such a setting of this instance so, asked for the whole plan before anything is touched.
    fn can(&self, instance: &Instance, to: &Setting) -> Ability;

    /// Runs a command inside an instance: exit status and output. For probes.
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError>;

    /// What a service is called on its marker: by its name, unless only some of the engine's instances are seen.
    fn marked_as(&self, service: &str) -> String {
        service.to_owned()
    }

    /// Takes the marker of a service on the engine, so that no run elsewhere hits the same service meanwhile.
    async fn claim(&self, claim: &Claim) -> Result<(), EngineError>;

    /// Lets a marker go that `run` has taken. Nothing to do is not an error.
    async fn release(&self, service: &str, run: &str) -> Result<(), EngineError>;

    /// The markers that are taken.
    async fn claims(&self) -> Result<Vec<Claim>, EngineError>;

    /// The command that a person would type to set this by hand.
    fn by_hand(&self, change: &Change, to: &Setting) -> String;
}

/// What an engine is, and how another process finds the same one. Stored in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `docker`, `local` or `sim`.
    pub kind: Kind,
    /// Where it is: a socket, or a stack's state file.
    pub address: String,
    /// Its version, for the report.
    pub version: String,
}

/// The kinds of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Docker Engine.
    Docker,
    /// Plain processes on this machine, started from a stack file.
    Local,
    /// A world in a map, for rehearsals and tests.
    Sim,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Local => "local",
            Self::Sim => "sim",
        })
    }
}

/// Names what a change creates, so that a process that never saw it being made finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The run's id.
    pub run: String,
    /// The change's place in the plan.
    pub change: usize,
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.run, self.change)
    }
}

/// What came of setting something. All three are fine on the way back; on the way in only `Done` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was changed.
    Done,
    /// It was so already.
    Already,
    /// The instance does not exist any more.
    Gone,
}

/// Whether an engine can make a setting so.
#[derive(Debug, Clone, PartialEq)]
pub enum Ability {
    /// It can.
    Yes,
    /// It can, in this way where the setting leaves a choice.
    As(Box<Setting>),
    /// It cannot, and why; what to do about it.
    No(String),
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it printed, at most 64 KiB.
    pub stdout: String,
    /// What it complained about, at most 64 KiB.
    pub stderr: String,
}

/// A marker on the engine: this service belongs to this run for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The service.
    pub service: String,
    /// The run's id.
    pub run: String,
    /// Who runs it: user and host.
    pub owner: String,
    /// When it was taken (RFC 3339).
    pub at: String,
}

/// A stack that did not come up, and of which something is still there.
#[derive(Debug, Error)]
#[error("the stack did not come up ({0}), and what is there of it cannot be taken away")]
pub struct StillThere(pub String);

/// Why an engine could not do what it was asked to.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The engine does not answer.
    #[error("cannot reach the engine at {address}: {why}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The engine answered that it cannot or will not.
    #[error("cannot {attempt}: {why}")]
    Refused {
        /// What was attempted, on what.
        attempt: String,
        /// What the engine said.
        why: String,
    },
    /// It took too long; it may still happen.
    #[error("cannot {attempt}: no answer within {}", humantime::format_duration(*.after))]
    TimedOut {
        /// What was attempted, on what.
        attempt: String,
        /// For how long it was waited.
        after: Duration,
    },
    /// Another run has the service.
    #[error("service `{}` is taken by run {} of {} since {}", .0.service, .0.run, .0.owner, .0.at)]
    Claimed(Claim),
}

/// A command with its variables filled in. For engines, which run commands.
///
/// # Errors
/// Where a variable is not set.
pub fn fill_command(command: &Command, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, EngineError> {
    command.run.iter().map(|part| crate::experiment::quantity::fill(part, &lookup)).collect::<Result<_, _>>().map_err(
        |name| EngineError::Refused {
            attempt: format!("run {command}"),
            why: format!("${{{name}}} is not set in this environment"),
        },
    )
}
