//! Every fault of a run: whom it targeted, and from when to when it was on. Pure; every format shows it.

use std::time::Duration;

use jiff::Timestamp;

use super::facts;
use crate::experiment::{Injection, Span};
use crate::model::instance::Rollback;
use crate::record::state::{ChangeState, Evidence, RunState, Spread};

/// A fault as it came about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct On {
    /// Its place in the list, from 0.
    pub(super) n: usize,
    pub(super) name: &'static str,
    /// From when to when it was to be on, from the begin of the fault phase.
    pub(super) due: (Duration, Duration),
    /// Whom it was to target, in the order of the plan.
    pub(super) targeted: Vec<String>,
    /// When its first change was made.
    pub(super) injected: Option<Timestamp>,
    /// When its last change was rolled back; nothing while there is one to be rolled back.
    pub(super) rolled_back: Option<Timestamp>,
    /// For how long all of it was in effect on each of its targets; `None` where it was never injected.
    pub(super) effective: Option<Duration>,
    /// How far apart it began, and ended, on its targets; `None` where they are not several.
    pub(super) spread: Option<Spread>,
    /// Whether all of its changes are proven.
    pub(super) verified: bool,
    /// The weakest evidence that there is for one of them.
    pub(super) evidence: Option<Evidence>,
}

/// All faults of a run, in the order of the file.
pub(super) fn all(state: &RunState) -> Vec<On> {
    let Some(x) = facts::experiment(state) else { return Vec::new() };
    let of = |(n, fault): (usize, &Injection)| {
        let changes = || state.changes.iter().filter(move |c| c.change.fault == n);
        let span = fault.span(x.timing.duration);
        let mut targeted: Vec<String> = changes().map(|c| c.change.name.clone()).collect();
        targeted.dedup();
        let outstanding = changes().any(|c| c.rolled_back.is_none() && c.change.back != Rollback::Nothing);
        On {
            n,
            name: fault.fault.name(),
            due: (span.start, span.end),
            targeted,
            injected: facts::injected_of(state, n),
            rolled_back: facts::rolled_back_of(state, n).filter(|_| !outstanding),
            effective: state.fault_on(n),
            spread: state.spread(n),
            verified: changes().next().is_some() && changes().all(ChangeState::is_verified),
            evidence: changes().filter_map(ChangeState::evidence).min(),
        }
    };
    x.faults().iter().enumerate().map(of).collect()
}

impl On {
    /// As people call it, with the number that it has in charts: `2 pause`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.n + 1, self.name)
    }

    /// Whom it was to target, in a few words.
    pub(super) fn whom(&self) -> String {
        match self.targeted.as_slice() {
            [] => "no instance".to_owned(),
            [one] => one.clone(),
            [first, second] => format!("{first} and {second}"),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        }
    }

    /// When it was to be on, from the begin of the fault phase: `3s to 6s`.
    pub(super) fn planned(&self) -> String {
        format!("{} to {}", Span(self.due.0), Span(self.due.1))
    }

    /// For how long it was on; `None` where it never was, or is still.
    pub(super) fn lasted(&self) -> Option<Duration> {
        self.effective.filter(|_| self.rolled_back.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::words;
    use super::*;

    #[test]
    fn each_fault_has_its_own_time() {
        let state = fixture::compound();
        let told: Vec<(String, String, String, Option<String>)> =
            all(&state).iter().map(|f| (f.title(), f.whom(), f.planned(), f.lasted().map(words::span))).collect();
        assert_eq!(
            told,
            [
                ("1 latency".to_owned(), "shop-1".to_owned(), "0s to 9s".to_owned(), Some("9.00 s".to_owned())),
                ("2 pause".to_owned(), "shop-2".to_owned(), "3s to 6s".to_owned(), Some("2.99 s".to_owned())),
            ]
        );
        let unfinished = all(&fixture::unfinished());
        assert_eq!((unfinished[0].lasted(), unfinished[0].verified), (None, true), "it is still on");
    }
}
