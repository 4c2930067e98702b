//! What can go wrong: one small file per fault, and one line in the table below.
//!
//! A fault is a pure function from an instance to the settings it shall have; the rollback is what was observed
//! before. It knows no engine, no clock and no I/O. `docs/adding-a-fault.md` walks through adding one.

mod keys;
mod power;
mod refusal;
mod traffic;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use disk_fill::spares_others;
pub use process::Act;
pub use traffic::{Peering, Who};
pub use zone_outage::{Clients as OutageClients, Mode as OutageMode};

use crate::experiment::document::found::Found;
use crate::model::effect::Idle;
use crate::model::instance::{Instance, InstanceId, Rollback, Setting};
use crate::model::quantity::Span;
use crate::model::stressor::{StressSpec, Stressor};

/// Makes of one line per fault its module and all that lists the faults: the type with its variants, their names, and the way to
/// each one's own file.
macro_rules! faults {
    ($($name:literal => $module:ident::$fault:ident: $about:literal,)+) => {
        $(
            mod $module;
            pub use $module::$fault;
        )+

        /// A fault with its parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Fault {
            $(
                #[doc = $about]
                #[serde(rename = $name)]
                $fault($fault),
            )+
        }

        impl Fault {
            /// Every fault's name as the file spells it.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// Its name as the file spells it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$fault(_) => $name,)+
                }
            }

            /// The fault's own file.
            #[must_use]
            pub fn disturb(&self) -> &dyn Disturb {
                match self {
                    $(Self::$fault(fault) => fault,)+
                }
            }
        }
    };
}

faults! {
    "kill" => kill::Kill: "The main process is killed by a signal.",
    "stop" => stop::Stop: "The instance is stopped as an operator would stop it.",
    "pause" => pause::Pause: "The instance is frozen: it keeps its connections and answers nothing.",
    "restart" => restart::Restart: "The instance is stopped and started again at once.",
    "latency" => latency::Latency: "Packets arrive later.",
    "loss" => loss::Loss: "Packets vanish.",
    "corrupt" => corrupt::Corrupt: "One bit of some packets is turned over.",
    "duplicate" => duplicate::Duplicate: "Some packets arrive twice.",
    "reorder" => reorder::Reorder: "Some packets overtake the others.",
    "bandwidth" => bandwidth::Bandwidth: "Only so much passes in a given time.",
    "shape" => shape::Shape: "Several impairments at once: a bad line.",
    "partition" => partition::Partition: "The instance and its peers cannot talk with each other.",
    "blackhole" => blackhole::Blackhole: "What the instance sends to some peers or ports leads nowhere.",
    "dns" => dns::Dns: "DNS queries are answered wrongly, or not at all.",
    "reset" => reset::Reset: "Established connections are torn down.",
    "tcp" => tcp::Tcp: "Connections that the instance begins are refused, hang, end, or are slow.",
    "http" => http::Http: "HTTP requests that the instance sends are answered wrongly, late, in part, or not at all.",
    "grpc" => grpc::Grpc: "gRPC calls of the instance end with an error, late, in part, or not at all.",
    "tls" => tls::Tls: "TLS handshakes of the instance are refused, late, cut, or never answered.",
    "postgres" => postgres::Postgres: "Connections to `PostgreSQL` that the instance begins are refused.",
    "redis" => redis::Redis: "Redis commands that the instance sends are answered with an error.",
    "connections" => connections::Connections: "Connections that the instance's server has room for are used up.",
    "pids" => pids::Pids: "The instance cannot have another process.",
    "cpu" => cpu::Cpu: "Processor time of the instance is used up.",
    "memory" => memory::Memory: "Memory of the instance is used up.",
    "process" => process::Process: "Processes other than the main one are killed or stopped.",
    "zone-outage" => zone_outage::ZoneOutage: "Everything in a zone at once: without power, cut off, frozen, or behind a bad line.",
    "node-outage" => node_outage::NodeOutage: "Everything on a machine at once: cut off, without power, or drained of its tasks.",
    "disk-fill" => disk_fill::DiskFill: "A file system fills up.",
    "disk-readonly" => disk_readonly::DiskReadonly: "A mount lets nothing be written.",
    "throttle" => throttle::Throttle: "The instance gets less processor time or memory than it has.",
    "disk-slow" => disk_slow::DiskSlow: "The instance reads and writes its disks more slowly.",
    "file-descriptors" => file_descriptors::FileDescriptors: "The instance can open no other file or socket.",
    "sockets" => sockets::Sockets: "The instance has few ports for its own connections.",
    "exec" => exec::Exec: "A command of your own, with the command that undoes it.",
}

