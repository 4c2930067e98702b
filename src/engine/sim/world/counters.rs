//! What a kernel of the sim's world has counted: there, every limit is met, and every load is had and waited for.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::instance::Aspect;
use crate::model::machine::counters::{Counters, CpuLoad};
use crate::model::stressor::{Goal, StressSpec};

/// The counters of an instance, so long after the world began; `load` is what loads an aspect, and since when.
pub(super) fn of<'a>(passed: Duration, load: impl Fn(Aspect) -> Option<&'a (StressSpec, Instant)>) -> Counters {
    let us = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
    let cpu_load = load(Aspect::CpuLoad).and_then(|(work, since)| {
        let StressSpec::Cpu { cores } = work else { return None };
        let age = since.elapsed();
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Some(CpuLoad { used_us: us(age.mul_f64(*cores)), age_us: us(age) })
    });
    let memory = load(Aspect::MemoryLoad).and_then(|(work, _)| {
        let StressSpec::Memory(load) = work else { return None };
        Some(match load.goal {
            Goal::Used(bytes) | Goal::Added(bytes) => bytes,
        })
    });
    // What is full of something is met once in a millisecond.
    let met = Some(us / 1000);
    let moved = us.saturating_mul(1 << 30);
    Counters {
        at_us: us,
        cpu_us: Some(us + cpu_load.map_or(0, |load| load.used_us)),
        throttled: met,
        throttled_us: Some(us / 2),
        waited_us: Some(us / 2),
        processes_refused: met,
        memory_met: met,
        memory_killed: Some(0),
        memory_used: Some(memory.unwrap_or(64 << 20)),
        memory_room: None,
        disks: [("8:0".to_owned(), [moved, moved, us, us])].into(),
        cpu_load,
        memory_load: memory,
        connections_held: load(Aspect::HeldConnections).and_then(|(work, _)| {
            let StressSpec::Connections(held) = work else { return None };
            Some(held.count.into())
        }),
    }
}
