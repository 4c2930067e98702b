//! The report for programs. Every field is always there, `null` where there is nothing; `docs/report-json.md` names them
//! all, and a test holds the two together. Fields may be added, never renamed or given another meaning.

mod changes;
mod checks;
mod zones;

use jiff::Timestamp;
use serde::Serialize;

use self::changes::{ChangeOut, SparedOut, TargetOut};
use self::checks::{AlertOut, BreachOut, CheckOut, RecoveryOut};
use self::zones::{AnswersOut, FailoverOut, FaultOut, ZoneOut};
use super::{facts, words};
use crate::engine::{Description, Kind};
use crate::experiment::Experiment;
use crate::model::exit::Verdict;
use crate::record::event::{GuardKind, Phase, millis};
use crate::record::state::RunState;

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

/// Which engine it was. Where this user's files for it are is no matter of others.
#[derive(Serialize)]
struct EngineOut<'a> {
    kind: Kind,
    address: &'a str,
    version: &'a str,
}

impl<'a> EngineOut<'a> {
    fn of(engine: &'a Description) -> Self {
        Self { kind: engine.kind, address: &engine.address, version: &engine.version }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    format: u32,
    squall: Option<&'a str>,
    run: Option<&'a str>,
    verdict: Option<Verdict>,
    reason: Option<&'static str>,
    exit_code: Option<u8>,
    text: Option<&'a str>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    duration_ms: Option<u64>,
    owner: Option<&'a str>,
    file: Option<&'a str>,
    seed: Option<u64>,
    repeat: Option<String>,
    engine: Option<EngineOut<'a>>,
    experiment: Option<&'a Experiment>,
    phases: Vec<PhaseOut>,
    samples: u64,
    failed: u64,
    unmeasured: u64,
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
    targeted: Vec<TargetOut<'a>>,
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
struct StoppingOut<'a> {
    at: Timestamp,
    reason: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GuardOut<'a> {
    kind: GuardKind,
    id: &'a str,
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
            engine: started.map(|s| EngineOut::of(&s.engine)),
            experiment: facts::experiment(state),
            phases: phases(state),
            samples: sum.asked,
            failed: sum.failed,
            unmeasured: sum.unmeasured,
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
            targeted: state.targeted.iter().map(TargetOut::of).collect(),
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

#[cfg(test)]
mod tests;
