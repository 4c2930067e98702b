//! Watches the samples while a run goes on: gives each to the phase in which it was due, and tells of the first
//! expectation that exceeded its budget.
//!
//! It wraps whatever the run is doing (`alongside`, `guarded`), so that samples are looked at the moment they come in.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::broken::Broken;
use super::ended::Ended;
use super::phase_judge::PhaseJudge;
use super::sample::{Sample, Series};
use crate::experiment::probe::Answer;
use crate::experiment::{Check, ExpectedAlert, Experiment, OnBreach, Span};
use crate::record::event::{self, Event, Phase, Reason, Standing, millis};
use crate::record::journal::Recorder;
use crate::run::steady::{AlertClock, Failover, LossDetector, Recovery, WindowBuilder, too_many_unmeasured};

/// All checks of an experiment, as far as they have come.
pub(super) struct Watch<'a> {
    pub(super) rec: &'a Recorder,
    on_breach: OnBreach,
    pub(super) origin: Instant,
    samples: UnboundedReceiver<Sample>,
    pub(super) checks: Vec<WatchedCheck>,
    pub(super) alerts: Vec<(String, ExpectedAlert, AlertClock)>,
    pulse: Duration,
    /// The window of recovery, as long as the baseline.
    window: Duration,
    broken: Vec<Broken>,
    /// Alerts that could not be looked up when it counted, in sentences.
    pub(super) unmeasured_alerts: Vec<String>,
}

pub(super) struct WatchedCheck {
    pub(super) name: String,
    pub(super) check: Check,
    pub(super) safety: bool,
    pub(super) judges: Vec<PhaseJudge>,
    recovery: Option<Recovery>,
    loss: Option<LossDetector>,
    failover: Option<Failover>,
    /// Answers since recovery is measured, and how many of them were samples that could not be measured.
    answers: (u64, u64),
    windows: WindowBuilder,
}

/// The series that a sampler asks for an experiment, in the order that [`Watch`] expects.
#[must_use]
pub(super) fn series(x: &Experiment) -> Vec<Series> {
    let of = |name: &String, rate, timeout: Span| Series { check: name.clone(), rate, timeout: timeout.0 };
    let checks = checks(x).map(|(name, check, _)| of(name, check.rate, check.timeout));
    checks.chain(x.alerts.iter().map(|(name, alert)| of(name, alert.rate, alert.timeout))).collect()
}

fn checks(x: &Experiment) -> impl Iterator<Item = (&String, &Check, bool)> {
    let of = |safety| move |(name, check)| (name, check, safety);
    x.steady_state.iter().map(of(false)).chain(x.safety.iter().map(of(true)))
}

impl<'a> Watch<'a> {
    /// Watches the samples of a sampler that was started with [`series`].
    #[must_use]
    pub(super) fn new(x: &Experiment, rec: &'a Recorder, origin: Instant, samples: UnboundedReceiver<Sample>) -> Self {
        let t = &x.timing;
        let total = t.warm_up.0 + t.baseline.0 + t.duration.0 + t.recovery.0;
        // Some four hundred points a chart: enough to see, little enough to store.
        let pulse = (total / 400).max(Duration::from_millis(250));
        let wall = rec.clock().wall(origin);
        let checks = checks(x)
            .map(|(name, check, safety)| WatchedCheck {
                name: name.clone(),
                check: check.clone(),
                safety,
                judges: Vec::new(),
                recovery: None,
                loss: None,
                failover: None,
                answers: (0, 0),
                windows: WindowBuilder::new(name, wall, pulse),
            })
            .collect();
        let alerts = x.alerts.iter().map(|(name, alert)| (name.clone(), alert.clone(), AlertClock::new(alert)));
        Self {
            rec,
            on_breach: x.on_breach,
            origin,
            samples,
            checks,
            alerts: alerts.collect(),
            pulse,
            window: t.baseline.0,
            broken: Vec::new(),
            unmeasured_alerts: Vec::new(),
        }
    }

