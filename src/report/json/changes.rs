//! The part of the report for programs about who is targeted, and what is changed.

use jiff::Timestamp;
use serde::Serialize;

use super::super::words;
use crate::engine::Outcome;
use crate::model::effect::Effect;
use crate::model::instance::{Health, Instance};
use crate::record::event::{Actor, Spared, micros};
use crate::record::state::{ChangeState, Evidence, RunState, Sees};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TargetOut<'a> {
    name: &'a str,
    id: &'a str,
    service: &'a str,
    zone: Option<&'a str>,
    image: Option<&'a str>,
    health: Option<Health>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SparedOut<'a> {
    name: &'a str,
    service: &'a str,
    zone: Option<&'a str>,
    why: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ChangeOut<'a> {
    n: usize,
    fault: usize,
    instance: &'a str,
    id: &'a str,
    before: String,
    to: String,
    back: String,
    injected: Option<DoneOut>,
    inject_error: Option<&'a str>,
    verification: Option<VerificationOut<'a>>,
    effect: Option<&'a Effect>,
    mechanism: Option<String>,
    measured: Option<MeasuredOut>,
    sees: Option<SeesOut<'a>>,
    rolled_back: Option<RolledBackOut>,
    rollback_errors: &'a [String],
    by_hand: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DoneOut {
    at: Timestamp,
    outcome: Outcome,
    took_us: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MeasuredOut {
    packets: u64,
    dropped: u64,
    waited: Option<u64>,
    in_sockets: u64,
    held_us: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SeesOut<'a> {
    before: Option<&'a str>,
    during: Option<&'a str>,
    after: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct VerificationOut<'a> {
    at: Timestamp,
    verified: bool,
    claimed: bool,
    proof: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RolledBackOut {
    at: Timestamp,
    outcome: Outcome,
    by: Actor,
    claimed: bool,
    took_us: u64,
}

impl<'a> TargetOut<'a> {
    pub(super) fn of(instance: &'a Instance) -> Self {
        Self {
            name: &instance.name,
            id: &instance.id.0,
            service: &instance.service,
            zone: instance.zone.as_deref(),
            image: instance.image.as_deref(),
            health: instance.health,
        }
    }
}

impl<'a> SparedOut<'a> {
    pub(super) fn of(spared: &'a Spared) -> Self {
        Self { name: &spared.name, service: &spared.service, zone: spared.zone.as_deref(), why: &spared.why }
    }
}

impl<'a> ChangeOut<'a> {
    pub(super) fn of(run: &RunState, state: &'a ChangeState) -> Self {
        let (before, to, back) = words::values(&state.change);
        Self {
            n: state.change.n,
            fault: state.change.fault,
            instance: &state.change.name,
            id: &state.change.instance.0,
            before,
            to,
            back,
            injected: state.injected.map(|i| DoneOut { at: i.at, outcome: i.outcome, took_us: micros(i.took) }),
            inject_error: state.inject_error.as_deref(),
            verification: state.verification.as_ref().map(|v| VerificationOut {
                at: v.at,
                verified: v.verified,
                claimed: state.evidence() == Some(Evidence::Claimed),
                proof: &v.proof,
            }),
            effect: state.effect.as_ref(),
            mechanism: run.mechanism(&state.change),
            measured: state.measured.map(|c| MeasuredOut {
                packets: c.packets,
                dropped: c.dropped,
                waited: c.waited,
                in_sockets: c.kept,
                held_us: c.held_us,
            }),
            sees: (state.sees != Sees::default()).then_some(SeesOut {
                before: state.sees.before.as_deref(),
                during: state.sees.during.as_deref(),
                after: state.sees.after.as_deref(),
            }),
            rolled_back: state.rolled_back.map(|r| RolledBackOut {
                at: r.at,
                outcome: r.outcome,
                by: r.by,
                claimed: state.is_claimed_back(),
                took_us: micros(r.took),
            }),
            rollback_errors: &state.rollback_errors,
            by_hand: state.stuck.as_deref(),
        }
    }
}
