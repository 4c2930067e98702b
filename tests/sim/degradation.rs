//! That a service fails as was promised is proven by its failures alone: whole runs, with answers of every kind while the fault is on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::Sim;
use squall::experiment::probe::{Answer, Failure, Prober};
use squall::experiment::{MustFail, Percent, Span};
use squall::model::instance::{Aspect, Setting};
use squall::record::event::Phase;

use crate::harness::{RunResult, Scenario, experiment};

/// Good while nothing is frozen; while something is, what it is told to be, or silence until it is not.
struct Degrading {
    sim: Arc<Sim>,
    meanwhile: Option<Answer>,
}

#[async_trait]
impl Prober for Degrading {
    async fn ask(&self, _: &str) -> Answer {
        let frozen = || self.sim.peek().iter().any(|i| i.settings[&Aspect::Paused] == Setting::Paused(true));
        tokio::time::sleep(Duration::from_millis(5)).await;
        while frozen() {
            if let Some(answer) = &self.meanwhile {
                return answer.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Answer::Good { value: None, by: None }
    }
}

/// A run in which the check must fail while the fault is on.
async fn must_fail(meanwhile: Option<Answer>) -> RunResult {
    let mut x = experiment("{ pause: {} }", "{ name: store-1 }");
    x.steady_state[0].expect.p95 = None;
    x.steady_state[0].during.must_fail = Some(MustFail(Percent(1.0)));
    let s = Scenario::new(x);
    let prober = Degrading { sim: s.sim.clone(), meanwhile };
    let ran = s.run_with(Arc::new(prober)).await.expect("no process dies");
    s.assert_restored("degrading").await;
    ran
}

#[tokio::test(start_paused = true)]
async fn only_failures_of_the_service_prove_that_it_fails() {
    let ran = must_fail(Some(Answer::Failed(Failure("connection refused".into())))).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-held", 0), "{}", ran.text());
    let judged = &ran.state.checks["checkout"].judged[&Phase::During];
    assert!(judged.answers["connection refused"] >= 25, "{judged:?}");

    let ran = must_fail(Some(Answer::Good { value: None, by: None })).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-broken", 1), "{}", ran.text());
    assert!(ran.text().contains("did not fail"), "{}", ran.text());

    let ran = must_fail(Some(Answer::NotMeasured("no route from here".into()))).await;
    assert_eq!(ran.code(), 3, "what could not be asked is no failure of the service: {}", ran.text());

    let ran = must_fail(None).await;
    assert_eq!(ran.code(), 3, "requests that hang until it is over have not failed: {}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_does_not_tell_what_was_answered_proves_no_answer() {
    let mut x = experiment("{ pause: {} }", "{ name: store-1 }");
    x.steady_state[0].expect.p95 = None;
    x.steady_state[0].during.status = vec![200].into();
    let s = Scenario::new(x);
    let meanwhile = Some(Answer::Good { value: None, by: None });
    let ran = s.run_with(Arc::new(Degrading { sim: s.sim.clone(), meanwhile })).await.expect("no process dies");
    assert_eq!((ran.reason().as_str(), ran.code()), ("not-measured", 3), "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn back_too_late_is_a_weakness() {
    for (bound, code) in [(1, 1), (20_000, 0)] {
        let mut x = experiment("{ pause: {} }", "{ name: store-1 }");
        x.steady_state[0].expect.p95 = None;
        x.steady_state[0].during.must_fail = Some(MustFail(Percent(1.0)));
        x.steady_state[0].during.back_within = Some(Span(Duration::from_millis(bound)));
        let s = Scenario::new(x);
        let meanwhile = Some(Answer::Failed(Failure("refused".into())));
        let ran = s.run_with(Arc::new(Degrading { sim: s.sim.clone(), meanwhile })).await.expect("no process dies");
        assert_eq!(ran.code(), code, "{bound}: {}", ran.text());
        assert!(code == 0 || ran.reason() == "recovery-too-slow", "{}", ran.text());
    }
}
