//! The part of the watch that judges phases: when samples are evidence, when a phase is over, and what follows from it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::broken::Broken;
use super::ended::Ended;
use super::phase_judge::PhaseJudge;
use super::watch::Watch;
use crate::experiment::{Check, Contract, Expect, Span};
use crate::record::event::{Event, Judged, Phase, Reason, millis};
use crate::run::steady::{Doubt, Judge};

impl Watch<'_> {
    /// The fault phase begins now. Its time stands still until the first fault is on: so much of it is `idle`.
    pub(super) fn begin_during(&mut self, planned: Duration, idle: Duration) {
        self.begin(Phase::During, Some(planned));
        self.judge_from(self.now(), Phase::During, planned.saturating_sub(idle), Check::expect_during);
        self.stop_time();
    }

    pub(super) fn judge_from(
        &mut self,
        now: Duration,
        phase: Phase,
        length: Duration,
        expected: impl Fn(&Check) -> Expect,
    ) {
        for c in &mut self.checks {
            let usual = c.judges.iter().map(|b| b.judge.slowest()).max().unwrap_or_default();
            let contract = if phase == Phase::During { c.check.during.contract() } else { Contract::default() };
            let length = length.saturating_sub(contract.lead());
            let judge = Judge::new(&c.name, c.safety, phase, &expected(&c.check), c.check.rate, now, length);
            let judge = judge.with_usual(usual).under(contract);
            c.judges.push(PhaseJudge { phase, judge, cut: Duration::MAX });
        }
    }

    /// Faults are injected or rolled back in the course of the phase: what is good meanwhile is no evidence.
    pub(super) fn stop_time(&mut self) {
        let now = self.now();
        self.during().for_each(|judge| judge.stop_time(now));
    }

    /// That is done, and verified.
    pub(super) fn go_on(&mut self) {
        let now = self.now();
        self.during().for_each(|judge| judge.go_on(now));
    }

    /// From now on everything is rolled back: no later answer says anything about the time before.
    pub(super) fn roll_back(&mut self) {
        let now = self.now();
        self.during().for_each(|judge| judge.roll_back(now));
    }

    fn during(&mut self) -> impl Iterator<Item = &mut Judge> {
        let benches = self.checks.iter_mut().flat_map(|c| &mut c.judges);
        benches.filter(|b| b.phase == Phase::During).map(|b| &mut b.judge)
    }

    /// A phase is over now, perhaps earlier than planned: what is due later does not belong to it.
    pub(super) fn cut(&mut self, phase: Phase) {
        let now = self.now();
        for bench in self.checks.iter_mut().flat_map(|c| &mut c.judges).filter(|b| b.phase == phase) {
            bench.cut = bench.cut.min(now);
        }
        if phase == Phase::During {
            self.alerts.iter_mut().for_each(|(.., clock)| clock.over());
        }
    }

    /// Waits until every sample of a phase is answered, or past its time.
    pub(super) async fn settle(&mut self, phase: Phase) {
        let longest = self.checks.iter().map(|c| c.check.timeout.0).max().unwrap_or_default();
        let end = Instant::now() + longest + Duration::from_millis(200);
        while Instant::now() < end
            && self.checks.iter().flat_map(|c| &c.judges).any(|b| b.phase == phase && !b.judge.is_settled())
        {
            tokio::select! {
                biased;
                () = sleep_until(end) => {}
                () = self.turn() => {}
            }
        }
    }

    /// The judgement of a phase goes into the journal, and why nothing follows from it, if nothing does. `whole`: it was not cut
    /// short, so that means and rates count.
    pub(super) fn judge(&mut self, phase: Phase, whole: bool) -> Vec<Ended> {
        let mut unproven = Vec::new();
        let mut late = Vec::new();
        for c in &mut self.checks {
            for bench in c.judges.iter_mut().filter(|b| b.phase == phase) {
                let (judged, broken) = bench.judge.finish(bench.until(), whole);
                // A phase that was cut short at once has no samples, which says nothing; a whole one should have some.
                if bench.judge.could_not_ask() && (whole || judged.unmeasured > 0) {
                    unproven.push(unmeasured(&c.name, &judged, bench.judge.has_evidence()));
                }
                let without = judged.without_evidence().into_iter();
                unproven.extend(without.map(|text| Ended { why: Reason::NoEvidence, text }));
                self.rec.note(Event::Judged(judged));
                if let Some(standing) = broken.filter(|_| whole) {
                    late.push(Broken::expectation(phase, c.name.clone(), c.safety, standing));
                } else if let Some(doubt) =
                    whole.then(|| bench.judge.in_doubt(c.check.probe.kind().silence_is_failure())).flatten()
                {
                    unproven.push(in_doubt(&c.name, &c.check, &doubt));
                }
            }
        }
        for broken in late {
            self.break_with(broken);
        }
        self.judge_alerts(phase, whole);
        unproven.extend(self.unmeasured_alerts.drain(..).map(|text| Ended { why: Reason::NotMeasured, text }));
        unproven
    }
}

fn unmeasured(name: &str, judged: &Judged, has_evidence: bool) -> Ended {
    if !has_evidence {
        let of_phase = if judged.phase == Phase::During { "while the fault was on" } else { "in the baseline" };
        return Ended { why: Reason::NoEvidence, text: format!("`{name}` has no sample that was answered {of_phase}") };
    }
    let why = judged.unmeasured_why.iter().max_by_key(|(_, n)| **n).map_or("", |(why, _)| why);
    let text = format!("`{name}` could not measure {} of {} samples ({why})", judged.unmeasured, judged.samples);
    Ended { why: Reason::NotMeasured, text }
}

fn in_doubt(name: &str, check: &Check, doubt: &Doubt) -> Ended {
    let Doubt { expectation, hung, longest } = doubt;
    let requests = if *hung == 1 { "request" } else { "requests" };
    let longest = Span(Duration::from_millis(millis(*longest)));
    let text = format!(
        "`{name}`: {hung} {requests} hung until the fault was rolled back, for {longest} at most, and `{expectation}` depends on what \
         would have become of them; let the fault last longer than the timeout of {}, or make the timeout shorter",
        check.timeout
    );
    Ended { why: Reason::NoEvidence, text }
}
