//! When steady state is back: the first whole window that meets every expectation.

use std::time::Duration;

use super::sliding::Sliding;
use crate::experiment::probe::Answer;
use crate::experiment::{Expect, Rate};
use crate::record::event::Standing;

/// Watches one check for the first whole good window. A window may begin at any sample that was due when everything was rolled
/// back; it is whole when all its samples are settled.
#[derive(Debug)]
pub struct Recovery {
    window: Sliding,
    origin: Duration,
    /// Whether windows count by now: nothing has recovered from a fault that is still being rolled back.
    counts: bool,
    rto: Option<Duration>,
}

impl Recovery {
    /// `window` is as long as the baseline; `origin` is the begin of the rollback (of the fault, with `heal: self`). No window
    /// counts before [`Recovery::counts_from`].
    #[must_use]
    pub fn new(expect: &Expect, rate: Rate, window: Duration, origin: Duration) -> Self {
        Self { window: Sliding::new(expect, rate, window, origin), origin, counts: false, rto: None }
    }

    /// Windows of samples that are due from now on count. Said again where something was rolled back only later, it makes what
    /// came before void.
    pub fn counts_from(&mut self, at: Duration) {
        self.window.begin_at(at);
        self.rto = None;
        self.counts = true;
        self.look();
    }

    /// Samples that are due after that come too late to show it.
    pub fn counts_until(&mut self, at: Duration) {
        self.window.end_at(at);
        // What was behind one that comes too late is next.
        while self.rto.is_none() && self.window.advance() {
            self.look();
        }
    }

