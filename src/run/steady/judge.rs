//! One check in one phase: what of each expectation's budget is spent, and the moment at which one is beyond it.

mod degraded;
mod doubt;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::degraded::Degraded;
pub use self::doubt::Doubt;
use super::budget::{Bound, Budget};
use super::evidence::EvidenceTime;
use super::latency::Latencies;
use super::show;
use super::streak::Streak;
use super::tally::{Over, Tally};
use super::too_many_unmeasured;
use super::value::Gauge;
use crate::experiment::probe::{Answer, Class};
use crate::experiment::{Expect, Rate, Span, samples};
use crate::record::event::{Judged, Phase, Standing, Unjudged, micros, millis};

/// Judges one check in one phase. Samples that were due outside the phase are ignored, so that a caller may show every
/// sample to every judge. `asked` comes before `answered`, in the order of `seq`.
///
/// What is no evidence counts where it is bad and not where it is good: samples that were due while a fault was being injected or
/// rolled back in the course of the phase. A sample that is open when the phase's fault is rolled back stays open, should a
/// good answer come: it is not known whether it would have come under the fault.
#[derive(Debug)]
pub struct Judge {
    check: String,
    safety: bool,
    phase: Phase,
    time: EvidenceTime,
    /// The latest moment that was heard of, at which the fault was on.
    now: Duration,
    in_flight: BTreeMap<u64, Duration>,
    /// Those in flight that have been answered well after the fault was rolled back.
    unproven: BTreeSet<u64>,
    /// The slowest good answer that is usual, in microseconds.
    usual: u64,
    tally: Tally,
    latencies: Latencies,
    budgets: Vec<Budget>,
    max_outage: Option<Span>,
    outage: Streak,
    rate: Option<Rate>,
    /// How often the check asks.
    pace: Rate,
    too_few: bool,
    /// Whether samples that could not be measured decide whether there were enough good answers.
    unmeasured_decides: bool,
    gauge: Option<Gauge>,
    /// What answers are held against, where it is not health alone.
    degraded: Option<Degraded>,
    /// The expectations that were reported as broken.
    reported: Vec<String>,
    over: Over,
}

