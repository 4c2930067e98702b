//! One file for all of them: a suite for each experiment, in it a case for each expectation.
//!
//! A pipeline that reads only this file comes to the same conclusion as one that reads the exit code: where that is 0, no
//! case failed, and where it is not, at least one did. So what a known weakness excuses is a case that was skipped, and
//! of several runs the telling one is shown, with a case for the vote.

use quick_junit::{NonSuccessKind, TestCaseStatus, TestSuite};

use super::super::junit::{self, not, skipped};
use super::super::page;
use crate::model::exit::Verdict;
use crate::occasions::compare::{Comparison, Figure, Finding};
use crate::occasions::gate::{Attempt, Entry, Repeat, Standing};
use crate::text::{units, visible};

/// The text.
#[must_use]
pub fn junit(entries: &[Entry]) -> String {
    page(junit::text(entries.iter().map(suite).collect()))
}

fn suite(entry: &Entry) -> TestSuite {
    let telling = entry.telling();
    let run = telling.and_then(|a| a.run.as_deref());
    let mut suite = run.map_or_else(|| junit::named(&entry.name), junit::suite);
    suite.extra.insert("file".into(), (&*visible::text(&entry.file)).into());
    junit::add_property(&mut suite, "standing", entry.standing().words());
    if let Some(weakness) = &entry.known_weakness {
        junit::add_property(&mut suite, "known-weakness", weakness);
    }
    let mut cases = match (telling, run) {
        (Some(_), Some(run)) => junit::cases(run),
        (Some(Attempt { why, .. }), None) => vec![("begun".to_owned(), not(NonSuccessKind::Error, "not-begun", why))],
        (None, _) => vec![("begun".to_owned(), skipped(&entry.why()))],
    };
    if entry.standing() == Standing::KnownWeakness {
        for (_, status) in &mut cases {
            if let TestCaseStatus::NonSuccess { message, .. } = status {
                let message = message.as_ref().map(|m| m.as_str().to_owned()).unwrap_or_default();
                let weakness = entry.known_weakness.as_deref().unwrap_or_default();
                *status = skipped(&format!("known weakness: {weakness}; {message}"));
            }
        }
    }
    cases.extend(vote(entry));
    cases.extend(entry.comparison.as_ref().filter(|_| entry.held() > 0).into_iter().flat_map(compared));
    if entry.verdict().code() != 0
        && !cases.iter().any(|(_, status)| matches!(status, TestCaseStatus::NonSuccess { .. }))
    {
        // The runs themselves are fine, or there are none: it is the series that was cut short.
        cases.push(("run as often as asked".to_owned(), not(NonSuccessKind::Error, "cut-short", &entry.why())));
    }
    for (name, status) in cases {
        junit::add_case(&mut suite, &name, status);
    }
    suite
}

/// The case for how often it held, where it is run more than once.
fn vote(entry: &Entry) -> Option<(String, TestCaseStatus)> {
    let Repeat { times, require } = entry.repeat;
    if times == 1 || entry.attempts.is_empty() {
        return None;
    }
    let name = format!("held at least {require} of {times} times");
    let text = entry.attempts.iter().enumerate().map(|(i, a)| format!("{}: {}, {}", i + 1, a.verdict.words(), a.why));
    let would = entry.attempts.iter().filter(|a| a.verdict.would_be() == Verdict::Held).count();
    let word = if entry.is_rehearsal() { "would hold" } else { "held" };
    let why = format!("{word} {}\n{}", units::times(would), text.collect::<Vec<_>>().join("\n"));
    let status = match entry.verdict() {
        Verdict::Held if entry.standing() == Standing::KnownWeakness => skipped(&why),
        Verdict::Held => TestCaseStatus::success(),
        Verdict::Rehearsed => skipped(&why),
        Verdict::RehearsedBroken => not(NonSuccessKind::Failure, "rehearsed-broken", &why),
        Verdict::Broken => not(NonSuccessKind::Failure, "hypothesis-broken", &why),
        Verdict::NoVerdict => not(NonSuccessKind::Error, "no-verdict", &why),
        Verdict::LeftBehind => not(NonSuccessKind::Error, "left-behind", &why),
    };
    Some((name, status))
}

/// A case for each figure that was held against an earlier run.
fn compared(c: &Comparison) -> Vec<(String, TestCaseStatus)> {
    if !c.unlike.is_empty() || c.figures.is_empty() {
        return vec![("comparison".to_owned(), not(NonSuccessKind::Error, "not-comparable", &c.why()))];
    }
    let case = |f: &Figure| {
        let status = match f.finding {
            Finding::NotWorse => TestCaseStatus::success(),
            Finding::Worse => not(NonSuccessKind::Failure, "regression", &f.told()),
            Finding::Undecided => not(NonSuccessKind::Error, "too-few-samples", &f.told()),
        };
        (format!("{} {} no worse than before", f.check, f.of), status)
    };
    c.figures.iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn it_comes_to_the_same_conclusion_as_the_exit_code() {
        for (name, entries) in fixture::all() {
            let text = junit(&entries);
            let wrong = text.matches("<failure ").count() + text.matches("<error ").count();
            assert_eq!(wrong == 0, crate::occasions::gate::verdict(&entries).code() == 0, "{name}:\n{text}");
            for entry in &entries {
                let suite = text.split("<testsuite ").find(|s| s.starts_with(&format!("name=\"{}\"", entry.name)));
                let suite = suite.unwrap_or_else(|| panic!("{name} has no suite for {}", entry.name));
                let wrong = suite.contains("<failure ") || suite.contains("<error ");
                assert_eq!(wrong, entry.verdict().code() != 0, "{name}, {}:\n{suite}", entry.name);
            }
        }
    }

    #[test]
    fn a_series_stays_as_it_is() {
        insta::assert_snapshot!("series-junit", junit(&fixture::every()));
    }
}
