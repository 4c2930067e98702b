//! What happened, in the order in which it happened: the moments of a run, each with a sentence. Pure.

use jiff::Timestamp;

use super::{facts, words};
use crate::engine::Outcome;
use crate::record::state::{
    AlertTurn, ChangeState, Comeback, Finished, GuardState, Injected, Observation, PhaseBegin, RecoveryState,
    RolledBack, RunState, Stopping, Verification,
};

/// From how many changes on their moments are told together.
const TOGETHER: usize = 6;

/// What kind of moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A phase or a step of the run.
    Step,
    /// Something is disturbed.
    Fault,
    /// Something is proven.
    Proof,
    /// Something is wrong.
    Alarm,
    /// Something is rolled back or good again.
    Good,
}

/// A moment of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Every moment, oldest first.
pub(super) fn moments(state: &RunState) -> Vec<Moment> {
    let mut out = Vec::new();
    let mut add = |at: Option<Timestamp>, kind, text: String| {
        if let Some(at) = at {
            out.push(Moment { at, kind, text });
        }
    };
    if let Some(started) = &state.started {
        let engine = &started.engine;
        add(state.began, Kind::Step, format!("run begins on {} {}", engine.kind, engine.version));
    }
    for PhaseBegin { phase, at } in &state.phases {
        add(Some(*at), Kind::Step, format!("phase: {phase}"));
    }
    if state.times.targeted.is_some() {
        let (targeted, spared) = (state.targeted.len() as u64, state.spared.len() as u64);
        let text = format!("{} chosen, {} spared", words::count(targeted, "instance"), words::thousands(spared));
        add(state.times.targeted, Kind::Step, text);
    }
    if let Some(GuardState { kind, id }) = state.guards.last() {
        add(state.times.guarded, Kind::Step, format!("guard stands by: {kind} {id}"));
    }
    let changes = words::count(state.changes.len() as u64, "change");
    add(state.times.planned, Kind::Step, format!("plan is on disk: {changes}"));
    for breach in &state.breaches {
        let s = &breach.standing;
        let which = if breach.safety { "safety breach" } else { "breach" };
        add(
            Some(breach.at),
            Kind::Alarm,
            format!(
                "{which} ({}): {} {} {}, measured {}",
                breach.phase, breach.check, s.expectation, s.bound, s.measured
            ),
        );
    }
    for (name, alert) in &state.alerts {
        if let Some(AlertTurn { at, after }) = alert.fired {
            add(Some(at), Kind::Step, format!("alert {name} fires, {} after the injection", words::span(after)));
        }
        if let Some(AlertTurn { at, after }) = alert.resolved {
            add(
                Some(at),
                Kind::Good,
                format!("alert {name} is resolved, {} after the fault was gone", words::span(after)),
            );
        }
    }
    for Observation { at, instance, what } in &state.noticed {
        add(Some(*at), Kind::Alarm, format!("{instance}: {what}"));
    }
    if let Some(Stopping { at, why, text }) = &state.stopping {
        add(Some(*at), Kind::Alarm, format!("stopping ({}): {text}", why.word()));
    }
    match state.recovery.as_ref().map(RecoveryState::comeback) {
        Some(Comeback::After(rto)) => {
            let text = format!("recovered: steady state is back after {}", words::span(rto));
            add(facts::recovered(state), Kind::Good, text);
        }
        Some(Comeback::NeverLost) => {
            add(state.times.recovery, Kind::Good, "steady state was never lost".to_owned());
        }
        Some(Comeback::TooLate) => add(state.times.recovery, Kind::Alarm, "not recovered in time".to_owned()),
        None => {}
    }
    if state.times.restored.is_some() {
        let differing = state.restored.iter().filter(|r| r.differs()).count();
        let total = words::count(state.restored.len() as u64, "instance");
        let (kind, text) = match differing {
            0 => (Kind::Proof, {
                let claimed = state.claimed_back().map(|claimed| format!("; {claimed}")).unwrap_or_default();
                format!("rollback verified: {total} as before{claimed}")
            }),
            n => (Kind::Alarm, format!("{n} of {total} not as before")),
        };
        add(state.times.restored, kind, text);
    }
    if let Some(Finished { at, verdict, reason, .. }) = &state.finished {
        add(Some(*at), Kind::Step, format!("run ends: {} ({})", verdict.words(), reason.word()));
    }
    out.extend(of_changes(&state.changes));
    out.sort_by_key(|m| m.at);
    out
}

fn of_changes(changes: &[ChangeState]) -> Vec<Moment> {
    let of = |kind, f: &dyn Fn(&ChangeState) -> Option<(Timestamp, String)>, noun: &str| {
        let all: Vec<(Timestamp, String)> = changes.iter().filter_map(f).collect();
        if all.len() <= TOGETHER {
            return all.into_iter().map(|(at, text)| Moment { at, kind, text }).collect::<Vec<_>>();
        }
        let (first, last) = (all.iter().map(|m| m.0).min(), all.iter().map(|m| m.0).max());
        let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
        let text = format!("{} {noun} within {}", all.len(), words::span(words::between(first, last)));
        vec![Moment { at: last, kind, text }]
    };
    let mut out = of(
        Kind::Fault,
        &|c| {
            let Injected { at, outcome, took } = c.injected?;
            let how = match outcome {
                Outcome::Done => format!("took {}", words::span(took)),
                Outcome::Already => "was so already".to_owned(),
                Outcome::Gone => "the instance is gone".to_owned(),
            };
            Some((at, format!("injected: {} ({how})", c.change)))
        },
        "changes injected",
    );
    out.extend(of(
        Kind::Alarm,
        &|c| Some((c.injecting?, format!("{}: not injected: {}", c.change.name, c.inject_error.as_ref()?))),
        "changes not injected",
    ));
    let injection = |want: bool| {
        move |c: &ChangeState| {
            let Verification { at, verified, proof } = c.verification.as_ref()?;
            let word = c.evidence().map_or("no effect".to_owned(), |evidence| format!("injection {evidence}"));
            (*verified == want).then(|| (*at, format!("{word}: {}: {proof}", c.change.name)))
        }
    };
    out.extend(of(Kind::Proof, &injection(true), "injections verified or claimed"));
    out.extend(of(Kind::Alarm, &injection(false), "changes without an effect"));
    out.extend(of(
        Kind::Good,
        &|c| {
            let RolledBack { at, by, took, .. } = c.rolled_back?;
            let (_, _, back) = words::values(&c.change);
            Some((at, format!("rolled back by {by}: {}: {back} (took {})", c.change.name, words::span(took))))
        },
        "changes rolled back",
    ));
    out.extend(of(
        Kind::Alarm,
        &|c| {
            c.stuck.as_ref().and(c.rolling_back).map(|at| (at, format!("{}: could not be rolled back", c.change.name)))
        },
        "changes could not be rolled back",
    ));
    out
}