    /// A phase begins now; the baseline is judged.
    pub(super) fn begin(&mut self, phase: Phase, planned: Option<Duration>) {
        let now = self.now();
        self.rec.note(Event::PhaseBegan { phase, planned_ms: planned.map(millis) });
        self.checks.iter_mut().for_each(|c| c.windows.begin(phase, now));
        if phase == Phase::Baseline {
            self.alerts.iter_mut().for_each(|(.., clock)| clock.baseline(now));
            self.judge_from(now, phase, planned.unwrap_or_default(), |check| check.expect.clone());
        }
    }

    /// The fault is gone: alerts are to be resolved from now on.
    pub(super) fn fault_is_gone(&mut self) {
        let now = self.now();
        self.alerts.iter_mut().for_each(|(.., clock)| clock.gone(now));
    }

    /// For how much longer alerts may fire; nothing where none is awaited.
    pub(super) fn resolving(&self) -> Option<Duration> {
        let last = self.alerts.iter().filter_map(|(.., clock)| clock.deadline()).max()?;
        Some(last.saturating_sub(self.now()))
    }

    /// Returns when every alert that fired is resolved, or its time is over; tells which could not be looked up.
    pub(super) async fn resolved(&mut self) -> Vec<Ended> {
        while self.resolving().is_some() {
            self.turn().await;
        }
        self.unmeasured_alerts.drain(..).map(|text| Ended { why: Reason::NotMeasured, text }).collect()
    }

    /// The first injection comes now: from now on steady state may be lost.
    pub(super) fn may_lose(&mut self) {
        let now = self.now();
        for c in self.checks.iter_mut().filter(|c| !c.safety) {
            c.loss = Some(LossDetector::new(&c.check.expect, c.check.rate, self.window, now));
        }
    }

    /// From now on recovery is measured, from `origin` on; nothing has recovered before [`Watch::may_recover`].
    pub(super) fn await_recovery(&mut self, origin: Instant) {
        let origin = origin.saturating_duration_since(self.origin);
        for c in self.checks.iter_mut().filter(|c| !c.safety) {
            c.recovery = Some(Recovery::new(&c.check.expect, c.check.rate, self.window, origin));
        }
    }

    /// What was due up to so long ago shows no recovery: not everything was rolled back.
    pub(super) fn may_recover(&mut self, ago: Duration) {
        let at = self.now().saturating_sub(ago);
        self.checks.iter_mut().filter_map(|c| c.recovery.as_mut()).for_each(|r| r.counts_from(at));
    }

    /// From now on it is measured when the others serve, for zones whose instances are called so in answers.
    pub(super) fn await_failover(&mut self, targeted: &BTreeSet<String>) {
        let now = self.now();
        for c in self.checks.iter_mut().filter(|c| !c.safety) {
            c.failover = Some(Failover::new(c.check.rate, now, targeted.clone()));
        }
    }

    /// From now on zones that were targeted come back.
    pub(super) fn comes_back(&mut self) {
        let now = self.now();
        self.checks.iter_mut().filter_map(|c| c.failover.as_mut()).for_each(|f| f.comes_back(now));
    }

    /// What the failover clock has shown of every check.
    #[must_use]
    pub(super) fn failover(&self) -> BTreeMap<String, event::Failover> {
        let told = |f: &Failover| event::Failover {
            served_ms: f.served().map(millis),
            failed: f.failed(),
            stretch_ms: millis(f.stretch()),
            returned_ms: f.returned().map(millis),
            told: f.told(),
        };
        self.checks.iter().filter_map(|c| Some((c.name.clone(), told(c.failover.as_ref()?)))).collect()
    }

    /// The recovery time of every check, as far as it is back: none at all where its steady state was never lost.
    #[must_use]
    pub(super) fn recovery(&self) -> BTreeMap<String, Option<Duration>> {
        let never_lost = self.never_lost();
        let rto = |c: &WatchedCheck| {
            if never_lost.contains(&c.name) { Some(Duration::ZERO) } else { c.recovery.as_ref()?.rto() }
        };
        self.checks.iter().filter(|c| c.recovery.is_some()).map(|c| (c.name.clone(), rto(c))).collect()
    }

