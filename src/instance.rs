//! What can be disturbed: an instance, its settings, and a change of one of them.
//!
//! Everything here is plain data that can be stored, shown and replayed by a process that never saw it
//! being made. This module knows nothing else of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::burden::{Burden, Called, Oom, Work};
use crate::disk::{Fill, Mount, MountKind, Place as Spot};
use crate::humantime_text;
use crate::machine::{Allowance, Limit};
use crate::network::{Network, Traffic};

/// The identity of an instance: a container id, or the name of a local or simulated process.
/// Never a PID or a namespace, which other processes inherit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which life of the instance this is: a container's `StartedAt`, a process's start time.
/// Settings that die with the process (a pause) are gone in another epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

/// An instance as it was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Identity, the same over restarts.
    pub id: InstanceId,
    /// The name people use, such as `shop-1`.
    pub name: String,
    /// The service it is a replica of.
    pub service: String,
    /// The failure domain it runs in, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The image it was made from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
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
    /// What it may use of its machine, and uses now, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// The file systems that its engine has given it, where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
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
            zone: None,
            image: None,
            labels: BTreeMap::new(),
            epoch: Epoch::default(),
            health: None,
            restarts: 0,
            addresses: Vec::new(),
            counted: None,
            allowance: None,
            mounts: Vec::new(),
            processes: None,
            sees: BTreeMap::new(),
            traits: BTreeSet::new(),
            settings: BTreeMap::new(),
        }
    }

    /// What a command that runs for it elsewhere finds in its environment: `SQUALL_INSTANCE`, `SQUALL_NAME`,
    /// `SQUALL_SERVICE` and `SQUALL_ZONE` (empty without one).
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        [
            ("SQUALL_INSTANCE", self.id.to_string()),
            ("SQUALL_NAME", self.name.clone()),
            ("SQUALL_SERVICE", self.service.clone()),
            ("SQUALL_ZONE", self.zone.clone().unwrap_or_default()),
        ]
        .map(|(variable, value)| (variable.to_owned(), value))
        .into()
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

    /// Whether it counts as healthy: up, and its own health check, if any, does not say otherwise.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_up() && matches!(self.health, None | Some(Health::Healthy))
    }
}

/// What an instance of this name and id may call itself in answers: its name, with or without what engines put before it
/// (`demo-shop-1`), its id, and the part of it that containers take for their host's name.
#[must_use]
pub fn aliases(name: &str, id: &str) -> Vec<String> {
    let rests = name.match_indices(['-', '_']).map(|(at, _)| &name[at + 1..]);
    let told = rests.filter(|rest| rest.contains(|c: char| c.is_alphabetic()));
    let short = id.get(..12).filter(|_| id.len() == 64);
    [name, id].into_iter().chain(told).chain(short).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// Where an instance can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// On which of its engine's networks.
    pub network: String,
    /// The address.
    pub ip: IpAddr,
}

/// What has met a disturbance of traffic: the kernel's own counters, so proof that it bites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Packets that were meant.
    pub packets: u64,
    /// Of these, packets that did not get through.
    pub dropped: u64,
    /// How long those that were delayed were held, the median (µs), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_us: Option<u64>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packets {
            1 => f.write_str("a packet has met it")?,
            n => write!(f, "{n} packets have met it")?,
        }
        if self.dropped > 0 {
            let share = self.dropped as f64 / self.packets.max(self.dropped) as f64;
            write!(f, ", {} of them ({:.1} %) did not get through", self.dropped, share * 100.0)?;
        }
        if let Some(us) = self.held_us {
            write!(f, ", held for {:.1} ms in the median", us as f64 / 1000.0)?;
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
    /// Somebody replaces it when it stops (Swarm, Kubernetes), naming who.
    Orchestrated(String),
    /// Its engine starts it again after a crash (a restart policy).
    Restarts,
    /// It shares the host's network.
    HostNetwork,
    /// It shares the network of another instance, or another one shares its: by name.
    SharesNetwork(String),
    /// It publishes ports that its engine chooses anew at each start.
    RandomPorts,
    /// It is this very program, its guard, or something the program made.
    Ours,
}

