//! The part of the report for programs about faults and zones.

use jiff::Timestamp;
use serde::Serialize;

use super::super::faults;
use super::super::zones::{Zone, Zones};
use crate::record::event::{Failover, millis};
use crate::record::state::RunState;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FaultOut {
    n: usize,
    name: &'static str,
    targeted: Vec<String>,
    after_ms: u64,
    until_ms: u64,
    injected: Option<Timestamp>,
    rolled_back: Option<Timestamp>,
    on_ms: Option<u64>,
    injected_within_ms: Option<f64>,
    rolled_back_within_ms: Option<f64>,
    verified: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ZoneOut<'a> {
    zone: Option<&'a str>,
    outage: Option<String>,
    instances: Vec<MemberOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MemberOut<'a> {
    name: &'a str,
    service: &'a str,
    fate: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AnswersOut<'a> {
    check: &'a str,
    zone: Option<&'a str>,
    known: bool,
    baseline: u64,
    during: u64,
    rollback: u64,
    recovery: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FailoverOut<'a> {
    check: &'a str,
    served_ms: Option<u64>,
    failed: u64,
    stretch_ms: u64,
    returned_ms: Option<u64>,
    told: bool,
}

impl FaultOut {
    pub(super) fn all(state: &RunState) -> Vec<Self> {
        faults::all(state).into_iter().map(Self::of).collect()
    }

    fn of(fault: faults::On) -> Self {
        Self {
            n: fault.n,
            name: fault.name,
            after_ms: millis(fault.due.0),
            until_ms: millis(fault.due.1),
            injected: fault.injected,
            rolled_back: fault.rolled_back,
            on_ms: fault.effective.map(millis),
            injected_within_ms: fault.spread.map(|s| s.begin.as_secs_f64() * 1000.0),
            rolled_back_within_ms: fault.spread.and_then(|s| s.end).map(|d| d.as_secs_f64() * 1000.0),
            verified: fault.verified,
            targeted: fault.targeted,
        }
    }
}

impl<'a> ZoneOut<'a> {
    pub(super) fn all(state: &'a RunState) -> Vec<Self> {
        let zones = Zones::of(state).map(|zones| zones.all).unwrap_or_default();
        let of = |zone: Zone<'a>| Self {
            zone: zone.name,
            outage: zone.outage.map(|mode| mode.to_string()),
            instances: zone
                .members
                .into_iter()
                .map(|m| MemberOut { name: m.name, service: m.service, fate: m.fate.words() })
                .collect(),
        };
        zones.into_iter().map(of).collect()
    }
}

impl<'a> AnswersOut<'a> {
    pub(super) fn all(state: &'a RunState) -> Vec<Self> {
        let Some(zones) = Zones::of(state) else { return Vec::new() };
        let mut out = Vec::new();
        for answers in zones.answers(state) {
            for (place, [baseline, during, rollback, recovery]) in answers.given {
                let zone = place.and_then(|at| zones.all.get(at)).and_then(|zone| zone.name);
                let (check, known) = (answers.check, place.is_some());
                out.push(Self { check, zone, known, baseline, during, rollback, recovery });
            }
        }
        out
    }
}

impl<'a> FailoverOut<'a> {
    pub(super) fn all(state: &'a RunState) -> Vec<Self> {
        let of = |(check, clock): (&'a String, &Failover)| {
            let Failover { served_ms, failed, stretch_ms, returned_ms, told } = *clock;
            Self { check, served_ms, failed, stretch_ms, returned_ms, told }
        };
        state.failover.iter().map(of).collect()
    }
}
