use super::*;
use crate::model::machine::Quota;
use crate::model::stressor::Oom;

const S: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// One word for an effect.
fn is(effect: &Effect) -> &'static str {
    match effect {
        Effect::Affected { .. } => "affected",
        Effect::Unaffected { .. } => "not affected",
        Effect::Unknown { .. } => "unknown",
    }
}

#[track_caller]
fn judged(to: &Setting, since: &Counters, now: &Counters, want: &str, words: &str) {
    let effect = effect(to, since, now).expect("its effect is to be shown");
    assert_eq!(is(&effect), want, "{to}: {effect}");
    assert!(effect.to_string().contains(words), "{to}: {effect}");
}

#[test]
fn a_limit_that_nothing_met_had_no_effect() {
    let counters = |n: u64| Counters {
        throttled: Some(n),
        throttled_us: Some(n * S),
        cpu_us: Some(n * S),
        processes_refused: Some(n),
        memory_met: Some(n),
        ..Counters::default()
    };
    for (limit, met, not_met) in [
        (Limit::Processes(Some(3)), "refused 2 times", "no process beyond the limit"),
        (Limit::Cpu(Quota::of_cores(0.1)), "held back 2 times, for 2.00 s", "never held back"),
        (Limit::Memory(Some(64 * MIB)), "was met 2 times", "never met"),
    ] {
        let to = Setting::Limit(limit);
        judged(&to, &counters(5), &counters(7), "affected", met);
        judged(&to, &counters(5), &counters(5), "not affected", not_met);
        judged(&to, &Counters::default(), &counters(5), "unknown", "does not count");
    }
    let killed = |n| Counters { memory_killed: Some(n), memory_met: Some(0), ..Counters::default() };
    judged(&Setting::Limit(Limit::Memory(Some(MIB))), &killed(0), &killed(1), "affected", "1 process was killed");
}

#[test]
fn what_the_kernel_does_not_count_cannot_be_known() {
    for to in [
        Setting::Limit(Limit::Descriptors(9)),
        Setting::Limit(Limit::Ports { first: 1, last: 2 }),
        Setting::ReadOnly(["/data".to_owned()].into()),
    ] {
        judged(&to, &Counters::default(), &Counters::default(), "unknown", "does not count");
    }
    let nothing = Counters::default();
    assert_eq!(effect(&Setting::Paused(true), &nothing, &nothing), None, "it stands still: that is its effect");
}

#[test]
fn a_disk_that_nothing_uses_is_not_slowed_down() {
    let disk = Disk {
        device: "8:0".to_owned(),
        paths: vec!["/data".to_owned()],
        buffered: false,
        read: None,
        write: Some(MIB),
        read_ops: None,
        write_ops: None,
    };
    let to = Setting::Limit(Limit::Io(vec![disk]));
    let at = |seconds: u64, written: u64| Counters {
        at_us: seconds * S,
        disks: [("8:0".to_owned(), [99 * seconds, written, 0, 0])].into(),
        ..Counters::default()
    };
    judged(&to, &at(10, 7 * MIB), &at(14, 7 * MIB), "not affected", "nothing was read or written");
    judged(&to, &at(10, 7 * MIB), &at(14, 11 * MIB), "affected", "4MiB written on /data in 4.0 s");
    judged(&to, &at(10, 7 * MIB), &at(14, 8 * MIB), "unknown", "less than it may");
    judged(&to, &at(10, 7 * MIB), &Counters::default(), "unknown", "does not count");
}

fn stressor(work: StressSpec) -> Setting {
    Setting::Stressor(Box::new(Stressor { work, at_most: Duration::from_mins(1) }))
}

#[test]
fn a_load_of_the_processor_must_be_had_and_be_waited_for() {
    let to = stressor(StressSpec::Cpu { cores: 2.0 });
    // Ten seconds, in which the target itself used `own` and waited.
    let now = |tenths: u64, own: u64, waited: u64, throttled: u64| {
        let used_us = tenths * S;
        Counters {
            cpu_us: Some(used_us + own),
            waited_us: Some(waited),
            throttled: Some(throttled),
            throttled_us: Some(throttled * 1000),
            cpu_load: Some(CpuLoad { used_us, age_us: 10 * S }),
            ..Counters::default()
        }
    };
    let since = now(0, 0, 0, 0);
    judged(&to, &since, &now(15, S, S, 0), "not affected", "the load had 1.5 cores: its host had no more to give");
    judged(&to, &since, &now(15, S, 0, 3), "affected", "held back 3 times");
    judged(&to, &since, &now(20, 0, 0, 0), "not affected", "the target used none itself");
    judged(&to, &since, &now(20, S, S / 100, 0), "not affected", "it had what it needed");
    judged(&to, &since, &now(20, S, S / 2, 0), "affected", "waited 0.50 s");
    judged(&to, &since, &Counters { waited_us: None, ..now(20, S, 0, 0) }, "unknown", "does not count");
    // Next to nothing, on a target that is held back and waits anyway.
    let little = stressor(StressSpec::Cpu { cores: 0.1 });
    judged(&little, &since, &now(1, 20 * S, 9 * S, 50), "not affected", "the load had 0.1 cores, 1.00 s in all");
}

#[test]
fn a_load_of_memory_must_be_had() {
    let load = |goal| stressor(StressSpec::Memory(MemoryLoad { goal, ramp: Duration::ZERO, oom: Oom::Avoid }));
    let now = |held: u64, used: u64, met: u64| Counters {
        memory_load: Some(held * MIB),
        memory_used: Some(used * MIB),
        memory_met: Some(met),
        ..Counters::default()
    };
    let added = load(Goal::Added(60 * MIB));
    judged(&added, &now(0, 29, 4), &now(31, 60, 4), "not affected", "the load held 31 MiB of 60 MiB");
    judged(&added, &now(0, 29, 4), &now(60, 89, 4), "unknown", "its limit was never met");
    judged(&added, &now(0, 29, 4), &now(60, 89, 5), "affected", "its limit of memory was met once");
    // Memory enough is left to the target, whatever its page cache meets.
    let room = |used: u64, is_host| Some(Room { used: used * MIB, whole: 1000 * MIB, is_host });
    for (room, killed, want, words) in [
        (room(499, false), 0, "not affected", "499 MiB of the 1000 MiB that it may use were in use: less than half"),
        (room(499, true), 0, "not affected", "that its host has"),
        (room(499, false), 1, "affected", "1 process was killed"),
        (room(500, false), 0, "affected", "was met once"),
    ] {
        let since = Counters { memory_killed: Some(0), ..now(0, 29, 4) };
        let now = Counters { memory_room: room, memory_killed: Some(killed), ..now(60, 89, 5) };
        judged(&added, &since, &now, want, words);
    }
    let used = load(Goal::Used(60 * MIB));
    judged(&used, &now(0, 29, 4), &now(31, 60, 5), "affected", "60 MiB of 60 MiB were in use");
    judged(&used, &now(0, 29, 4), &now(0, 30, 5), "not affected", "no more to be had");
}
