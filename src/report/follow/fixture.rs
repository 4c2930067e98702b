//! Runs that never were, for the tests of followers: one that held, one that broke, one that left something behind.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::{Description, Kind, Outcome};
use crate::model::exit::Verdict;
use crate::model::instance::{Aspect, Change, Epoch, Instance, InstanceId, Rollback, Setting};
use crate::record::event::*;
use crate::record::state::RunState;

/// Events, one after the other, by a clock that the fixture sets.
pub(super) struct Tape {
    now: Timestamp,
    events: Vec<Stamped>,
}

impl Tape {
    fn new(yaml: &str) -> Self {
        let mut tape = Self { now: "2026-11-21T10:00:00Z".parse().unwrap(), events: Vec::new() };
        tape.push(Event::Started(Box::new(Started {
            format: FORMAT,
            version: "0.1.0".into(),
            run: "20261121-100000-7f3a".into(),
            experiment: serde_json::from_value(serde_yaml::from_str(yaml).unwrap()).unwrap(),
            file: "experiments/kill-one-replica.yaml".into(),
            seed: 42,
            engine: Description::of(Kind::Docker, "unix:///var/run/docker.sock", "20.10.24"),
            owner: "ada@lab".into(),
            process: None,
        })));
        tape
    }

    fn push(&mut self, event: Event) -> &mut Self {
        self.events.push(Stamped { seq: self.events.len() as u64, at: self.now, event });
        self
    }

    fn wait(&mut self, ms: i64) -> &mut Self {
        self.now += SignedDuration::from_millis(ms);
        self
    }

    fn phase(&mut self, phase: Phase, planned_ms: Option<u64>) -> &mut Self {
        self.push(Event::PhaseBegan { phase, planned_ms })
    }

    /// Windows of 200 ms with ten samples each, of which `failed` fail in every one.
    fn samples(&mut self, phase: Phase, windows: u64, failed: u64) -> &mut Self {
        for i in 1..=windows {
            let from = self.now;
            self.wait(200);
            let failures = BTreeMap::from([("connection refused".to_owned(), failed)]);
            self.push(Event::Sampled(Window {
                check: "checkout".into(),
                phase,
                from,
                length_ms: 200,
                samples: 10,
                failed,
                unmeasured: 0,
                latency: Some(LATENCY),
                value: None,
                by: BTreeMap::new(),
                failures: if failed > 0 { failures } else { BTreeMap::new() },
                standings: standings(i * 10, i * failed, phase),
            }));
        }
        self
    }

    fn judged(&mut self, phase: Phase, samples: u64, failed: u64) -> &mut Self {
        self.push(Event::Judged(Judged {
            check: "checkout".into(),
            safety: false,
            phase,
            samples,
            failed,
            unmeasured: 0,
            not_judged: 0,
            unmeasured_why: BTreeMap::new(),
            failures: if failed > 0 { [("connection refused".to_owned(), failed)].into() } else { BTreeMap::new() },
            answers: BTreeMap::new(),
            longest_outage_ms: failed * 20,
            latency: Some(LATENCY),
            distribution: Vec::new(),
            standings: standings(samples, failed, phase)
                .into_iter()
                .map(|s| if failed > 25 { s.cut_short() } else { s })
                .collect(),
        }))
    }

    /// From the begin to the fault, with what stands before it.
    fn until_the_fault(&mut self) -> &mut Self {
        let mut spared = Vec::new();
        for (name, service) in [("shop-1", "shop"), ("shop-3", "shop"), ("gateway-1", "gateway"), ("store-1", "store")]
        {
            let why = if service == "shop" { "not picked" } else { "other service" };
            spared.push(Spared {
                name: name.into(),
                id: String::new(),
                service: service.into(),
                zone: None,
                called: Vec::new(),
                why: why.into(),
            });
        }
        self.phase(Phase::Preflight, None).wait(34).phase(Phase::Baseline, Some(5000));
        self.samples(Phase::Baseline, 25, 0).judged(Phase::Baseline, 250, 0);
        self.push(Event::Targeted { targeted: vec![shop()], spared });
        self.push(Event::Guarded { kind: GuardKind::Process, id: "48213".into() });
        let deadline = self.now + SignedDuration::from_secs(58);
        self.push(Event::Planned { changes: vec![pause()], deadline });
        self.phase(Phase::During, Some(10_000)).push(Event::Injecting { n: 0 }).wait(14);
        self.push(Event::Injected { n: 0, outcome: Outcome::Done, took_us: 14_240 }).wait(3);
        self.push(Event::Verified { n: 0, verified: true, proof: "observed as paused".into(), counters: None })
    }

    fn back(&mut self) -> &mut Self {
        self.phase(Phase::Rollback, None).push(Event::RollingBack { n: 0 }).wait(11);
        self.push(Event::RolledBack { n: 0, outcome: Outcome::Done, by: Actor::Runner, took_us: 10_870 }).wait(4);
        self.push(Event::Restored(Restored::as_before("shop-2")))
    }

    fn recovered(&mut self, rto: Option<u64>) -> &mut Self {
        self.phase(Phase::Recovery, Some(30_000)).samples(Phase::Recovery, 30, 0);
        self.push(Event::Recovery {
            rto_ms: rto,
            checks: [("checkout".to_owned(), rto)].into(),
            missed: BTreeMap::new(),
            never_lost: if rto == Some(0) { ["checkout".to_owned()].into() } else { BTreeSet::new() },
        })
    }

    fn end(&mut self, reason: Reason, text: &str) -> Vec<Stamped> {
        self.push(Event::Finished { verdict: reason.verdict(), reason, text: text.into() });
        std::mem::take(&mut self.events)
    }
}

