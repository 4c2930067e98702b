//! When steady state is back: the first whole window that meets every expectation.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::MOST_UNASKED;
use super::budget::{allowed, samples};
use super::value::Gauge;
use crate::experiment::{Expect, Rate};
use crate::probe::Answer;

/// Watches one check for the first whole good window after an origin. A window may begin at any sample; it is whole
/// when all its samples are settled.
#[derive(Debug)]
pub struct Recovery {
    expect: Expect,
    gauge: Option<Gauge>,
    /// A window's length, in time and in samples.
    length: Duration,
    size: usize,
    least_good: u64,
    origin: Duration,
    in_flight: BTreeMap<u64, Duration>,
    /// Settled samples that something in flight precedes.
    waiting: BTreeMap<u64, Seen>,
    window: VecDeque<Seen>,
    /// What of the window misses each bound, kept up to date so that most windows need no second look.
    counts: Counts,
    rto: Option<Duration>,
}

/// One settled sample.
#[derive(Debug, Clone, Copy)]
struct Seen {
    due: Duration,
    end: Duration,
    outcome: Outcome,
    inside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good,
    Failed,
    Unasked,
}

#[derive(Debug, Default)]
struct Counts {
    good: u64,
    failed: u64,
    unasked: u64,
    outside: u64,
    /// For each latency bound.
    slow: Vec<u64>,
}

impl Recovery {
    /// `window` is as long as the baseline; `origin` is the begin of the way back (of the fault, with `heal: self`).
    #[must_use]
    pub fn new(expect: &Expect, rate: Rate, window: Duration, origin: Duration) -> Self {
        let n = samples(rate, window).max(1);
        Self {
            gauge: expect.value.clone().map(|bound| Gauge::new(bound, Duration::MAX)),
            length: window,
            size: usize::try_from(n).unwrap_or(usize::MAX),
            least_good: expect.rate.map_or(1, |rate| samples(rate, window).max(1)),
            origin,
            in_flight: BTreeMap::new(),
            waiting: BTreeMap::new(),
            window: VecDeque::new(),
            counts: Counts { slow: vec![0; expect.latencies().len()], ..Counts::default() },
            rto: None,
            expect: expect.clone(),
        }
    }

