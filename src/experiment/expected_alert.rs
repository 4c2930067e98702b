//! An alert that the fault is expected to raise: monitoring is part of what an experiment proves.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, During, Expect, Rate, Span};
use crate::experiment::probe::{Alert, Probe};

/// An alert that fires because of the fault, and ends after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExpectedAlert {
    /// Which alert.
    pub alert: Alert,
    /// It fires within this time of the first change.
    pub fires_within: Span,
    /// It is resolved within this time of everything being rolled back; of steady state being back, with `heal: self`
    /// (default: that is not waited for).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves_within: Option<Span>,
    /// How often it is asked about (default 1/s): a time to detect is as exact as this.
    #[serde(default = "each_second")]
    pub rate: Rate,
    /// How long an answer may take (default 5s).
    #[serde(default = "five_seconds")]
    pub timeout: Span,
}

fn each_second() -> Rate {
    Rate(1.0)
}

fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

impl ExpectedAlert {
    /// Whether it fires, as a check.
    #[must_use]
    pub fn check(&self) -> Check {
        Check {
            probe: Probe::Alert(Alert { firing: true, ..self.alert.clone() }),
            rate: self.rate,
            timeout: self.timeout,
            expect: Expect::default(),
            during: During::default(),
        }
    }
}
