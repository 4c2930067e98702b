//! What an instance may use of its machine, as plain data: its allowance, and limits of it that can be set.
//!
//! This module knows nothing else of the program.

pub mod counters;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an instance may use of its machine, and what it uses of that now. Where a limit is nothing, there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Allowance {
    /// How many cores' worth of time: its quota, or where there is none, the cores that it may run on.
    pub cores: Option<f64>,
    /// How much memory (bytes).
    pub memory: Option<u64>,
    /// How many processes, each thread counted as one.
    pub processes: Option<u64>,
    /// How much memory is in use (bytes), its files' pages among it.
    pub memory_used: Option<u64>,
    /// How much of that the kernel cannot have back at once: all but the page cache.
    pub memory_held: Option<u64>,
    /// How many processes there are, each thread counted as one.
    pub processes_used: Option<u64>,
    /// How many descriptors its main process has open.
    pub descriptors_used: Option<u64>,
}

/// A limit of what an instance may use. It ends with the instance's life: in the next one the engine gives it what is
/// configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// So many processes, each thread counted as one; nothing is no limit.
    Processes(Option<u64>),
    /// So much processor time.
    Cpu(Quota),
    /// So much memory (bytes), beyond which the kernel reclaims, swaps, or kills; nothing is no limit.
    Memory(Option<u64>),
    /// So much reading and writing, for each of its disks.
    Io(Vec<Disk>),
    /// Descriptors with numbers below this one: the soft limit of its main process, and of every process that has the same.
    Descriptors(u64),
    /// Ports for its own connections: `net.ipv4.ip_local_port_range`.
    Ports {
        /// The first.
        first: u16,
        /// The last.
        last: u16,
    },
}

/// So much processor time in each period, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quota {
    /// How much (µs); nothing is no limit.
    pub us: Option<u64>,
    /// How long a period is (µs).
    pub period_us: u64,
}

impl Quota {
    /// The kernel's own period, which is Docker's as well.
    pub const PERIOD_US: u64 = 100_000;
    /// The least that the kernel takes.
    pub const LEAST_US: u64 = 1_000;

    /// So many cores' worth of time, in periods of the usual length.
    #[must_use]
    pub fn of_cores(cores: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "floats saturate, and the rest is meant"
        )]
        let us = (cores * Self::PERIOD_US as f64).round() as u64;
        Self { us: Some(us.max(Self::LEAST_US)), period_us: Self::PERIOD_US }
    }

    /// How many cores' worth of time it is, where there is a limit.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        self.us.map(|us| us as f64 / self.period_us.max(1) as f64)
    }
}

/// A disk below an instance's file systems, and how fast the instance may read and write it. Nothing is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disk {
    /// The kernel's numbers for it, such as `254:0`.
    pub device: String,
    /// Where the instance sees file systems of it.
    pub paths: Vec<String>,
    /// Whether what is left in the page cache, to be written later by the kernel, is limited as well.
    pub buffered: bool,
    /// Bytes read in a second.
    pub read: Option<u64>,
    /// Bytes written in a second.
    pub write: Option<u64>,
    /// Reads in a second.
    pub read_ops: Option<u64>,
    /// Writes in a second.
    pub write_ops: Option<u64>,
}

impl Disk {
    /// Its limits: bytes read and written, reads and writes, in a second.
    #[must_use]
    pub fn rates(&self) -> [Option<u64>; 4] {
        [self.read, self.write, self.read_ops, self.write_ops]
    }
}

impl Limit {
    /// Whether this one leaves less than another one of the same kind, and nothing more.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Processes(this), Self::Processes(other)) | (Self::Memory(this), Self::Memory(other)) => {
                less(*this, *other)
            }
            (Self::Cpu(this), Self::Cpu(other)) => less(this.cores(), other.cores()),
            (Self::Io(this), Self::Io(other)) => {
                let pairs = || {
                    let same = |d: &Disk| other.iter().find(|o| o.device == d.device).map(Disk::rates);
                    this.iter().flat_map(move |d| d.rates().into_iter().zip(same(d).unwrap_or_default()))
                };
                pairs().any(|(this, other)| less(this, other)) && !pairs().any(|(this, other)| less(other, this))
            }
            (Self::Descriptors(this), Self::Descriptors(other)) => this < other,
            (Self::Ports { first, last }, Self::Ports { first: other_first, last: other_last }) => {
                last.saturating_sub(*first) < other_last.saturating_sub(*other_first)
            }
            _ => false,
        }
    }
}