/// What about an instance can be set; at most one active fault per aspect of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Whether the main process runs.
    Running,
    /// Whether its processes are frozen.
    Paused,
    /// What happens to its traffic.
    Network,
    /// Its established connections.
    Connections,
    /// How many processes it may have.
    ProcessLimit,
    /// Whether its engine starts it again when its main process ends by itself.
    RestartPolicy,
    /// What fills its file systems.
    Disk,
    /// Through which of its mounts nothing can be written.
    Mounts,
    /// How much processor time it may use.
    CpuLimit,
    /// How much memory it may use.
    MemoryLimit,
    /// How fast it may read and write its disks.
    IoLimit,
    /// How many descriptors its processes may have.
    DescriptorLimit,
    /// From which ports its own connections begin.
    PortRange,
    /// What a process of ours uses of its processor.
    CpuLoad,
    /// What a process of ours uses of its memory.
    MemoryLoad,
    /// Its processes other than the main one.
    Processes,
    /// What a command of the user's changes, which nobody else can observe.
    Custom,
}

impl Aspect {
    /// Whether its value can be observed wherever it can be set.
    #[must_use]
    pub fn is_observed(self) -> bool {
        !matches!(self, Self::Connections | Self::Custom)
    }

    /// Whether another aspect's change may change it as a consequence, so that it is put right after any run. What is none of
    /// those may be changed by others for reasons of their own, while a run is about something else.
    #[must_use]
    pub fn may_follow(self) -> bool {
        !matches!(
            self,
            Self::ProcessLimit
                | Self::CpuLimit
                | Self::MemoryLimit
                | Self::IoLimit
                | Self::DescriptorLimit
                | Self::PortRange
                | Self::Disk
                | Self::Mounts
                | Self::Processes
        )
    }

    /// Whether it is about traffic, which is disturbed from outside of the instance.
    #[must_use]
    pub fn is_of_traffic(self) -> bool {
        matches!(self, Self::Network | Self::Connections)
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "main process",
            Self::Paused => "freezer",
            Self::Network => "traffic",
            Self::Connections => "connections",
            Self::ProcessLimit => "limit of processes",
            Self::RestartPolicy => "restart policy",
            Self::Disk => "disk",
            Self::Mounts => "mounts",
            Self::CpuLimit => "limit of processor time",
            Self::MemoryLimit => "limit of memory",
            Self::IoLimit => "limit of reading and writing",
            Self::DescriptorLimit => "limit of descriptors",
            Self::PortRange => "range of ports",
            Self::CpuLoad => "processor load",
            Self::MemoryLoad => "memory load",
            Self::Processes => "processes",
            Self::Custom => "own ways",
        })
    }
}

/// One aspect of an instance and the value it has, or shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// The main process runs, or does not. Observed, and set back.
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
    /// Its processes are frozen, or are not. Observed, and set back.
    Paused(bool),
    /// Its traffic is disturbed. Observed as its mark.
    Network(Box<Network>),
    /// What of ours lies on this aspect, told by the mark of what was set (such as [`Network::mark`]), or nothing. Observed;
    /// nothing is what is set back.
    Mark(Aspect, Option<String>),
    /// It may use no more than this of its machine. Observed, and set back.
    Limit(Limit),
    /// One of its file systems is filled. Observed as its mark.
    Filled(Box<Fill>),
    /// What filled the file system at this place is gone. Set back.
    Freed(Box<Spot>),
    /// Nothing can be written through these of its mounts, and through all others it can. Observed, and set back.
    ReadOnly(BTreeSet<String>),
    /// A process of ours uses up what it has, or holds some of its processes still. Observed as its mark.
    Burden(Box<Burden>),
    /// Processes other than the main one have got a signal. Momentary.
    Signalled(Box<Signalled>),
    /// Its established TCP connections of this kind are torn down. Momentary.
    ConnectionsReset(Box<Traffic>),
    /// What its engine does when its main process ends by itself. Observed, and set back, in whichever life.
    RestartPolicy(RestartPolicy),
    /// A command of the user's has run. Momentary: its evidence is its exit status.
    Ran(Command),
}

