//! The report as `JUnit` XML: a case for each expectation of each check, and for each step that a verdict rests on.
//!
//! A run that did not hold has at least one case that did not pass, and a run that held has none: pipelines that read
//! only this file come to the same conclusion as those that read the exit code.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{facts, faults, words};
use crate::experiment::Check;
use crate::model::exit::Verdict;
use crate::record::event::{Judgement, Phase, Reason, Standing};
use crate::record::state::{ChangeState, Comeback, Evidence, RunState, Verification};
use crate::text::{units, visible};

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
    let mut suite = named(facts::name(state));
    suite.set_time(state.began.zip(state.last).map_or(Duration::ZERO, |(from, to)| words::between(from, to)));
    if let Some(started) = &state.started {
        add_property(&mut suite, "run", &started.run);
        add_property(&mut suite, "seed", &started.seed.to_string());
        add_property(&mut suite, "engine", &format!("{} {}", started.engine.kind, started.engine.version));
    }
    for fault in faults::all(state) {
        let on = fault.lasted().map_or(String::new(), |on| format!(", on for {}", words::span(on)));
        let value = format!("{} from {}{on}", fault.name, fault.planned());
        add_property(&mut suite, &format!("fault {}", fault.n + 1), &value);
    }
    add_property(&mut suite, "verdict", &words::verdict(facts::verdict(state)).to_lowercase());
    add_property(&mut suite, "reason", reason(state));
    for warning in &state.warnings {
        add_property(&mut suite, "warning", warning);
    }
    suite
}

/// A suite of this name, with nothing in it yet.
///
/// XML cannot say control characters, and its writer leaves them out without a word: every text is made visible before.
pub(super) fn named(name: &str) -> TestSuite {
    TestSuite::new(&*visible::text(name))
}

/// One more property of a suite.
pub(super) fn add_property(suite: &mut TestSuite, name: &str, value: &str) {
    suite.add_property(Property::new(name, &*visible::text(value)));
}

/// A status that is no success.
pub(super) fn not(kind: NonSuccessKind, of: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(of).set_message(&*visible::text(why));
    status
}

/// The status of what came to no judgement.
pub(super) fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(&*visible::text(why));
    status
}

/// One more case of a suite.
pub(super) fn add_case(suite: &mut TestSuite, name: &str, status: TestCaseStatus) {
    let mut case = TestCase::new(&*visible::text(name), status);
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

fn reason(state: &RunState) -> &'static str {
    state.finished.as_ref().map_or("unfinished", |f| f.reason.word())
}

/// What a case came to, before the run's verdict colours it.
enum Outcome {
    Passed,
    /// It did not, and why.
    Not(String),
    /// It was never come to.
    Open,
    /// It was, and not to its end: why.
    Unjudged(String),
}

/// Every case of a run.
pub(super) fn cases(state: &RunState) -> Vec<(String, TestCaseStatus)> {
    let mut found = vec![("baseline".to_owned(), baseline(state)), ("injection verified".to_owned(), verified(state))];
    found.extend(each_verified(state));
    found.extend(expectations(state));
    found.extend(alerts(state));
    found.push(("rolled back".to_owned(), rolled_back(state)));
    found.push(("recovery".to_owned(), recovery(state)));
    found.extend(back_in_time(state));
    let verdict = facts::verdict(state);
    if !matches!(verdict, Some(Verdict::Held | Verdict::Rehearsed))
        && !found.iter().any(|(_, o)| matches!(o, Outcome::Not(_)))
    {
        // No case says why: the one that was going on when it ended takes it.
        let why = facts::why(state).unwrap_or("the run has no end in its journal").to_owned();
        if let Some((_, outcome)) = found.iter_mut().find(|(_, o)| matches!(o, Outcome::Open | Outcome::Unjudged(_))) {
            *outcome = Outcome::Not(why);
        } else {
            found.push(("verdict".to_owned(), Outcome::Not(why)));
        }
    }
    found.into_iter().map(|(name, outcome)| (name, status(state, outcome))).collect()
}

