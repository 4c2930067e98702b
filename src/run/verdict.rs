//! What a run came to: precedence and words, from facts that are all in. Pure.

use super::inject::{lasts, traits_during};
use super::watch::Broken;
use crate::engine::Outcome;
use crate::event::Reason;
use crate::state::{ChangeState, RunState};

/// What is known beyond the journal's state when a run ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The first expectation beyond its budget while the fault was on.
    pub(super) broken: Option<Broken>,
    /// Checks that could not ask often enough.
    pub(super) unasked: Vec<String>,
    /// Whether steady state came back; nothing where it was not waited for.
    pub(super) recovered: Option<Recovered>,
    /// An alert that was not resolved in time.
    pub(super) unresolved: Option<Broken>,
    /// What is not as it was.
    pub(super) leftover: usize,
}

/// Whether steady state came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recovered {
    /// In time.
    Yes,
    /// Not in time, and what was missing.
    No(String),
    /// It could not be asked often enough to know.
    Unknown(String),
}

/// The reason that a run ends with, and the sentence for people. Precedence: left behind, broken, no verdict, held; and a
/// breach without a proven bite is no verdict.
pub(super) fn decide(state: &RunState, facts: &Facts) -> (Reason, String) {
    let bitten = || state.changes.iter().any(|c| matches!(c.bite, Some((_, true, _))));
    let stopping = state.stopping.as_ref().map(|(_, why, text)| (*why, text.clone()));
    if facts.leftover > 0 {
        let by_hand: Vec<&str> = state.changes.iter().filter_map(|c| c.stuck.as_deref()).collect();
        let hint = if by_hand.is_empty() { String::new() } else { format!(": {}", by_hand.join("; ")) };
        return (
            Reason::LeftBehind,
            format!("{} changes could not be taken back{hint}; `squall recover` tries again", facts.leftover),
        );
    }
    if let Some(broken) = facts.broken.as_ref().filter(|b| !b.safety) {
        // What is found when it is taken back tells whether it was the fault that broke the hypothesis.
        if let Some(failed) = state.changes.iter().find_map(|c| c.revert_errors.first()) {
            return (
                Reason::EngineFailed,
                format!("{}; but the engine failed at that moment: {failed}", sentence(broken)),
            );
        }
        if let Some(c) = state.current().find(|c| vanished_meanwhile(state, c)) {
            return (
                Reason::FaultVanished,
                format!("{}; but {} was no longer {}", sentence(broken), c.change.name, c.change.to),
            );
        }
        return if bitten() {
            let why = if broken.alert.is_some() { Reason::AlertMissing } else { Reason::HypothesisBroken };
            (why, sentence(broken))
        } else {
            (
                Reason::NoBite,
                format!(
                    "{}; but no change is proven to have had an effect, so the fault did not do this",
                    sentence(broken)
                ),
            )
        };
    }
    if let Some((why, text)) = stopping {
        return (why, text);
    }
    if let Some(broken) = &facts.broken {
        return (Reason::SafetyBreached, sentence(broken));
    }
    if let Some(text) = facts.unasked.first() {
        return (Reason::CouldNotAsk, text.clone());
    }
    if let Some(c) = state.changes.iter().find(|c| c.injected.is_none()) {
        return (
            Reason::NotInjected,
            format!("fault {} never came on: {} was not hit", c.change.fault + 1, c.change.name),
        );
    }
    match &facts.recovered {
        Some(Recovered::Yes) => match &facts.unresolved {
            Some(alert) => (Reason::AlertUnresolved, sentence(alert)),
            None => (Reason::HypothesisHeld, held(state)),
        },
        Some(Recovered::No(text)) => (Reason::RecoveryTooSlow, text.clone()),
        Some(Recovered::Unknown(text)) => (Reason::CouldNotAsk, text.clone()),
        None => (Reason::Interrupted, "the recovery was not waited for".to_owned()),
    }
}

/// Whether a change that should last was found not to be on when it was taken back.
fn vanished_meanwhile(state: &RunState, c: &ChangeState) -> bool {
    let before = state.hit.iter().find(|i| i.id == c.change.instance);
    let traits = before.map(|i| traits_during(i, state.changes.iter().map(|c| &c.change))).unwrap_or_default();
    let found_off = matches!(c.reverted, Some((_, Outcome::Already | Outcome::Gone, ..)));
    c.injected.is_some() && lasts(&c.change, &traits) && found_off
}

/// An expectation beyond its budget, in a sentence.
pub(super) fn sentence(b: &Broken) -> String {
    if let Some(text) = &b.alert {
        return text.clone();
    }
    let s = &b.standing;
    let budget = match (s.spent, s.budget) {
        (Some(spent), Some(budget)) => format!(" ({spent} missed it, {budget} may)"),
        _ => String::new(),
    };
    let of = if b.safety { "the neighbour " } else { "" };
    format!(
        "{of}`{}` went beyond its budget: {} is {}, expected {}{budget}",
        b.check, s.expectation, s.measured, s.bound
    )
}

fn held(state: &RunState) -> String {
    match state.recovery.as_ref().and_then(|r| r.rto) {
        Some(rto) => format!(
            "every expectation held while the fault was on, and steady state was back after {}",
            humantime::format_duration(std::time::Duration::from_millis(
                u64::try_from(rto.as_millis()).unwrap_or(u64::MAX)
            ))
        ),
        None => "every expectation held".to_owned(),
    }
}
