//! What must be in a game day's report, in every format.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::documented::{Fields, are_those_of};
use super::*;

fn rendered(format: Format) -> Vec<(&'static str, String)> {
    let all = fixture::all();
    all.iter().map(|(name, record, previous)| (*name, render(record, previous.as_ref(), format).unwrap())).collect()
}

fn json_of(name: &str) -> Value {
    let all = rendered(Format::Json);
    serde_json::from_str(&all.iter().find(|(n, _)| *n == name).unwrap().1).unwrap()
}

#[test]
fn the_fixtures_read_well() {
    for (name, text) in rendered(Format::Markdown) {
        insta::assert_snapshot!(format!("gameday-markdown-{name}"), text);
    }
}

#[test]
fn the_figures_are_those_of_the_runs_and_of_the_people() {
    let report = json_of("quarterly");
    assert_eq!((&report["verdict"], &report["exit-code"]), (&"broken".into(), &1.into()));
    assert_eq!(report["headline"], "1 of 4 scenarios held, 1 broke, 1 came to no verdict, 1 not run.");
    let store = &report["scenarios"][1];
    assert_eq!(store["standing"], "broken");
    // The scenario began at 420 s, and people had noticed at 512 s; the fault was in place some seconds after the begin.
    let detected = &store["clocks"]["detected"];
    assert!((80_000..92_000).contains(&detected["people-ms"].as_u64().unwrap()), "{detected}");
    assert_eq!((&detected["by"], &detected["met"]), (&"Chloé".into(), &false.into()));
    assert!(detected["machine-ms"].as_u64().unwrap() < 10_000, "{detected}");
    // The budget is that of 30 days at 99.9%: 43 min 12 s.
    assert_eq!(report["budget"]["whole-ms"], 2_592_000);
    let bad: u64 = report["scenarios"].as_array().unwrap().iter().map(|s| s["bad-ms"].as_u64().unwrap()).sum();
    assert_eq!(report["budget"]["spent-ms"], bad);
    assert!(bad > 0);
}

#[test]
fn gaps_are_found_and_only_where_there_are_any() {
    let kinds = |name: &str| -> BTreeSet<String> {
        let gaps = json_of(name)["gaps"].clone();
        gaps.as_array().unwrap().iter().map(|gap| gap["kind"].as_str().unwrap().to_owned()).collect()
    };
    let of = |kinds: &[&str]| kinds.iter().map(|k| (*k).to_owned()).collect::<BTreeSet<_>>();
    let all = ["action", "checklist", "goal-missed", "message", "no-verdict", "not-run"];
    assert_eq!(kinds("quarterly"), of(&all));
    assert_eq!(kinds("left-behind"), of(&["checklist", "no-mark", "not-run"]));
    assert_eq!(kinds("unattended"), of(&["not-run"]));
}

#[test]
fn the_last_game_day_is_held_against_this_one() {
    let compared = &json_of("quarterly")["compared"];
    let pairs = &compared["scenarios"];
    assert_eq!((&pairs[0]["before"], &pairs[0]["verdict"]), (&"broken".into(), &"better".into()));
    assert_eq!((&pairs[1]["verdict"], &pairs[1]["detected"]["trend"]), (&"same".into(), &"worse".into()));
    assert_eq!(pairs[3]["before"], "not-reached");
    assert!(json_of("left-behind")["compared"].is_null());
}

#[test]
fn people_and_the_machine_stand_in_one_timeline_in_order() {
    let timeline = json_of("quarterly")["timeline"].clone();
    let moments = timeline.as_array().unwrap();
    let times: Vec<jiff::Timestamp> = moments.iter().map(|m| m["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted());
    let at = |of: &str, text: &str| {
        let is = |m: &Value| m["of"] == of && m["text"].as_str().unwrap().contains(text);
        moments.iter().position(is).unwrap_or_else(|| panic!("{of}: {text}: {timeline:#}"))
    };
    let (injected, breach) = (at("squall", "injected: store-1"), at("squall", "breach (during): checkout"));
    let (back, noticed) = (at("squall", "rolled back by runner: store-1"), at("people", "detected: The store freezes"));
    assert!(injected < breach && breach < back && back < noticed, "{timeline:#}");
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_there() {
    let fields = Fields { opaque: &[], keyed: &["participants", "scenarios[].clocks"] };
    let mut produced = BTreeSet::new();
    for (_, text) in rendered(Format::Json) {
        fields.of(&serde_json::from_str(&text).unwrap(), &mut produced);
    }
    are_those_of("docs/gameday-report-json.md", &produced);
}

#[test]
fn every_format_is_written_and_junit_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write_all(&fixture::quarterly(), None, dir.path()).unwrap();
    assert_eq!(paths.len(), 3);
    for path in &paths {
        assert!(std::fs::read_to_string(path).unwrap().contains("autumn game day"), "{}", path.display());
    }
    assert_eq!(render(&fixture::quarterly(), None, Format::Junit), None);
    let e = write_all(&fixture::quarterly(), None, Path::new("/nonexistent/here")).unwrap_err();
    assert!(format!("{e:#}").contains("/nonexistent/here/report.html"), "{e:#}");
}

/// Puts the fixtures where a browser can show them: `cargo test --lib paints_the_game_days -- --ignored`.
#[test]
#[ignore = "for the eye: writes target/report-fixtures"]
fn paints_the_game_days() {
    for (name, record, previous) in fixture::all() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/report-fixtures/gameday").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        write_all(&record, previous.as_ref(), &dir).unwrap();
    }
}

/// A target that is started again may serve before the engine's call that starts it has returned.
#[test]
fn nothing_has_recovered_before_it_is_mitigated() {
    let mut slow = fixture::quarterly();
    for run in slow.runs.values_mut() {
        let last = run.last;
        run.changes
            .iter_mut()
            .filter_map(|c| c.rolled_back.as_mut())
            .for_each(|rolled_back| rolled_back.at = last.unwrap());
    }
    let mut compared = 0;
    for record in fixture::all().into_iter().map(|(_, record, _)| record).chain([slow]) {
        for scenario in Facts::of(&record, None).scenarios {
            let [_, mitigated, recovered] = scenario.clocks.map(|clock| clock.machine);
            if let (Some(mitigated), Some(recovered)) = (mitigated, recovered) {
                assert!(mitigated <= recovered, "{}: {mitigated:?}, {recovered:?}", scenario.title);
                compared += 1;
            }
        }
    }
    assert!(compared > 4, "{compared}");
}
