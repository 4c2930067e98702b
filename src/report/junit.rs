//! The report as `JUnit` XML: a case for each expectation of each check, and for each step that a verdict rests on.
//!
//! A run that did not hold has at least one case that did not pass, and a run that held has none: pipelines that read
//! only this file come to the same conclusion as those that read the exit code.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{facts, faults, words};
use crate::event::{Phase, Reason};
use crate::exit::Verdict;
use crate::state::{ChangeState, RunState};

/// The text.
pub(super) fn render(state: &RunState) -> String {
    let mut suite = suite(state);
    for (name, status) in cases(state) {
        add_case(&mut suite, &name, status);
    }
    text(vec![suite])
}

/// A suite about a run, with no case in it yet.
pub(super) fn suite(state: &RunState) -> TestSuite {
    let mut suite = TestSuite::new(facts::name(state));
    suite.set_time(state.began.zip(state.last).map_or(Duration::ZERO, |(from, to)| words::between(from, to)));
    if let Some(started) = &state.started {
        suite.add_property(Property::new("run", &started.run));
        suite.add_property(Property::new("seed", started.seed.to_string()));
        suite.add_property(Property::new("engine", format!("{} {}", started.engine.kind, started.engine.version)));
    }
    for fault in faults::all(state) {
        let value = format!("{} from {}", fault.name, fault.planned());
        suite.add_property(Property::new(format!("fault {}", fault.n + 1), value));
    }
    suite.add_property(Property::new("verdict", words::verdict(facts::verdict(state)).to_lowercase()));
    suite.add_property(Property::new("reason", reason(state)));
    suite
}

/// One more case of a suite.
pub(super) fn add_case(suite: &mut TestSuite, name: &str, status: TestCaseStatus) {
    let mut case = TestCase::new(name, status);
    case.set_classname(suite.name.clone());
    suite.add_test_case(case);
}

/// Suites as a file.
pub(super) fn text(suites: Vec<TestSuite>) -> String {
    let mut report = Report::new("squall");
    report.add_test_suites(suites);
    let text = report.to_string().unwrap_or_else(|e| {
        tracing::error!("the report cannot be written as JUnit XML: {e}");
        String::new()
    });
    // The schemas know no `skipped` at the root, and some readers hold a file against them.
    text.replacen(&format!(" skipped=\"{}\"", report.skipped), "", 1)
}

fn reason(state: &RunState) -> String {
    state.finished.as_ref().map_or_else(|| "unfinished".to_owned(), |f| f.2.word())
}

/// What a case came to, before the run's verdict colours it.
enum Outcome {
    Passed,
    /// It did not, and why.
    Not(String),
    /// It was never come to.
    Open,
}

/// Every case of a run.
pub(super) fn cases(state: &RunState) -> Vec<(String, TestCaseStatus)> {
    let mut found = vec![("baseline".to_owned(), baseline(state)), ("injected and bitten".to_owned(), bitten(state))];
    found.extend(each_bitten(state));
    found.extend(expectations(state));
    found.extend(alerts(state));
    found.push(("taken back".to_owned(), taken_back(state)));
    found.push(("recovery".to_owned(), recovery(state)));
    let verdict = facts::verdict(state);
    if verdict != Some(Verdict::Held) && !found.iter().any(|(_, o)| matches!(o, Outcome::Not(_))) {
        // No case says why: the one that was going on when it ended takes it.
        let why = facts::why(state).unwrap_or("the run has no end in its journal").to_owned();
        if let Some((_, outcome)) = found.iter_mut().find(|(_, o)| matches!(o, Outcome::Open)) {
            *outcome = Outcome::Not(why);
        } else {
            found.push(("verdict".to_owned(), Outcome::Not(why)));
        }
    }
    found.into_iter().map(|(name, outcome)| (name, status(state, outcome))).collect()
}

/// A weakness of the system is a failure; whatever kept the run from a verdict, or left something behind, is an error.
fn status(state: &RunState, outcome: Outcome) -> TestCaseStatus {
    match outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Not(why) => {
            let broken = facts::verdict(state) == Some(Verdict::Broken);
            let kind = if broken { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(reason(state)).set_message(why);
            status
        }
        Outcome::Open => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("not come to: {}", reason(state)));
            status
        }
    }
}

fn baseline(state: &RunState) -> Outcome {
    let misses: Vec<String> = state
        .checks
        .keys()
        .flat_map(|name| facts::standings(state, name, Phase::Baseline).into_iter().map(move |s| (name, s)))
        .filter(|(_, s)| !s.held)
        .map(|(name, s)| format!("{name} {} {}, measured {}", s.expectation, s.bound, s.measured))
        .collect();
    match (misses.is_empty(), state.reached(Phase::During) || !state.changes.is_empty()) {
        (false, _) => Outcome::Not(misses.join("; ")),
        (true, true) => Outcome::Passed,
        (true, false) => Outcome::Open,
    }
}

fn bitten(state: &RunState) -> Outcome {
    let wrong: Vec<String> = state.changes.iter().filter_map(wrong).collect();
    let bitten = |c: &ChangeState| matches!(c.bite, Some((_, true, _)));
    match state.finished.as_ref().map(|f| f.2) {
        _ if !wrong.is_empty() => Outcome::Not(wrong.join("; ")),
        Some(
            Reason::NoTarget
            | Reason::Refused
            | Reason::Claimed
            | Reason::TargetChanged
            | Reason::NotInjected
            | Reason::NoBite
            | Reason::FaultVanished
            | Reason::GuardMissing,
        ) => Outcome::Not(facts::why(state).unwrap_or_default().to_owned()),
        _ if !state.changes.is_empty() && state.changes.iter().all(bitten) => Outcome::Passed,
        _ => Outcome::Open,
    }
}

