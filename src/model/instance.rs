//! What can be disturbed: an instance, its settings, and a change of one of them.
//!
//! Everything here is plain data that can be stored, shown and replayed by a process that never saw it
//! being made. This module knows nothing else of the program.

mod change;
mod identity;
pub mod project;
mod replaced;
mod setting;
pub mod sharing;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use change::{Change, Rollback};
pub use identity::{Epoch, InstanceId};
pub use replaced::{Task, of_all_machines};
pub use setting::{Aspect, LAPSED, Laid, Setting, Stage};
pub use values::{Command, CommandLocation, Kill, RestartPolicy, Signal, Signalled, Via};

use crate::model::disk::Mount;
use crate::model::machine::Allowance;
use crate::model::machine::counters::Counters;
use crate::model::network::{ProxyStatistics, Talk};
use crate::model::stressor::called::Called;
use sharing::Share;

/// An instance as it was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Identity, the same over restarts.
    pub id: InstanceId,
    /// The name people use, such as `shop-1`.
    pub name: String,
    /// The service it is a replica of.
    pub service: String,
    /// The project that it belongs to, if its engine knows one: that of Compose, or the stack of Docker Swarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its service in Compose, where a label says that it is of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composed: Option<String>,
    /// Which task of its service it is, where an orchestrator makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The machine that it runs on, where its engine names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The failure domain it runs in, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The image it was made from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it calls its host, if it was given a name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Labels, as the engine tells them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which life of the instance this is.
    pub epoch: Epoch,
    /// Its health check, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How often its engine has restarted it.
    #[serde(default)]
    pub restarts: u64,
    /// Where it can be reached, on each of its engine's networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// What has met the disturbance of its traffic so far, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// With whom it has connections, where nothing has met that disturbance.
    #[serde(skip)]
    pub talk: Option<Talk>,
    /// What it may use of its machine, and uses now, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// The file systems that its engine has given it, where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// What the kernel has counted of it, where that can be read. It differs from one look to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// Its processes, the main one apart, where they can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<Called>>,
    /// What it would see itself of each aspect of its machine, in words: the kernel's own counters, so evidence of what was
    /// set. It differs from one look to the next.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sees: BTreeMap<Aspect, String>,
    /// What makes it special, for better or worse.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub traits: BTreeSet<Trait>,
    /// Which namespaces and control groups it uses together with which instances.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shares: BTreeSet<Share>,
    /// The value of every aspect that can be observed.
    pub settings: BTreeMap<Aspect, Setting>,
}

impl Instance {
    /// One of which nothing is known but who it is.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            id: InstanceId(id.into()),
            name: name.into(),
            service: service.into(),
            project: None,
            composed: None,
            task: None,
            node: None,
            zone: None,
            image: None,
            hostname: None,
            labels: BTreeMap::new(),
            epoch: Epoch::default(),
            health: None,
            restarts: 0,
            addresses: Vec::new(),
            counted: None,
            talk: None,
            allowance: None,
            mounts: Vec::new(),
            counters: None,
            processes: None,
            sees: BTreeMap::new(),
            traits: BTreeSet::new(),
            shares: BTreeSet::new(),
            settings: BTreeMap::new(),
        }
    }

    /// What a command that runs for it elsewhere finds in its environment: `SQUALL_INSTANCE`, `SQUALL_NAME`,
    /// `SQUALL_SERVICE`, `SQUALL_NODE` and `SQUALL_ZONE` (empty without one).
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("SQUALL_INSTANCE", self.id.to_string()),
            ("SQUALL_NAME", self.name.clone()),
            ("SQUALL_SERVICE", self.service.clone()),
            ("SQUALL_NODE", self.node.clone().unwrap_or_default()),
            ("SQUALL_ZONE", self.zone.clone().unwrap_or_default()),
        ]
        .map(|(variable, value)| (variable.to_owned(), value))
        .into()
    }

    /// Whether it carries a label, given as `key` or `key=value`.
    #[must_use]
    pub fn carries(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((key, value)) => self.labels.get(key).is_some_and(|v| v == value),
            None => self.labels.contains_key(label),
        }
    }

    /// What it may call itself in answers beside its name and its id: its other service, and the name of its host.
    #[must_use]
    pub fn also_called(&self) -> Vec<String> {
        self.composed.iter().chain(&self.hostname).cloned().collect()
    }

    /// Whether its main process runs and is not paused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.settings.get(&Aspect::Running) == Some(&Setting::Running(true))
            && self.settings.get(&Aspect::Paused) != Some(&Setting::Paused(true))
    }

    /// Whether its main process exists, paused or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.settings.get(&Aspect::Running) == Some(&Setting::Running(true))
    }

    /// Why its engine tells no more of it than that it is there, where that is so.
    #[must_use]
    pub fn unanswered(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::Unanswered(why) = t { Some(why.as_str()) } else { None })
    }

    /// What makes it doubtful that it stays up, where something does.
    #[must_use]
    pub fn unsteady(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::Unsteady(why) = t { Some(why.as_str()) } else { None })
    }

    /// Whether another instance runs on another machine.
    #[must_use]
    pub fn is_on_another_node_than(&self, other: &Self) -> bool {
        self.node.as_ref().zip(other.node.as_ref()).is_some_and(|(one, other)| one != other)
    }

    /// As it can be reached from another instance: where that runs on another machine, on the networks that both are on. The same address
    /// can be another instance's on each machine.
    #[must_use]
    pub fn reached_from(&self, other: &Self) -> Self {
        let mut reached = self.clone();
        if self.is_on_another_node_than(other) {
            let is_shared = |a: &Address| a.network_id.is_some() && other.addresses.iter().any(|o| o.is_beside(a));
            reached.addresses.retain(is_shared);
        }
        reached
    }

    /// Whether it counts as healthy: up, and its own health check, if any, does not say otherwise.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_up() && matches!(self.health, None | Some(Health::Healthy))
    }
}

