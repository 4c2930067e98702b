//! Whatever bound validation lets pass, a phase of answers that are all bad breaks it. One that nothing can break would
//! hold in every run, and be no evidence in any.

use std::time::Duration;

use proptest::prelude::*;

use super::{Judge, Recovery};
use crate::experiment::probe::{Answer, Failure};
use crate::experiment::{Check, Expect, Experiment, read};
use crate::model::quantity;
use crate::record::event::{Phase, Standing};

/// Bounds of each kind, of which some cannot break; and the probe that they are for.
fn bounds() -> impl Strategy<Value = (&'static str, String)> {
    let http = "http: 'http://127.0.0.1/'";
    let span = || prop::sample::select(vec!["1ms", "50ms", "400ms", "950ms", "1s", "2s", "1h"]);
    let percent = prop::sample::select(vec!["0%", "0.0000001%", "1%", "50%", "90%", "99.9%", "100%"]);
    let quantile = prop::sample::select(vec!["p50", "p75", "p90", "p95", "p99", "p99.9", "max"]);
    let rate = prop::sample::select(vec!["1/m", "30/m", "1/s", "5/s", "50/s"]);
    let number = || prop::sample::select(vec!["-5", "-0.5", "0", "1", "3", ".inf", "-.inf", ".nan"]);
    let key = prop::sample::select(vec!["at-least", "at-most", "equals"]);
    let asks = prop::sample::select(vec![
        "engine: { service: shop, count: running }",
        "engine: { service: shop, count: restarts }",
        "promql: { url: 'http://p', query: up }",
    ]);
    let pattern = prop::sample::select(vec![".*", "", "^", "ok", r"[0-9]*", "(.*)", "^.*$", "3"]);
    prop_oneof![
        percent.prop_map(move |p| (http, format!("success: {p}"))),
        (quantile, span()).prop_map(move |(q, s)| (http, format!("{q}: {s}"))),
        span().prop_map(move |s| (http, format!("max-outage: {s}"))),
        rate.prop_map(move |r| (http, format!("rate: {r}"))),
        (asks, key, number()).prop_map(|(asks, key, n)| (asks, format!("value: {{ {key}: {n} }}"))),
        span().prop_map(|s| ("exec: [count]", format!("value: {{ at-least: 3, for: {s} }}"))),
        pattern.prop_map(|p| ("exec: [count]", format!("value: {{ matches: '{p}' }}"))),
    ]
}

fn experiment(probe: &str, bound: &str, (rate, baseline, duration): (&str, u64, u64)) -> Option<Experiment> {
    let text = format!(
        "version: 1\nname: x\nhypothesis: h\n\
         steady-state: {{ c: {{ {probe}, rate: {rate}, timeout: 1s, expect: {{ {bound} }} }} }}\n\
         target: {{ service: shop }}\nfault: pause\nblast-radius: {{ max-instances: 1 }}\n\
         timing: {{ baseline: {baseline}ms, duration: {duration}ms, recovery: 1h }}\n"
    );
    read::experiment("x.yaml", text.as_bytes(), &quantity::unset).ok().map(|r| r.value)
}

/// What bad answers look like: refusals, and slow ones with values of all sorts.
fn bad(check: &Check) -> Vec<(Answer, Duration)> {
    let slow = |value: &str| (Answer::Good { value: Some(value.into()), by: None }, check.timeout.0);
    let refused = (Answer::Failed(Failure("refused".into())), Duration::from_millis(1));
    let counted = matches!(check.probe, crate::experiment::probe::Probe::Engine(_));
    let values = ["0", "1", "1000000", "-1000000", "0.25", "no"];
    let possible = values.into_iter().filter(|v| if counted { v.parse::<u64>().is_ok() } else { true });
    [refused].into_iter().chain(possible.map(slow)).collect()
}

/// The due times of a check in a phase that begins between two of them.
fn dues(check: &Check, from: Duration, length: Duration) -> impl Iterator<Item = (u64, Duration)> {
    let due = |n: u64| Duration::from_secs_f64(n as f64 / check.rate.0);
    (0..)
        .map(move |n| (n, due(n)))
        .skip_while(move |(_, due)| *due < from)
        .take_while(move |(_, due)| *due < from + length)
}

fn broken_by(
    check: &Check,
    expect: &Expect,
    length: Duration,
    from: Duration,
    (answer, after): &(Answer, Duration),
) -> Vec<Standing> {
    let mut judge = Judge::new("c", false, Phase::During, expect, check.rate, from, length);
    for (seq, due) in dues(check, from, length) {
        judge.asked(seq, due);
        judge.answered(seq, due, due + *after, answer);
    }
    judge.finish(from + length, true).0.standings.into_iter().filter(|s| !s.held).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn what_validation_lets_pass_is_broken_by_bad_answers(
        (probe, bound) in bounds(),
        rate in prop::sample::select(vec!["20/m", "1/s", "7/s", "50/s"]),
        (baseline, duration) in (300_u64..4000, 300_u64..4000),
        offset in 0.0_f64..1.0,
    ) {
        let Some(x) = experiment(probe, &bound, (rate, baseline, duration)) else { return Ok(()) };
        let check = &x.steady_state["c"];
        let from = Duration::from_secs_f64(offset / check.rate.0);
        let phases = [(&check.expect, baseline), (&check.expect_during(), duration)];
        for (expect, ms) in phases {
            let length = Duration::from_millis(ms);
            let broken: Vec<Standing> = bad(check).iter().flat_map(|a| broken_by(check, expect, length, from, a)).collect();
            prop_assert!(!broken.is_empty(), "{bound} is broken by nothing in {ms} ms at {rate}");
        }
        let mut back = Vec::new();
        for (answer, after) in bad(check) {
            let mut recovery = Recovery::new(&check.expect, check.rate, Duration::from_millis(baseline), from);
            recovery.counts_from(from);
            for (seq, due) in dues(check, from, Duration::from_secs(20)) {
                recovery.asked(seq, due);
                recovery.answered(seq, due, due + after, &answer);
            }
            back.push(recovery.is_back());
        }
        prop_assert!(back.contains(&false), "{bound} calls everything recovered");
    }
}
