//! What about an instance can be set, and the values that it may have. What there is to say about each of them stands in a file
//! of its own; this one knows which there are.

mod aspect;
mod command;
mod disk;
mod facts;
mod limit;
mod mark;
mod mounts;
mod network;
mod node;
mod paused;
mod restart_policy;
mod running;
mod signalled;
mod stressor;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use aspect::{Aspect, Laid};
pub use facts::Stage;
use facts::{Facts, Lasts, Observed, Proof, Shows, Starves};
pub use mark::LAPSED;

use super::sharing::Reach;
use super::values::{Command, Kill, RestartPolicy, Signalled};
use crate::model::disk::{DiskLocation, Fill};
use crate::model::machine::Limit;
use crate::model::network::{Network, Traffic};
use crate::model::node::{Isolation, NodeAvailability};
use crate::model::stressor::Stressor;
use crate::text::humantime_text;

/// One aspect of an instance and the value it has, or shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// The main process runs, or does not. Observed, and rolled back.
    Running(bool),
    /// The main process is gone because of a signal.
    Killed(Kill),
    /// The main process is gone because it was asked to stop.
    Stopped {
        /// How long it has for that before it is killed.
        #[serde(with = "humantime_text")]
        timeout: Duration,
    },
    /// The main process is another one than before. Momentary: there is nothing to observe but a new epoch.
    Restarted {
        /// How long it has to stop before it is killed.
        #[serde(with = "humantime_text")]
        timeout: Duration,
    },
    /// Its processes are frozen, or are not. Observed, and rolled back.
    Paused(bool),
    /// Its traffic is disturbed. Observed as its mark.
    Network(Box<Network>),
    /// What of Squall's lies on this aspect, told by the mark of what was set (such as [`Network::mark`]), or nothing. Observed;
    /// nothing is what a rollback sets.
    Mark(Aspect, Option<String>),
    /// It may use no more than this of its machine. Observed, and rolled back.
    Limit(Limit),
    /// One of its file systems is filled. Observed as its mark.
    Filled(Box<Fill>),
    /// What filled the file system at this place is gone. A rollback sets it.
    Freed(Box<DiskLocation>),
    /// Nothing can be written through these of its mounts, and through all others it can. Observed, and rolled back.
    ReadOnly(BTreeSet<String>),
    /// A process of Squall's uses up what it has, or holds some of its processes still. Observed as its mark.
    Stressor(Box<Stressor>),
    /// Processes other than the main one have got a signal. Momentary.
    Signalled(Box<Signalled>),
    /// Its established TCP connections of this kind are torn down. Momentary.
    ConnectionsReset(Box<Traffic>),
    /// What its engine does when its main process ends by itself. Observed, and rolled back, in whichever life.
    RestartPolicy(RestartPolicy),
    /// Its node is cut off from everything but itself. Observed as its mark.
    Isolated(Isolation),
    /// Whether the orchestrator of its node gives it tasks. Observed, and rolled back, whatever becomes of the instance.
    Availability(NodeAvailability),
    /// A command of the user's has run. Momentary: its evidence is its exit status.
    Ran(Command),
}

