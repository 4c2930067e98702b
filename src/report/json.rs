//! The report for programs. Every field is always there, `null` where there is nothing; `docs/report-json.md` names them
//! all, and a test holds the two together. Fields may be added, never renamed or given another meaning.

mod zones;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use self::zones::{AnswersOut, FailoverOut, FaultOut, ZoneOut};
use super::{facts, words};
use crate::engine::{Description, Outcome};
use crate::experiment::Experiment;
use crate::experiment::fault::Heal;
use crate::model::effect::Effect;
use crate::model::exit::Verdict;
use crate::model::instance::{Health, Instance};
use crate::record::event::{
    Actor, Excerpt, GuardKind, Judged, Judgement, Latency, Phase, Spared, Standing, micros, millis,
};
use crate::record::state::{AlertState, Breach, ChangeState, CheckState, Comeback, Evidence, RunState, Sees};

/// The format of the report.
const FORMAT: u32 = 1;

/// The text.
pub(super) fn render(state: &RunState) -> String {
    text(&Report::of(state))
}

/// A report's text.
pub(super) fn text(report: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(report).unwrap_or_else(|e| {
        // Plain data with text keys always serialises.
        tracing::error!("the report cannot be written as JSON: {e}");
        String::new()
    });
    text + "\n"
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    format: u32,
    squall: Option<&'a str>,
    run: Option<&'a str>,
    verdict: Option<Verdict>,
    reason: Option<String>,
    exit_code: Option<u8>,
    text: Option<&'a str>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    duration_ms: Option<u64>,
    owner: Option<&'a str>,
    file: Option<&'a str>,
    seed: Option<u64>,
    repeat: Option<String>,
    engine: Option<&'a Description>,
    experiment: Option<&'a Experiment>,
    phases: Vec<PhaseOut>,
    samples: u64,
    failed: u64,
    unasked: u64,
    checks: Vec<CheckOut<'a>>,
    alerts: Vec<AlertOut<'a>>,
    breaches: Vec<BreachOut<'a>>,
    stopping: Option<StoppingOut<'a>>,
    abort_latency_ms: Option<f64>,
    recovery: Option<RecoveryOut<'a>>,
    faults: Vec<FaultOut>,
    zones: Vec<ZoneOut<'a>>,
    answers: Vec<AnswersOut<'a>>,
    failover: Vec<FailoverOut<'a>>,
    hit: Vec<HitOut<'a>>,
    spared: Vec<SparedOut<'a>>,
    guards: Vec<GuardOut<'a>>,
    deadline: Option<Timestamp>,
    changes: Vec<ChangeOut<'a>>,
    left_behind: Vec<LeftOut<'a>>,
    settled: Option<SettledOut<'a>>,
    restored: Vec<RestoredOut<'a>>,
    noticed: Vec<NoticedOut<'a>>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PhaseOut {
    phase: Phase,
    began: Timestamp,
    duration_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CheckOut<'a> {
    name: &'a str,
    safety: bool,
    probe: Option<&'static str>,
    samples: u64,
    failed: u64,
    unasked: u64,
    recovery_ms: Option<u64>,
    never_lost: Option<bool>,
    phases: Vec<JudgedOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JudgedOut<'a> {
    phase: Phase,
    samples: u64,
    failed: u64,
    unasked: u64,
    failures: &'a BTreeMap<String, u64>,
    not_judged: u64,
    unasked_why: &'a BTreeMap<String, u64>,
    longest_outage_ms: u64,
    latency_ms: Option<Latency>,
    distribution_us: &'a [(u64, u64)],
    expectations: Vec<StandingOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StandingOut<'a> {
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
struct AlertOut<'a> {
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
struct BreachOut<'a> {
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
struct StoppingOut<'a> {
    at: Timestamp,
    reason: String,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RecoveryOut<'a> {
    rto_ms: Option<u64>,
    never_lost: bool,
    from: &'static str,
    allowed_ms: Option<u64>,
    recovered: Option<Timestamp>,
    missed: Vec<MissedOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MissedOut<'a> {
    check: &'a str,
    #[serde(flatten)]
    standing: StandingOut<'a>,
    causes: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct HitOut<'a> {
    name: &'a str,
    id: &'a str,
    service: &'a str,
    zone: Option<&'a str>,
    image: Option<&'a str>,
    health: Option<Health>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SparedOut<'a> {
    name: &'a str,
    service: &'a str,
    zone: Option<&'a str>,
    why: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GuardOut<'a> {
    kind: GuardKind,
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ChangeOut<'a> {
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
    reverted: Option<RevertedOut>,
    revert_errors: &'a [String],
    by_hand: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DoneOut {
    at: Timestamp,
    outcome: Outcome,
    took_us: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MeasuredOut {
    packets: u64,
    dropped: u64,
    waited: Option<u64>,
    in_sockets: u64,
    held_us: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SeesOut<'a> {
    before: Option<&'a str>,
    during: Option<&'a str>,
    after: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VerificationOut<'a> {
    at: Timestamp,
    verified: bool,
    claimed: bool,
    proof: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RevertedOut {
    at: Timestamp,
    outcome: Outcome,
    by: Actor,
    claimed: bool,
    took_us: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SettledOut<'a> {
    at: Timestamp,
    by: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LeftOut<'a> {
    n: Option<usize>,
    instance: &'a str,
    what: String,
    by_hand: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RestoredOut<'a> {
    instance: &'a str,
    differences: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct NoticedOut<'a> {
    at: Timestamp,
    instance: &'a str,
    what: &'a str,
}

impl<'a> Report<'a> {
    fn of(state: &'a RunState) -> Self {
        let started = state.started.as_deref();
        let ended = state.finished.as_ref().map(|f| f.at);
        let sum = facts::samples(state.checks.values());
        Self {
            format: FORMAT,
            squall: started.map(|s| s.version.as_str()),
            run: started.map(|s| s.run.as_str()),
            verdict: facts::verdict(state),
            reason: state.finished.as_ref().map(|f| f.reason.word()),
            exit_code: facts::verdict(state).map(Verdict::code),
            text: facts::why(state),
            began: state.began,
            ended,
            duration_ms: state.began.zip(ended).map(|(from, to)| millis(words::between(from, to))),
            owner: started.map(|s| s.owner.as_str()),
            file: started.map(|s| s.file.as_str()),
            seed: started.map(|s| s.seed),
            repeat: facts::repeat(state),
            engine: started.map(|s| &s.engine),
            experiment: facts::experiment(state),
            phases: phases(state),
            samples: sum.asked,
            failed: sum.failed,
            unasked: sum.unasked,
            checks: state.checks.iter().map(|(name, check)| CheckOut::of(state, name, check)).collect(),
            alerts: state.alerts.iter().map(|(name, alert)| AlertOut::of(state, name, alert)).collect(),
            breaches: state.breaches.iter().map(BreachOut::of).collect(),
            stopping: state.stopping.as_ref().map(|s| StoppingOut { at: s.at, reason: s.why.word(), text: &s.text }),
            abort_latency_ms: state.stopped_in().map(|d| d.as_secs_f64() * 1000.0),
            recovery: RecoveryOut::of(state),
            faults: FaultOut::all(state),
            zones: ZoneOut::all(state),
            answers: AnswersOut::all(state),
            failover: FailoverOut::all(state),
            hit: state.hit.iter().map(HitOut::of).collect(),
            spared: state.spared.iter().map(SparedOut::of).collect(),
            guards: state.guards.iter().map(|g| GuardOut { kind: g.kind, id: &g.id }).collect(),
            deadline: state.deadline,
            changes: state.changes.iter().map(|change| ChangeOut::of(state, change)).collect(),
            left_behind: state
                .left_in_place()
                .into_iter()
                .map(|left| LeftOut { n: left.n, instance: left.instance, what: left.what, by_hand: left.by_hand })
                .collect(),
            settled: state.settled.as_ref().map(|s| SettledOut { at: s.at, by: &s.by, why: &s.why }),
            restored: state
                .restored
                .iter()
                .map(|r| RestoredOut {
                    instance: &r.instance,
                    differences: r.differences.iter().map(|d| d.what.as_str()).collect(),
                })
                .collect(),
            noticed: state
                .noticed
                .iter()
                .map(|o| NoticedOut { at: o.at, instance: &o.instance, what: &o.what })
                .collect(),
            warnings: state.warned(),
        }
    }
}

fn phases(state: &RunState) -> Vec<PhaseOut> {
    let spans = state.phases.iter().filter_map(|p| Some((p.phase, state.span_of(p.phase)?)));
    spans
        .map(|(phase, (began, to))| PhaseOut { phase, began, duration_ms: millis(words::between(began, to)) })
        .collect()
}

impl<'a> CheckOut<'a> {
    fn of(state: &'a RunState, name: &'a str, check: &'a CheckState) -> Self {
        let sum = facts::samples([check]);
        let recovery = state.recovery.as_ref().and_then(|r| r.of(name));
        Self {
            name,
            safety: check.safety,
            probe: facts::check(state, name).map(|c| c.probe.name()),
            samples: sum.asked,
            failed: sum.failed,
            unasked: sum.unasked,
            recovery_ms: recovery.and_then(Comeback::took).map(millis),
            never_lost: recovery.map(|came| came == Comeback::NeverLost),
            phases: check.judged.values().map(JudgedOut::of).collect(),
        }
    }
}

impl<'a> JudgedOut<'a> {
    fn of(judged: &'a Judged) -> Self {
        Self {
            phase: judged.phase,
            samples: judged.samples,
            failed: judged.failed,
            unasked: judged.unasked,
            failures: &judged.failures,
            not_judged: judged.not_judged,
            unasked_why: &judged.unasked_why,
            longest_outage_ms: judged.longest_outage_ms,
            latency_ms: judged.latency,
            distribution_us: &judged.distribution,
            expectations: judged.standings.iter().map(StandingOut::of).collect(),
        }
    }
}

impl<'a> StandingOut<'a> {
    fn of(standing: &'a Standing) -> Self {
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
    fn of(state: &RunState, name: &'a str, alert: &AlertState) -> Self {
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
    fn of(breach: &'a Breach) -> Self {
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
    fn of(state: &'a RunState) -> Option<Self> {
        let recovery = state.recovery.as_ref()?;
        let x = facts::experiment(state);
        Some(Self {
            rto_ms: recovery.comeback().took().map(millis),
            never_lost: recovery.comeback() == Comeback::NeverLost,
            from: match x.map(Experiment::heal) {
                Some(Heal::Itself) => "injection",
                _ => "revert",
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

impl<'a> HitOut<'a> {
    fn of(instance: &'a Instance) -> Self {
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
    fn of(spared: &'a Spared) -> Self {
        Self { name: &spared.name, service: &spared.service, zone: spared.zone.as_deref(), why: &spared.why }
    }
}

impl<'a> ChangeOut<'a> {
    fn of(run: &RunState, state: &'a ChangeState) -> Self {
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
            reverted: state.reverted.map(|r| RevertedOut {
                at: r.at,
                outcome: r.outcome,
                by: r.by,
                claimed: state.is_claimed_back(),
                took_us: micros(r.took),
            }),
            revert_errors: &state.revert_errors,
            by_hand: state.stuck.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
