//! Whether a fault of the machine has an effect on what goes on at its target: judged by what the kernel has counted since its
//! injection was verified. What the kernel counts nothing of cannot be known, and the verdict says so. Pure.

use std::time::Duration;

use crate::model::effect::Effect;
use crate::model::instance::Setting;
use crate::model::machine::counters::{Counters, CpuLoad, Room};
use crate::model::machine::{Disk, Limit, bytes};
use crate::model::stressor::{Goal, HeldConnections, MemoryLoad, StressSpec, Stressor, in_mib, of_cores};
use crate::text::units::{self, times};

/// What share of its declared size a load must have had. The rest is what sampling takes.
const ENOUGH: f64 = 0.8;

/// With less of its memory in use than this share, nothing is different for a target.
const MEMORY_FULL: f64 = 0.5;

/// From which share of a rate on a disk is as fast as it may be.
const BUSY: f64 = 0.8;

/// For how long the processes of a target must have waited for a processor, at least and as a share of the time that they used.
const WAITED_LEAST: Duration = Duration::from_millis(20);
const WAITED_SHARE: f64 = 0.1;

/// Less processor time than this is none.
const USED_LEAST: Duration = Duration::from_millis(1);

/// What a setting of the machine has done from one look to the other; `None` where it is none, or its effect needs no showing.
pub(super) fn effect(to: &Setting, since: &Counters, now: &Counters) -> Option<Effect> {
    let of = Judged { to, since, now };
    Some(match to {
        Setting::Limit(limit) => match limit {
            Limit::Processes(_) => of.counted(
                |c| c.processes_refused,
                "another process was refused",
                "it asked for no process beyond the limit",
            ),
            Limit::Cpu(_) => of.held_back(),
            Limit::Memory(_) => of.short_of_memory("its limit of memory was never met"),
            Limit::Io(disks) => of.disks(disks),
            Limit::Descriptors(_) => of.unknown("the kernel does not count descriptors that it refuses"),
            Limit::Ports { .. } => of.unknown("the kernel does not count connections that find no port"),
        },
        Setting::Filled(_) => of.unknown("the kernel does not count who finds no space"),
        Setting::ReadOnly(paths) if !paths.is_empty() => {
            of.unknown("the kernel does not count what it refuses to write")
        }
        Setting::Stressor(stressor) => return of.stressor(stressor),
        Setting::Running(_)
        | Setting::Killed(_)
        | Setting::Stopped { .. }
        | Setting::Restarted { .. }
        | Setting::Paused(_)
        | Setting::Network(_)
        | Setting::Mark(..)
        | Setting::Freed(_)
        | Setting::ReadOnly(_)
        | Setting::Signalled(_)
        | Setting::ConnectionsReset(_)
        | Setting::RestartPolicy(_)
        | Setting::Isolated(_)
        | Setting::Availability(_)
        | Setting::Ran(_) => return None,
    })
}

struct Judged<'a> {
    to: &'a Setting,
    since: &'a Counters,
    now: &'a Counters,
}

