//! Series that never were, for the tests of their reports.

use super::super::{facts, fixture};
use crate::model::exit::Verdict;
use crate::occasions::gate::{Attempt, Entry, Repeat};
use crate::record::state::RunState;

fn attempt(state: RunState) -> Attempt {
    Attempt {
        verdict: facts::verdict(&state).unwrap_or(Verdict::NoVerdict),
        why: facts::why(&state).unwrap_or("it has no end").to_owned(),
        run: Some(Box::new(state)),
    }
}

fn entry(name: &str, repeat: Repeat, attempts: Vec<Attempt>) -> Entry {
    Entry {
        name: name.to_owned(),
        file: format!("chaos/{name}.yaml"),
        known_weakness: None,
        repeat,
        attempts,
        comparison: None,
        cut_short: None,
    }
}

fn once(name: &str, state: RunState) -> Entry {
    entry(name, Repeat::ONCE, vec![attempt(state)])
}

/// Three runs of which two have to hold.
fn thrice(name: &str, states: Vec<RunState>) -> Entry {
    entry(name, Repeat { times: 3, require: 2 }, states.into_iter().map(attempt).collect())
}

fn known(entry: Entry) -> Entry {
    Entry { known_weakness: Some("the store has no replica; one is planned".to_owned()), ..entry }
}

/// One of every kind.
pub(super) fn every() -> Vec<Entry> {
    let down = Attempt { verdict: Verdict::NoVerdict, why: "the engine does not answer".to_owned(), run: None };
    vec![
        once("kill-one-replica", fixture::held()),
        once("freeze-the-store", fixture::broken()),
        Entry { name: "known".to_owned(), ..known(once("freeze-the-store", fixture::broken())) },
        known(once("unexpected", fixture::held())),
        thrice("flaky", vec![fixture::held(), fixture::broken(), fixture::held()]),
        entry("engine-down", Repeat::ONCE, vec![down]),
        Entry { cut_short: Some("stopped by a signal".to_owned()), ..entry("never", Repeat::ONCE, Vec::new()) },
    ]
    .into_iter()
    .map(|mut entry| {
        // A suite is called as its experiment; the fixtures are called as they like.
        for run in entry.attempts.iter_mut().filter_map(|a| a.run.as_mut()?.started.as_mut()) {
            run.experiment.name.clone_from(&entry.name);
        }
        entry
    })
    .collect()
}

/// Series by name, each with another conclusion.
pub(super) fn all() -> Vec<(&'static str, Vec<Entry>)> {
    let named = |names: &[&str]| every().into_iter().filter(|e| names.contains(&e.name.as_str())).collect();
    let cut = thrice("cut", vec![fixture::held()]);
    let renamed = |mut entry: Entry| {
        for run in entry.attempts.iter_mut().filter_map(|a| a.run.as_mut()?.started.as_mut()) {
            run.experiment.name.clone_from(&entry.name);
        }
        entry
    };
    vec![
        ("every", every()),
        ("rehearsed", vec![renamed(once("r", fixture::rehearsal(fixture::held())))]),
        ("rehearsed, would break", vec![renamed(once("rb", fixture::rehearsal(fixture::broken())))]),
        ("rehearsed thrice", vec![renamed(thrice("rt", vec![fixture::rehearsal(fixture::held()); 3]))]),
        ("fine", named(&["kill-one-replica", "flaky"])),
        ("excused", named(&["kill-one-replica", "known", "unexpected"])),
        (
            "excused thrice",
            vec![renamed(known(thrice("k", vec![fixture::broken(), fixture::broken(), fixture::held()])))],
        ),
        ("broken", named(&["freeze-the-store", "flaky"])),
        ("engine down", named(&["engine-down"])),
        ("cut short", vec![renamed(Entry { cut_short: Some("stopped by a signal".to_owned()), ..cut })]),
        ("left", vec![renamed(thrice("l", vec![fixture::held(), fixture::left_behind(), fixture::held()]))]),
        ("undecided", vec![renamed(thrice("u", vec![fixture::held(), fixture::broken(), fixture::no_verdict()]))]),
    ]
}
