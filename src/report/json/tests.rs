//! The report for programs is what its documentation says, field by field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::documented::{Fields, are_those_of};
use super::super::fixture;
use super::*;

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    let keyed = &[
        "checks[].phases[].failures",
        "checks[].phases[].unmeasured-why",
        "checks[].phases[].answers",
        "breaches[].causes",
        "recovery.missed[].causes",
    ];
    let fields = Fields { opaque: &["experiment"], keyed };
    let mut produced = BTreeSet::new();
    for (_, state) in fixture::all() {
        fields.of(&serde_json::from_str(&render(&state)).unwrap(), &mut produced);
    }
    // The fixtures ask everything they want to.
    produced.insert("checks[].phases[].unmeasured-why.*".to_owned());
    // None of them has an effect that cannot be known.
    produced.insert("changes[].effect.why".to_owned());
    are_those_of("docs/report-json.md", &produced);
}

#[test]
fn a_field_is_there_even_where_it_has_nothing_to_say() {
    let keys = |state: &RunState| -> Vec<String> {
        let value: Value = serde_json::from_str(&render(state)).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let empty = keys(&RunState::default());
    for (name, state) in fixture::all() {
        assert_eq!(keys(&state), empty, "{name}");
    }
}

#[test]
fn the_fixtures_stay_as_they_are() {
    for (name, state) in fixture::all().into_iter().filter(|(name, _)| *name != "many") {
        insta::assert_snapshot!(format!("json-{name}"), render(&state));
    }
}

#[test]
fn verdict_reason_and_exit_code_agree() {
    for (state, verdict, reason, code) in [
        (fixture::held(), "held", "hypothesis-held", 0),
        (fixture::broken(), "broken", "hypothesis-broken", 1),
        (fixture::no_verdict(), "no-verdict", "baseline-not-met", 3),
        (fixture::by_guard(), "no-verdict", "runner-died", 3),
        (fixture::left_behind(), "left-behind", "left-behind", 4),
    ] {
        let value: Value = serde_json::from_str(&render(&state)).unwrap();
        assert_eq!(value["verdict"], verdict);
        assert_eq!(value["reason"], reason);
        assert_eq!(value["exit-code"], code);
    }
    let value: Value = serde_json::from_str(&render(&fixture::unfinished())).unwrap();
    assert!(value["verdict"].is_null() && value["exit-code"].is_null());
}

#[test]
fn an_abort_is_told_in_milliseconds() {
    let value: Value = serde_json::from_str(&render(&fixture::broken())).unwrap();
    assert_eq!(value["abort-latency-ms"], 17.0);
    let value: Value = serde_json::from_str(&render(&fixture::left_behind())).unwrap();
    assert!(value["abort-latency-ms"].is_null(), "what is still in place was not aborted");
    assert_eq!(value["left-behind"][0]["by-hand"], "docker unpause store-1");
}