impl Setting {
    /// Which aspect this is a value of.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        match self {
            Self::Running(_) | Self::Killed(_) | Self::Stopped { .. } | Self::Restarted { .. } => Aspect::Running,
            Self::Paused(_) => Aspect::Paused,
            Self::Network(_) => Aspect::Network,
            Self::Mark(aspect, _) => *aspect,
            Self::Limit(limit) => match limit {
                Limit::Processes(_) => Aspect::ProcessLimit,
                Limit::Cpu(_) => Aspect::CpuLimit,
                Limit::Memory(_) => Aspect::MemoryLimit,
                Limit::Io(_) => Aspect::IoLimit,
                Limit::Descriptors(_) => Aspect::DescriptorLimit,
                Limit::Ports { .. } => Aspect::PortRange,
            },
            Self::Filled(_) | Self::Freed(_) => Aspect::Disk,
            Self::ReadOnly(_) => Aspect::Mounts,
            Self::Burden(burden) => match burden.work {
                Work::Cpu { .. } => Aspect::CpuLoad,
                Work::Memory(_) => Aspect::MemoryLoad,
                Work::Stop { .. } => Aspect::Processes,
            },
            Self::Signalled(_) => Aspect::Processes,
            Self::ConnectionsReset(_) => Aspect::Connections,
            Self::RestartPolicy(_) => Aspect::RestartPolicy,
            Self::Ran(_) => Aspect::Custom,
        }
    }

    /// What is observed of it while it is in effect: the value itself, the mark of what is laid, or, where it is momentary or
    /// shows otherwise (in a life that ended), nothing.
    #[must_use]
    pub fn observed_as(&self) -> Option<Self> {
        match self {
            Self::Running(_)
            | Self::Paused(_)
            | Self::Mark(..)
            | Self::Limit(_)
            | Self::ReadOnly(_)
            | Self::RestartPolicy(_) => Some(self.clone()),
            Self::Filled(fill) => Some(Self::Mark(Aspect::Disk, Some(fill.mark()))),
            Self::Freed(_) => Some(Self::Mark(Aspect::Disk, None)),
            Self::Network(network) => Some(Self::Mark(Aspect::Network, Some(network.mark()))),
            Self::Burden(burden) => Some(Self::Mark(self.aspect(), Some(burden.mark()))),
            Self::Killed(_)
            | Self::Stopped { .. }
            | Self::Restarted { .. }
            | Self::ConnectionsReset(_)
            | Self::Signalled(_)
            | Self::Ran(_) => None,
        }
    }

    /// In which stage of a fault it is set: what must be in place on all targets before anything else happens to them comes
    /// first.
    #[must_use]
    pub fn stage(&self) -> u8 {
        u8::from(!matches!(self, Self::RestartPolicy(_)))
    }

    /// How long an engine may still be busy with this after the process that asked for it has died.
    /// A way back is proven only after that time (an injection without a recorded end may still be executing).
    #[must_use]
    pub fn longest(&self) -> Duration {
        const MARGIN: Duration = Duration::from_millis(500);
        match self {
            Self::Stopped { timeout } | Self::Restarted { timeout } => *timeout + 2 * MARGIN,
            Self::Ran(command) => command.timeout + MARGIN,
            Self::Running(_)
            | Self::Killed(_)
            | Self::Paused(_)
            | Self::Network(_)
            | Self::Mark(..)
            | Self::Limit(_)
            | Self::RestartPolicy(_)
            | Self::Filled(_)
            | Self::ReadOnly(_)
            | Self::Burden(_)
            | Self::Signalled(_)
            | Self::ConnectionsReset(_) => MARGIN,
            // A directory with a million files goes file by file.
            Self::Freed(_) => Duration::from_secs(20),
        }
    }

    /// Whether it ends with the life of the instance that it was made for, without being over by that: it is made again in
    /// the next life, for as long as the fault is on.
    #[must_use]
    pub fn ends_with_life(&self) -> bool {
        match self {
            Self::Network(_) | Self::Limit(_) | Self::ReadOnly(_) => true,
            // Memory does; what is written to a file system stays.
            Self::Filled(fill) => fill.place.mount.kind == MountKind::Tmpfs,
            // The processes of the next life are others.
            Self::Burden(burden) => !matches!(burden.work, Work::Stop { .. }),
            _ => false,
        }
    }

    /// Whether the end of the instance's main process may be its very effect.
    #[must_use]
    pub fn may_end_life(&self) -> bool {
        matches!(self, Self::Burden(burden) if matches!(&burden.work, Work::Memory(load) if load.oom == Oom::Allow))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(true) => f.write_str("running"),
            Self::Running(false) => f.write_str("not running"),
            Self::Killed(Kill { signal, via }) => write!(f, "killed with {signal} ({via})"),
            Self::Stopped { timeout } => write!(f, "stopped within {}", humantime::format_duration(*timeout)),
            Self::Restarted { .. } => f.write_str("restarted"),
            Self::Paused(true) => f.write_str("paused"),
            Self::Paused(false) => f.write_str("not paused"),
            Self::Network(network) => network.fmt(f),
            Self::Mark(aspect, None) => write!(f, "{aspect} untouched"),
            Self::Mark(aspect, Some(mark)) => write!(f, "{aspect} disturbed ({mark})"),
            Self::Limit(limit) => write!(f, "limited to {limit}"),
            Self::Filled(fill) => fill.fmt(f),
            Self::Freed(place) => write!(f, "freed at {}", place.path),
            Self::ReadOnly(paths) if paths.is_empty() => f.write_str("writable everywhere"),
            Self::ReadOnly(paths) => {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                write!(f, "read-only at {}", paths.join(" and "))
            }
            Self::Burden(burden) => burden.fmt(f),
            Self::Signalled(signalled) => signalled.fmt(f),
            Self::ConnectionsReset(traffic) => write!(f, "connections reset {traffic}"),
            Self::RestartPolicy(policy) => policy.fmt(f),
            Self::Ran(command) => write!(f, "ran {command}"),
        }
    }
}