    /// A question is out. Those due before the origin are ignored.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if due >= self.origin && self.rto.is_none() {
            self.in_flight.insert(seq, due);
        }
    }

    /// An answer is there. The time from the origin to the first good answer of the first whole good window, once.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Duration> {
        self.in_flight.remove(&seq)?;
        if self.rto.is_some() {
            return None;
        }
        let outcome = match answer {
            Answer::Good { .. } => Outcome::Good,
            Answer::Failed(_) => Outcome::Failed,
            Answer::CouldNotAsk(_) => Outcome::Unasked,
        };
        let inside = match (&self.gauge, answer) {
            (Some(gauge), Answer::Good { value, .. }) => gauge.is_inside(value.as_deref()),
            (Some(_), Answer::Failed(_)) => false,
            _ => true,
        };
        self.waiting.insert(seq, Seen { due, end, outcome, inside });
        let settled = self.in_flight.keys().next().copied().unwrap_or(u64::MAX);
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() < settled) {
            let seen = entry.remove();
            self.slide(seen);
            if self.is_good() {
                let first = self.window.iter().find(|seen| seen.outcome == Outcome::Good)?;
                self.rto = Some(first.end.saturating_sub(self.origin));
                return self.rto;
            }
        }
        None
    }

    /// The recovery time, once steady state is back.
    #[must_use]
    pub fn rto(&self) -> Option<Duration> {
        self.rto
    }

    /// Whether steady state is back.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.rto.is_some()
    }

    /// Takes one sample into the window, and the oldest out where it is full.
    fn slide(&mut self, seen: Seen) {
        if self.window.len() == self.size
            && let Some(oldest) = self.window.pop_front()
        {
            self.count(&oldest, |count| *count -= 1);
        }
        self.count(&seen, |count| *count += 1);
        self.window.push_back(seen);
    }

    fn count(&mut self, seen: &Seen, change: impl Fn(&mut u64)) {
        let counts = &mut self.counts;
        change(match seen.outcome {
            Outcome::Good => &mut counts.good,
            Outcome::Failed => &mut counts.failed,
            Outcome::Unasked => &mut counts.unasked,
        });
        if !seen.inside {
            change(&mut counts.outside);
        }
        for ((_, _, bound), slow) in self.expect.latencies().into_iter().zip(&mut counts.slow) {
            let missed = match seen.outcome {
                Outcome::Good => seen.end.saturating_sub(seen.due) > bound.0,
                Outcome::Failed => true,
                Outcome::Unasked => false,
            };
            if missed {
                change(slow);
            }
        }
    }

    /// Whether the window is whole and meets every expectation.
    #[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
    fn is_good(&self) -> bool {
        let n = self.window.len() as u64;
        let counts = &self.counts;
        let lasting = self.expect.value.as_ref().and_then(|bound| bound.r#for);
        self.window.len() == self.size
            && counts.unasked as f64 <= n as f64 * MOST_UNASKED
            && counts.good >= self.least_good
            && self.expect.success.is_none_or(|share| counts.failed <= allowed(n, share.0))
            && self.expect.latencies().iter().zip(&counts.slow).all(|((q, _, _), slow)| *slow <= allowed(n, *q))
            && (lasting.is_some() || counts.outside == 0)
            && self.expect.max_outage.is_none_or(|limit| self.longest(|s| s.outcome != Outcome::Failed) <= limit.0)
            && lasting.is_none_or(|limit| self.longest(|s| s.inside) <= limit.0)
    }

    /// The longest run of bad samples in the window.
    fn longest(&self, good: impl Fn(&Seen) -> bool) -> Duration {
        let end = self.window.front().map_or(Duration::ZERO, |first| first.due + self.length);
        let (mut longest, mut since) = (Duration::ZERO, None);
        for seen in self.window.iter().filter(|seen| seen.outcome != Outcome::Unasked) {
            if !good(seen) {
                since.get_or_insert(seen.due);
            } else if let Some(since) = since.take() {
                longest = longest.max(seen.due.saturating_sub(since));
            }
        }
        longest.max(since.map_or(Duration::ZERO, |since| end.saturating_sub(since)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Phase;
    use crate::experiment::{Percent, Span};
    use crate::probe::Failure;
    use crate::steady::Judge;

    const RATE: Rate = Rate(10.0);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Answers in a word: `g`ood, `f`ailed, `s`low, `u`nasked; one each 100 ms.
    fn answer(c: char) -> (Duration, Answer) {
        match c {
            'g' => (ms(5), Answer::Good { value: None, by: None }),
            's' => (ms(90), Answer::Good { value: None, by: None }),
            'u' => (ms(0), Answer::CouldNotAsk("route".into())),
            _ => (ms(1), Answer::Failed(Failure("refused".into()))),
        }
    }

    fn recover(expect: &Expect, window: u64, origin: u64, word: &str) -> Option<(u64, usize)> {
        let mut recovery = Recovery::new(expect, RATE, ms(window), ms(origin));
        for (i, c) in word.chars().enumerate() {
            let (seq, due) = (i as u64, ms(i as u64 * 100));
            let (latency, answer) = answer(c);
            recovery.asked(seq, due);
            if let Some(rto) = recovery.answered(seq, due, due + latency, &answer) {
                assert!(recovery.is_back());
                return Some((crate::event::millis(rto), i));
            }
        }
        assert_eq!(recovery.rto(), None);
        None
    }

    fn success(share: f64) -> Expect {
        Expect { success: Some(Percent(share)), ..Expect::default() }
    }

    #[test]
    fn the_time_ends_at_the_first_good_answer_and_is_known_a_window_later() {
        // The first good one after the last failure is due at 600, is there at 605, counted from 200.
        assert_eq!(recover(&success(1.0), 300, 200, "ggfgffgggggg"), Some((405, 8)));
    }

    #[test]
    fn a_window_may_spend_its_budget() {
        // Of 5 samples one may fail: the window f g g g g is good, and its first good sample is the second.
        assert_eq!(recover(&success(0.8), 500, 0, "ffffggggg"), Some((405, 7)));
    }

    #[test]
    fn slow_answers_and_what_could_not_be_asked_are_not_good() {
        let expect = Expect { p50: Some(Span(ms(50))), ..success(1.0) };
        assert_eq!(recover(&expect, 400, 0, "sssggggg"), Some((190, 4)), "s s g g: half may be slow");
        assert_eq!(recover(&success(1.0), 300, 0, "uuuuguggg"), Some((605, 8)));
        assert_eq!(recover(&success(1.0), 300, 0, "ggfggfggf"), None);
    }

    #[test]
    fn an_answer_that_is_awaited_holds_its_windows_back() {
        let mut recovery = Recovery::new(&success(1.0), RATE, ms(200), ms(0));
        for seq in 0..4 {
            recovery.asked(seq, ms(seq * 100));
        }
        let good = Answer::Good { value: None, by: None };
        for seq in 1..4 {
            assert_eq!(recovery.answered(seq, ms(seq * 100), ms(seq * 100), &good), None);
        }
        assert_eq!(recovery.answered(0, ms(0), ms(450), &Answer::Failed(Failure("timeout".into()))), Some(ms(100)));
    }

    proptest! {
        /// A window is good exactly if a judge finds nothing against it.
        #[test]
        fn windows_are_judged_as_phases_are(
            word in prop::collection::vec(prop::sample::select(vec!['g', 'g', 'g', 'f', 's']), 1..40),
            size in 1_u64..12,
            percent in 50_u64..=100,
            p90 in prop::option::of(Just(Span(ms(50)))),
            outage in prop::option::of((0_u64..4).prop_map(|n| Span(ms(n * 100)))),
            rate in prop::option::of((1_u64..10).prop_map(|n| Rate(n as f64))),
        ) {
            let expect = Expect {
                success: Some(format!("{percent}%").parse().unwrap()), p90, max_outage: outage, rate, ..Expect::default()
            };
            let is_good = |from: usize| {
                let mut judge = Judge::new("c", false, Phase::Baseline, &expect, RATE, ms(0), ms(size * 100));
                for (i, c) in word[from..from + usize::try_from(size).unwrap()].iter().enumerate() {
                    let (seq, due) = (i as u64, ms(i as u64 * 100));
                    let (latency, answer) = answer(*c);
                    judge.asked(seq, due);
                    judge.answered(seq, due, due + latency, &answer);
                }
                let (judged, _) = judge.finish(ms(size * 100));
                judged.failed < judged.samples && judged.standings.iter().all(|s| s.held)
            };
            let windows = (word.len() + 1).saturating_sub(usize::try_from(size).unwrap());
            let first = (0..windows).find(|from| is_good(*from)).map(|from| {
                let good = (from..word.len()).find(|i| word[*i] != 'f').unwrap();
                crate::event::millis(ms(good as u64 * 100) + answer(word[good]).0)
            });
            let word: String = word.iter().collect();
            prop_assert_eq!(recover(&expect, size * 100, 0, &word).map(|(rto, _)| rto), first);
        }
    }
}