impl Address {
    /// Whether both are on one network, as far as that is known.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let ids = self.network_id.as_ref().zip(other.network_id.as_ref());
        self.network == other.network && ids.is_none_or(|(one, other)| one == other)
    }
}

/// What an instance of this name and id may call itself in answers: its name, with or without what engines put before it
/// (`demo-shop-1`), its id, and the part of it that containers take for their host's name.
#[must_use]
pub fn aliases(name: &str, id: &str) -> Vec<String> {
    // Of its machine it says nothing itself.
    let id = InstanceId::on_its_node(id);
    let rests = name.match_indices(['-', '_', '/']).map(|(at, _)| &name[at + 1..]);
    let told = rests.filter(|rest| rest.contains(|c: char| c.is_alphabetic()));
    let short = id.get(..12).filter(|_| id.len() == 64);
    [name, id].into_iter().chain(told).chain(short).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// Where an instance can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// On which of its engine's networks.
    pub network: String,
    /// What its engine calls that network to tell it from every other: two machines can have a network of one name each, and can share
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// The address.
    pub ip: IpAddr,
}

/// What has met a disturbance of traffic: the kernel's own counters, so proof of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Packets that were meant.
    pub packets: u64,
    /// Of these, packets that did not get through.
    pub dropped: u64,
    /// Packets that arrived altered, twice, or before others that were sent earlier; `None` where this is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altered: Option<u64>,
    /// How often a rate made a packet wait; `None` where this is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<u64>,
    /// DNS queries that were answered wrongly or not at all, where names are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<u64>,
    /// Packets that waited while they belonged to their sender's socket, which sends no more when its buffer is full.
    #[serde(default)]
    pub kept: u64,
    /// How often packets passed since they came faster than they were looked at.
    #[serde(default)]
    pub overruns: u64,
    /// Packets that were dropped since there was no more room for them to wait.
    #[serde(default)]
    pub overflowed: u64,
    /// How long those that were delayed were held, the median (µs), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_us: Option<u64>,
    /// What has become of connections that go through a proxy, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyStatistics>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(proxy) = &self.proxy {
            return proxy.fmt(f);
        }
        match self.packets {
            1 => f.write_str("a packet has met it")?,
            n => write!(f, "{n} packets have met it")?,
        }
        if self.dropped > 0 {
            let share = self.dropped as f64 / self.packets.max(self.dropped) as f64;
            write!(f, ", {} of them ({:.1} %) did not get through", self.dropped, share * 100.0)?;
        }
        if let Some(altered) = self.altered.filter(|n| *n > 0) {
            write!(f, ", {altered} altered, sent twice or out of turn")?;
        }
        if let Some(names) = self.names {
            write!(f, ", {names} asked for a name that is meant")?;
        }
        if let Some(waited) = self.waited.filter(|n| *n > 0) {
            write!(f, ", made to wait by the rate {waited} times")?;
        }
        if let Some(us) = self.held_us {
            write!(f, ", held for {:.1} ms in the median", us as f64 / 1000.0)?;
        }
        // What was not asked for.
        if self.kept > 0 {
            write!(
                f,
                "; {} of them waited in its sockets (marked, or encrypted by IPsec), which limits how fast it sends",
                self.kept
            )?;
        }
        if self.overflowed > 0 {
            write!(f, "; {} were dropped since more waited than may", self.overflowed)?;
        }
        if self.overruns > 0 {
            write!(f, "; {} times packets passed undisturbed, since they came too fast", self.overruns)?;
        }
        Ok(())
    }
}

/// What an instance's own health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// The check passes.
    Healthy,
    /// The check fails.
    Unhealthy,
    /// The check has not passed yet.
    Starting,
}

/// A fact about an instance that decides whether it may be disturbed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trait {
    /// Its engine deletes it when it stops (`docker run --rm`), so it could not be started again.
    AutoRemove,
    /// An orchestrator replaces it when it stops (Swarm, Kubernetes), naming who.
    Orchestrated(String),
    /// Its orchestrator tells of it, and it runs on a machine that is not seen from here, naming which.
    Elsewhere(String),
    /// Whether more instances of its service run on other machines is not known: why not.
    OthersUnknown(String),
    /// The same of who knew a moment ago, and may know again.
    OthersSilent(String),
    /// Its engine starts it again after a crash (a restart policy).
    Restarts,
    /// It shares the host's network.
    HostNetwork,
    /// It publishes ports that its engine chooses anew at each start.
    RandomPorts,
    /// Its engine lists it, and does not tell more of it: why not.
    Unanswered(String),
    /// It was restarted a moment ago, and not by this run: what exactly.
    Unsteady(String),
    /// Its routes depend on more than the destination (`ip rule`).
    RoutesByPolicy,
    /// What it shares with others is not known.
    SharesUnknown,
    /// It is this very program, its guard, or something the program made.
    Ours,
}
