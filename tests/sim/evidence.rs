//! What counts as evidence in the fault phase: only what was due while every fault was verified to be on, and answered before the
//! rollback began; and what is bad counts at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::{InjectedFailure, Sim, SimProber};
use squall::experiment::probe::{Answer, Failure, Prober};
use squall::experiment::{Experiment, Percent, Rate, Span};
use squall::model::instance::{Aspect, Setting};
use squall::record::event::{Judged, Phase};
use tokio::time::Instant;

use crate::harness::{RunResult, Scenario, compound, experiment};

const HELD_FOR: Duration = Duration::from_millis(1500);

/// An engine that takes long for one call.
fn slow(s: &Scenario, call: &'static str, longer: u64) {
    s.sim.fail_calls(move |_, what| {
        if what == call { InjectedFailure::Slow(Duration::from_secs(longer)) } else { InjectedFailure::None }
    });
}

fn during(ran: &RunResult) -> &Judged {
    &ran.state.checks["checkout"].judged[&Phase::During]
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_takes_long_to_come_on_is_on_for_its_whole_time() {
    let s = Scenario::new(experiment("{ stop: { timeout: 10s } }", "{ name: shop-1 }"));
    slow(&s, "set shop-1 stopped within 10s", 8);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    assert!(ran.state.fault_on(0).unwrap() >= HELD_FOR, "{:?}", ran.state.fault_on(0));
    assert_eq!(during(&ran).samples, 30, "as many as were declared");
    assert!(during(&ran).not_judged >= 150, "the good ones before that are no evidence: {:?}", during(&ran));
    s.assert_restored("slow stop").await;

    // The system bears everything until the fault is on, and nothing from then on.
    let s = Scenario::new(experiment("{ stop: { timeout: 10s } }", "{ name: store-1 }"));
    slow(&s, "set store-1 stopped within 10s", 8);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
    s.assert_restored("slow stop").await;
}

#[tokio::test(start_paused = true)]
async fn a_breach_while_another_fault_comes_on_aborts_at_once() {
    let s = Scenario::new(compound(&[
        "{ fault: { pause: {} }, target: { name: store-1 } }",
        "{ fault: { stop: { timeout: 10s } }, target: { name: shop-1 } }",
    ]));
    slow(&s, "set shop-1 stopped within 10s", 8);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
    let breach = ran.state.breach().unwrap().at;
    let begun = ran.state.changes[0].injecting.unwrap();
    assert!(breach.duration_since(begun) < jiff::SignedDuration::from_secs(2), "{breach} {begun}");
    let back = ran.state.changes[0].rolling_back.unwrap();
    assert!(back.duration_since(breach) < jiff::SignedDuration::from_secs(1), "{breach} {back}");
    s.assert_restored("breach while injecting").await;
}

#[tokio::test(start_paused = true)]
async fn later_faults_wait_for_slow_ones_and_none_is_shorter_for_it() {
    let slowed = "{ fault: { latency: { delay: 20ms } }, target: { service: gateway } }";
    let frozen = "{ fault: { pause: {} }, target: { name: shop-1 }, after: 500ms, for: 400ms }";
    let s = Scenario::new(compound(&[slowed, frozen]));
    s.sim.fail_calls(|_, what| {
        let slow = what.starts_with("set gateway") && what.contains("late") || what == "set shop-1 paused";
        if slow { InjectedFailure::Slow(Duration::from_secs(3)) } else { InjectedFailure::None }
    });
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let [one, other] = [0, 1].map(|n| &ran.state.changes[n]);
    let verified = |n: usize| ran.state.changes[n].verification.as_ref().unwrap().at;
    let ms = jiff::SignedDuration::from_millis;
    assert!(
        other.injecting.unwrap().duration_since(verified(0)) >= ms(500),
        "measured from the first one's verification"
    );
    assert!(other.rolling_back.unwrap().duration_since(verified(1)) >= ms(400));
    assert!(
        one.rolling_back.unwrap().duration_since(other.rolling_back.unwrap()) >= ms(600),
        "what was left of the phase"
    );
    // To within one for each time that time stood still.
    assert!((29..=31).contains(&during(&ran).samples), "{:?}", during(&ran));
    s.assert_restored("slow and slow").await;
}

#[tokio::test(start_paused = true)]
async fn faults_that_do_not_overlap_by_their_file_never_do() {
    let s = Scenario::new(compound(&[
        "{ fault: { pause: {} }, target: { name: shop-1 }, for: 500ms }",
        "{ fault: { pause: {} }, target: { name: shop-2 }, after: 500ms }",
    ]));
    slow(&s, "set shop-1 not paused", 3);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-held", "{}", ran.text());
    let [one, other] = [0, 1].map(|n| &ran.state.changes[n]);
    assert!(other.injecting.unwrap() >= one.rolled_back.as_ref().unwrap().at, "{one:?} {other:?}");
    s.assert_restored("one after the other").await;
}

#[tokio::test(start_paused = true)]
async fn a_phase_without_a_sample_is_no_verdict() {
    let mut x = experiment("{ pause: {} }", "{ name: shop-1 }");
    x.steady_state[0].rate = Rate(0.1);
    let ran = Scenario::new(x).run().await.unwrap();
    assert_eq!((ran.reason().as_str(), ran.code()), ("no-evidence", 3), "{}", ran.text());
}

/// Customers of the shop, some of whom are served by an instance that is frozen: they wait until it goes on, or for too long.
struct Patient {
    sim: Arc<Sim>,
    timeout: Duration,
    /// One in so many is served by it.
    one_in: usize,
    asked: AtomicUsize,
}

#[async_trait]
impl Prober for Patient {
    async fn ask(&self, _: &str) -> Answer {
        let begin = Instant::now();
        let frozen = || self.sim.peek().iter().any(|i| i.settings[&Aspect::Paused] == Setting::Paused(true));
        let by_it = self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in);
        tokio::time::sleep(Duration::from_millis(5)).await;
        while by_it && frozen() {
            if begin.elapsed() >= self.timeout {
                return Answer::Failed(Failure("timeout".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Answer::Good { value: None, by: None }
    }
}

async fn patient(mut x: Experiment, timeout: u64, one_in: usize) -> RunResult {
    x.steady_state[0].timeout = Span(Duration::from_millis(timeout));
    x.steady_state[0].expect.p95 = None;
    let s = Scenario::new(x);
    let asked = AtomicUsize::new(0);
    let prober = Patient { sim: s.sim.clone(), timeout: Duration::from_millis(timeout), one_in, asked };
    let ran = s.run_with(Arc::new(prober)).await.expect("no process dies");
    s.assert_restored("patient").await;
    ran
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_only_after_the_rollback_prove_nothing() {
    let frozen = || experiment("{ pause: {} }", "{ name: shop-1 }");
    // Every request hangs for as long as the fault is on, and is answered when it is over.
    let ran = patient(frozen(), 5000, 1).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("no-evidence", 3), "{}", ran.text());
    assert_eq!(during(&ran).samples, 0, "{:?}", during(&ran));
    assert!(during(&ran).not_judged >= 30);

    // A third of them, which is more than the budget and less than half.
    let ran = patient(frozen(), 5000, 3).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("no-evidence", 3), "{}", ran.text());
    assert!(ran.text().contains("9 requests hung") && ran.text().contains("`success`"), "{}", ran.text());
    let mut x = frozen();
    x.steady_state[0].during.success = Some(Percent(0.5).into());
    let ran = patient(x, 5000, 3).await;
    assert_eq!(ran.reason(), "hypothesis-held", "whatever became of them: {}", ran.text());
    let mut x = frozen();
    x.steady_state[0].during.success = Some(Percent(0.0).into());
    x.steady_state[0].during.max_outage = Some(Span(Duration::from_millis(700)).into());
    let ran = patient(x, 5000, 1).await;
    assert_eq!(ran.reason(), "no-evidence", "an outage of the whole phase, for all that is known: {}", ran.text());

    // A time-out within the fault's time tells.
    let ran = patient(frozen(), 400, 3).await;
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_where_the_rollback_begins() {
    let mut x = experiment("{ pause: {} }", "{ name: store-1 }");
    x.timing.duration = Span(Duration::from_secs(10));
    x.steady_state[0].rate = Rate(10.0);
    x.steady_state[0].expect.p95 = None;
    x.steady_state[0].during.success = Some(Percent(0.98).into());
    x.steady_state[0].during.max_outage = Some(Span(Duration::from_millis(1500)).into());
    let s = Scenario::new(x);
    slow(&s, "set store-1 not paused", 2);
    let ran = s.run().await.unwrap();
    assert_eq!(ran.reason(), "hypothesis-broken", "{}", ran.text());
    let (from, to) = ran.state.span_of(Phase::During).unwrap();
    let lasted = u64::try_from(to.duration_since(from).as_millis()).unwrap();
    let outage = during(&ran).longest_outage_ms;
    assert!(lasted < 1500 && (1..=lasted).contains(&outage), "{outage} of {lasted}");
    let broken: Vec<&str> = ran.state.breaches.iter().map(|b| b.standing.expectation.as_str()).collect();
    assert_eq!(broken, ["success"], "requests that were open at the rollback and fail later make no outage longer");
    s.assert_restored("outage").await;
}

/// What asks about something that was never seen to exist, until there is something wrong.
struct Hollow {
    others: SimProber,
    until: Option<Duration>,
    began: Instant,
}

#[async_trait]
impl Prober for Hollow {
    async fn ask(&self, check: &str) -> Answer {
        self.others.ask(check).await
    }

    fn without_evidence(&self, _: &str) -> Option<String> {
        let seen = self.until.is_some_and(|until| self.began.elapsed() > until);
        (!seen).then(|| "never had a result".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_seen_to_exist_proves_nothing() {
    // It is there from the fault on, or never.
    for (until, reason, code) in [(Some(HELD_FOR), "hypothesis-held", 0), (None, "no-evidence", 3)] {
        let s = Scenario::new(experiment("{ kill: {} }", "{ name: shop-1 }"));
        let others = SimProber::new(s.sim.clone(), s.experiment.all_checks().iter());
        let ran = s.run_with(Arc::new(Hollow { others, until, began: Instant::now() })).await.expect("its end");
        assert_eq!((ran.reason().as_str(), ran.code()), (reason, code), "{}", ran.text());
        assert!(ran.state.warnings.iter().any(|w| w == "so far, `checkout` never had a result"), "{until:?}");
        s.assert_restored("hollow").await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_command_or_a_signal_did_is_not_known() {
    for (fault, says) in [
        (
            "{ exec: { run: ['true'], undo: ['true'] } }",
            "whether `exec` had an effect on shop-1 cannot be known: a command tells",
        ),
        (
            "{ process: { name: worker, signal: SIGHUP } }",
            "whether `process` had an effect on shop-1 cannot be known: what",
        ),
    ] {
        let s = Scenario::new(experiment(fault, "{ name: shop-1 }"));
        let ran = s.run().await.unwrap();
        assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-held", 0), "{fault}: {}", ran.text());
        assert!(ran.text().contains(says), "{fault}: {}", ran.text());
    }
}