/// A weakness of the system is a failure; whatever kept the run from a verdict, or left something behind, is an error.
fn status(state: &RunState, outcome: Outcome) -> TestCaseStatus {
    let verdict = facts::verdict(state);
    match outcome {
        // Of a simulated world nothing has passed.
        Outcome::Passed if verdict.is_some_and(Verdict::is_rehearsal) => {
            skipped("rehearsed: would pass; the world was simulated")
        }
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Not(why) => {
            let broken = matches!(verdict, Some(Verdict::Broken | Verdict::RehearsedBroken));
            let rehearsed = if verdict.is_some_and(Verdict::is_rehearsal) { "rehearsed: would fail: " } else { "" };
            let kind = if broken { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            not(kind, reason(state), &format!("{rehearsed}{why}"))
        }
        Outcome::Unjudged(why) => skipped(&why),
        Outcome::Open => skipped(&format!("not come to: {}", reason(state))),
    }
}

fn baseline(state: &RunState) -> Outcome {
    let misses: Vec<String> = state
        .checks
        .keys()
        .flat_map(|name| facts::standings(state, name, Phase::Baseline).into_iter().map(move |s| (name, s)))
        .filter(|(_, s)| s.judgement() == Judgement::Broken)
        .map(|(name, s)| format!("{name}: {}", s.exceeded()))
        .collect();
    match (misses.is_empty(), state.reached(Phase::During) || !state.changes.is_empty()) {
        (false, _) => Outcome::Not(misses.join("; ")),
        (true, true) => Outcome::Passed,
        (true, false) => Outcome::Open,
    }
}

fn verified(state: &RunState) -> Outcome {
    let wrong: Vec<String> = state.changes.iter().filter_map(wrong).collect();
    let is_verified = ChangeState::is_verified;
    match state.finished.as_ref().map(|f| f.reason) {
        _ if !wrong.is_empty() => Outcome::Not(wrong.join("; ")),
        Some(
            Reason::NoTarget
            | Reason::Refused
            | Reason::Claimed
            | Reason::TargetChanged
            | Reason::NotInjected
            | Reason::NotVerified
            | Reason::NoEffect
            | Reason::FaultVanished
            | Reason::GuardMissing,
        ) => Outcome::Not(facts::why(state).unwrap_or_default().to_owned()),
        _ if !state.changes.is_empty() && state.changes.iter().all(is_verified) => {
            passed_by(state.changes.iter().filter_map(ChangeState::evidence).min())
        }
        _ => Outcome::Open,
    }
}

/// An injection passes where it was observed.
fn passed_by(evidence: Option<Evidence>) -> Outcome {
    match evidence {
        Some(Evidence::Claimed) => {
            Outcome::Unjudged("claimed by the exit status of a command, not observed".to_owned())
        }
        _ => Outcome::Passed,
    }
}

/// The same for each fault, where there are several.
fn each_verified(state: &RunState) -> Vec<(String, Outcome)> {
    let all = faults::all(state);
    let several = all.len() > 1;
    let of = |fault: faults::On| {
        let changes = state.changes.iter().filter(|c| c.change.fault == fault.n);
        let wrong: Vec<String> = changes.filter_map(wrong).collect();
        let outcome = match (wrong.is_empty(), fault.verified) {
            (false, _) => Outcome::Not(wrong.join("; ")),
            (true, true) => passed_by(fault.evidence),
            (true, false) => Outcome::Open,
        };
        (format!("fault {} injection verified", fault.title()), outcome)
    };
    all.into_iter().filter(|_| several).map(of).collect()
}

/// Why a change is not in effect.
fn wrong(change: &ChangeState) -> Option<String> {
    let name = &change.change.name;
    match (&change.inject_error, &change.verification) {
        (Some(error), _) => Some(format!("{name}: not injected: {error}")),
        (None, Some(Verification { verified: false, proof, .. })) => {
            Some(format!("{name}: the fault had no effect: {proof}"))
        }
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

            let bounds = |c: &Check| [words::bounds(&c.expect_during()), words::promised(&c.during)].concat();
            let bounds = facts::check(state, name).map(bounds).unwrap_or_default();
            bounds.into_iter().map(move |(key, bound)| {
                let outcome = match stand.iter().find(|s| s.expectation == key) {
                    Some(s) => expectation(s, judged),
                    None => Outcome::Open,
                };
                (format!("{name} {key} {bound}"), outcome)
            })
        })
        .collect()
}