impl Setting {
    fn facts(&self) -> Facts<'_> {
        match self {
            Self::Running(runs) => running::running(*runs),
            Self::Killed(kill) => running::killed(kill),
            Self::Stopped { timeout } => running::stopped(*timeout),
            Self::Restarted { timeout } => running::restarted(*timeout),
            Self::Paused(frozen) => paused::facts(*frozen),
            Self::Network(network) => network::disturbed(network),
            Self::Mark(aspect, _) => mark::facts(*aspect),
            Self::Limit(limit) => limit::facts(limit),
            Self::Filled(fill) => disk::filled(fill),
            Self::Freed(_) => disk::freed(),
            Self::ReadOnly(_) => mounts::facts(),
            Self::Stressor(stressor) => stressor::facts(stressor),
            Self::Signalled(signalled) => signalled::facts(signalled),
            Self::ConnectionsReset(_) => network::connections_reset(),
            Self::RestartPolicy(_) => restart_policy::facts(),
            Self::Isolated(isolation) => node::isolated(isolation),
            Self::Availability(_) => node::availability(),
            Self::Ran(command) => command::facts(command),
        }
    }

    /// Which aspect this is a value of.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        self.facts().aspect
    }

    /// What is observed of it while it is in effect: the value itself, the mark of what is laid, or, where it is momentary or
    /// shows otherwise (in a life that ended), nothing.
    #[must_use]
    pub fn observed_as(&self) -> Option<Self> {
        let Facts { aspect, observed, .. } = self.facts();
        match observed {
            Observed::Itself => Some(self.clone()),
            Observed::Mark(laid) => Some(Self::Mark(aspect, Some(laid.mark()))),
            Observed::Untouched => Some(Self::Mark(aspect, None)),
            Observed::Nothing => None,
        }
    }

    /// In which stage of a fault it is set.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.facts().stage
    }

    /// How long an engine may still be busy with this after the process that asked for it has died.
    /// A rollback is proven only after that time (an injection without a recorded end may still be executing).
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.facts().longest
    }

    /// Whether it ends with the life of the instance that it was made for, without being over by that: it is made again in
    /// the next life, for as long as the fault is on.
    #[must_use]
    pub fn ends_with_life(&self) -> bool {
        self.facts().ends_with_life
    }

    /// Whether nothing but a command's exit status tells that it was made: what the command did is not observed.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.facts().proof == Proof::Claimed
    }

    /// Whether its instance shows that it was made, so that there is no need to wait for the engine's answer.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.facts().proof == Proof::Seen
    }

    /// Whether it can be in place without anything that meets it, so that its effect has to be shown. An instance that ends,
    /// is frozen, or has processes that are, is what was to be brought about; a command may do nothing, and processes may take no
    /// notice of a signal.
    #[must_use]
    pub fn can_be_idle(&self) -> bool {
        !matches!(self.facts().effect, Shows::ByItself)
    }

    /// Whether what goes on at the instance meets it for as long as it is in place, in whichever life.
    #[must_use]
    pub fn is_met(&self) -> bool {
        matches!(self.facts().effect, Shows::WhenMet)
    }

    /// Why it cannot be known whether it has an effect, where it is made once and nothing of that is observed.
    #[must_use]
    pub fn effect_is_unknown(&self) -> Option<&'static str> {
        match self.facts().effect {
            Shows::InNothing(why) => Some(why),
            Shows::ByItself | Shows::WhenMet => None,
        }
    }

    /// Whether it stays in effect until it is rolled back, on an instance that its engine starts again or does not.
    #[must_use]
    pub fn stays_applied(&self, is_restarted: bool) -> bool {
        match self.facts().lasts {
            Lasts::UntilRollback => true,
            Lasts::UntilRestart => !is_restarted,
            Lasts::Momentary => false,
        }
    }

    /// Whether the end of the instance's main process may be its very effect.
    #[must_use]
    pub fn may_end_life(&self) -> bool {
        self.facts().starves == Starves::OnPurpose
    }

    /// Whether the instance's main process may end for want of memory.
    #[must_use]
    pub fn may_starve(&self) -> bool {
        self.facts().starves != Starves::Never
    }

    /// The traffic that this is about.
    #[must_use]
    pub fn traffic(&self) -> Vec<&Traffic> {
        match self {
            Self::Network(network) => network.flows.iter().map(|flow| &flow.traffic).collect(),
            Self::ConnectionsReset(traffic) => vec![traffic],
            Self::Running(_)
            | Self::Killed(_)
            | Self::Stopped { .. }
            | Self::Restarted { .. }
            | Self::Paused(_)
            | Self::Mark(..)
            | Self::Limit(_)
            | Self::Filled(_)
            | Self::Freed(_)
            | Self::ReadOnly(_)
            | Self::Stressor(_)
            | Self::Signalled(_)
            | Self::RestartPolicy(_)
            | Self::Isolated(_)
            | Self::Availability(_)
            | Self::Ran(_) => Vec::new(),
        }
    }

    /// Whether it is on the node of the instance, so that it outlasts what becomes of the instance.
    #[must_use]
    pub fn is_of_node(&self) -> bool {
        self.aspect().is_of_node()
    }

    /// What of an instance's shared resources this is on, beside the instance itself.
    #[must_use]
    pub fn reaches(&self) -> Vec<Reach> {
        self.facts().reaches.to_vec()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(runs) => running::running_in_words(*runs, f),
            Self::Killed(kill) => running::killed_in_words(kill, f),
            Self::Stopped { timeout } => running::stopped_in_words(*timeout, f),
            Self::Restarted { .. } => running::restarted_in_words(f),
            Self::Paused(frozen) => paused::words(*frozen, f),
            Self::Network(network) => network.fmt(f),
            Self::Mark(aspect, mark) => mark::words(*aspect, mark.as_deref(), f),
            Self::Limit(limit) => limit::words(limit, f),
            Self::Filled(fill) => fill.fmt(f),
            Self::Freed(place) => disk::freed_in_words(place, f),
            Self::ReadOnly(paths) => mounts::words(paths, f),
            Self::Stressor(stressor) => stressor.fmt(f),
            Self::Signalled(signalled) => signalled.fmt(f),
            Self::ConnectionsReset(traffic) => network::connections_reset_in_words(traffic, f),
            Self::RestartPolicy(policy) => policy.fmt(f),
            Self::Isolated(isolation) => node::isolated_in_words(*isolation, f),
            Self::Availability(availability) => availability.fmt(f),
            Self::Ran(command) => command::words(command, f),
        }
    }
}
