//! One check in one phase: what of each expectation's budget is spent, and the moment at which one is beyond it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::{self, Bound, Budget};
use super::latency::Latencies;
use super::show;
use super::streak::Streak;
use super::value::Gauge;
use crate::event::{Judged, Phase, Standing, millis};
use crate::experiment::{Expect, Rate, Span};
use crate::probe::Answer;

/// Judges one check in one phase. Samples that were due outside the phase are ignored, so that a caller may show every
/// sample to every judge. `asked` comes before `answered`, in the order of `seq`.
#[derive(Debug)]
pub struct Judge {
    check: String,
    safety: bool,
    phase: Phase,
    from: Duration,
    end: Duration,
    /// The latest moment that was heard of.
    now: Duration,
    in_flight: BTreeMap<u64, Duration>,
    tally: Tally,
    latencies: Latencies,
    budgets: Vec<Budget>,
    max_outage: Option<Span>,
    outage: Streak,
    rate: Option<Rate>,
    too_few: bool,
    gauge: Option<Gauge>,
    /// The expectations that were reported as broken.
    reported: Vec<String>,
    finished: bool,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) samples: u64,
    pub(super) failed: u64,
    pub(super) unasked: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) unasked_why: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, answer: &Answer) {
        self.samples += 1;
        match answer {
            Answer::Good { .. } => {}
            Answer::Failed(failure) => {
                self.failed += 1;
                count(&mut self.failures, &failure.0);
            }
            Answer::CouldNotAsk(why) => {
                self.unasked += 1;
                count(&mut self.unasked_why, why);
            }
        }
    }

    pub(super) fn good(&self) -> u64 {
        self.samples - self.failed - self.unasked
    }
}

/// Counts by kind; a flood of kinds becomes `other`, so that no journal line grows without bound.
fn count(kinds: &mut BTreeMap<String, u64>, kind: &str) {
    const KINDS: usize = 20;
    let kind = if kinds.len() < KINDS || kinds.contains_key(kind) { kind } else { "other" };
    *kinds.entry(kind.to_owned()).or_default() += 1;
}

impl Judge {
    /// For a phase that begins at `from` and is planned to take `length`: every budget is known from the start.
    /// Questions that were out before belong to an earlier phase, so `from` is now, or later.
    #[must_use]
    pub fn new(
        check: &str,
        safety: bool,
        phase: Phase,
        expect: &Expect,
        rate: Rate,
        from: Duration,
        length: Duration,
    ) -> Self {
        let n = budget::samples(rate, length);
        let end = from + length;
        let success = expect.success.map(|share| Budget::new("success", Bound::Success(share), n));
        let latencies = expect
            .latencies()
            .into_iter()
            .map(|(quantile, key, bound)| Budget::new(key, Bound::Latency(quantile, bound), n));
        Self {
            check: check.to_owned(),
            safety,
            phase,
            from,
            end,
            now: from,
            in_flight: BTreeMap::new(),
            tally: Tally::default(),
            latencies: Latencies::new(),
            budgets: success.into_iter().chain(latencies).collect(),
            max_outage: expect.max_outage,
            outage: Streak::new(end),
            rate: expect.rate,
            too_few: false,
            gauge: expect.value.clone().map(|bound| Gauge::new(bound, end)),
            reported: Vec::new(),
            finished: false,
        }
    }