impl Judge {
    /// For a phase that begins at `from` and is planned to take `length`: every budget is known from the start.
    /// Samples that were out before belong to an earlier phase, so `from` is now, or later.
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
        let n = samples(rate, length);
        let success = expect.success.map(|share| Budget::new("success", Bound::Success(share), n));
        let latencies = expect
            .latencies()
            .into_iter()
            .map(|(quantile, key, bound)| Budget::new(key, Bound::Latency(quantile, bound), n));
        Self {
            check: check.to_owned(),
            safety,
            phase,
            time: EvidenceTime::new(from, length),
            now: from,
            in_flight: BTreeMap::new(),
            unproven: BTreeSet::new(),
            usual: 0,
            tally: Tally::default(),
            latencies: Latencies::new(),
            budgets: success.into_iter().chain(latencies).collect(),
            max_outage: expect.max_outage,
            outage: Streak::new(from + length),
            rate: expect.rate,
            pace: rate,
            too_few: false,
            unmeasured_decides: false,
            gauge: expect.value.clone().map(|bound| Gauge::new(bound, from + length)),
            degraded: None,
            reported: Vec::new(),
            over: Over::No,
        }
    }

    /// A fault is being injected, or rolled back while the phase goes on: good samples that are due from now on are no evidence.
    pub fn stop_time(&mut self, now: Duration) {
        self.time.stop(now);
        self.end_moved();
    }

    /// That is done, and verified.
    pub fn go_on(&mut self, now: Duration) {
        // The system may take its time to turn.
        let lead = self.degraded.as_mut().map_or(Duration::ZERO, Degraded::take_lead);
        self.time.go_on(now + lead);
        self.end_moved();
    }

    /// The fault is rolled back from now on. No answer that comes later is proof of health while it was on, and no outage is longer
    /// for it.
    pub fn roll_back(&mut self, now: Duration) {
        self.time.roll_back(now);
        self.end_moved();
    }

    fn end_moved(&mut self) {
        self.outage.end_at(self.time.end());
        if let Some(gauge) = &mut self.gauge {
            gauge.streak.end_at(self.time.end());
        }
    }

    /// When the phase is over, as far as it is known.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.time.end()
    }

    /// The slowest good answer so far.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.usual.max(self.latencies.slowest()))
    }

    /// An answer that takes at most so long is usual.
    #[must_use]
    pub fn with_usual(self, slowest: Duration) -> Self {
        Self { usual: micros(slowest), ..self }
    }

    /// A sample is out.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if !self.time.covers(due) || (self.replaces_health() && !self.time.counts(due)) {
            return;
        }
        self.now = self.now.max(due);
        self.in_flight.insert(seq, due);
        self.outage.asked(seq, due, &self.in_flight);
        if let Some(gauge) = &mut self.gauge {
            gauge.streak.asked(seq, due, &self.in_flight);
        }
    }

    /// An answer is there. The expectation that exceeded its budget by this, if it is the first time.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) -> Option<Standing> {
        self.settle(seq, due, end, answer, None)
    }

    fn settle(
        &mut self,
        seq: u64,
        due: Duration,
        end: Duration,
        answer: &Answer,
        class: Option<Class>,
    ) -> Option<Standing> {
        let good = match answer {
            Answer::Good { .. } => Some(true),
            Answer::Failed(_) => Some(false),
            Answer::NotMeasured(_) => None,
        };
        let says_nothing = good == Some(true) || (good.is_some() && self.replaces_health());
        if says_nothing && self.time.until(end) < end {
            if self.in_flight.contains_key(&seq) {
                self.unproven.insert(seq);
            }
            return None;
        }
        self.in_flight.remove(&seq)?;
        self.now = self.now.max(self.time.until(end));
        let evidence = self.time.counts(due);
        let latency = end.saturating_sub(due);
        let mut missed = good == Some(false);
        for budget in &mut self.budgets {
            match good {
                Some(good) => missed |= budget.settle(seq, budget.is_met(good, class).then_some(latency), evidence),
                None => budget.forget(seq, evidence),
            }
            // Time has passed for the others, too.
            budget.tick(self.now, &self.in_flight, &self.time);
        }
        self.outage.settle(seq, due, good, self.now, &self.in_flight);
        if let Some(gauge) = &mut self.gauge {
            let inside = match answer {
                Answer::Good { value, .. } => Some(gauge.read(value.as_deref())),
                Answer::Failed(_) | Answer::NotMeasured(_) => None,
            };
            missed |= inside == Some(false);
            gauge.streak.settle(seq, due, inside, self.now, &self.in_flight);
        }
        if evidence || missed {
            self.tally.add(answer, evidence);
            if good == Some(true) {
                self.latencies.record(latency);
            }
        } else {
            self.tally.set_aside += u64::from(good == Some(true));
        }
        self.broken()
    }

    /// Time has passed: a sample in flight past its bound counts, and an outage goes on. Show first every answer that
    /// is there by now, or one that was in time counts as late until it is shown.
    pub fn tick(&mut self, now: Duration) -> Option<Standing> {
        self.now = self.now.max(self.time.until(now));
        for budget in &mut self.budgets {
            budget.tick(self.now, &self.in_flight, &self.time);
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

    /// Whether every sample of this phase that is out has been answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.len() == self.unproven.len()
    }

    /// How every expectation stands.
    #[must_use]
    pub fn standings(&self, now: Duration) -> Vec<Standing> {
        let mut standings: Vec<Standing> = self
            .budgets
            .iter()
            .map(|budget| show::budget(budget, &self.tally, &self.latencies, budget.late(&self.in_flight), self.over))
            .collect();
        if let Some(limit) = self.max_outage {
            standings.push(show::outage(limit, self.outage.longest()));
        }
        if let Some(rate) = self.rate {
            standings.push(show::rate(rate, self.tally.evidence.1, self.elapsed(now), !self.too_few));
        }
        if let Some(gauge) = &self.gauge {
            standings.push(show::value(gauge));
        }
        for standing in &mut standings {
            // What was broken once stays broken, even where it turned out that a sample could not be measured.
            standing.held &= !self.reported.contains(&standing.expectation);
            // What a value is not is no failure to answer.
            if !standing.held && standing.expectation != "value" {
                standing.failures.clone_from(&self.tally.failures);
            }
            standing.unjudged = self.unjudged(standing).filter(|_| standing.held);
        }
        standings
    }

    /// For how long answers were due that count. Between two stretches of time one of them may fall through.
    #[expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]
    fn elapsed(&self, now: Duration) -> Duration {
        let more = self.tally.early as f64 - f64::from(self.time.cuts());
        let samples = self.time.elapsed(now).as_secs_f64() * self.pace.0 + more;
        Duration::from_secs_f64((samples / self.pace.0).max(0.0))
    }

    /// Why an expectation that holds is not judged.
    fn unjudged(&self, standing: &Standing) -> Option<Unjudged> {
        let answered = self.tally.samples - self.tally.unmeasured;
        let evidence = match (standing.expectation.as_str(), standing.budget) {
            (_, Some(budget)) => answered > budget,
            ("value", None) => self.gauge.as_ref().is_some_and(Gauge::has_read),
            ("rate", None) => !self.unmeasured_decides,
            _ => answered > 0,
        };
        match self.over {
            Over::No => None,
            Over::Cut => Some(Unjudged::CutShort),
            Over::Whole => (!evidence).then_some(Unjudged::NoEvidence),
        }
    }

    /// The phase is over (`now` is its end, or earlier where it was cut short, and not `whole`): rates are judged. Samples
    /// still in flight and not past a bound count for nothing, so wait for `is_settled` where there is time.
    pub fn finish(&mut self, now: Duration, whole: bool) -> (Judged, Option<Standing>) {
        let broken = self.tick(now);
        self.over = if whole { Over::Whole } else { Over::Cut };
        if let Some(rate) = self.rate.filter(|_| whole) {
            let (needed, good) = (samples(rate, self.elapsed(now)), self.tally.evidence.1);
            self.too_few = good + self.tally.unmeasured < needed;
            self.unmeasured_decides = needed == 0 || (!self.too_few && good < needed);
        }
        let broken = broken.or_else(|| self.broken());
        let judged = Judged {
            check: self.check.clone(),
            safety: self.safety,
            phase: self.phase,
            samples: self.tally.samples,
            failed: self.tally.failed,
            unmeasured: self.tally.unmeasured,
            not_judged: self.tally.set_aside + self.unproven.len() as u64,
            unmeasured_why: self.tally.unmeasured_why.clone(),
            failures: self.tally.failures.clone(),
            answers: self.degraded.as_ref().map(Degraded::answers).unwrap_or_default(),
            longest_outage_ms: millis(self.outage.longest()),
            latency: self.latencies.summary(),
            distribution: self.latencies.distribution(),
            standings: self.standings(now),
        };
        (judged, broken)
    }

    /// Whether there is no verdict because of what could not be measured; so it is where a phase that is over had no sample at all.
    #[must_use]
    pub fn could_not_ask(&self) -> bool {
        match self.tally.evidence.0 {
            0 => self.over != Over::No,
            samples => too_many_unmeasured(self.tally.unmeasured, samples),
        }
    }

    /// Whether any sample of a finished phase is evidence.
    #[must_use]
    pub fn has_evidence(&self) -> bool {
        self.tally.evidence.0 > 0
    }

    /// The first expectation that has exceeded its budget and was not reported yet.
    fn broken(&mut self) -> Option<Standing> {
        // What is cheap comes first: this is looked at for every sample.
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
mod tests;
