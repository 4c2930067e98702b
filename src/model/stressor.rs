//! What a process of Squall's can do to the machine that an instance believes it has: use up its processor, use up its memory,
//! hold some of its processes still. The vocabulary alone: `load` does it.

pub mod called;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{self, fingerprint, humantime_text};
use called::Which;

/// Something that lasts for as long as a process of Squall's does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stressor {
    /// What.
    pub work: StressSpec,
    /// After this it ends by itself, even if no process is left to end it: the last resort.
    #[serde(with = "humantime_text")]
    pub at_most: Duration,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum StressSpec {
    /// Processor time is used up.
    Cpu {
        /// How many seconds of it in each second.
        cores: f64,
    },
    /// Memory is used up.
    Memory(MemoryLoad),
    /// Processes other than the main one are stopped.
    Stop(Which),
    /// Connections that its server has room for are used up.
    Connections(HeldConnections),
}

/// Which connections are held, with nothing said on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldConnections {
    /// How many, at most.
    pub count: u32,
    /// The instance's port.
    pub port: u16,
    /// What each of them begins with.
    pub speaks: Speaks,
}

/// What a connection begins with, so that its server takes it for one of its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// It is one as soon as it is there.
    #[default]
    Nothing,
    /// A client of `PostgreSQL` says who it is, and the server asks for more.
    Postgres,
}

/// How memory is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLoad {
    /// How much.
    pub goal: Goal,
    /// Within which time it is reached.
    #[serde(with = "humantime_text")]
    pub ramp: Duration,
    /// What happens where memory runs out.
    pub oom: Oom,
}

/// How much memory is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// As much as it takes for all processes together to use so many bytes; page cache, which can be had back, does not
    /// count.
    Used(u64),
    /// So many bytes beside what the instance itself uses.
    Added(u64),
}

/// What happens where memory runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oom {
    /// Not the target: the load keeps away from the limit, gives memory back as soon as the target needs it, and is the first
    /// that the kernel ends.
    #[default]
    Avoid,
    /// The target, as if it had used the memory itself: the load takes no notice of the limit, gives nothing back, and the
    /// kernel chooses among the target's own processes.
    Allow,
}

impl Stressor {
    /// What tells this apart from every other value: 16 hexadecimal digits. The process that does it carries it, so that
    /// anybody can see whether exactly this is being done.
    #[must_use]
    pub fn mark(&self) -> String {
        fingerprint::of(self)
    }
}

impl StressSpec {
    /// One word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Stressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.fmt(f)
    }
}

impl fmt::Display for StressSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu { cores } => write!(f, "loaded with {} of processor time", of_cores(*cores)),
            Self::Memory(memory) => {
                match memory.goal {
                    Goal::Used(bytes) => write!(f, "loaded until {} of memory are used", in_mib(bytes))?,
                    Goal::Added(bytes) => write!(f, "loaded with {} of memory", in_mib(bytes))?,
                }
                if !memory.ramp.is_zero() {
                    write!(f, " within {}", humantime::format_duration(memory.ramp))?;
                }
                if memory.oom == Oom::Allow {
                    f.write_str(", until it runs out of memory if need be")?;
                }
                Ok(())
            }
            Self::Stop(which) => write!(f, "stopped in its processes {which}"),
            Self::Connections(held) => {
                write!(f, "held with {} to its port {}", text::units::count(held.count, "connection"), held.port)
            }
        }
    }
}

/// `0.4 cores`, `1 core`.
#[must_use]
pub fn of_cores(cores: f64) -> String {
    let rounded = (cores * 1000.0).round() / 1000.0;
    if (rounded - 1.0).abs() < 0.0005 { "1 core".to_owned() } else { format!("{rounded} cores") }
}

/// `57.6 MiB`.
#[must_use]
pub fn in_mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)).replace(".0 MiB", " MiB")
}

/// How many bytes of a machine's memory no fault may use up: the larger of 5 % and 512 MiB.
#[must_use]
pub fn reserve(total: u64) -> u64 {
    (total / 20).max(512 << 20)
}

/// How far from its limit a load keeps that shall not run out of memory: 5 %.
#[must_use]
pub fn margin(limit: u64) -> u64 {
    limit / 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_is_done() {
        let memory = |goal, ramp, oom| StressSpec::Memory(MemoryLoad { goal, ramp: Duration::from_secs(ramp), oom });
        for (work, want) in [
            (StressSpec::Cpu { cores: 0.4 }, "loaded with 0.4 cores of processor time"),
            (StressSpec::Cpu { cores: 1.0 }, "loaded with 1 core of processor time"),
            (memory(Goal::Used(60_397_977), 10, Oom::Avoid), "loaded until 57.6 MiB of memory are used within 10s"),
            (
                memory(Goal::Added(256 << 20), 0, Oom::Allow),
                "loaded with 256 MiB of memory, until it runs out of memory if need be",
            ),
            (StressSpec::Stop(Which::named("worker*")), "stopped in its processes `worker*`"),
            (
                StressSpec::Connections(HeldConnections { count: 90, port: 5432, speaks: Speaks::Postgres }),
                "held with 90 connections to its port 5432",
            ),
        ] {
            assert_eq!(work.to_string(), want);
        }
    }

    #[test]
    fn a_mark_tells_values_apart_and_survives_the_journal() {
        let stressor = |cores| Stressor { work: StressSpec::Cpu { cores }, at_most: Duration::from_mins(1) };
        assert_ne!(stressor(0.4).mark(), stressor(0.5).mark());
        // 80 % of 0.15 is no round number.
        let text = serde_json::to_string(&stressor(0.15 * 0.8)).unwrap();
        assert_eq!(serde_json::from_str::<Stressor>(&text).unwrap().mark(), stressor(0.15 * 0.8).mark());
    }
}