    /// A question is out.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if due < self.from || due >= self.end {
            return;
        }
        self.now = self.now.max(due);
        self.in_flight.insert(seq, due);
        self.outage.asked(seq, due, &self.in_flight);
        if let Some(gauge) = &mut self.gauge {
            gauge.streak.asked(seq, due, &self.in_flight);
        }
    }

    /// An answer is there. The expectation that this put beyond its budget, if it is the first time.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Standing> {
        self.in_flight.remove(&seq)?;
        self.now = self.now.max(end);
        self.tally.add(answer);
        let latency = end.saturating_sub(due);
        let good = match answer {
            Answer::Good { .. } => {
                self.latencies.record(latency);
                Some(true)
            }
            Answer::Failed(_) => Some(false),
            Answer::CouldNotAsk(_) => None,
        };
        for budget in &mut self.budgets {
            match good {
                Some(good) => budget.settle(seq, good.then_some(latency)),
                None => budget.forget(seq),
            }
            // Time has passed for the others, too.
            budget.tick(self.now, &self.in_flight);
        }
        self.outage.settle(seq, due, good, self.now, &self.in_flight);
        if let Some(gauge) = &mut self.gauge {
            let inside = match answer {
                Answer::Good { value, .. } => Some(gauge.read(value.as_deref())),
                Answer::Failed(_) => Some(gauge.read(None)),
                Answer::CouldNotAsk(_) => None,
            };
            gauge.streak.settle(seq, due, inside, self.now, &self.in_flight);
        }
        self.broken()
    }

    /// Time has passed: a question in flight past its bound counts, and an outage goes on. Show first every answer that
    /// is there by now, or one that was in time counts as late until it is shown.
    pub fn tick(&mut self, now: Duration) -> Option<Standing> {
        self.now = self.now.max(now);
        for budget in &mut self.budgets {
            budget.tick(self.now, &self.in_flight);
        }
        self.outage.tick(self.now, &self.in_flight);
        if let Some(gauge) = &mut self.gauge {
            gauge.streak.tick(self.now, &self.in_flight);
        }
        self.broken()
    }

    /// When `tick` could next break something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let budgets = self.budgets.iter().filter_map(|budget| budget.deadline(&self.in_flight));
        let outage = self
            .max_outage
            .filter(|limit| self.outage.longest() <= limit.0)
            .and_then(|limit| self.outage.deadline(limit.0, &self.in_flight));
        let gauge = self
            .gauge
            .as_ref()
            .filter(|gauge| !gauge.is_beyond())
            .and_then(|gauge| gauge.streak.deadline(gauge.bound.r#for?.0, &self.in_flight));
        budgets.chain(outage).chain(gauge).min()
    }

    /// Whether every question of this phase that is out has been answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// How every expectation stands.
    #[must_use]
    pub fn standings(&self, now: Duration) -> Vec<Standing> {
        let mut standings: Vec<Standing> = self
            .budgets
            .iter()
            .map(|budget| show::budget(budget, &self.tally, &self.latencies, budget.late(&self.in_flight)))
            .collect();
        if let Some(limit) = self.max_outage {
            standings.push(show::outage(limit, self.outage.longest()));
        }
        if let Some(rate) = self.rate {
            let elapsed = now.min(self.end).saturating_sub(self.from);
            standings.push(show::rate(rate, self.tally.good(), elapsed, !self.too_few));
        }
        if let Some(gauge) = &self.gauge {
            standings.push(show::value(gauge));
        }
        for standing in &mut standings {
            // What was broken once stays broken, even where it turned out that a question could not be asked.
            standing.held &= !self.reported.contains(&standing.expectation);
        }
        standings
    }

    /// The phase is over (`now` is its end, or earlier where it was cut short): rates are judged. Questions still in
    /// flight and not past a bound count for nothing, so wait for `is_settled` where there is time.
    pub fn finish(&mut self, now: Duration) -> (Judged, Option<Standing>) {
        let broken = self.tick(now);
        self.finished = true;
        if let Some(rate) = self.rate {
            let elapsed = now.min(self.end).saturating_sub(self.from);
            self.too_few = self.tally.good() < budget::samples(rate, elapsed);
        }
        let broken = broken.or_else(|| self.broken());
        let judged = Judged {
            check: self.check.clone(),
            safety: self.safety,
            phase: self.phase,
            samples: self.tally.samples,
            failed: self.tally.failed,
            unasked: self.tally.unasked,
            unasked_why: self.tally.unasked_why.clone(),
            failures: self.tally.failures.clone(),
            longest_outage_ms: millis(self.outage.longest()),
            latency: self.latencies.summary(),
            distribution: self.latencies.distribution(),
            standings: self.standings(now),
        };
        (judged, broken)
    }

    /// The share (0 to 1) of this phase's questions that could not be asked; 1 where a finished phase had none at all.
    /// Above [`MOST_UNASKED`](super::MOST_UNASKED) there is no verdict.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
    pub fn unasked_share(&self) -> f64 {
        match self.tally.samples {
            0 if self.finished => 1.0,
            0 => 0.0,
            samples => self.tally.unasked as f64 / samples as f64,
        }
    }

    /// The first expectation that is beyond its budget and was not reported yet.
    fn broken(&mut self) -> Option<Standing> {
        // The cheap question first: this is asked for every sample.
        let budgets = self.budgets.iter().filter(|budget| budget.is_beyond()).map(|budget| budget.key);
        let outage = self.max_outage.filter(|limit| self.outage.longest() > limit.0).map(|_| "max-outage");
        let rate = self.too_few.then_some("rate");
        let gauge = self.gauge.as_ref().filter(|gauge| gauge.is_beyond()).map(|_| "value");
        let fresh: Vec<String> = budgets
            .chain(outage)
            .chain(rate)
            .chain(gauge)
            .filter(|key| !self.reported.iter().any(|known| known == key))
            .map(str::to_owned)
            .collect();
        let first = fresh.first()?.clone();
        self.reported.extend(fresh);
        self.standings(self.now).into_iter().find(|standing| standing.expectation == first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Percent, ValueBound};
    use crate::probe::Failure;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn judge(expect: &Expect) -> Judge {
        // 20 samples in 2 s.
        Judge::new("checkout", false, Phase::During, expect, Rate(10.0), ms(1000), ms(2000))
    }

    fn good(value: &str) -> Answer {
        Answer::Good { value: Some(value.to_owned()), by: None }
    }

    fn refused() -> Answer {
        Answer::Failed(Failure("connection refused".into()))
    }

    fn show(judge: &mut Judge, n: u64, answer: &Answer) -> Option<Standing> {
        let due = ms(1000 + n * 100);
        judge.asked(n, due);
        judge.answered(n, due, due + ms(10), answer)
    }

    #[test]
    fn the_first_failure_beyond_the_budget_breaks_it_once() {
        let mut judge = judge(&Expect { success: Some(Percent(0.9)), ..Expect::default() });
        assert_eq!(show(&mut judge, 0, &refused()), None);
        assert_eq!(show(&mut judge, 1, &refused()), None);
        let broken = show(&mut judge, 2, &refused()).unwrap();
        assert_eq!((broken.expectation.as_str(), broken.bound.as_str(), broken.held), ("success", "≥ 90%", false));
        assert_eq!((broken.budget, broken.spent), (Some(2), Some(3)));
        assert_eq!(show(&mut judge, 3, &refused()), None, "it is said once");
        let (judged, again) = judge.finish(ms(3000));
        assert_eq!((judged.samples, judged.failed, again), (4, 4, None));
        assert!(!judged.standings[0].held);
        assert_eq!(judged.longest_outage_ms, 2000);
    }

    #[test]
    fn other_phases_samples_are_not_judged() {
        let mut judge = judge(&Expect { success: Some(Percent(1.0)), ..Expect::default() });
        for due in [0, 999, 3000, 4000] {
            judge.asked(due, ms(due));
            assert_eq!(judge.answered(due, ms(due), ms(due + 1), &refused()), None);
        }
        assert_eq!(judge.finish(ms(3000)).0.samples, 0);
        assert!((judge.unasked_share() - 1.0).abs() < f64::EPSILON, "no sample at all is no evidence");
    }

    #[test]
    fn a_question_in_flight_past_its_bound_counts() {
        let mut judge = judge(&Expect { max: Some(Span(ms(300))), ..Expect::default() });
        judge.asked(0, ms(1000));
        let deadline = judge.next_deadline().unwrap();
        assert_eq!(judge.tick(ms(1300)), None);
        assert_eq!(judge.tick(deadline).unwrap().measured, "no answer");
        assert!(deadline.abs_diff(ms(1300)) < ms(1));
        assert_eq!(judge.next_deadline(), None);
        assert!(!judge.is_settled());
    }

    #[test]
    fn a_rate_is_judged_at_the_end() {
        let expect = Expect { rate: Some(Rate(9.0)), ..Expect::default() };
        for (failures, held) in [(2, true), (3, false)] {
            let mut judge = judge(&expect);
            for n in 0..20 {
                assert_eq!(show(&mut judge, n, &if n < failures { refused() } else { good("1") }), None);
            }
            let (judged, broken) = judge.finish(ms(3050));
            assert_eq!((judged.standings[0].held, broken.is_none()), (held, held), "{judged:?}");
            assert_eq!(judged.standings[0].measured, format!("{}/s", (20 - failures) as f64 / 2.0));
        }
    }

    #[test]
    fn a_value_outside_its_bound_breaks_at_once_and_is_shown() {
        let mut judge = judge(&Expect {
            value: Some(ValueBound { at_least: Some(3.0), ..ValueBound::default() }),
            ..Expect::default()
        });
        assert_eq!(show(&mut judge, 0, &good("3")), None);
        assert_eq!(show(&mut judge, 1, &good("2")).unwrap().measured, "2");
        show(&mut judge, 2, &good("3"));
        let standing = &judge.standings(ms(2000))[0];
        assert_eq!((standing.measured.as_str(), standing.number, standing.held), ("2", Some(2.0), false));
    }

    #[test]
    fn what_could_not_be_asked_counts_for_nothing_but_is_told() {
        let mut judge = judge(&Expect { success: Some(Percent(1.0)), max: Some(Span(ms(1))), ..Expect::default() });
        assert_eq!(show(&mut judge, 0, &Answer::CouldNotAsk("no route from here".into())), None);
        let due = ms(1100);
        judge.asked(1, due);
        assert_eq!(judge.answered(1, due, due, &good("1")), None);
        assert!((judge.unasked_share() - 0.5).abs() < 1e-9);
        let (judged, broken) = judge.finish(ms(3000));
        assert_eq!((judged.unasked, judged.failed, broken), (1, 0, None));
        assert_eq!(judged.unasked_why["no route from here"], 1);
        assert!(judged.standings.iter().all(|s| s.held));
    }
}
