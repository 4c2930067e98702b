//! What a run came to: precedence and words, from facts that are all in. Pure.

use std::collections::BTreeSet;

use super::broken::Broken;
use super::ended::Ended;
use super::inject::{stays_applied, traits_during};
use crate::engine::Outcome;
use crate::model::instance::{Aspect, Setting};
use crate::record::event::Reason;
use crate::record::state::{ChangeState, Comeback, RecoveryState, RunState, TargetEffect};
use crate::text::units;

/// What is known beyond the journal's state when a run ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The first expectation that exceeded its budget while the fault was on.
    pub(super) broken: Option<Broken>,
    /// Why nothing follows from what was measured: checks that could not be measured often enough, or came to know too little.
    pub(super) unproven: Vec<Ended>,
    /// Whether steady state came back; nothing where it was not waited for.
    pub(super) recovered: Option<Recovered>,
    /// An alert that was not resolved in time.
    pub(super) unresolved: Option<Broken>,
}

/// Whether steady state came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recovered {
    /// In time.
    Yes,
    /// Not in time, and what was missing.
    No(String),
    /// It could not be measured often enough to know.
    Unknown(String),
}

/// The reason that a run ends with, and the sentence for people. Precedence: left behind, broken, no verdict, held; and a
/// breach without a verified injection is no verdict.
pub(super) fn decide(state: &RunState, facts: &Facts) -> (Reason, String) {
    let stopping = state.stopping.as_ref().map(|s| (s.why, s.text.clone()));
    if let Some(incomplete) = state.incomplete() {
        let by_hand = state.by_hand();
        let hint = if by_hand.is_empty() { String::new() } else { format!("; by hand: {}", by_hand.join("; ")) };
        return (Reason::LeftBehind, format!("{incomplete}{hint}; `squall recover` tries again"));
    }
    if let Some(broken) = facts.broken.as_ref().filter(|b| !b.safety) {
        // What is found when it is rolled back tells whether it was the fault that broke the hypothesis.
        if let Some(failed) = state.changes.iter().find_map(|c| c.rollback_errors.first()) {
            return (
                Reason::EngineFailed,
                format!("{}; but the engine failed at that moment: {failed}", broken.sentence()),
            );
        }
        if let Some(c) = state.current().find(|c| disappeared_meanwhile(state, c)) {
            return (
                Reason::FaultVanished,
                format!("{}; but {} was no longer {}", broken.sentence(), c.change.name, c.change.to),
            );
        }
        return if !state.changes.iter().any(ChangeState::is_verified) {
            (
                Reason::NotVerified,
                format!("{}; but no injection is verified, so the fault did not do this", broken.sentence()),
            )
        } else if !state.had_effect() {
            (
                Reason::NoEffect,
                format!("{}; but the fault did not do this: {}", broken.sentence(), idle(state).join("; ")),
            )
        } else {
            (broken.reason(), broken.sentence())
        };
    }
    if let Some((why, text)) = stopping {
        return (why, text);
    }
    if let Some(broken) = &facts.broken {
        return (broken.reason(), broken.sentence());
    }
    if let Some(Ended { why, text }) = facts.unproven.first() {
        return (*why, text.clone());
    }
    if let Some(c) = state.changes.iter().find(|c| c.injected.is_none()) {
        if state.changes.iter().any(|earlier| earlier.injected.is_some() && c.takes_the_place_of(earlier)) {
            let text = format!("{} was to be {} again, which was not done yet at the end", c.change.name, c.change.to);
            return (Reason::FaultVanished, text);
        }
        return (
            Reason::NotInjected,
            format!("fault {} never came on: {} was not targeted", c.change.fault + 1, c.change.name),
        );
    }
    match &facts.recovered {
        Some(Recovered::Yes) => match &facts.unresolved {
            Some(alert) => if_affected(state, (Reason::AlertUnresolved, alert.sentence())),
            None => without_effect(state).unwrap_or_else(|| held(state)),
        },
        Some(Recovered::No(text)) => if_affected(state, (Reason::RecoveryTooSlow, text.clone())),
        Some(Recovered::Unknown(text)) => (Reason::NotMeasured, text.clone()),
        None => (Reason::Interrupted, "the recovery was not waited for".to_owned()),
    }
}