    /// The checks whose steady state was there from the first injection up to now, and that broke no budget while the fault was on,
    /// which may be another one.
    #[must_use]
    pub(super) fn never_lost(&self) -> BTreeSet<String> {
        let broke = |c: &WatchedCheck| self.broken.iter().any(|b| b.phase == Phase::During && b.check == c.name);
        let is_back = |c: &WatchedCheck| c.recovery.as_ref().is_some_and(Recovery::is_back);
        let kept = |c: &&WatchedCheck| c.loss.as_ref().is_some_and(LossDetector::never_lost) && is_back(c) && !broke(c);
        self.checks.iter().filter(kept).map(|c| c.name.clone()).collect()
    }

    /// What kept each check away that is not back, where an expectation did.
    #[must_use]
    pub(super) fn missed(&self) -> BTreeMap<String, Standing> {
        self.checks.iter().filter_map(|c| Some((c.name.clone(), c.recovery.as_ref()?.missed()?))).collect()
    }

    /// The first check that is not back and could not be measured often enough to know, in a sentence.
    #[must_use]
    pub(super) fn recovery_unmeasured(&self) -> Option<String> {
        let c = self.checks.iter().find(|c| {
            let (all, unmeasured) = c.answers;
            c.recovery.as_ref().is_some_and(|r| !r.is_back()) && too_many_unmeasured(unmeasured, all)
        })?;
        Some(format!(
            "`{}` could not measure {} of {} samples while its recovery was awaited",
            c.name, c.answers.1, c.answers.0
        ))
    }

    /// Returns when steady state is back.
    pub(super) async fn back(&mut self) {
        while !self.checks.iter().all(|c| c.recovery.as_ref().is_none_or(Recovery::is_back)) {
            self.turn().await;
        }
    }

    /// What is due by that moment counts, as soon as it is answered: returns then, or when steady state is back.
    pub(super) async fn last_answers(&mut self, end: Instant) {
        let end = end.saturating_duration_since(self.origin);
        self.checks.iter_mut().filter_map(|c| c.recovery.as_mut()).for_each(|r| r.counts_until(end));
        while self.checks.iter().filter_map(|c| c.recovery.as_ref()).any(Recovery::is_open) {
            self.turn().await;
        }
    }

    /// The result of a future, with the samples looked at meanwhile.
    pub(super) async fn alongside<T>(&mut self, doing: impl Future<Output = T>) -> T {
        let mut doing = pin!(doing);
        loop {
            tokio::select! {
                biased;
                done = &mut doing => return done,
                () = self.turn() => {}
            }
        }
    }

    /// The result of a future, unless an expectation exceeds its budget first; then the future is dropped.
    ///
    /// # Errors
    /// The expectation that exceeded its budget and is to abort the run.
    pub(super) async fn guarded<T>(&mut self, doing: impl Future<Output = T>) -> Result<T, Broken> {
        let mut doing = pin!(doing);
        loop {
            if let Some(broken) = self.aborts() {
                return Err(broken);
            }
            tokio::select! {
                biased;
                done = &mut doing => return self.aborts().map_or(Ok(done), Err),
                () = self.turn() => {}
            }
        }
    }

    /// The first expectation of a phase that exceeded its budget; `safety` apart.
    #[must_use]
    pub(super) fn broken(&self, phase: Phase) -> Option<&Broken> {
        self.broken
            .iter()
            .find(|b| b.phase == phase && !b.safety)
            .or_else(|| self.broken.iter().find(|b| b.phase == phase))
    }

    /// What is left of the charts goes into the journal.
    pub(super) fn flush(&mut self) {
        for c in &mut self.checks {
            for window in c.windows.flush() {
                self.rec.note(Event::Sampled(window));
            }
        }
    }