impl Judged<'_> {
    fn selected(&self) -> String {
        self.to.to_string()
    }

    fn none(&self, seen: impl Into<String>) -> Effect {
        Effect::Unaffected { selected: self.selected(), seen: seen.into() }
    }

    fn unknown(&self, why: impl Into<String>) -> Effect {
        Effect::Unknown { selected: self.selected(), why: why.into() }
    }

    fn grown(&self, counter: impl Fn(&Counters) -> Option<u64>) -> Option<u64> {
        self.now.grown(self.since, counter)
    }

    /// Something that the kernel counts each time.
    fn counted(&self, counter: impl Fn(&Counters) -> Option<u64>, what: &str, else_seen: &str) -> Effect {
        match self.grown(counter) {
            None => self.unknown("this kernel does not count it"),
            Some(0) => self.none(else_seen),
            Some(n) => Effect::Affected { evidence: format!("{what} {}", times(n)) },
        }
    }

    fn held_back(&self) -> Effect {
        match (self.grown(|c| c.throttled), self.grown(|c| c.throttled_us)) {
            (Some(n), us) if n > 0 => Effect::Affected {
                evidence: format!("it was held back {}, for {}", times(n), seconds(us.unwrap_or(0))),
            },
            (Some(_), _) => {
                let used =
                    self.grown(|c| c.cpu_us).map(|us| format!(", with {} used", seconds(us))).unwrap_or_default();
                self.none(format!("it was never held back{used}"))
            }
            _ => self.unknown("this kernel does not count how often it is held back"),
        }
    }

    fn short_of_memory(&self, else_seen: &str) -> Effect {
        match (self.grown(|c| c.memory_met), self.grown(|c| c.memory_killed)) {
            (_, Some(killed)) if killed > 0 => {
                Effect::Affected { evidence: format!("{} killed for want of memory", processes(killed)) }
            }
            _ => self.counted(|c| c.memory_met, "its limit of memory was met", else_seen),
        }
    }

    fn disks(&self, disks: &[Disk]) -> Effect {
        let passed = (self.now.at_us.saturating_sub(self.since.at_us) as f64 / 1e6).max(0.001);
        let mut moved = None;
        for disk in disks.iter().filter(|d| d.rates() != [None; 4]) {
            let Some(now) = self.now.disks.get(&disk.device) else { continue };
            let since = self.since.disks.get(&disk.device).copied().unwrap_or_default();
            for (n, rate) in disk.rates().into_iter().enumerate() {
                let Some(rate) = rate else { continue };
                let grown = now[n].saturating_sub(since[n]);
                let per_second = grown as f64 / passed;
                let what = Moved { kind: n, paths: disk.paths.join(", "), grown };
                if grown > 0 && per_second >= rate as f64 * BUSY {
                    return Effect::Affected {
                        evidence: format!("{} in {passed:.1} s: as fast as it may", what.words()),
                    };
                }
                if moved.as_ref().is_none_or(|m: &Moved| m.grown < grown) {
                    moved = Some(what);
                }
            }
        }
        match moved {
            None => self.unknown("this kernel does not count what it reads and writes"),
            Some(Moved { grown: 0, .. }) => self.none("nothing was read or written past the page cache there"),
            Some(what) => self.unknown(format!(
                "{} in {passed:.1} s: less than it may, and the kernel does not count what waits",
                what.words()
            )),
        }
    }

    fn stressor(&self, stressor: &Stressor) -> Option<Effect> {
        match &stressor.work {
            StressSpec::Cpu { cores } => Some(self.cpu(*cores)),
            StressSpec::Memory(load) => Some(self.memory(load)),
            StressSpec::Connections(held) => Some(self.connections(*held)),
            // Processes that stand still do: that is all that is done.
            StressSpec::Stop(_) => None,
        }
    }

    fn connections(&self, held: HeldConnections) -> Effect {
        let HeldConnections { count, port, .. } = held;
        match self.now.connections_held {
            None => self.unknown("how many connections were held is not known"),
            Some(0) => self.none(format!("its port {port} let none stand")),
            Some(most) if most < count.into() => Effect::Affected {
                evidence: format!(
                    "{} held of {count}: its port {port} had no room for more",
                    units::count(most, "connection")
                ),
            },
            Some(most) => {
                Effect::Affected { evidence: format!("{} held to its port {port}", units::count(most, "connection")) }
            }
        }
    }

    fn cpu(&self, cores: f64) -> Effect {
        let Some(load) = self.now.cpu_load else { return self.unknown("what the load has had is not known") };
        let had = format!("the load had {}", of_cores((load.cores() * 100.0).round() / 100.0));
        let by_load = self.grown(|c| c.cpu_load.map(|CpuLoad { used_us, .. }| used_us));
        let used = self.grown(|c| c.cpu_us).zip(by_load).map(|(all, load)| (all.saturating_sub(load), load));
        if let Some((used, by_load)) = used
            && (by_load as f64) < used as f64 * WAITED_SHARE
        {
            // Whatever it waited for, that was not for the load.
            let own = seconds(used);
            return self
                .none(format!("{had}, {} in all, where the target used {own} itself: too little", seconds(by_load)));
        }
        if let Some(n) = self.grown(|c| c.throttled).filter(|n| *n > 0) {
            let us = self.grown(|c| c.throttled_us).unwrap_or_default();
            return Effect::Affected {
                evidence: format!("{had}, and its control group was held back {}, for {}", times(n), seconds(us)),
            };
        }
        if load.cores() < cores * ENOUGH {
            return self.none(format!("{had}: its host had no more to give"));
        }
        let Some((used, _)) = used else {
            return self.unknown("what the target has used is not known");
        };
        if Duration::from_micros(used) < USED_LEAST {
            return self.none(format!("{had}, and the target used none itself"));
        }
        let Some(waited) = self.grown(|c| c.waited_us) else {
            return self.unknown("this kernel does not count how long processes wait for a processor");
        };
        let words = format!("{had}; the target used {} and waited {} for a processor", seconds(used), seconds(waited));
        if Duration::from_micros(waited) >= WAITED_LEAST && waited as f64 >= used as f64 * WAITED_SHARE {
            Effect::Affected { evidence: words }
        } else {
            self.none(format!("{words}: it had what it needed"))
        }
    }

    fn memory(&self, load: &MemoryLoad) -> Effect {
        let Some(held) = self.now.memory_load else { return self.unknown("what the load holds is not known") };
        let (declared, had) = match load.goal {
            Goal::Added(declared) => (declared, held),
            Goal::Used(declared) => (declared, self.now.memory_used.unwrap_or_default()),
        };
        let words = match load.goal {
            Goal::Added(_) => format!("the load held {} of {}", in_mib(held), in_mib(declared)),
            Goal::Used(_) => {
                format!("{} of {} were in use, {} of it the load", in_mib(had), in_mib(declared), in_mib(held))
            }
        };
        if (had as f64) < declared as f64 * ENOUGH {
            return self.none(format!("{words}: there was no more to be had"));
        }
        let killed = self.grown(|c| c.memory_killed).is_some_and(|n| n > 0);
        if let Some(Room { used, whole, is_host }) = self.now.memory_room.filter(|_| !killed)
            && (used as f64) < whole as f64 * MEMORY_FULL
        {
            let of = if is_host { "that its host has" } else { "that it may use" };
            let (used, whole) = (in_mib(used), in_mib(whole));
            return self.none(format!("{words}, and with it {used} of the {whole} {of} were in use: less than half"));
        }
        match self.short_of_memory("") {
            Effect::Affected { evidence } => Effect::Affected { evidence: format!("{words}, and {evidence}") },
            _ => self
                .unknown(format!("{words}, and its limit was never met: the kernel counts nothing that this changed")),
        }
    }
}

/// What went to and from a disk, of one kind of its rates.
struct Moved {
    kind: usize,
    paths: String,
    grown: u64,
}

impl Moved {
    fn words(&self) -> String {
        let Self { kind, paths, grown } = self;
        match kind {
            0 => format!("{} read on {paths}", bytes(*grown)),
            1 => format!("{} written on {paths}", bytes(*grown)),
            2 => format!("{grown} reads on {paths}"),
            _ => format!("{grown} writes on {paths}"),
        }
    }
}

fn processes(n: u64) -> String {
    if n == 1 { "1 process was".to_owned() } else { format!("{n} processes were") }
}

fn seconds(us: u64) -> String {
    format!("{:.2} s", us as f64 / 1e6)
}

#[cfg(test)]
mod tests;