/// Whether a change that should last was found not to be on when it was rolled back.
fn disappeared_meanwhile(state: &RunState, c: &ChangeState) -> bool {
    let before = state.targeted.iter().find(|i| i.id == c.change.instance);
    let traits = before.map(|i| traits_during(i, state.changes.iter().map(|c| &c.change))).unwrap_or_default();
    let found_off = match c.rolled_back.map(|r| r.outcome) {
        // Where it was begun before, that was our own doing.
        Some(Outcome::Already) => c.rollbacks < 2 && !another_has_rolled_it_back(state, c),
        // One that is replaced when it ends is gone by the fault itself.
        Some(Outcome::Gone) => {
            c.change.to.aspect() != Aspect::Running || before.is_none_or(|i| i.replaced_by().is_none())
        }
        _ => false,
    };
    c.injected.is_some() && stays_applied(&c.change, &traits) && found_off
}

/// Whether another change was of the very same thing, which several instances have together: who comes first rolls it back for all.
fn another_has_rolled_it_back(state: &RunState, c: &ChangeState) -> bool {
    let is_same = |other: &&ChangeState| other.change.to == c.change.to && other.change.n != c.change.n;
    let done = |other: &ChangeState| other.rolled_back.is_some_and(|r| r.outcome == Outcome::Done);
    matches!(c.change.to, Setting::Availability(_)) && state.changes.iter().filter(is_same).any(done)
}

/// What a break says of the system, as long as anything that the run did had an effect.
fn if_affected(state: &RunState, (why, text): (Reason, String)) -> (Reason, String) {
    if state.had_effect() {
        return (why, text);
    }
    (Reason::NoEffect, format!("{text}; but the fault did not do this: {}", idle(state).join("; ")))
}

/// Why nothing follows from a hypothesis that held: a fault whose targets were idle, and may not be.
fn without_effect(state: &RunState) -> Option<(Reason, String)> {
    let effects = state.target_effects();
    let faults: BTreeSet<usize> = effects.iter().map(|e| e.fault).collect();
    let of = |fault| effects.iter().filter(move |e| e.fault == fault);
    let idle_of = |fault| of(fault).filter(|e| e.is_idle()).count();
    let refused = faults.into_iter().find(|fault| !state.idle(*fault).allows(idle_of(*fault), of(*fault).count()))?;
    let some = if idle_of(refused) < of(refused).count() { "`idle: some` or " } else { "" };
    let what: Vec<String> = of(refused).filter(|e| e.is_idle()).map(|e| unaffected(state, e)).collect();
    let text = format!("{}; if that is meant, say {some}`idle: allowed` in the fault", what.join("; "));
    Some((Reason::NoEffect, text))
}

/// Every target that was idle, in words.
fn idle(state: &RunState) -> Vec<String> {
    state.target_effects().iter().filter(|e| e.is_idle()).map(|e| unaffected(state, e)).collect()
}

fn unaffected(state: &RunState, e: &TargetEffect<'_>) -> String {
    let what = e.effect.map_or_else(|| "what met it is not known".to_owned(), ToString::to_string);
    format!("{} had no effect on {}: {what}", state.fault_words(e.fault), e.name)
}

/// What cannot be known of each target of which it cannot, in words.
fn unknown(state: &RunState) -> Vec<String> {
    let effects = state.target_effects();
    let words = |e: &TargetEffect<'_>| {
        let why = e.effect.map_or_else(|| "it was not looked at".to_owned(), ToString::to_string);
        format!("whether {} had an effect on {} cannot be known: {why}", state.fault_words(e.fault), e.name)
    };
    effects.iter().filter(|e| e.is_unknown()).map(words).collect()
}

