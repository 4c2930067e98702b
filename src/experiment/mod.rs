//! The experiment file as a value: what healthy means, what goes wrong, how much may be targeted.
//!
//! Plain data that can be compared, printed and stored in the journal. No I/O: reading files and variables is the
//! caller's business. `docs/experiment-format.md` describes every key for users.

mod check;
mod contract;
pub mod document;
mod during;
mod expected_alert;
pub mod fault;
pub mod fleet_file;
pub mod hypothesis;
pub mod injection;
mod no_worse_than;
pub mod probe;
pub mod project_file;
pub mod radius;
pub mod read;
pub mod selector;
pub mod stack;

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::quantity::Many;
pub use crate::model::quantity::{Due, Percent, Rate, Span, Text, allowed, samples};
pub use contract::{Contract, MustFail, Share};
pub use document::{diagnostic, schema, structure, tree};
pub use during::{During, Instead};
pub use expected_alert::ExpectedAlert;
pub use hypothesis::{Check, Expect, ValueBound};
pub use injection::{Injection, MOST_TIMES};
pub use no_worse_than::NoWorseThan;
pub use radius::{BlastRadius, Pick};
pub use selector::Selector;

use crate::experiment::fault::{Fault, Heal};
use crate::model::zones::Zones;

/// A chaos experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-instead" = { "faults": ["target", "fault"] }))]
pub struct Experiment {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// A short name: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"))]
    pub name: String,
    /// What is believed to be true, in a sentence.
    pub hypothesis: String,
    /// Words to choose experiments by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// A compose file, or a stack file of local processes, seen from this file: what it runs on, brought up for the run and taken
    /// away after it. Not where the command line names another stack, or an engine that it is not for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The projects that it is about (`*` stands for any text, `none` for what is in no project): of Compose, or a stack of Swarm.
    /// Not where it runs on a stack of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub project: Vec<String>,
    /// How often it is to be run, such as `every quarter`; `squall history due` tells which are overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// What healthy means: probes by name, each with its expectations.
    pub steady_state: IndexMap<String, Check>,
    /// Whom the fault targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    target: Option<Target>,
    /// What goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    fault: Option<Fault>,
    /// Several faults, each with its own target and time, instead of `fault` and `target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Injection>,
    /// How much may be targeted. Limits only; there is no default.
    pub blast_radius: BlastRadius,
    /// How long each phase takes.
    #[serde(default)]
    pub timing: Timing,
    /// What happens when the hypothesis breaks while the fault is on.
    #[serde(default)]
    pub on_breach: OnBreach,
    /// Probes that only abort: the neighbours that must not suffer.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub safety: IndexMap<String, Check>,
    /// Alerts that the fault raises: that they fire in time, and are resolved in time, is part of the hypothesis.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub alerts: IndexMap<String, ExpectedAlert>,
    /// How much worse than an earlier run it may be, where the two are compared (default 10%).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_worse_than: Option<NoWorseThan>,
    /// Why it is known to break: its break is reported and does not fail a pipeline, and that it held is reported, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_weakness: Option<String>,
    /// The label that names the zone of an instance: short for `zones: { label: … }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_label: Option<String>,
    /// Where the zone of an instance is read from, on Docker (default: the label `squall.zone`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Zones>,
}

impl Experiment {
    /// Where the zone of an instance is read from.
    #[must_use]
    pub fn zones(&self) -> Zones {
        let label = || self.zone_label.clone().map(Zones::Label);
        self.zones.clone().or_else(label).unwrap_or_default()
    }
}

impl Experiment {
    /// Every check of a run, by name: steady state, safety, and whether alerts fire.
    #[must_use]
    pub fn all_checks(&self) -> IndexMap<String, Check> {
        let checks = self.steady_state.iter().chain(&self.safety).map(|(name, check)| (name.clone(), check.clone()));
        let checks = checks.map(|(name, check)| (name, check.within(&self.project)));
        checks.chain(self.alerts.iter().map(|(name, alert)| (name.clone(), alert.check()))).collect()
    }

    /// What goes wrong, in the order of the file: `fault` with `target` is the short form of a list of one. One that comes again
    /// and again is there once for each time.
    #[must_use]
    pub fn faults(&self) -> Vec<Injection> {
        let mut faults = match (&self.fault, &self.target) {
            (Some(fault), Some(target)) => {
                let (fault, target) = (fault.clone(), target.clone());
                vec![Injection { fault, target, after: None, r#for: None, every: None }]
            }
            _ => self.faults.iter().flat_map(|fault| fault.each_time(self.timing.duration)).collect(),
        };
        for target in faults.iter_mut().map(|i| &mut i.target).filter(|t| t.project.is_empty()) {
            target.project.clone_from(&self.project);
        }
        faults
    }

    /// Targeted another number of instances; whether it can: only an experiment of one fault has one such number.
    #[must_use]
    pub fn set_pick(&mut self, pick: Pick) -> bool {
        let target = match (&mut self.target, &mut self.faults[..]) {
            (Some(target), _) => target,
            (None, [one]) => &mut one.target,
            _ => return false,
        };
        target.pick = Some(pick);
        true
    }

    /// Who makes the faults good again: one for all of them.
    #[must_use]
    pub fn heal(&self) -> Heal {
        self.faults().first().map(|i| i.fault.heal()).unwrap_or_default()
    }
}

/// Whom the fault targets: a selection, and how many of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// The projects that it is in, if not those of the experiment (`*` stands for any text, `none` for no project).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub project: Vec<String>,
    /// The label `squall.service`, else the compose service, else the service of Swarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The machine that it runs on, by the name that its engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Names of instances, of which one is enough; `*` stands for any text. A single one needs no list.
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub name: Many<String>,
    /// Image it was made from; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Labels it carries, each `key` or `key=value`; a single one needs no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-one" = true))]
    pub labels: Vec<String>,
    /// How many of the selected: a number (default 1), a percentage (rounded down), `all`, `{ zones: 1 }` (the default of
    /// `zone-outage`), or `{ nodes: 1 }` (that of `node-outage`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
}

impl Target {
    /// The selection without the number.
    #[must_use]
    pub fn selector(&self) -> Selector {
        Selector {
            project: self.project.clone(),
            service: self.service.clone(),
            node: self.node.clone(),
            zone: self.zone.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            labels: self.labels.clone(),
        }
    }
}

/// How long each phase takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timing {
    /// Samples of this time are not judged (default 0s).
    pub warm_up: Span,
    /// How long steady state is proven before anything is touched (default 5s).
    pub baseline: Span,
    /// How long the fault is held (default 30s).
    pub duration: Span,
    /// How long steady state may take to come back (default 30s).
    pub recovery: Span,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = |s| Span(Duration::from_secs(s));
        Self { warm_up: seconds(0), baseline: seconds(5), duration: seconds(30), recovery: seconds(30) }
    }
}

/// What happens when the hypothesis breaks while the fault is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnBreach {
    /// The fault is rolled back at once.
    #[default]
    Abort,
    /// The fault is held to its end, to see how far it goes. `safety` still aborts.
    Observe,
}