fn expectation(s: &Standing, judged: bool) -> Outcome {
    match s.judgement() {
        Judgement::Broken => Outcome::Not(s.exceeded()),
        Judgement::Held if judged => Outcome::Passed,
        Judgement::NotJudged => Outcome::Unjudged(s.why_not().unwrap_or_default()),
        Judgement::Held => Outcome::Open,
    }
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

fn rolled_back(state: &RunState) -> Outcome {
    let left = state.left_in_place();
    if !left.is_empty() {
        let texts: Vec<String> = left
            .iter()
            .map(|left| {
                let by_hand = left.by_hand.map(|c| format!("; by hand: {c}")).unwrap_or_default();
                format!("still in place: {left}{by_hand}")
            })
            .collect();
        return Outcome::Not(texts.join("\n"));
    }
    let differ: Vec<String> = state
        .restored
        .iter()
        .filter(|r| r.differs())
        .map(|r| format!("{} is not as before: {}", r.instance, r.what_differs()))
        .collect();
    match facts::verdict(state) {
        Some(Verdict::LeftBehind) if !differ.is_empty() => Outcome::Not(differ.join("\n")),
        Some(_) if !state.changes.is_empty() && state.outstanding().is_empty() => {
            state.claimed_back().map_or(Outcome::Passed, Outcome::Unjudged)
        }
        _ => Outcome::Open,
    }
}

fn recovery(state: &RunState) -> Outcome {
    match &state.recovery {
        Some(recovery) if recovery.rto.is_some() => Outcome::Passed,
        Some(recovery) => {
            let allowed = facts::experiment(state).map(|x| format!(" within {}", words::exact(x.timing.recovery.0)));
            let what = format!("steady state did not come back{}", allowed.unwrap_or_default());
            Outcome::Not([vec![what], recovery.why_not()].concat().join("; "))
        }
        None => Outcome::Open,
    }
}

/// Whether each check was back as soon as it has to be.
fn back_in_time(state: &RunState) -> Vec<(String, Outcome)> {
    let case = |name: &String| {
        let bound = facts::check(state, name)?.during.back_within?.0;
        let outcome = match state.recovery.as_ref().and_then(|recovery| recovery.of(name)) {
            Some(Comeback::After(took)) if took > bound => {
                Outcome::Not(format!("back to steady state after {}", units::span_beside(took, bound)))
            }
            Some(Comeback::After(_) | Comeback::NeverLost) => Outcome::Passed,
            Some(Comeback::TooLate) => Outcome::Not("steady state did not come back".to_owned()),
            None => Outcome::Open,
        };
        Some((format!("{name} back within {}", words::exact(bound)), outcome))
    };
    state.checks.keys().filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::model::quantity::Span;
    use crate::record::state::Finished;

    #[test]
    fn the_fixtures_stay_as_they_are() {
        for (name, state) in fixture::all() {
            insta::assert_snapshot!(format!("junit-{name}"), render(&state));
        }
    }

    #[test]
    fn whoever_has_to_be_back_in_time_is_a_case() {
        let mut tried = 0;
        for (name, mut state) in fixture::all() {
            let comebacks = |state: &RunState, check: &str| state.recovery.as_ref().and_then(|r| r.of(check));
            let after = state.checks.keys().find_map(|check| match comebacks(&state, check) {
                Some(Comeback::After(took)) => Some((check.clone(), took)),
                _ => None,
            });
            let Some((check, took)) = after else { continue };
            tried += 1;
            for (bound, passes) in [(took, true), (took.saturating_sub(Duration::from_millis(1)), false)] {
                let started = state.started.as_mut().unwrap();
                let declared = started.experiment.steady_state.get_mut(&check).unwrap();
                declared.during.back_within = Some(Span(bound));
                let cases = back_in_time(&state);
                assert!(matches!((&cases[0].1, passes), (Outcome::Passed, true) | (Outcome::Not(_), false)), "{name}");
            }
        }
        assert!(tried > 0);
    }

    #[test]
    fn it_comes_to_the_same_conclusion_as_the_exit_code() {
        for (name, state) in fixture::all() {
            let text = render(&state);
            let (failures, errors) = (text.matches("<failure ").count(), text.matches("<error ").count());
            match facts::verdict(&state) {
                Some(Verdict::Held | Verdict::Rehearsed) => assert_eq!((failures, errors), (0, 0), "{name}"),
                Some(Verdict::Broken | Verdict::RehearsedBroken) => assert!(failures > 0 && errors == 0, "{name}"),
                _ => assert!(failures == 0 && errors > 0, "{name}"),
            }
        }
    }

    #[test]
    fn a_failure_has_its_cause_in_the_message() {
        let mut state = fixture::broken();
        let judged = state.checks.values_mut().flat_map(|c| c.judged.values_mut());
        for standing in judged.flat_map(|j| &mut j.standings).filter(|s| !s.held) {
            standing.failures = [("tls: unknown issuer".to_owned(), 12), ("timeout".to_owned(), 1)].into();
        }
        let text = render(&state);
        assert!(text.contains(": tls: unknown issuer 12, timeout 1"), "{text}");
    }

    #[test]
    fn a_recovery_that_took_too_long_has_its_cause_in_the_message() {
        let text = render(&fixture::too_slow());
        let says = "checkout: 9 of 250 samples failed, budget 2 (success ≥ 99%): timeout 8, connection refused 1";
        assert!(text.contains(&format!("steady state did not come back within 30 s; {says}")), "{text}");
    }

    #[test]
    fn of_a_rehearsal_nothing_has_passed() {
        for run in [fixture::held(), fixture::broken()] {
            let text = render(&fixture::rehearsal(run));
            let (cases, skipped) = (text.matches("<testcase ").count(), text.matches("<skipped ").count());
            let failed = text.matches("<failure ").count();
            assert_eq!(cases, skipped + failed, "{text}");
            assert_eq!(text.matches("rehearsed: would fail").count(), failed, "{text}");
            assert!(text.contains("value=\"rehearsed: would"), "{text}");
        }
    }

    #[test]
    fn every_reason_reaches_a_pipeline() {
        let every = |state: &RunState, reason: Reason| {
            let mut state = state.clone();
            let at = state.last.unwrap_or_default();
            state.finished = Some(Finished { at, verdict: reason.verdict(), reason, text: "because".to_owned() });
            render(&state)
        };
        for reason in [
            Reason::HypothesisBroken,
            Reason::RecoveryTooSlow,
            Reason::AlertMissing,
            Reason::AlertUnresolved,
            Reason::NotMeasured,
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