/// A hypothesis that held, with what it says nothing about: targets that were idle, or of which that cannot be known.
fn held(state: &RunState) -> (Reason, String) {
    let moved = state.readdressed.values().map(ToString::to_string).collect();
    let text = [vec![held_words(state)], idle(state), unknown(state), moved].concat().join("; ");
    (if state.idle_faults().is_empty() { Reason::HypothesisHeld } else { Reason::HeldWithoutEffect }, text)
}

fn held_words(state: &RunState) -> String {
    let held = "every expectation held";
    match state.recovery.as_ref().map(RecoveryState::comeback) {
        Some(Comeback::NeverLost) => format!("{held}, and steady state was never lost"),
        Some(Comeback::After(rto)) => {
            format!("{held} while the fault was on, and steady state was back after {}", units::span(rto))
        }
        Some(Comeback::TooLate) | None => held.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::Phase;
    use crate::report::fixture;

    /// A breach in the moment in which a fault is rolled back in its time: that rollback is dropped, and the next one finds its work done.
    #[test]
    fn what_the_rollback_itself_has_done_is_no_fault_that_disappeared() {
        let mut state = fixture::broken();
        let breach = state.breach().expect("it broke").clone();
        let broken =
            Broken { phase: Phase::During, check: breach.check, safety: false, standing: breach.standing, alert: None };
        let facts = Facts { broken: Some(broken), ..Facts::default() };
        let rolled_back = state.changes[0].rolled_back.as_mut().expect("it is rolled back");
        rolled_back.outcome = Outcome::Already;
        for (rollbacks, want) in [(1, Reason::FaultVanished), (2, Reason::HypothesisBroken)] {
            state.changes[0].rollbacks = rollbacks;
            assert_eq!(decide(&state, &facts).0, want, "begun {rollbacks} times");
        }
    }

    /// Everything that can be the matter, all at once; then the strongest is taken away, one after the other.
    #[test]
    fn the_strongest_reason_decides() {
        let mut state = fixture::broken();
        let breach = state.breach().expect("it broke").clone();
        let broken = |safety| {
            let (check, standing) = (breach.check.clone(), breach.standing.clone());
            Some(Broken { phase: Phase::During, check, safety, standing, alert: None })
        };
        let unproven = vec![Ended { why: Reason::NotMeasured, text: "x".to_owned() }];
        let recovered = Some(Recovered::No("x".to_owned()));
        let mut facts = Facts { broken: broken(false), unproven, recovered, unresolved: None };
        state.stopping.as_mut().expect("it stopped").why = Reason::GuardMissing;
        let (rolled_back, verification) = (state.changes[0].rolled_back.take(), state.changes[0].verification.take());
        state.changes[0].stuck = Some("docker unpause store-1".to_owned());
        state.changes[0].rollback_errors.push("no answer".to_owned());
        let check = |state: &RunState, facts: &Facts, want| assert_eq!(decide(state, facts).0, want);

        check(&state, &facts, Reason::LeftBehind);
        (state.changes[0].rolled_back, state.changes[0].stuck) = (rolled_back, None);
        check(&state, &facts, Reason::EngineFailed);
        state.changes[0].rollback_errors.clear();
        state.changes[0].rolled_back.as_mut().expect("it is rolled back").outcome = Outcome::Already;
        check(&state, &facts, Reason::FaultVanished);
        state.changes[0].rolled_back = rolled_back;
        check(&state, &facts, Reason::NotVerified);
        state.changes[0].verification = verification;
        check(&state, &facts, Reason::HypothesisBroken);
        facts.broken = broken(true);
        check(&state, &facts, Reason::GuardMissing);
        state.stopping = None;
        check(&state, &facts, Reason::SafetyBreached);
        facts.broken = None;
        check(&state, &facts, Reason::NotMeasured);
        facts.unproven.clear();
        check(&state, &facts, Reason::RecoveryTooSlow);
        facts.recovered = None;
        check(&state, &facts, Reason::Interrupted);
        facts.recovered = Some(Recovered::Yes);
        check(&state, &facts, Reason::HypothesisHeld);
    }
}
