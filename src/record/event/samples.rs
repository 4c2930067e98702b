//! What checks have shown: windows of samples, judgements, failover.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Phase;
use crate::model::standing::{Standing, Unjudged};

/// What a probe saw in a short span of time: the points of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Window {
    /// Which check.
    pub check: String,
    /// In which phase the samples were due.
    pub phase: Phase,
    /// Begin of the span.
    pub from: Timestamp,
    /// Its length (ms).
    pub length_ms: u64,
    /// Samples that were due in it and are settled.
    pub samples: u64,
    /// Of these, failures of the system.
    pub failed: u64,
    /// Of these, samples that could not be measured.
    pub unmeasured: u64,
    /// Latency of the good answers (ms): median, 95th and 99th percentile, largest. Nothing where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The last value that was read, for probes that read one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Good answers by who gave them, for probes that are told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by: BTreeMap<String, u64>,
    /// Failures by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// How every expectation of the running phase stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standings: Vec<Standing>,
}

/// Quantiles of latency (ms).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// What a probe came to in a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Judged {
    /// Which check.
    pub check: String,
    /// Whether it is one of `safety`.
    #[serde(default)]
    pub safety: bool,
    /// In which phase.
    pub phase: Phase,
    /// Samples that were due and are settled.
    pub samples: u64,
    /// Of these, failures of the system.
    pub failed: u64,
    /// Of these, samples that could not be measured.
    pub unmeasured: u64,
    /// Good ones that are no evidence, and not among them: due while a fault was being injected or rolled back in the course
    /// of the phase, or answered only after the rollback had begun.
    #[serde(default)]
    pub not_judged: u64,
    /// Why they could not be measured, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unmeasured_why: BTreeMap<String, u64>,
    /// Failures by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// What was answered under a contract of degradation, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, u64>,
    /// The longest unbroken run of failures (ms).
    #[serde(default)]
    pub longest_outage_ms: u64,
    /// Latency of the good answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The whole distribution of the good answers' latency: (µs, how many), ascending, within 1 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<(u64, u64)>,
    /// How every expectation came out.
    pub standings: Vec<Standing>,
}

impl Judged {
    /// Each expectation that nothing which was answered could have broken, in a sentence.
    #[must_use]
    pub fn without_evidence(&self) -> Vec<String> {
        let none = self.standings.iter().filter(|s| s.unjudged == Some(Unjudged::NoEvidence));
        none.map(|s| format!("`{}` {}", self.check, s.words())).collect()
    }
}

/// What the failover clock of one check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failover {
    /// From the first injection on a zone to the first good answer of those who were not targeted after which the check stayed good
    /// (ms); nothing where there was none until the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_ms: Option<u64>,
    /// How many samples failed until then.
    pub failed: u64,
    /// How long it had to stay good for that (ms).
    pub stretch_ms: u64,
    /// From the begin of the rollback to the first good answer of one who was targeted (ms); nothing where there was none, or
    /// answers do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_ms: Option<u64>,
    /// Whether answers tell who gave them.
    pub told: bool,
}
