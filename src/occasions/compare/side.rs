//! One side of a comparison: what is needed of a run, or of several of the same experiment taken together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::Kind;
use crate::experiment::Experiment;
use crate::model::exit::Verdict;
use crate::record::event::{Judged, Phase};
use crate::record::state::{Comeback, RecoveryState, RunState};

/// Runs of one experiment, taken together.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Their ids.
    pub runs: Vec<String>,
    /// What was run.
    pub experiment: Experiment,
    /// On which kind of engine.
    pub engine: Option<Kind>,
    /// For how long the fault was on, in the shortest of them.
    pub fault_on: Duration,
    /// What became of steady state: of each run in which it was back.
    pub recovery: Vec<Comeback>,
    /// What the probes saw, by check and phase.
    pub seen: BTreeMap<(String, Phase), ProbeSummary>,
}

/// What a probe saw in a phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProbeSummary {
    /// Samples that were asked.
    pub asked: u64,
    /// Of these, failures.
    pub failed: u64,
    /// Latency of the good answers: (µs, how many).
    pub distribution: Vec<(u64, u64)>,
}

/// Why a run cannot be compared with any other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Side {
    /// A run as it is known from its journal.
    ///
    /// # Errors
    /// Where its fault was never on to the end of what it came to.
    pub fn of_run(run: &RunState) -> Result<Self, Unfit> {
        let started = run.started.as_ref().ok_or_else(|| Unfit("its journal is empty".to_owned()))?;
        let seen = run.checks.iter().flat_map(|(name, check)| {
            check.judged.values().map(move |judged| ((name.clone(), judged.phase), ProbeSummary::of(judged)))
        });
        let span = run.span_of(Phase::During).map(|(from, to)| to.duration_since(from));
        let side = Self {
            runs: vec![started.run.clone()],
            experiment: started.experiment.clone(),
            engine: Some(started.engine.kind),
            fault_on: span.and_then(|d| Duration::try_from(d).ok()).unwrap_or_default(),
            recovery: run.recovery.iter().map(RecoveryState::comeback).filter(|came| came.took().is_some()).collect(),
            seen: seen.collect(),
        };
        side.fit(run.finished.as_ref().map(|f| f.verdict))
    }

    /// A run as it is known from its `report.json`, perhaps of an older version.
    ///
    /// # Errors
    /// Where the text is none, or as [`Side::of_run`].
    pub fn of_report(text: &str) -> Result<Self, Unfit> {
        let report: Report = serde_json::from_str(text).map_err(|e| Unfit(format!("it is no report of a run: {e}")))?;
        let experiment = report.experiment.ok_or_else(|| Unfit("it names no experiment".to_owned()))?;
        let during = report.phases.iter().find(|p| p.phase == Phase::During);
        let seen = report.checks.into_iter().flat_map(|check| {
            let of = move |phase: PhaseSeen| {
                let seen = ProbeSummary {
                    asked: phase.samples.saturating_sub(phase.unmeasured),
                    failed: phase.failed,
                    distribution: phase.distribution_us,
                };
                ((check.name.clone(), phase.phase), seen)
            };
            check.phases.into_iter().map(of)
        });
        let side = Self {
            runs: report.run.into_iter().collect(),
            experiment,
            engine: report.engine.map(|e| e.kind),
            fault_on: Duration::from_millis(during.map_or(0, |p| p.duration_ms)),
            recovery: report.recovery.and_then(RecoveryOf::comeback).into_iter().collect(),
            seen: seen.collect(),
        };
        side.fit(report.verdict)
    }

    fn fit(self, verdict: Option<Verdict>) -> Result<Self, Unfit> {
        let run = self.runs.join(", ");
        if self.engine.is_some_and(Kind::is_simulated) {
            return Err(Unfit(format!("{run} is a rehearsal: its world was simulated, and so are its figures")));
        }
        match verdict {
            Some(Verdict::Held | Verdict::Broken) if !self.fault_on.is_zero() => Ok(self),
            Some(verdict) => {
                Err(Unfit(format!("{run} ended as `{}`: it has no figures under the fault", verdict.words())))
            }
            None => Err(Unfit(format!("{run} has no end"))),
        }
    }

    /// Several runs of one experiment as one side; nothing of nothing.
    #[must_use]
    pub fn together(sides: Vec<Self>) -> Option<Self> {
        sides.into_iter().reduce(|mut all, one| {
            all.runs.extend(one.runs);
            all.recovery.extend(one.recovery);
            all.fault_on = all.fault_on.min(one.fault_on);
            for (key, more) in one.seen {
                let seen = all.seen.entry(key).or_default();
                seen.asked += more.asked;
                seen.failed += more.failed;
                seen.distribution.extend(more.distribution);
            }
            all
        })
    }
}

impl ProbeSummary {
    fn of(judged: &Judged) -> Self {
        Self {
            asked: judged.samples.saturating_sub(judged.unmeasured),
            failed: judged.failed,
            distribution: judged.distribution.clone(),
        }
    }
}

/// The fields of `report.json` that a comparison needs.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    run: Option<String>,
    verdict: Option<Verdict>,
    experiment: Option<Experiment>,
    engine: Option<EngineOf>,
    phases: Vec<PhaseOf>,
    checks: Vec<CheckOf>,
    recovery: Option<RecoveryOf>,
}

#[derive(Deserialize)]
struct EngineOf {
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PhaseOf {
    phase: Phase,
    duration_ms: u64,
}

#[derive(Deserialize)]
struct CheckOf {
    name: String,
    phases: Vec<PhaseSeen>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PhaseSeen {
    phase: Phase,
    samples: u64,
    failed: u64,
    unmeasured: u64,
    distribution_us: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RecoveryOf {
    rto_ms: Option<u64>,
    #[serde(default)]
    never_lost: bool,
}

impl RecoveryOf {
    fn comeback(self) -> Option<Comeback> {
        let rto = Duration::from_millis(self.rto_ms?);
        Some(Comeback::of(Some(rto), self.never_lost))
    }
}
