//! A window over one check's samples that slides on with each of them, and whether it meets every expectation. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::budget::Bound;
use super::value::Gauge;
use super::{show, too_many_unmeasured};
use crate::experiment::probe::Answer;
use crate::experiment::{Expect, Rate, allowed, samples};
use crate::record::event::Standing;

/// The last samples of one check, as many as fit into a window. Samples come in the order in which they were due, each once
/// everything that was due before it is settled.
#[derive(Debug)]
pub(super) struct Sliding {
    expect: Expect,
    gauge: Option<Gauge>,
    /// A window's length, in time and in samples.
    length: Duration,
    size: usize,
    least_good: u64,
    /// Samples that were due before are ignored, and those that are due after `until`.
    from: Duration,
    until: Duration,
    in_flight: BTreeMap<u64, Duration>,
    /// Settled samples that something in flight precedes.
    waiting: BTreeMap<u64, SettledSample>,
    window: VecDeque<SettledSample>,
    /// What of the window misses each bound, kept up to date so that most windows need no second look.
    counts: Counts,
}

/// One settled sample.
#[derive(Debug, Clone)]
struct SettledSample {
    due: Duration,
    end: Duration,
    outcome: Outcome,
    /// Why it failed, where it did.
    failure: Option<String>,
    inside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good,
    Failed,
    NotMeasured,
}

#[derive(Debug, Default)]
struct Counts {
    good: u64,
    failed: u64,
    unmeasured: u64,
    outside: u64,
    /// For each latency bound.
    slow: Vec<u64>,
}

impl Sliding {
    pub(super) fn new(expect: &Expect, rate: Rate, length: Duration, from: Duration) -> Self {
        let n = samples(rate, length).max(1);
        Self {
            gauge: expect.value.clone().map(|bound| Gauge::new(bound, Duration::MAX)),
            length,
            size: usize::try_from(n).unwrap_or(usize::MAX),
            least_good: expect.rate.map_or(1, |rate| samples(rate, length).max(1)),
            from,
            until: Duration::MAX,
            in_flight: BTreeMap::new(),
            waiting: BTreeMap::new(),
            window: VecDeque::new(),
            counts: Counts { slow: vec![0; expect.latencies().len()], ..Counts::default() },
            expect: expect.clone(),
        }
    }

    /// Samples that were due before are ignored from now on, also those that were taken already; no later one is any more.
    pub(super) fn begin_at(&mut self, from: Duration) {
        self.from = from;
        self.until = Duration::MAX;
        self.in_flight.retain(|_, due| *due >= from);
        self.waiting.retain(|_, seen| seen.due >= from);
        while self.window.front().is_some_and(|seen| seen.due < from) {
            self.drop_oldest();
        }
    }

    /// Samples that are due after that are ignored from now on, but for those that were taken already.
    pub(super) fn end_at(&mut self, until: Duration) {
        self.until = until;
        self.in_flight.retain(|_, due| *due <= until);
        self.waiting.retain(|_, seen| seen.due <= until);
    }

    /// Whether an answer is awaited.
    pub(super) fn awaits(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// A sample is out.
    pub(super) fn asked(&mut self, seq: u64, due: Duration) {
        if (self.from..=self.until).contains(&due) {
            self.in_flight.insert(seq, due);
        }
    }

    /// An answer is there; [`Self::advance`] takes it into the window when its turn has come.
    pub(super) fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) {
        if self.in_flight.remove(&seq).is_none() {
            return;
        }
        let outcome = match answer {
            Answer::Good { .. } => Outcome::Good,
            Answer::Failed(_) => Outcome::Failed,
            Answer::NotMeasured(_) => Outcome::NotMeasured,
        };
        let failure = if let Answer::Failed(failure) = answer { Some(failure.0.clone()) } else { None };
        let inside = match (&mut self.gauge, answer) {
            (Some(gauge), Answer::Good { value, .. }) => gauge.read(value.as_deref()),
            _ => true,
        };
        self.waiting.insert(seq, SettledSample { due, end, outcome, failure, inside });
    }