    /// Whether an answer may still show it that is awaited.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.is_back() && self.window.awaits()
    }

    /// A sample is out. Those due before the origin are ignored.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if self.rto.is_none() {
            self.window.asked(seq, due);
        }
    }

    /// An answer is there. The time from the origin to the first good answer of the first whole good window, once.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Duration> {
        if self.rto.is_some() {
            return None;
        }
        self.window.answered(seq, due, end, answer);
        while self.window.advance() {
            if self.look() {
                return self.rto;
            }
        }
        None
    }

    fn look(&mut self) -> bool {
        if self.counts && self.window.is_good() {
            self.rto = self.window.first_good().map(|end| end.saturating_sub(self.origin));
        }
        self.rto.is_some()
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

    /// The first expectation that the last window did not meet, where steady state is not back and that is what kept it away.
    #[must_use]
    pub fn missed(&self) -> Option<Standing> {
        if self.is_back() { None } else { self.window.missed() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::experiment::probe::Failure;
    use crate::experiment::{Percent, Span, ValueBound};
    use crate::record::event::Phase;
    use crate::run::steady::Judge;

    const RATE: Rate = Rate(10.0);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Answers in a word: `g`ood, `f`ailed, `s`low, `u`nasked; one each 100 ms.
    fn answer(c: char) -> (Duration, Answer) {
        match c {
            'g' => (ms(5), Answer::Good { value: None, by: None }),
            's' => (ms(90), Answer::Good { value: None, by: None }),
            'u' => (ms(0), Answer::NotMeasured("route".into())),
            _ => (ms(1), Answer::Failed(Failure("refused".into()))),
        }
    }

    /// Of a rollback that takes no time.
    fn at_once(expect: &Expect, window: u64, origin: u64) -> Recovery {
        let mut recovery = Recovery::new(expect, RATE, ms(window), ms(origin));
        recovery.counts_from(ms(origin));
        recovery
    }

    fn recover(expect: &Expect, window: u64, origin: u64, word: &str) -> Option<(u64, usize)> {
        let mut recovery = at_once(expect, window, origin);
        for (i, c) in word.chars().enumerate() {
            let (seq, due) = (i as u64, ms(i as u64 * 100));
            let (latency, answer) = answer(c);
            recovery.asked(seq, due);
            if let Some(rto) = recovery.answered(seq, due, due + latency, &answer) {
                assert!(recovery.is_back());
                return Some((crate::record::event::millis(rto), i));
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
        let mut recovery = at_once(&success(1.0), 200, 0);
        for seq in 0..4 {
            recovery.asked(seq, ms(seq * 100));
        }
        let good = Answer::Good { value: None, by: None };
        for seq in 1..4 {
            assert_eq!(recovery.answered(seq, ms(seq * 100), ms(seq * 100), &good), None);
        }
        assert_eq!(recovery.answered(0, ms(0), ms(450), &Answer::Failed(Failure("timeout".into()))), Some(ms(100)));
    }

    /// Good all the time, and rolled back at 450 and, once more, at 950.
    #[test]
    fn nothing_has_recovered_before_everything_is_rolled_back() {
        let mut recovery = Recovery::new(&success(1.0), RATE, ms(300), ms(0));
        let good = |recovery: &mut Recovery, seq: u64| {
            recovery.asked(seq, ms(seq * 100));
            recovery.answered(seq, ms(seq * 100), ms(seq * 100 + 5), &answer('g').1)
        };
        assert!((0..7).all(|seq| good(&mut recovery, seq).is_none()), "it is not known when all is rolled back");
        recovery.counts_from(ms(450));
        assert_eq!(good(&mut recovery, 7), Some(ms(505)), "the samples due at 500, 600 and 700");
        recovery.counts_from(ms(950));
        assert!(!recovery.is_back() && (8..12).all(|seq| good(&mut recovery, seq).is_none()));
        assert_eq!(good(&mut recovery, 12), Some(ms(1005)));
        recovery.counts_from(ms(900));
        assert_eq!(recovery.rto(), Some(ms(1005)), "what was seen by then counts at once");
    }

    #[test]
    fn what_is_due_in_time_shows_it_also_where_it_is_answered_late() {
        let mut recovery = at_once(&success(1.0), 300, 0);
        for seq in 0..4 {
            recovery.asked(seq, ms(seq * 100));
        }
        assert!(recovery.answered(0, ms(0), ms(50), &Answer::Failed(Failure("timeout".into()))).is_none());
        assert!([1, 3].iter().all(|seq| recovery.answered(*seq, ms(seq * 100), ms(350), &answer('g').1).is_none()));
        recovery.counts_until(ms(300));
        recovery.asked(4, ms(400));
        assert!(recovery.is_open(), "the one due at 200 is awaited, and that at 400 is not");
        assert_eq!(recovery.answered(2, ms(200), ms(390), &answer('g').1), Some(ms(350)));
        assert!(!recovery.is_open());
    }

    #[test]
    fn what_kept_it_away_is_known_with_its_causes() {
        let missed = |expect: &Expect, word: &str| {
            let mut recovery = at_once(expect, 500, 0);
            for (i, c) in word.chars().enumerate() {
                let (seq, due) = (i as u64, ms(i as u64 * 100));
                let (latency, answer) = answer(c);
                recovery.asked(seq, due);
                recovery.answered(seq, due, due + latency, &answer);
            }
            recovery.missed().map(|s| s.exceeded())
        };
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(
            missed(&success(0.8), "ffffffgfgf"),
            of("3 of 5 samples failed, budget 1 (success ≥ 80%): refused 3"),
            "the last window alone"
        );
        assert_eq!(missed(&success(0.8), "ff"), of("2 of 2 samples failed, budget 0 (success ≥ 80%): refused 2"));
        let slow = Expect { p90: Some(Span(ms(50))), ..success(0.5) };
        assert_eq!(
            missed(&slow, "sssfgsg"),
            of("3 of 5 samples failed or took longer than 50 ms, budget 0 (p90 ≤ 50 ms): refused 1")
        );
        let outage = Expect { max_outage: Some(Span(ms(100))), ..Expect::default() };
        assert_eq!(missed(&outage, "gffgg"), of("max-outage was 200 ms, expected ≤ 100 ms: refused 2"));
        let value = ValueBound { at_least: Some(3.0), ..ValueBound::default() };
        let value = Expect { value: Some(value), ..Expect::default() };
        assert_eq!(missed(&value, "ggg"), of("value was no value, expected ≥ 3"));
        assert_eq!(missed(&success(0.8), "ggggg"), None, "it is back");
        assert_eq!(missed(&success(0.8), "ggg"), None, "the window is not whole, and nothing is wrong with it");
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
                let (judged, _) = judge.finish(ms(size * 100), true);
                judged.failed < judged.samples && judged.standings.iter().all(|s| s.held)
            };
            let windows = (word.len() + 1).saturating_sub(usize::try_from(size).unwrap());
            let first = (0..windows).find(|from| is_good(*from)).map(|from| {
                let good = (from..word.len()).find(|i| word[*i] != 'f').unwrap();
                crate::record::event::millis(ms(good as u64 * 100) + answer(word[good]).0)
            });
            let word: String = word.iter().collect();
            prop_assert_eq!(recover(&expect, size * 100, 0, &word).map(|(rto, _)| rto), first);
        }
    }
}
