//! The longest unbroken run of bad samples, known as early as it can be though answers come out of order.

use std::collections::BTreeMap;
use std::time::Duration;

/// Follows the runs of bad samples in one phase. A run lasts from the due time of its first bad sample to the due time
/// of the next good one, of the next one that may still become good (it is in flight), to now, or to the phase's end.
#[derive(Debug)]
pub(super) struct Streak {
    end: Duration,
    bad: BTreeMap<u64, Duration>,
    good: BTreeMap<u64, Duration>,
    longest: Duration,
}

impl Streak {
    /// For a phase that ends at `end`.
    pub(super) fn new(end: Duration) -> Self {
        Self { end, bad: BTreeMap::new(), good: BTreeMap::new(), longest: Duration::ZERO }
    }

    /// The phase ends at another moment than planned.
    pub(super) fn end_at(&mut self, end: Duration) {
        self.end = end;
    }

    /// The longest run that is known by now.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// A sample is out: what was bad until its due time lasted that long at least.
    pub(super) fn asked(&mut self, seq: u64, due: Duration, in_flight: &BTreeMap<u64, Duration>) {
        if let Some((last, _)) = self.bad.range(..seq).next_back() {
            self.measure(*last, due, in_flight);
        }
    }

    /// A sample is settled, and not in flight any more: good, bad, or (`None`) it counts for nothing.
    pub(super) fn settle(
        &mut self,
        seq: u64,
        due: Duration,
        good: Option<bool>,
        now: Duration,
        in_flight: &BTreeMap<u64, Duration>,
    ) {
        match good {
            Some(true) => {
                self.good.insert(seq, due);
            }
            Some(false) => {
                self.bad.insert(seq, due);
                self.measure(seq, now, in_flight);
            }
            None => self.measure(seq, now, in_flight),
        }
        self.prune(in_flight);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Duration, in_flight: &BTreeMap<u64, Duration>) {
        if let Some(since) = self.open(in_flight) {
            self.longest = self.longest.max(now.min(self.end).saturating_sub(since));
        }
    }

    /// When the run that goes on will be longer than `limit`, unless a sample goes out.
    pub(super) fn deadline(&self, limit: Duration, in_flight: &BTreeMap<u64, Duration>) -> Option<Duration> {
        let at = self.open(in_flight)? + limit + Duration::from_nanos(1);
        (at <= self.end).then_some(at)
    }

    /// Since when everything is bad, where nothing after it is good or in flight.
    fn open(&self, in_flight: &BTreeMap<u64, Duration>) -> Option<Duration> {
        let last = self.good.keys().next_back().max(in_flight.keys().next_back());
        self.bad.range(last.copied().unwrap_or(0)..).next().map(|(_, due)| *due)
    }

    /// Measures the run of bad samples around `seq`.
    fn measure(&mut self, seq: u64, now: Duration, in_flight: &BTreeMap<u64, Duration>) {
        let before = self.good.range(..seq).next_back().max(in_flight.range(..seq).next_back());
        let after = match (self.good.range(seq + 1..).next(), in_flight.range(seq + 1..).next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let Some((_, since)) = self.bad.range(before.map_or(0, |(seq, _)| *seq)..).next() else { return };
        let until = after.map_or(now, |(_, due)| *due).min(self.end);
        self.longest = self.longest.max(until.saturating_sub(*since));
    }

    /// Forgets what no later answer can reach: everything before the last good sample that nothing in flight precedes.
    fn prune(&mut self, in_flight: &BTreeMap<u64, Duration>) {
        let first = in_flight.keys().next().copied().unwrap_or(u64::MAX);
        let Some(wall) = self.good.range(..first).next_back().map(|(seq, _)| *seq) else { return };
        for map in [&mut self.good, &mut self.bad] {
            while map.first_key_value().is_some_and(|(seq, _)| *seq < wall) {
                map.pop_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Samples every second, settled in the given order at the given time; `.` is never answered.
    fn longest(settled: &[(u64, bool)], now: u64, count: u64) -> u64 {
        let mut in_flight: BTreeMap<u64, Duration> = (0..count).map(|i| (i, s(i))).collect();
        let mut streak = Streak::new(s(100));
        for (seq, good) in settled {
            in_flight.remove(seq);
            streak.settle(*seq, s(*seq), Some(*good), s(now), &in_flight);
        }
        streak.tick(s(now), &in_flight);
        streak.longest().as_secs()
    }

    #[test]
    fn a_run_ends_at_the_next_good_sample() {
        assert_eq!(longest(&[(0, true), (1, false), (2, false), (3, true)], 9, 4), 2);
    }

    #[test]
    fn a_run_that_goes_on_lasts_until_now() {
        assert_eq!(longest(&[(0, true), (1, false), (2, false)], 9, 3), 8);
    }

    #[test]
    fn a_question_in_flight_may_still_end_the_run() {
        assert_eq!(longest(&[(0, false), (2, false)], 9, 3), 7, "1 may be good: only 2 to now is known");
        assert_eq!(longest(&[(0, false), (2, false), (1, false)], 9, 3), 9);
        assert_eq!(longest(&[(0, false), (2, false), (1, true)], 9, 3), 7);
    }

    #[test]
    fn the_phase_ends_a_run() {
        let mut streak = Streak::new(s(5));
        streak.settle(0, s(3), Some(false), s(4), &BTreeMap::new());
        streak.tick(s(9), &BTreeMap::new());
        assert_eq!(streak.longest(), s(2));
        assert_eq!(streak.deadline(s(3), &BTreeMap::new()), None);
    }
}