/// How a main process is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// Which signal.
    pub signal: Signal,
    /// Who sends it.
    pub via: Via,
}

/// A signal by its name, such as `SIGKILL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "signal(7) documents them")]
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
        match self {
            Self::SigKill => "SIGKILL",
            Self::SigTerm => "SIGTERM",
            Self::SigInt => "SIGINT",
            Self::SigQuit => "SIGQUIT",
            Self::SigHup => "SIGHUP",
            Self::SigAbrt => "SIGABRT",
            Self::SigSegv => "SIGSEGV",
            Self::SigUsr1 => "SIGUSR1",
            Self::SigUsr2 => "SIGUSR2",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who sends a signal to the main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The engine: an operator's kill. Restart policies do not act.
    #[default]
    Engine,
    /// The host's kernel: a crash. Restart policies act.
    Host,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Engine => "by the engine",
            Self::Host => "as a crash",
        })
    }
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
    /// It starts it again, unless somebody has stopped it; with the engine itself, too.
    UnlessStopped,
    /// It starts it again; with the engine itself, too, whoever has stopped it.
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
    /// Their names, in which `*` stands for any text.
    pub name: String,
    /// Which signal.
    pub signal: Signal,
}

impl fmt::Display for Signalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hit by {} in its processes `{}`", self.signal, self.name)
    }
}

/// A command: an argument list, never a shell's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments. `${NAME}` is resolved only where the command runs, so that journals hold no secret.
    pub run: Vec<String>,
    /// Where it runs.
    pub place: Place,
    /// After this it is killed and counts as failed.
    #[serde(with = "humantime_text")]
    pub timeout: Duration,
    /// Whom it is for ([`Instance::variables`]), in its environment where it runs here. Kept with it, because an undo runs
    /// even if its instance is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The directory in which it runs where it runs here: that of the runner, wherever whoever undoes it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.run.join(" "))?;
        match self.place {
            Place::Target => f.write_str(" in it"),
            Place::Here => f.write_str(" here"),
        }
    }
}

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Inside the instance.
    #[default]
    Target,
    /// On the machine where Squall runs, with `SQUALL_INSTANCE`, `SQUALL_NAME`, `SQUALL_SERVICE` and
    /// `SQUALL_ZONE` in its environment.
    Here,
}

/// One change of a run: one setting of one instance, with its way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its place in the plan, from 0. Together with the run's id it names everything that the change creates.
    pub n: usize,
    /// Which fault of the experiment it belongs to: its place in the list, from 0.
    #[serde(default)]
    pub fault: usize,
    /// Whom it changes.
    pub instance: InstanceId,
    /// The instance's name, for people.
    pub name: String,
    /// The life of the instance that it was planned for.
    pub epoch: Epoch,
    /// The value observed before, where the aspect can be observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Setting>,
    /// The value it shall have.
    pub to: Setting,
    /// The way back.
    pub back: Back,
}

/// The way back from a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Back {
    /// Set this value.
    To(Setting),
    /// There is nothing to set back.
    Nothing,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.to)
    }
}
