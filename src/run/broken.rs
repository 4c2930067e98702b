//! An expectation that exceeded its budget. Pure.

use crate::record::event::{Phase, Reason, Standing};

/// An expectation that exceeded its budget.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) phase: Phase,
    pub(super) check: String,
    pub(super) safety: bool,
    pub(super) standing: Standing,
    /// The whole sentence, where it is an alert that did not do what it should.
    pub(super) alert: Option<String>,
}

impl Broken {
    /// Of a check.
    pub(super) fn expectation(phase: Phase, check: String, safety: bool, standing: Standing) -> Self {
        Self { phase, check, safety, standing, alert: None }
    }

    /// Why a run ends that it stops.
    pub(super) fn reason(&self) -> Reason {
        match (self.safety, &self.alert) {
            (true, _) => Reason::SafetyBreached,
            (false, Some(_)) => Reason::AlertMissing,
            (false, None) => Reason::HypothesisBroken,
        }
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        if let Some(text) = &self.alert {
            return text.clone();
        }
        let of = if self.safety { "the safety check " } else { "" };
        format!("{of}`{}` exceeded its budget: {}", self.check, self.standing.exceeded())
    }
}
