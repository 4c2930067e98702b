//! Monitoring is part of the hypothesis: what a run comes to where alerts fire, or do not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use squall::engine::sim::SimProber;
use squall::experiment::probe::{Answer, Failure, Prober};
use squall::experiment::{Experiment, OnBreach};
use tokio::time::Instant;

use crate::harness::{RunResult, Scenario, experiment};

/// The baseline is over after 1 s, the fault after 2.5 s.
fn with_alert(fault: &str) -> Experiment {
    let mut x = experiment(fault, "{ service: shop }");
    let alert = r#"{ "alert": { "prometheus": "http://p", "labels": { "alertname": "ShopDown" } },
        "fires-within": "1s", "resolves-within": "3s", "rate": "20/s" }"#;
    x.alerts.insert("shop-down".to_owned(), serde_json::from_str(alert).expect("an alert"));
    x
}

/// A monitoring of which it is known when it says what, in ms from the start of the run.
struct Monitoring {
    others: SimProber,
    began: Instant,
    says: fn(u128) -> Answer,
}

#[async_trait]
impl Prober for Monitoring {
    async fn ask(&self, check: &str) -> Answer {
        if check == "shop-down" { (self.says)(self.began.elapsed().as_millis()) } else { self.others.ask(check).await }
    }
}

fn fires() -> Answer {
    Answer::Good { value: None, by: None }
}

fn quiet() -> Answer {
    Answer::Failed(Failure("no such alert".to_owned()))
}

fn deaf() -> Answer {
    Answer::NotMeasured("connection refused".to_owned())
}

async fn come(x: Experiment, says: fn(u128) -> Answer) -> RunResult {
    let s = Scenario::new(x);
    let others = SimProber::new(s.sim.clone(), s.experiment.all_checks().iter());
    let ran = s.run_with(Arc::new(Monitoring { others, began: Instant::now(), says })).await.expect("its end");
    s.assert_restored("alerts").await;
    ran
}

fn near(took: Option<Duration>, ms: u64) -> bool {
    took.is_some_and(|took| took.abs_diff(Duration::from_millis(ms)) <= Duration::from_millis(60))
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_fires_and_is_resolved_in_time_holds_and_is_timed() {
    let ran = come(with_alert("{ kill: {} }"), |ms| if (1600..4000).contains(&ms) { fires() } else { quiet() }).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-held", 0), "{}", ran.text());
    let alert = &ran.state.alerts["shop-down"];
    assert!(near(alert.fired.map(|f| f.after), 600), "{alert:?}");
    assert!(near(alert.resolved.map(|r| r.after), 1500), "{alert:?}");
    assert!(alert.steps().iter().all(|step| step.held == Some(true)), "{alert:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_fire_breaks_the_hypothesis_at_that_moment() {
    let ran = come(with_alert("{ kill: {} }"), |_| quiet()).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("alert-missing", 1), "{}", ran.text());
    assert!(ran.text().contains("did not fire within 1s of the injection: no such alert"), "{}", ran.text());
    let (began, ended) = ran.state.span_of(squall::record::event::Phase::During).expect("a phase");
    assert!(ended.duration_since(began).as_millis() < 1200, "the fault is not held any longer");
    assert!(ran.state.stopped_in().is_some());
}

#[tokio::test(start_paused = true)]
async fn observed_to_the_end_it_is_the_same() {
    let mut x = with_alert("{ kill: {} }");
    x.on_breach = OnBreach::Observe;
    let ran = come(x, |ms| if (2300..2450).contains(&ms) { fires() } else { quiet() }).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("alert-missing", 1), "{}", ran.text());
    assert!(near(ran.state.alerts["shop-down"].fired.map(|f| f.after), 1300), "it is told when it fired after all");
}

#[tokio::test(start_paused = true)]
async fn one_that_fires_already_touches_nothing() {
    let ran = come(with_alert("{ kill: {} }"), |_| fires()).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("baseline-not-met", 3), "{}", ran.text());
    assert!(ran.text().contains("`shop-down` fires already") && ran.state.changes.is_empty(), "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_on_is_not_resolved() {
    let ran = come(with_alert("{ kill: {} }"), |ms| if ms > 1600 { fires() } else { quiet() }).await;
    assert_eq!((ran.reason().as_str(), ran.code()), ("alert-unresolved", 1), "{}", ran.text());
    assert!(ran.text().contains("still fired 3s after the fault was gone"), "{}", ran.text());
    assert!(ran.state.recovery.is_some_and(|r| r.rto.is_some()), "the system itself was back");
}

#[tokio::test(start_paused = true)]
async fn monitoring_that_does_not_answer_is_no_weakness() {
    let never = come(with_alert("{ kill: {} }"), |_| deaf()).await;
    assert_eq!((never.reason().as_str(), never.code()), ("not-measured", 3), "{}", never.text());
    assert!(never.state.changes.is_empty(), "found out before anything was touched");
    let later = come(with_alert("{ kill: {} }"), |ms| if ms > 1300 { deaf() } else { quiet() }).await;
    assert_eq!((later.reason().as_str(), later.code()), ("not-measured", 3), "{}", later.text());
    let at_the_end = come(with_alert("{ kill: {} }"), |ms| match ms {
        0..1600 => quiet(),
        1600..2700 => fires(),
        _ => deaf(),
    })
    .await;
    assert_eq!((at_the_end.reason().as_str(), at_the_end.code()), ("not-measured", 3), "{}", at_the_end.text());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_short_judges_no_alert() {
    let mut x = with_alert("{ pause: {} }");
    x.alerts["shop-down"].fires_within = squall::experiment::Span(Duration::from_millis(1400));
    let s = Scenario::new(x);
    let handle = s.handle.clone();
    let (ran, ()) = tokio::join!(s.run(), async move {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        handle.press(squall::record::event::Reason::Interrupted, "SIGINT");
    });
    let ran = ran.expect("its end");
    assert_eq!((ran.reason().as_str(), ran.code()), ("interrupted", 3), "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn what_heals_itself_is_awaited_from_when_it_was_back() {
    let x = with_alert("{ kill: { via: host, heal: self } }");
    let stack = crate::harness::STACK.replace("replicas: 3", "restart: true, replicas: 3");
    let ran = Scenario::on(&stack, x).run().await.expect("its end");
    // The sim's own monitoring sees a shop that is down; it is up again after 300 ms.
    assert_eq!((ran.reason().as_str(), ran.code()), ("hypothesis-held", 0), "{}", ran.text());
    let alert = &ran.state.alerts["shop-down"];
    assert!(alert.fired.is_some() && alert.resolved.is_some(), "{alert:?}");
}
