//! What earlier runs came to: one row a run, read from the journals, and what follows from the rows together: trends,
//! regressions, weaknesses, a score, what is overdue.
//!
//! The journals are the truth. The rows lie in a database beside them ([`History`]), which can be deleted at any time and is
//! made again; everything else here is computed from the rows and a moment called now.

mod moment;
pub mod note;
pub mod prune;
mod score;
pub mod series;
mod store;
pub mod weakness;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub use moment::Moment;
pub use series::{Series, series};
pub use store::{FILE, History};
pub use weakness::Weakness;

use crate::experiment::Due;
use crate::model::exit::Verdict;
use crate::record::event::{Phase, millis};
use crate::record::state::{Comeback, RecoveryState, RunState};
use crate::text::glob::glob;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A living process has its journal.
    Running,
    /// Its runner is dead, and it is not rolled back.
    Unfinished,
    /// It is over.
    Finished,
    /// Its journal cannot be read.
    Unreadable,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id.
    pub run: String,
    /// The experiment's name; nothing where the journal does not say.
    pub experiment: Option<String>,
    /// The experiment's tags.
    pub tags: Vec<String>,
    /// How often the experiment is to be run, as its file said.
    pub due: Option<Due>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// How far it is.
    pub status: Status,
    /// What it came to.
    pub verdict: Option<Verdict>,
    /// Why, in a word.
    pub reason: Option<String>,
    /// Why, in a sentence, where the hypothesis broke.
    pub text: Option<String>,
    /// Whether its world was simulated: such a run says nothing of a real one.
    pub rehearsal: bool,
    /// Whether a person has seen to what it left behind.
    pub settled: bool,
    /// Time to recover (ms); 0 where steady state was never lost.
    pub recovery_ms: Option<u64>,
    /// Whether steady state was awaited and had never been lost.
    pub never_lost: bool,
    /// The 99th percentile of latency while the fault was on (ms): that of the slowest check of the hypothesis.
    pub p99_ms: Option<f64>,
    /// From the breach that stopped it to everything rolled back (ms).
    pub abort_ms: Option<f64>,
    /// The time for which the system was bad from the injection on (ms), by the worst check of the hypothesis: how many of
    /// its samples failed, times the span between two samples.
    pub bad_ms: u64,
    /// Why its journal cannot be read.
    pub error: Option<String>,
}

impl Row {
    /// What the state of a run comes to.
    #[must_use]
    pub fn of(run: &str, state: &RunState) -> Self {
        let x = state.started.as_ref().map(|s| &s.experiment);
        let finished = state.finished.as_ref();
        let comeback = state.recovery.as_ref().map(RecoveryState::comeback);
        Self {
            run: run.to_owned(),
            experiment: x.map(|x| x.name.clone()),
            tags: x.map(|x| x.tags.clone()).unwrap_or_default(),
            due: x.and_then(|x| x.due),
            began: state.began,
            status: if finished.is_some() { Status::Finished } else { Status::Unfinished },
            verdict: finished.map(|f| f.verdict),
            reason: finished.map(|f| f.reason.word().to_owned()),
            text: finished.filter(|f| f.verdict == Verdict::Broken).map(|f| f.text.clone()),
            rehearsal: state.started.as_ref().is_some_and(|s| s.engine.is_simulated()),
            settled: state.settled.is_some(),
            recovery_ms: comeback.and_then(Comeback::took).map(millis),
            never_lost: comeback == Some(Comeback::NeverLost),
            p99_ms: p99(state),
            abort_ms: state.stopped_in().map(|d| d.as_secs_f64() * 1000.0),
            bad_ms: millis(state.bad()),
            error: None,
        }
    }

    /// A run whose journal cannot be read.
    #[must_use]
    pub fn unreadable(run: &str, error: String) -> Self {
        Self { status: Status::Unreadable, error: Some(error), ..Self::of(run, &RunState::default()) }
    }

    /// What became of steady state, as people read it; empty where it was not back, or not awaited.
    #[must_use]
    pub fn recovery(&self) -> String {
        let came = |ms| Comeback::of(Some(Duration::from_millis(ms)), self.never_lost);
        self.recovery_ms.map(|ms| came(ms).to_string()).unwrap_or_default()
    }

    /// Whether it says something about the hypothesis: held or broken, in a real world.
    #[must_use]
    pub fn counts(&self) -> Option<bool> {
        match self.verdict {
            _ if self.rehearsal => None,
            // What met nothing says nothing.
            Some(Verdict::Held) if self.reason.as_deref() == Some("held-without-effect") => None,
            Some(Verdict::Held) => Some(true),
            Some(Verdict::Broken) => Some(false),
            _ => None,
        }
    }
}

/// The slowest 99th percentile of the hypothesis while the fault was on (ms).
fn p99(state: &RunState) -> Option<f64> {
    let judged = state.checks.values().filter(|c| !c.safety).filter_map(|c| c.judged.get(&Phase::During));
    judged.filter_map(|j| j.latency).map(|l| l.p99).max_by(f64::total_cmp)
}

/// Which runs are meant; everything that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Names of experiments, of which one fits; `*` stands for any text. Empty: all.
    pub experiments: Vec<String>,
    /// Verdicts, of which one fits. Empty: all, and runs without one.
    pub verdicts: Vec<Verdict>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Tags, of which the experiment has one. Empty: all.
    pub tags: Vec<String>,
}

impl Filter {
    /// Whether a run is meant.
    #[must_use]
    pub fn fits(&self, row: &Row) -> bool {
        let named = |name: &String| row.experiment.as_deref().is_some_and(|x| glob(name, x));
        (self.experiments.is_empty() || self.experiments.iter().any(named))
            && (self.verdicts.is_empty() || row.verdict.is_some_and(|v| self.verdicts.contains(&v)))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| row.tags.contains(tag)))
            && self.since.is_none_or(|since| row.began.is_some_and(|began| began >= since))
            && self.until.is_none_or(|until| row.began.is_some_and(|began| began < until))
    }
}

/// The whole score: the mean over all experiments that have one.
#[must_use]
pub fn score(all: &[Series<'_>], now: Timestamp) -> Option<f64> {
    let scores: Vec<f64> = all.iter().filter_map(|series| series.score(now)).collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// The time for which runs made the system bad since a moment: an error budget's spending. Rehearsals are left out.
#[must_use]
pub fn bad_since(rows: &[Row], since: Timestamp) -> Duration {
    let spent = rows.iter().filter(|row| !row.rehearsal && row.began.is_some_and(|began| began >= since));
    Duration::from_millis(spent.map(|row| row.bad_ms).sum())
}