    fn aborts(&self) -> Option<Broken> {
        self.broken
            .iter()
            .find(|b| b.phase == Phase::Baseline || b.safety || self.on_breach == OnBreach::Abort)
            .cloned()
    }

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Waits for the next sample or the next moment that matters, and deals with it. Nothing is lost when it is dropped.
    pub(super) async fn turn(&mut self) {
        let pulse = self.now() + self.pulse;
        let bounds = self.checks.iter().flat_map(|c| &c.judges).filter_map(|b| b.judge.next_deadline());
        let next = bounds.chain(self.alerts.iter().filter_map(|(.., clock)| clock.deadline())).min();
        let wake = self.origin + next.map_or(pulse, |n| n.min(pulse)).max(self.now() + Duration::from_micros(200));
        tokio::select! {
            biased;
            sample = self.samples.recv() => match sample {
                Some(sample) => self.take(&sample),
                // The sampler has ended; time still passes.
                None => sleep_until(wake).await,
            },
            () = sleep_until(wake) => {}
        }
        // Answers that came in time are taken before time is: a moment in which this task was held up must not make
        // them late.
        while let Ok(sample) = self.samples.try_recv() {
            self.take(&sample);
        }
        self.tick();
    }

    fn take(&mut self, sample: &Sample) {
        let mut broken = Vec::new();
        match sample {
            Sample::Asked { check, .. } if *check >= self.checks.len() => {}
            Sample::Answered { check, due, end, reply, .. } if *check >= self.checks.len() => {
                self.take_alert(*check - self.checks.len(), *due, *end, &reply.answer);
            }
            Sample::Asked { check, seq, due } => {
                let c = &mut self.checks[*check];
                c.windows.asked(*due);
                c.judges.iter_mut().filter(|b| *due < b.until()).for_each(|b| b.judge.asked(*seq, *due));
                c.recovery.iter_mut().for_each(|r| r.asked(*seq, *due));
                c.loss.iter_mut().for_each(|l| l.asked(*seq, *due));
                c.failover.iter_mut().for_each(|f| f.asked(*seq, *due));
            }
            Sample::Answered { check, seq, due, end, reply } => {
                let answer = &reply.answer;
                let c = &mut self.checks[*check];
                c.windows.answered(*due, *end, answer);
                for b in c.judges.iter_mut().filter(|b| *due < b.until()) {
                    if let Some(standing) = b.judge.replied(*seq, *due, *end, reply) {
                        broken.push(Broken::expectation(b.phase, c.name.clone(), c.safety, standing));
                    }
                }
                c.failover.iter_mut().for_each(|f| f.answered(*seq, *due, *end, answer));
                c.loss.iter_mut().for_each(|l| l.answered(*seq, *due, *end, answer));
                if let Some(recovery) = &mut c.recovery {
                    recovery.answered(*seq, *due, *end, answer);
                    c.answers.0 += 1;
                    c.answers.1 += u64::from(matches!(answer, Answer::NotMeasured(_)));
                }
            }
        }
        for b in broken {
            self.break_with(b);
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut broken = Vec::new();
        for c in &mut self.checks {
            for b in &mut c.judges {
                // A phase that is over is not made worse by time.
                if let Some(standing) = (now < b.until()).then(|| b.judge.tick(now)).flatten() {
                    broken.push(Broken::expectation(b.phase, c.name.clone(), c.safety, standing));
                }
            }
            while let Some(mut window) = c.windows.closed(now) {
                if let Some(b) = c.judges.iter().rev().find(|b| b.phase == window.phase) {
                    window.standings = b.judge.standings(now.min(b.until()));
                }
                self.rec.note(Event::Sampled(window));
            }
        }
        for b in broken {
            self.break_with(b);
        }
        self.tick_alerts(now);
    }

    pub(super) fn break_with(&mut self, b: Broken) {
        self.rec.note(Event::Breached {
            phase: b.phase,
            check: b.check.clone(),
            safety: b.safety,
            standing: b.standing.clone(),
        });
        self.broken.push(b);
    }
}
