//! The world that holds the instances: what an engine can observe and set.
//!
//! An engine does one thing to one instance at a time and keeps no record of runs; choosing, ordering, journaling and
//! judging belong to others. It is four things at once, each a trait of its own, so that who needs one of them says so: it observes,
//! applies settings, locks services and executes commands. One suite (`tests/conformance`) says what every engine must do.

mod claim;
mod description;
pub mod docker;
pub mod fleet;
pub mod here;
pub mod local;
pub mod machine;
pub mod net;
pub mod node;
pub(crate) mod shell;
pub mod sim;

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
pub use claim::{Claim, Holder, JournalSays, Life, ProcessId};
pub use description::{DEFAULT_HOST, Description, FROM_EXPERIMENT, Helper, INVENTED, Kind, Member, SwarmNode, Tls};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};
use crate::model::node::NodeAvailability;
use crate::model::quantity::{Absent, fill};

/// All of an engine.
pub trait Engine: Observe + Apply + Lock + Execute {
    /// What it is, and how another process finds the same one.
    fn describe(&self) -> Description;

    /// What it has done on its side of its own accord since this was last asked, in the belief that its runner is dead: the run's faults
    /// are no longer what they should be.
    fn acted_alone(&self) -> Option<String> {
        None
    }

    /// Why it has to be taken for granted that it is rolling back of its own accord right now: it cannot be heard.
    fn acts_alone(&self) -> Option<String> {
        None
    }
}

/// Tells how instances are.
#[async_trait]
pub trait Observe: Send + Sync {
    /// Every instance as it is now, in every state, ordered by name.
    async fn observe(&self) -> Result<Vec<Instance>, EngineError>;

    /// Every instance as its engine says that it is, without what is seen of it on its host. For who looks often: of what has not changed
    /// nothing is asked again.
    async fn glance(&self) -> Result<Vec<Instance>, EngineError> {
        self.observe().await
    }

    /// One instance as it is now; `None` where it does not exist (any more).
    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError>;

    /// Whether its orchestrator gives that node tasks; `None` where this engine does not know.
    async fn node_availability(&self, _node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        Ok(None)
    }
}

/// Makes settings so.
#[async_trait]
pub trait Apply: Send + Sync {
    /// Looks at what these settings will need, so that they can then be set in the same moment. Changes nothing; what it does not
    /// find, [`Apply::set`] finds for itself.
    async fn prepare(&self, _all: &[(InstanceId, Setting)]) {}

    /// Makes one setting so. Safe to repeat; what is already so, or already gone, is not an error.
    /// Everything that it creates is named after `tag`.
    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError>;

    /// Whether it can make such settings of these instances so, in their order: asked for the whole plan before anything is touched.
    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError>;

    /// The same of one.
    async fn can_one(&self, instance: &Instance, to: &Setting) -> Result<Ability, EngineError> {
        let answers = self.can(&[(instance.clone(), to.clone())]).await?;
        answers.into_iter().next().ok_or_else(|| EngineError::Refused {
            attempt: format!("tell whether {} can be made {to}", instance.name),
            why: "the engine says nothing".to_owned(),
        })
    }

    /// Why a command of a person's could not be started for an instance, as far as that can be told without running it.
    async fn cannot_start(&self, _instance: &InstanceId, _command: &Command) -> Option<String> {
        None
    }

    /// The addresses that the name of a host stands for, from where faults of traffic are laid; none if nothing real is laid there.
    async fn addresses_of(&self, _host: &str) -> Result<Vec<IpAddr>, EngineError> {
        Ok(Vec::new())
    }

    /// The command that a person would type to set this by hand.
    fn by_hand(&self, change: &Change, to: &Setting) -> String;
}

/// Locks services, so that two runs do not target the same one.
#[async_trait]
pub trait Lock: Send + Sync {
    /// What a service is called on its lock: by its name, unless only some of the engine's instances are seen.
    fn marked_as(&self, service: &str) -> String {
        service.to_owned()
    }

    /// Takes the lock on a service, so that no run elsewhere targets the same service meanwhile.
    async fn claim(&self, claim: &Claim) -> Result<(), EngineError>;

    /// Removes a lock that its run has taken. Nothing to do is not an error.
    async fn release(&self, claim: &Claim) -> Result<(), EngineError>;

    /// The locks that are taken.
    async fn claims(&self) -> Result<Vec<Claim>, EngineError>;

    /// Those that are taken where an instance is: of several machines, one may not answer.
    async fn claims_at(&self, _id: &InstanceId) -> Result<Vec<Claim>, EngineError> {
        self.claims().await
    }
}

/// Runs commands inside instances. For probes.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Runs a command inside an instance: exit status and output.
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError>;

    /// Ends what still runs of commands whose asker went away before they ended. Where dropping the call of
    /// [`Execute::exec`] ends its command, there is nothing to do.
    async fn end_abandoned(&self) {}
}

/// The label by which an instance that an orchestrator has made tells which of its nodes it is on.
pub const NODE_LABEL: &str = "com.docker.swarm.node.id";

/// Names what a change creates, so that a process that never saw it being made finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What came of setting something. All three are fine on the rollback; on the way in only `Done` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was changed.
    Done,
    /// It was so already.
    Already,
    /// The instance does not exist any more, or has ended for good and is replaced by another one.
    Gone,
}

/// Whether an engine can make a setting so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ability {
    /// It can.
    Yes,
    /// It can, in this way where the setting leaves a choice.
    As(Box<Setting>),
    /// It cannot, and why; what to do about it.
    No(String),
}

/// Why no engine sets a mark: what it is the mark of, only the setting itself says.
pub(crate) const ONLY_A_MARK: &str = "its mark alone does not say what to do";

/// Why there is nothing to take off an aspect.
pub(crate) const NOTHING_LIES_THERE: &str = "nothing of Squall's can lie there";

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it printed, at most 64 KiB.
    pub stdout: String,
    /// What it complained about, at most 64 KiB.
    pub stderr: String,
}

/// A stack that did not come up, and of which something is still there.
#[derive(Debug, Error)]
#[error("the stack did not come up ({0}), and what is there of it cannot be taken away")]
pub struct StillThere(pub String);

/// Why an engine could not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum EngineError {
    /// The engine does not answer.
    #[error("cannot reach the engine at {address}: {why}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// It is not known which engine is meant.
    #[error("cannot tell which Docker Engine is meant: {why}")]
    NotMeant {
        /// Which ones it could be, and how to name one.
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
    /// It could not even be begun: nothing has changed, and there is nothing to undo.
    #[error("cannot {attempt}: {why}")]
    NotBegun {
        /// What was attempted, on what.
        attempt: String,
        /// Why not.
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
    #[error("service `{}` is locked by {}", .0.service, .0)]
    Claimed(Box<Claim>),
}

/// A command with its variables filled in. For engines, which run commands.
///
/// # Errors
/// Where a variable is not set.
pub fn fill_command(
    command: &Command,
    lookup: impl Fn(&str) -> Result<String, Absent>,
) -> Result<Vec<String>, EngineError> {
    let filled: Result<_, _> = command.run.iter().map(|part| fill(part, &lookup)).collect();
    filled.map_err(|missing| EngineError::NotBegun { attempt: format!("run {command}"), why: missing.to_string() })
}