/// Whether a limit is lower than another one, where nothing is no limit.
fn less<T: PartialOrd>(this: Option<T>, other: Option<T>) -> bool {
    match (this, other) {
        (Some(this), Some(other)) => this < other,
        (this, other) => this.is_some() && other.is_none(),
    }
}

/// An amount of bytes for people: `1.5MiB`.
#[must_use]
pub fn bytes(amount: u64) -> String {
    let (mut unit, mut value) = ("B", amount as f64);
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value >= 1024.0 {
            (unit, value) = (larger, value / 1024.0);
        }
    }
    format!("{}{unit}", (value * 10.0).round() / 10.0)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes(None) => f.write_str("as many processes as it likes"),
            Self::Processes(Some(1)) => f.write_str("at most 1 process"),
            Self::Processes(Some(n)) => write!(f, "at most {n} processes"),
            Self::Cpu(quota) => match quota.cores() {
                None => f.write_str("the cores that there are"),
                Some(cores) => write!(f, "{} of a core", percent(cores)),
            },
            Self::Memory(None) => f.write_str("the memory that there is"),
            Self::Memory(Some(limit)) => write!(f, "{} of memory", bytes(*limit)),
            Self::Io(disks) => {
                let texts: Vec<String> = disks.iter().filter(|d| d.rates() != [None; 4]).map(Disk::to_string).collect();
                if texts.is_empty() { f.write_str("what its disks can do") } else { f.write_str(&texts.join("; ")) }
            }
            Self::Descriptors(n) => write!(f, "descriptors below {n}"),
            Self::Ports { first, last } => write!(f, "ports {first} to {last} for its own connections"),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |what: &str, limit: Option<u64>| limit.map(|n| format!("{what} {}/s", bytes(n)));
        let times = |what: &str, limit: Option<u64>| limit.map(|n| format!("{n} {what}/s"));
        let all = [
            rate("reading", self.read),
            rate("writing", self.write),
            times("reads", self.read_ops),
            times("writes", self.write_ops),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        write!(
            f,
            "{} on {}",
            if all.is_empty() { "no limit".to_owned() } else { all.join(", ") },
            self.paths.join(", ")
        )
    }
}

fn percent(ratio: f64) -> String {
    format!("{}%", (ratio * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_less_than_no_limit() {
        let n = Limit::Processes;
        assert!(n(Some(3)).is_below(&n(Some(4))) && n(Some(3)).is_below(&n(None)));
        assert!(!n(Some(3)).is_below(&n(Some(3))) && !n(None).is_below(&n(Some(3))) && !n(None).is_below(&n(None)));
    }

    #[test]
    fn quotas_are_compared_by_the_cores_that_they_are() {
        let quota = |us, period_us| Limit::Cpu(Quota { us, period_us });
        assert!(quota(Some(10_000), 100_000).is_below(&quota(Some(10_000), 50_000)));
        assert!(quota(Some(10_000), 100_000).is_below(&quota(None, 100_000)));
        assert!(!quota(Some(20_000), 100_000).is_below(&quota(Some(10_000), 50_000)));
        assert_eq!(Quota::of_cores(0.5), Quota { us: Some(50_000), period_us: 100_000 });
        assert_eq!(Quota::of_cores(0.0001).us, Some(1_000), "the least that there is");
    }

    #[test]
    fn a_slower_disk_is_slower_in_nothing_faster() {
        let disk = |read, write| Disk {
            device: "8:0".to_owned(),
            paths: vec!["/data".to_owned()],
            buffered: false,
            read,
            write,
            read_ops: None,
            write_ops: None,
        };
        let io = |read, write| Limit::Io(vec![disk(read, write)]);
        assert!(io(Some(1), None).is_below(&io(None, None)) && io(Some(1), Some(2)).is_below(&io(Some(2), Some(2))));
        assert!(!io(Some(1), None).is_below(&io(Some(2), Some(2))), "writing would be faster");
        assert!(!io(None, None).is_below(&io(None, None)));
        assert_eq!(io(Some(1 << 20), None).to_string(), "reading 1MiB/s on /data");
    }

    #[test]
    fn fewer_ports_and_descriptors_are_fewer() {
        let ports = |first, last| Limit::Ports { first, last };
        assert!(ports(40_000, 40_001).is_below(&ports(32_768, 60_999)) && !ports(1, 9).is_below(&ports(11, 19)));
        assert!(Limit::Descriptors(10).is_below(&Limit::Descriptors(11)));
    }
}
