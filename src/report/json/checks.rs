//! The part of the report for programs about checks, alerts, and whether steady state came back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::super::facts;
use crate::experiment::Experiment;
use crate::experiment::fault::Heal;
use crate::record::event::{Excerpt, Judged, Judgement, Latency, Phase, Standing, millis};
use crate::record::state::{AlertState, Breach, CheckState, Comeback, RunState};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CheckOut<'a> {
    name: &'a str,
    safety: bool,
    probe: Option<&'static str>,
    contract: Option<String>,
    samples: u64,
    failed: u64,
    unmeasured: u64,
    recovery_ms: Option<u64>,
    never_lost: Option<bool>,
    phases: Vec<JudgedOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JudgedOut<'a> {
    phase: Phase,
    samples: u64,
    failed: u64,
    unmeasured: u64,
    failures: &'a BTreeMap<String, u64>,
    not_judged: u64,
    unmeasured_why: &'a BTreeMap<String, u64>,
    answers: &'a BTreeMap<String, u64>,
    longest_outage_ms: u64,
    latency_ms: Option<Latency>,
    distribution_us: &'a [(u64, u64)],
    expectations: Vec<StandingOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct StandingOut<'a> {
    expectation: &'a str,
    bound: &'a str,
    measured: &'a str,
    number: Option<f64>,
    value: Option<&'a Excerpt>,
    budget: Option<u64>,
    spent: Option<u64>,
    of: Option<u64>,
    held: bool,
    result: Judgement,
    not_judged: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AlertOut<'a> {
    name: &'a str,
    labels: Option<String>,
    fires_within_ms: u64,
    fired: Option<Timestamp>,
    time_to_detect_ms: Option<u64>,
    resolves_within_ms: Option<u64>,
    resolved: Option<Timestamp>,
    time_to_resolve_ms: Option<u64>,
    held: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct BreachOut<'a> {
    at: Timestamp,
    phase: Phase,
    check: &'a str,
    safety: bool,
    #[serde(flatten)]
    standing: StandingOut<'a>,
    causes: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RecoveryOut<'a> {
    rto_ms: Option<u64>,
    never_lost: bool,
    from: &'static str,
    allowed_ms: Option<u64>,
    recovered: Option<Timestamp>,
    missed: Vec<MissedOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MissedOut<'a> {
    check: &'a str,
    #[serde(flatten)]
    standing: StandingOut<'a>,
    causes: &'a BTreeMap<String, u64>,
}

impl<'a> CheckOut<'a> {
    pub(super) fn of(state: &'a RunState, name: &'a str, check: &'a CheckState) -> Self {
        let sum = facts::samples([check]);
        let recovery = state.recovery.as_ref().and_then(|r| r.of(name));
        Self {
            name,
            safety: check.safety,
            probe: facts::check(state, name).map(|c| c.probe.name()),
            contract: facts::contract(state, name),
            samples: sum.asked,
            failed: sum.failed,
            unmeasured: sum.unmeasured,
            recovery_ms: recovery.and_then(Comeback::took).map(millis),
            never_lost: recovery.map(|came| came == Comeback::NeverLost),
            phases: check.judged.values().map(JudgedOut::of).collect(),
        }
    }
}

impl<'a> JudgedOut<'a> {
    pub(super) fn of(judged: &'a Judged) -> Self {
        Self {
            phase: judged.phase,
            samples: judged.samples,
            failed: judged.failed,
            unmeasured: judged.unmeasured,
            failures: &judged.failures,
            not_judged: judged.not_judged,
            unmeasured_why: &judged.unmeasured_why,
            answers: &judged.answers,
            longest_outage_ms: judged.longest_outage_ms,
            latency_ms: judged.latency,
            distribution_us: &judged.distribution,
            expectations: judged.standings.iter().map(StandingOut::of).collect(),
        }
    }
}

impl<'a> StandingOut<'a> {
    pub(super) fn of(standing: &'a Standing) -> Self {
        Self {
            expectation: &standing.expectation,
            bound: &standing.bound,
            measured: &standing.measured,
            number: standing.number,
            value: standing.value.as_ref(),
            budget: standing.budget,
            spent: standing.spent,
            of: standing.of,
            held: standing.judgement() == Judgement::Held,
            result: standing.judgement(),
            not_judged: standing.why_not(),
        }
    }
}

impl<'a> AlertOut<'a> {
    pub(super) fn of(state: &RunState, name: &'a str, alert: &AlertState) -> Self {
        let steps = alert.steps();
        Self {
            name,
            labels: facts::experiment(state).and_then(|x| Some(x.alerts.get(name)?.alert.to_string())),
            fires_within_ms: millis(alert.fires_within),
            fired: alert.fired.map(|turn| turn.at),
            time_to_detect_ms: alert.fired.map(|turn| millis(turn.after)),
            resolves_within_ms: alert.resolves_within.map(millis),
            resolved: alert.resolved.map(|turn| turn.at),
            time_to_resolve_ms: alert.resolved.map(|turn| millis(turn.after)),
            held: if steps.iter().any(|s| s.held == Some(false)) {
                Some(false)
            } else {
                steps.iter().all(|s| s.held.is_some()).then_some(true)
            },
        }
    }
}

impl<'a> BreachOut<'a> {
    pub(super) fn of(breach: &'a Breach) -> Self {
        Self {
            at: breach.at,
            phase: breach.phase,
            check: &breach.check,
            safety: breach.safety,
            standing: StandingOut::of(&breach.standing),
            causes: &breach.standing.failures,
        }
    }
}

impl<'a> RecoveryOut<'a> {
    pub(super) fn of(state: &'a RunState) -> Option<Self> {
        let recovery = state.recovery.as_ref()?;
        let x = facts::experiment(state);
        Some(Self {
            rto_ms: recovery.comeback().took().map(millis),
            never_lost: recovery.comeback() == Comeback::NeverLost,
            from: match x.map(Experiment::heal) {
                Some(Heal::Itself) => "injection",
                _ => "rollback",
            },
            allowed_ms: x.map(|x| millis(x.timing.recovery.0)),
            recovered: facts::recovered(state),
            missed: recovery
                .missed
                .iter()
                .map(|(check, s)| MissedOut { check, standing: StandingOut::of(s), causes: &s.failures })
                .collect(),
        })
    }
}