impl Fault {
    /// Who makes it good again.
    #[must_use]
    pub fn heal(&self) -> Heal {
        self.disturb().heal()
    }
}

/// What a fault needs to know beside the instance that it is to disturb.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Everybody else whom it may be about, targeted or not.
    pub peers: &'a [Instance],
    /// Everything that the engine has.
    pub fleet: &'a [Instance],
    /// The targets of the same fault.
    pub targets: &'a [InstanceId],
    /// For whatever is left to chance: another one for each change, so that two targets do not lose the same packets.
    pub seed: u64,
    /// After which time a process of Squall's ends by itself, if nothing else ends it.
    pub time_limit: Duration,
}

/// What of a fault takes a time to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    /// The key that says so.
    pub key: &'static str,
    /// How long; nothing where it shows at once.
    pub takes: Span,
    /// What comes of it where the fault is over before.
    pub so: &'static str,
}

/// What a fault can take out as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// A failure domain, as far as the target means it.
    Zone,
    /// A machine, with everything that runs on it.
    Node,
}

/// What a fault does to one instance. Pure.
pub trait Disturb {
    /// The settings that `instance` shall have; `context` tells what it needs beside it.
    fn settings(&self, instance: &Instance, context: &Context<'_>) -> Vec<Setting>;

    /// Adds what is wrong with its keys beyond what their types can tell. `own` is its path in the file, its name last.
    fn check(&self, found: &mut Found<'_>, own: &[&str]);

    /// What of it takes a time to show: a fault that is over by then was never there.
    fn takes(&self) -> Vec<Takes> {
        Vec::new()
    }

    /// The rollback: the value observed before, unless a fault knows better.
    fn back(&self, to: &Setting, before: Option<&Setting>) -> Rollback {
        as_before(to, before)
    }

    /// Who makes it good again.
    fn heal(&self) -> Heal;

    /// Which of its targets may be idle.
    fn idle(&self) -> Idle {
        Idle::None
    }

    /// What will do where an engine is not able to make a setting so.
    fn instead(&self, _to: &Setting) -> Option<Setting> {
        None
    }

    /// Whether it is over as soon as it is done, whatever it leaves behind.
    fn is_momentary(&self) -> bool {
        false
    }

    /// What it takes out as a whole, if anything, so that it targets everything there that its target means.
    fn whole(&self) -> Option<Whole> {
        None
    }

    /// Whether it is about whole zones.
    fn targets_zones(&self) -> bool {
        self.whole() == Some(Whole::Zone)
    }

    /// Whether it is about whole nodes, so that everything that runs there must be its target.
    fn targets_nodes(&self) -> bool {
        self.whole() == Some(Whole::Node)
    }

    /// How far apart its instances come back when its time is over; nothing: all at once.
    fn returns_every(&self) -> Option<Span> {
        None
    }

    /// Why it makes no sense for this instance, as far as that is known, if it makes none.
    fn refuses(&self, _: &Instance) -> Option<String> {
        None
    }

    /// What people should know before they do it to this instance, if anything.
    fn warns(&self, _: &Instance) -> Option<String> {
        None
    }

    /// With whom the traffic is that it is about, where it says so.
    fn peers(&self) -> Option<Peering<'_>> {
        None
    }

    /// What cannot be seen by a certain kind of probe while this fault is on, if anything.
    fn unseen(&self) -> Option<&'static str> {
        None
    }
}

/// The rollback to what was observed.
fn as_before(to: &Setting, before: Option<&Setting>) -> Rollback {
    match to.observed_as() {
        // An amendment finds what an earlier change has laid: what is set back is nothing, never that.
        Some(Setting::Mark(aspect, _)) => Rollback::To(Setting::Mark(aspect, None)),
        _ => before.cloned().map_or(Rollback::Nothing, Rollback::To),
    }
}

/// Where what is there already comes from, and what to do.
const LEFT_OVER: &str = "left over from another run: `squall recover` with its state directory rolls it back; where that is \
                                    lost, `squall doctor` tells how a person does it";

/// What a process of Squall's does to the instance.
fn stressor(context: &Context<'_>, work: StressSpec) -> Setting {
    Setting::Stressor(Box::new(Stressor { work, at_most: context.time_limit }))
}

/// Who makes a fault good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Squall rolls it back when its time is over; recovery is measured from there.
    #[default]
    Squall,
    /// The system itself must do it: recovery is measured from the injection, and only after the verdict does Squall
    /// put back what is still missing.
    #[serde(rename = "self")]
    Itself,
}
