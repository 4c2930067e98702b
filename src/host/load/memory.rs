//! Uses up memory, and watches how much there is meanwhile.

use std::io;
use std::time::{Duration, Instant};

use crate::host::cgroup::{Controller, Version};
use crate::host::memory::{self, Held};
use crate::model::stressor::{Goal, MemoryLoad, Oom, margin, reserve};

/// How often it looks. A target that takes memory in between takes it from the margin.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How much it takes before it looks again.
const STEP: u64 = 4 << 20;

/// What is held at least, once it has begun.
const LEAST: u64 = 4096;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryReading {
    /// What all processes together use, without what the kernel can have back.
    used: u64,
    /// How much they may use.
    limit: Option<u64>,
    /// How much of the machine's memory may still be taken.
    spare: u64,
}

/// The memory that a group of processes uses.
pub(super) struct Usage {
    group: Controller,
}

impl Usage {
    pub(super) fn of(group: Controller) -> Self {
        Self { group }
    }

    /// What all processes together use, without page cache.
    pub(super) fn used(&self) -> io::Result<u64> {
        let (usage, prefix) = match self.group.version {
            Version::V1 => ("memory.usage_in_bytes", "total_"),
            Version::V2 => ("memory.current", ""),
        };
        let cache = |kind: &str| self.group.keyed("memory.stat", &format!("{prefix}{kind}_file"));
        let cached = cache("active")?.unwrap_or_default() + cache("inactive")?.unwrap_or_default();
        Ok(self.group.number(usage)?.unwrap_or_default().saturating_sub(cached))
    }

    /// How much they may use.
    pub(super) fn limit(&self) -> io::Result<Option<u64>> {
        let limit = match self.group.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        Ok(self.group.number(limit)?.filter(|bytes| *bytes < UNLIMITED))
    }

    fn look(&self) -> io::Result<MemoryReading> {
        let machine = memory::machine()?;
        Ok(MemoryReading {
            used: self.used()?,
            limit: self.limit()?,
            spare: machine.available.saturating_sub(reserve(machine.total)),
        })
    }
}

/// Version 1 says "no limit" with the largest number of pages.
const UNLIMITED: u64 = 1 << 62;

/// How much to hold, of what is held. Pure.
///
/// `ceiling` is how much the ramp allows.
fn wanted(load: &MemoryLoad, held: u64, seen: &MemoryReading, ceiling: u64) -> u64 {
    // So much could be held with so many bytes used by all.
    let with = |used: u64| (held + used).saturating_sub(seen.used);
    let mut wanted = match load.goal {
        Goal::Used(bytes) => with(bytes),
        Goal::Added(bytes) => bytes,
    };
    wanted = wanted.min(ceiling);
    match (load.oom, seen.limit) {
        (Oom::Avoid, Some(limit)) => wanted = wanted.min(with(limit - margin(limit))),
        (Oom::Avoid, None) => {}
        (Oom::Allow, _) => wanted = wanted.max(held),
    }
    // The machine's own need goes before everything.
    wanted.min((held + seen.spare).min(if seen.spare == 0 { held.saturating_sub(STEP) } else { u64::MAX }))
}

/// How much the ramp allows after `passed`.
fn ceiling(load: &MemoryLoad, whole: u64, passed: Duration) -> u64 {
    if passed >= load.ramp {
        return u64::MAX;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a whole number of bytes")]
    let share = (whole as f64 * passed.as_secs_f64() / load.ramp.as_secs_f64()) as u64;
    share
}

/// Uses up memory for ever.
///
/// # Errors
/// Where its own control group is gone.
#[expect(clippy::disallowed_methods, reason = "a thread that does nothing else")]
pub(super) fn hold(load: &MemoryLoad, usage: &Usage) -> io::Result<()> {
    let begin = Instant::now();
    let first = usage.look()?;
    let mut held = Held::new()?;
    let whole = wanted(load, 0, &first, u64::MAX);
    loop {
        let seen = usage.look()?;
        let wanted = wanted(load, held.bytes(), &seen, ceiling(load, whole, begin.elapsed()));
        // Once begun, something of it stays, so that it can be seen to go on.
        let least = if held.bytes() > 0 { LEAST } else { 0 };
        let next = wanted.min(held.bytes() + STEP).max(least);
        // Where there is none to be had, the next look tells how much there is.
        let rests = held.hold(next).is_err() || next >= wanted;
        if rests {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn load(goal: Goal, oom: Oom) -> MemoryLoad {
        MemoryLoad { goal, ramp: Duration::from_secs(10), oom }
    }

    fn seen(used: u64, limit: Option<u64>, spare: u64) -> MemoryReading {
        MemoryReading { used: used * MIB, limit: limit.map(|l| l * MIB), spare: spare * MIB }
    }

    #[test]
    fn what_the_target_takes_the_load_gives_back() {
        let to = load(Goal::Used(90 * MIB), Oom::Avoid);
        let held = |held: u64, used: u64| wanted(&to, held * MIB, &seen(used, Some(100), 9999), u64::MAX) / MIB;
        assert_eq!(held(0, 20), 70);
        assert_eq!(held(70, 90), 70, "at the goal");
        assert_eq!(held(70, 95), 65, "the target has taken 5");
        assert_eq!(held(70, 80), 80, "the target has given back 10");
        assert_eq!(held(10, 120), 0, "there is nothing more to give");

        let added = load(Goal::Added(50 * MIB), Oom::Avoid);
        let held = |held: u64, used: u64| wanted(&added, held * MIB, &seen(used, Some(100), 9999), u64::MAX) / MIB;
        assert_eq!((held(0, 20), held(50, 70)), (50, 50));
        assert_eq!(held(50, 98), 47, "it keeps away from the limit by 5 %");
        assert_eq!(wanted(&added, 0, &seen(20, None, 9999), u64::MAX), 50 * MIB, "no limit");
    }

    #[test]
    fn where_it_may_run_out_nothing_is_given_back() {
        let to = load(Goal::Used(100 * MIB), Oom::Allow);
        for (held, used, want) in [(0, 20, 80), (80, 100, 80), (80, 110, 80), (70, 90, 80)] {
            assert_eq!(wanted(&to, held * MIB, &seen(used, Some(100), 9999), u64::MAX), want * MIB);
        }
    }

    #[test]
    fn the_machine_keeps_its_reserve() {
        for oom in [Oom::Avoid, Oom::Allow] {
            let added = load(Goal::Added(500 * MIB), oom);
            assert_eq!(wanted(&added, 100 * MIB, &seen(200, None, 30), u64::MAX), 130 * MIB);
            assert!(wanted(&added, 100 * MIB, &seen(200, None, 0), u64::MAX) < 100 * MIB, "it gives back");
        }
    }

    #[test]
    fn a_ramp_is_a_straight_line() {
        let load = load(Goal::Added(100), Oom::Avoid);
        let at = |seconds| ceiling(&load, 100, Duration::from_secs(seconds));
        assert_eq!((at(0), at(3), at(10)), (0, 30, u64::MAX));
    }
}
