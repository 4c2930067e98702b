//! Uses up processor time: so much of it in each second, by the process's own clock.

use std::time::{Duration, Instant};

use crate::host::clock::thread_time;

/// For how long it burns at a stretch. The kernel hands out time in portions of this size, too.
const SLICE: Duration = Duration::from_millis(5);

/// How much time that it could not get it makes up for later. More is forgiven: a load that was held back by a limit must
/// not targeted twice as hard when the limit is gone.
const OWED: Duration = Duration::from_millis(200);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Burn until this much processor time was used.
    Burn(Duration),
    /// Rest for so long.
    Rest(Duration),
}

/// Keeps one thread at its share of a core.
#[derive(Debug)]
struct Pace {
    share: f64,
    forgiven: Duration,
}

impl Pace {
    fn new(share: f64) -> Self {
        Self { share, forgiven: Duration::ZERO }
    }

    /// What to do after `passed`, of which `used` was processor time of its own.
    fn step(&mut self, passed: Duration, used: Duration) -> Step {
        let due = passed.mul_f64(self.share);
        let owed = due.saturating_sub(used + self.forgiven);
        if owed > OWED {
            self.forgiven += owed.checked_sub(OWED).unwrap_or_default();
        }
        let target = due.saturating_sub(self.forgiven);
        if target > used {
            Step::Burn(used + target.saturating_sub(used).min(SLICE))
        } else {
            // It burns when a whole slice is due again.
            let ahead = used.saturating_sub(target) + SLICE.mul_f64(self.share);
            Step::Rest(ahead.div_f64(self.share).clamp(Duration::from_millis(1), Duration::from_millis(100)))
        }
    }
}

/// How many threads it takes, and each one's share of a core.
pub(super) fn threads(cores: f64) -> (u32, f64) {
    // More than a machine has is no use and no harm.
    let threads = (1..4096).find(|n| f64::from(*n) >= cores).unwrap_or(4096);
    (threads, (cores / f64::from(threads)).clamp(0.0, 1.0))
}

/// Burns this share of a core, on this thread, for ever.
#[expect(clippy::disallowed_methods, reason = "a thread that does nothing else")]
pub(super) fn burn(share: f64) {
    let begin = Instant::now();
    let before = thread_time();
    let used = || thread_time().saturating_sub(before);
    let mut pace = Pace::new(share);
    loop {
        match pace.step(begin.elapsed(), used()) {
            Step::Burn(until) => {
                while used() < until {
                    for _ in 0..1000 {
                        std::hint::spin_loop();
                    }
                }
            }
            Step::Rest(time) => std::thread::sleep(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much a pace uses of a core that gives it `given` of its time, after `seconds`, then after as many more with all of it.
    fn used(share: f64, given: f64, seconds: u64) -> (Duration, Duration) {
        let mut pace = Pace::new(share);
        let (mut passed, mut used) = (Duration::ZERO, Duration::ZERO);
        let mut run = |until: Duration, given: f64| {
            while passed < until {
                match pace.step(passed, used) {
                    Step::Burn(until) => {
                        passed += until.saturating_sub(used).div_f64(given);
                        used = until;
                    }
                    Step::Rest(time) => passed += time,
                }
            }
            used
        };
        let first = run(Duration::from_secs(seconds), given);
        (first, run(Duration::from_secs(2 * seconds), 1.0).saturating_sub(first))
    }

    #[test]
    fn it_uses_its_share() {
        for share in [0.01, 0.4, 0.75, 1.0] {
            let (first, _) = used(share, 1.0, 10);
            assert!((first.as_secs_f64() / (10.0 * share) - 1.0).abs() < 0.02, "{share}: {first:?}");
        }
    }

    #[test]
    fn what_it_could_not_get_it_forgives() {
        let (held_back, afterwards) = used(0.8, 0.5, 10);
        assert!((4.9..5.1).contains(&held_back.as_secs_f64()), "{held_back:?}");
        assert!((8.0..8.3).contains(&afterwards.as_secs_f64()), "{afterwards:?}");
    }

    #[test]
    fn threads_share_what_is_more_than_a_core() {
        assert_eq!(threads(0.4), (1, 0.4));
        assert_eq!(threads(1.0), (1, 1.0));
        assert_eq!(threads(1.5), (2, 0.75));
    }
}