    /// Slides on by the next sample; false where that is still awaited.
    pub(super) fn advance(&mut self) -> bool {
        let settled = self.in_flight.keys().next().copied().unwrap_or(u64::MAX);
        let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() < settled) else { return false };
        let seen = entry.remove();
        if self.is_whole() {
            self.drop_oldest();
        }
        self.count(&seen, |count| *count += 1);
        self.window.push_back(seen);
        true
    }

    /// Whether the window has all its samples.
    pub(super) fn is_whole(&self) -> bool {
        self.window.len() == self.size
    }

    /// When the first good answer of the window came.
    pub(super) fn first_good(&self) -> Option<Duration> {
        Some(self.window.iter().find(|seen| seen.outcome == Outcome::Good)?.end)
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.window.pop_front() {
            self.count(&oldest, |count| *count -= 1);
        }
    }

    /// The first expectation that the window does not meet so far.
    pub(super) fn missed(&self) -> Option<Standing> {
        let (n, counts) = (self.window.len() as u64, &self.counts);
        let mut failures = BTreeMap::new();
        for kind in self.window.iter().filter_map(|seen| seen.failure.clone()) {
            *failures.entry(kind).or_insert(0) += 1;
        }
        let success = self.expect.success.map(|share| ("success", Bound::Success(share), share.0, counts.failed));
        let latencies = self.expect.latencies().into_iter().zip(&counts.slow);
        let latencies = latencies.map(|((q, key, bound), slow)| (key, Bound::Latency(q, bound), q, *slow));
        let budget = success.into_iter().chain(latencies).find(|(.., keep, spent)| *spent > allowed(n, *keep));
        if let Some((key, bound, _, spent)) = budget {
            return Some(Standing { failures, ..show::window(key, bound, spent, n) });
        }
        let lasting = self.expect.value.as_ref().and_then(|bound| bound.r#for);
        let outage = self.expect.max_outage.filter(|limit| self.outage() > limit.0);
        let deviates = lasting.map_or(counts.outside > 0, |limit| self.deviation() > limit.0);
        let slow = self.expect.rate.filter(|_| n == self.size as u64 && counts.good < self.least_good);
        let standing = outage
            .map(|limit| Standing { failures: failures.clone(), ..show::outage(limit, self.outage()) })
            .or_else(|| self.gauge.as_ref().filter(|_| deviates).map(show::outside))
            .or_else(|| slow.map(|rate| show::rate(rate, counts.good, self.length, false)))?;
        Some(Standing { held: false, ..standing })
    }

    fn count(&mut self, seen: &SettledSample, change: impl Fn(&mut u64)) {
        let counts = &mut self.counts;
        change(match seen.outcome {
            Outcome::Good => &mut counts.good,
            Outcome::Failed => &mut counts.failed,
            Outcome::NotMeasured => &mut counts.unmeasured,
        });
        if !seen.inside {
            change(&mut counts.outside);
        }
        for ((_, _, bound), slow) in self.expect.latencies().into_iter().zip(&mut counts.slow) {
            let missed = match seen.outcome {
                Outcome::Good => seen.end.saturating_sub(seen.due) > bound.0,
                Outcome::Failed => true,
                Outcome::NotMeasured => false,
            };
            if missed {
                change(slow);
            }
        }
    }

    /// Whether the window is whole and meets every expectation.
    pub(super) fn is_good(&self) -> bool {
        let n = self.window.len() as u64;
        let counts = &self.counts;
        let lasting = self.expect.value.as_ref().and_then(|bound| bound.r#for);
        self.is_whole()
            && !too_many_unmeasured(counts.unmeasured, n)
            && counts.good >= self.least_good
            && self.expect.success.is_none_or(|share| counts.failed <= allowed(n, share.0))
            && self.expect.latencies().iter().zip(&counts.slow).all(|((q, _, _), slow)| *slow <= allowed(n, *q))
            && (lasting.is_some() || counts.outside == 0)
            && self.expect.max_outage.is_none_or(|limit| counts.failed == 0 || self.outage() <= limit.0)
            && lasting.is_none_or(|limit| counts.outside == 0 || self.deviation() <= limit.0)
    }

    /// The longest run of bad samples in the window.
    fn outage(&self) -> Duration {
        self.longest(|seen| (seen.outcome != Outcome::NotMeasured).then_some(seen.outcome == Outcome::Good))
    }

    /// The longest run of values outside their bound: answers that did not come tell of none.
    fn deviation(&self) -> Duration {
        self.longest(|seen| (seen.outcome == Outcome::Good).then_some(seen.inside))
    }

    fn longest(&self, good: impl Fn(&SettledSample) -> Option<bool>) -> Duration {
        let end = self.window.front().map_or(Duration::ZERO, |first| first.due + self.length);
        let (mut longest, mut since) = (Duration::ZERO, None);
        for (seen, good) in self.window.iter().filter_map(|seen| Some((seen, good(seen)?))) {
            if !good {
                since.get_or_insert(seen.due);
            } else if let Some(since) = since.take() {
                longest = longest.max(seen.due.saturating_sub(since));
            }
        }
        longest.max(since.map_or(Duration::ZERO, |since| end.saturating_sub(since)))
    }
}
