//! What a runner and the helper on a node say to each other: one JSON object a line, in both directions. Plain data.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::docker::View;
use crate::engine::{Ability, EngineError, Outcome, Ran, Tag};
use crate::model::instance::{Instance, InstanceId, Setting};
use crate::model::network::Talk;

/// Counted up whenever one side would misunderstand the other.
pub const PROTOCOL: u32 = 1;

/// How often each side says that it is there, and for how long it may say nothing.
pub const BEAT: Duration = Duration::from_secs(1);
/// A cut link is noticed by no side otherwise: TCP takes minutes, and an engine that was killed closes nothing.
pub const LEASE: Duration = Duration::from_secs(5);

/// What a helper says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its version.
    pub version: String,
    /// The protocol that it speaks.
    pub protocol: u32,
    /// What the engine that it reaches on its node calls itself.
    pub engine: Option<String>,
    /// The container that it runs in, as far as it can tell by that engine.
    pub container: Option<String>,
}

/// A run of which a helper has found its own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The run.
    pub run: String,
    /// Whether something of it is still to be rolled back on that node.
    pub outstanding: bool,
    /// Whether it is for a helper that is alone to see to it.
    pub is_unfinished: bool,
    /// What the helper did of its own accord, if it had to.
    pub alone: Option<String>,
}

/// From the runner to the helper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToNode {
    /// A call, by a number that its answer has, too.
    Ask {
        /// The number.
        n: u64,
        /// What is asked.
        call: Call,
    },
    /// Who asked has gone away.
    Forget {
        /// The number of the call.
        n: u64,
    },
    /// A line of a run's journal. Nothing of a run is made so on a node that does not hold its rollback.
    Line {
        /// The run.
        run: String,
        /// The line, with its end.
        line: String,
    },
    /// The runner is there.
    Beat,
}

/// From the helper to the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromNode {
    /// The first line.
    Hello(Hello),
    /// What came of a call.
    Answer {
        /// The number of the call.
        n: u64,
        /// What came of it.
        answer: Result<Answer, EngineError>,
    },
    /// The helper is there.
    Beat,
}

/// What is asked of a node: the calls of [`crate::engine::Engine`] that need its host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// How the node's containers are seen. Comes first.
    View(View),
    /// Takes a run into its care, with all that was said of it so far; `known` where it has been in this session's before.
    Hold {
        /// The run.
        run: String,
        /// Its journal so far.
        journal: String,
        /// Whether the session had it before: what is not there then was settled by another process.
        known: bool,
    },
    /// Rolls back what dead runs of its session have left there.
    Recover,
    /// [`crate::engine::Observe::observe`].
    Observe,
    /// [`crate::engine::Observe::look`].
    Look(InstanceId),
    /// [`crate::engine::Apply::prepare`].
    Prepare(Vec<(InstanceId, Setting)>),
    /// [`crate::engine::Apply::set`].
    Set {
        /// Whose change it is.
        tag: Tag,
        /// The instance.
        id: InstanceId,
        /// The value.
        to: Box<Setting>,
    },
    /// [`crate::engine::Apply::can`].
    Can(Vec<(Instance, Setting)>),
    /// [`crate::engine::Apply::addresses_of`].
    AddressesOf(String),
    /// [`crate::engine::Execute::exec`].
    Exec {
        /// The instance.
        instance: String,
        /// The command.
        command: Vec<String>,
        /// How long it may take.
        timeout: Duration,
    },
    /// [`crate::engine::Execute::end_abandoned`].
    EndAbandoned,
}

/// What a call has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// There is nothing to say.
    Done,
    /// What the helper did alone, where it had to: of each run.
    Alone(Vec<Found>),
    /// Instances.
    Instances(Vec<Seen>),
    /// An instance, if there is one.
    Instance(Option<Box<Seen>>),
    /// What came of setting something.
    Outcome(Outcome),
    /// What the node can do.
    Abilities(Vec<Ability>),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// What a command did.
    Ran(Ran),
}

/// An instance with what no journal has of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    instance: Instance,
    talk: Option<Talk>,
}

impl From<Instance> for Seen {
    fn from(mut instance: Instance) -> Self {
        let talk = instance.talk.take();
        Self { instance, talk }
    }
}

impl From<Seen> for Instance {
    fn from(seen: Seen) -> Self {
        Self { talk: seen.talk, ..seen.instance }
    }
}

/// A line of it.
///
/// # Panics
/// Never: it is plain data with text keys.
#[must_use]
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("plain data with text keys");
    line.push(b'\n');
    line
}