/// The same for each fault, where there are several.
fn each_bitten(state: &RunState) -> Vec<(String, Outcome)> {
    let all = faults::all(state);
    let several = all.len() > 1;
    let of = |fault: faults::On| {
        let changes = state.changes.iter().filter(|c| c.change.fault == fault.n);
        let wrong: Vec<String> = changes.filter_map(wrong).collect();
        let outcome = match (wrong.is_empty(), fault.bitten) {
            (false, _) => Outcome::Not(wrong.join("; ")),
            (true, true) => Outcome::Passed,
            (true, false) => Outcome::Open,
        };
        (format!("fault {} injected and bitten", fault.title()), outcome)
    };
    all.into_iter().filter(|_| several).map(of).collect()
}

/// Why a change is not in effect.
fn wrong(change: &ChangeState) -> Option<String> {
    let name = &change.change.name;
    match (&change.inject_error, &change.bite) {
        (Some(error), _) => Some(format!("{name}: not injected: {error}")),
        (None, Some((_, false, proof))) => Some(format!("{name}: no bite: {proof}")),
        _ => None,
    }
}

/// Every expectation of every check while the fault is on, as the file has it.
fn expectations(state: &RunState) -> Vec<(String, Outcome)> {
    let names = state.checks.keys();
    names
        .flat_map(|name| {
            let stand = facts::standings(state, name, Phase::During);
            let judged = state.checks.get(name).is_some_and(|c| c.judged.contains_key(&Phase::During));
            let bounds = facts::check(state, name).map(|c| words::bounds(&c.expect_during())).unwrap_or_default();
            bounds.into_iter().map(move |(key, bound)| {
                let outcome = match stand.iter().find(|s| s.expectation == key) {
                    Some(s) if !s.held => Outcome::Not(format!("{key} {bound}, measured {}", s.measured)),
                    Some(_) if judged => Outcome::Passed,
                    _ => Outcome::Open,
                };
                (format!("{name} {key} {bound}"), outcome)
            })
        })
        .collect()
}

/// Every expectation of every alert.
fn alerts(state: &RunState) -> Vec<(String, Outcome)> {
    let case = |row: facts::Alerted| {
        let outcome = match row.held {
            Some(true) => Outcome::Passed,
            Some(false) => Outcome::Not(format!("{} {}, measured {}", row.expectation, row.bound, row.measured)),
            None => Outcome::Open,
        };
        (format!("alert {} {} {}", row.alert, row.expectation, row.bound), outcome)
    };
    facts::alerts(state).into_iter().map(case).collect()
}

fn taken_back(state: &RunState) -> Outcome {
    let left = facts::left_behind(state);
    if !left.is_empty() {
        let texts: Vec<String> = left
            .iter()
            .map(|(change, by_hand)| {
                let by_hand = by_hand.map(|c| format!("; by hand: {c}")).unwrap_or_default();
                format!("still in place: {change}{by_hand}")
            })
            .collect();
        return Outcome::Not(texts.join("\n"));
    }
    let differ: Vec<String> = state
        .restored
        .iter()
        .filter(|(_, differences)| !differences.is_empty())
        .map(|(name, differences)| format!("{name} is not as before: {}", differences.join("; ")))
        .collect();
    match facts::verdict(state) {
        Some(Verdict::LeftBehind) if !differ.is_empty() => Outcome::Not(differ.join("\n")),
        Some(_) if !state.changes.is_empty() && state.outstanding().is_empty() => Outcome::Passed,
        _ => Outcome::Open,
    }
}

fn recovery(state: &RunState) -> Outcome {
    match &state.recovery {
        Some(recovery) if recovery.rto.is_some() => Outcome::Passed,
        Some(_) => {
            let allowed = facts::experiment(state).map(|x| format!(" within {}", x.timing.recovery));
            Outcome::Not(format!("steady state did not come back{}", allowed.unwrap_or_default()))
        }
        None => Outcome::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_fixtures_stay_as_they_are() {
        for (name, state) in fixture::all() {
            insta::assert_snapshot!(format!("junit-{name}"), render(&state));
        }
    }

    #[test]
    fn it_comes_to_the_same_conclusion_as_the_exit_code() {
        for (name, state) in fixture::all() {
            let text = render(&state);
            let (failures, errors) = (text.matches("<failure ").count(), text.matches("<error ").count());
            match facts::verdict(&state) {
                Some(Verdict::Held) => assert_eq!((failures, errors), (0, 0), "{name}"),
                Some(Verdict::Broken) => assert!(failures > 0 && errors == 0, "{name}"),
                _ => assert!(failures == 0 && errors > 0, "{name}"),
            }
        }
    }

    #[test]
    fn every_reason_reaches_a_pipeline() {
        let every = |state: &RunState, reason: Reason| {
            let mut state = state.clone();
            let at = state.last.unwrap_or_default();
            state.finished = Some((at, reason.verdict(), reason, "because".to_owned()));
            render(&state)
        };
        for reason in [
            Reason::HypothesisBroken,
            Reason::RecoveryTooSlow,
            Reason::AlertMissing,
            Reason::AlertUnresolved,
            Reason::CouldNotAsk,
            Reason::SafetyBreached,
            Reason::NoTarget,
            Reason::EngineFailed,
            Reason::FaultVanished,
            Reason::Interrupted,
            Reason::RunnerDied,
            Reason::Panicked,
            Reason::LeftBehind,
        ] {
            for (name, state) in fixture::all().into_iter().filter(|(name, _)| *name != "empty") {
                let text = every(&state, reason);
                assert!(text.contains(&format!("type=\"{}\"", reason.word())), "{name}, {reason:?}:\n{text}");
            }
        }
    }
}
