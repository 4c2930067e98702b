//! The time of a phase in which samples are evidence. It stands still while a fault is being injected or rolled back, so that the
//! phase has as many samples as were declared, and every fault is on for as long as it was declared. Pure.

use std::ops::Range;
use std::time::Duration;

/// From the beginning of a phase on.
#[derive(Debug)]
pub(super) struct EvidenceTime {
    from: Duration,
    /// How much of it is left while it stands still.
    left: Option<Duration>,
    end: Duration,
    gaps: Vec<Range<Duration>>,
    rolled_back: Duration,
}

impl EvidenceTime {
    /// So much of it, from `from` on.
    pub(super) fn new(from: Duration, length: Duration) -> Self {
        Self { from, left: None, end: from + length, gaps: Vec::new(), rolled_back: Duration::MAX }
    }

    /// It stands still from now on.
    pub(super) fn stop(&mut self, now: Duration) {
        if self.left.is_none() {
            // It may stand still already, up to a moment that is still to come.
            let now = self.gaps.last().map_or(now, |gap| now.max(gap.end));
            self.left = Some(self.end.saturating_sub(now));
            self.end = Duration::MAX;
            self.gaps.push(now..Duration::MAX);
        }
    }

    /// It goes on.
    pub(super) fn go_on(&mut self, now: Duration) {
        if let (Some(left), Some(gap)) = (self.left.take(), self.gaps.last_mut()) {
            gap.end = now.max(gap.start);
            self.end = gap.end + left;
        }
    }

    /// The fault is rolled back from now on: the phase is over, and nothing that comes later is known of it.
    pub(super) fn roll_back(&mut self, now: Duration) {
        self.rolled_back = self.rolled_back.min(now);
        self.end = self.end.min(now);
    }

    /// When the phase is over, as far as it is known.
    pub(super) fn end(&self) -> Duration {
        self.end
    }

    /// Whether a sample that was due then belongs to the phase.
    pub(super) fn covers(&self, due: Duration) -> bool {
        self.from <= due && due < self.end
    }

    /// Whether a sample that was due then is evidence, should it be good.
    pub(super) fn counts(&self, due: Duration) -> bool {
        !self.gaps.iter().any(|gap| gap.contains(&due))
    }

    /// How often it stood still between two samples that count.
    pub(super) fn cuts(&self) -> u32 {
        let inside = self.gaps.iter().filter(|gap| gap.start > self.from && gap.end < Duration::MAX);
        u32::try_from(inside.count()).unwrap_or(u32::MAX)
    }

    /// The latest moment at or before this one at which the fault was on.
    pub(super) fn until(&self, now: Duration) -> Duration {
        now.min(self.rolled_back)
    }

    /// How much of it has passed.
    pub(super) fn elapsed(&self, now: Duration) -> Duration {
        let now = now.min(self.end);
        let still: Duration = self.gaps.iter().map(|gap| gap.end.min(now).saturating_sub(gap.start)).sum();
        now.saturating_sub(self.from).saturating_sub(still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_phase_is_longer_by_as_much_as_it_stood_still() {
        let mut time = EvidenceTime::new(s(10), s(5));
        time.stop(s(10));
        assert!(time.covers(s(99)), "nobody knows yet when it is over");
        time.go_on(s(18));
        time.stop(s(20));
        time.stop(s(21));
        time.go_on(s(23));
        assert_eq!((time.end(), time.elapsed(s(24)), time.elapsed(s(99))), (s(26), s(3), s(5)));
        let counting: Vec<u64> = (8..28).filter(|n| time.covers(s(*n)) && time.counts(s(*n))).collect();
        assert_eq!(counting, [18, 19, 23, 24, 25]);
    }

    #[test]
    fn what_is_rolled_back_is_over() {
        let mut time = EvidenceTime::new(s(0), s(5));
        time.roll_back(s(2));
        assert_eq!((time.end(), time.until(s(4)), time.elapsed(s(4))), (s(2), s(2), s(2)));
        assert!(!time.covers(s(2)));
    }
}