/// Three of four hundred: the hypothesis holds.
pub(crate) fn held() -> Vec<Stamped> {
    let mut tape = Tape::new(EXPERIMENT);
    tape.push(Event::Warned { text: "`shop` publishes random ports: they may be others after a restart".into() });
    tape.until_the_fault().samples(Phase::During, 3, 1).samples(Phase::During, 47, 0);
    tape.back().judged(Phase::During, 500, 3).recovered(Some(240));
    tape.end(
        Reason::HypothesisHeld,
        "Every expectation held while shop-2 was paused, and steady state was back in 240ms.",
    )
}

/// Nobody notices it.
pub(crate) fn unnoticed() -> Vec<Stamped> {
    let mut tape = Tape::new(EXPERIMENT);
    tape.until_the_fault().samples(Phase::During, 50, 0);
    tape.back().judged(Phase::During, 500, 0).recovered(Some(0));
    tape.end(Reason::HypothesisHeld, "every expectation held, and steady state was never lost")
}

/// Every second one fails: aborted at the first failure beyond the budget.
pub(crate) fn broken() -> Vec<Stamped> {
    let mut tape = Tape::new(EXPERIMENT);
    tape.until_the_fault().samples(Phase::During, 6, 5);
    let standing = standings(60, 30, Phase::During).swap_remove(0);
    tape.push(Event::Breached {
        phase: Phase::During,
        check: "checkout".into(),
        safety: false,
        standing: Standing { failures: [("connection refused".to_owned(), 30)].into(), ..standing },
    });
    let text = "checkout failed more often than its budget allows";
    tape.push(Event::Stopping { why: Reason::HypothesisBroken, text: text.into() });
    tape.back().judged(Phase::During, 60, 30).recovered(Some(1234));
    tape.end(Reason::HypothesisBroken, "checkout: success 50% where ≥ 95% was expected; aborted after 1.2s of 10s.")
}

/// The engine refuses to roll the pause back.
pub(crate) fn left_behind() -> Vec<Stamped> {
    let mut tape = Tape::new(EXPERIMENT);
    tape.until_the_fault().samples(Phase::During, 2, 0);
    tape.phase(Phase::Rollback, None).push(Event::RollingBack { n: 0 }).wait(5000);
    let error = "cannot unpause shop-2: no answer within 5s\n\u{1b}[31m(and more)";
    tape.push(Event::RollbackFailed { n: 0, attempt: 1, error: error.into() });
    tape.push(Event::Stuck { n: 0, by_hand: "docker -H unix:///var/run/docker.sock unpause 3f1c9a7be2d04c11".into() });
    tape.end(Reason::LeftBehind, "1 change could not be rolled back.")
}

/// The fold of events.
pub(crate) fn fold(events: &[Stamped]) -> RunState {
    let mut state = RunState::default();
    for event in events {
        state.apply(event).unwrap();
    }
    state
}

/// The verdict in the last event.
pub(super) fn verdict_of(events: &[Stamped]) -> Verdict {
    fold(events).finished.unwrap().verdict
}

const LATENCY: Latency = Latency { p50: 8.1, p95: 12.1, p99: 18.4, max: 31.0 };

fn standings(samples: u64, failed: u64, phase: Phase) -> Vec<Standing> {
    let (bound, budget, outage) = match phase {
        Phase::During => ("≥ 95%", 25, Some(("≤ 2 s", failed * 20))),
        _ => ("≥ 99%", 2, None),
    };
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let ratio = 1.0 - failed as f64 / samples as f64;
    let mut all = vec![
        Standing {
            expectation: "success".into(),
            bound: bound.into(),
            measured: format!("{}%", (ratio * 1000.0).round() / 10.0),
            number: Some(ratio),
            value: None,
            budget: Some(budget),
            spent: Some(failed),
            of: Some(samples),
            held: failed <= budget,
            failures: BTreeMap::new(),
            unjudged: None,
        },
        Standing {
            expectation: "p95".into(),
            bound: "≤ 300 ms".into(),
            measured: if failed > 25 { "no answer" } else { "12 ms" }.into(),
            number: (failed <= 25).then_some(12.1),
            value: None,
            budget: Some(if phase == Phase::During { 25 } else { 12 }),
            spent: Some(failed),
            of: Some(samples),
            held: failed <= 25,
            failures: BTreeMap::new(),
            unjudged: None,
        },
    ];
    all.extend(outage.map(|(bound, ms)| Standing {
        expectation: "max-outage".into(),
        bound: bound.into(),
        measured: format!("{ms} ms"),
        number: None,
        value: None,
        budget: None,
        spent: None,
        of: None,
        held: true,
        failures: BTreeMap::new(),
        unjudged: None,
    }));
    all
}

fn shop() -> Instance {
    Instance {
        zone: Some("b".into()),
        settings: [(Aspect::Paused, Setting::Paused(false))].into(),
        ..Instance::new("3f1c9a7be2d04c11", "shop-2", "shop")
    }
}

fn pause() -> Change {
    Change {
        n: 0,
        fault: 0,
        instance: InstanceId("3f1c9a7be2d04c11".into()),
        name: "shop-2".into(),
        epoch: Epoch::default(),
        before: Some(Setting::Paused(false)),
        to: Setting::Paused(true),
        back: Rollback::To(Setting::Paused(false)),
    }
}

const EXPERIMENT: &str = "
version: 1
name: kill-one-replica
hypothesis: Losing one of three shop instances goes unnoticed by customers, whatever they are doing at that moment.
steady-state:
  checkout:
    http: { url: http://127.0.0.1:8080/checkout }
    rate: 50/s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, max-outage: 2s }
target: { service: shop }
fault: { pause: {} }
blast-radius: { max-instances: 1 }
timing: { baseline: 5s, duration: 10s, recovery: 30s }
";
