//! What can be asked: one file per probe, its parameters and how it asks.
//!
//! A probe answers one question once; how often it is asked and what is expected of the answers is not its business.

mod alert;
mod ask;
mod engine;
mod exec;
mod failure;
mod http;
mod live;
mod monitor;
mod promql;
mod request;
mod resolve;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod value;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use alert::Alert;
pub use engine::{Count, EngineProbe};
pub use exec::Exec;
pub use http::{AnsweredBy, Http};
pub use live::Live;
pub use promql::Promql;
pub use tcp::Tcp;
pub use value::{ValueAt, is_pointer};

use crate::model::quantity::{Rate, Span};

/// A probe with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Ask over HTTP.
    Http(Http),
    /// Connect over TCP.
    Tcp(Tcp),
    /// Run a command.
    Exec(Exec),
    /// Ask the engine about a service.
    Engine(EngineProbe),
    /// Ask Prometheus.
    Promql(Promql),
    /// Ask whether an alert fires.
    Alert(Alert),
}

impl Probe {
    /// Every probe's name as the file spells it.
    pub const NAMES: [&'static str; 6] = ["http", "tcp", "exec", "engine", "promql", "alert"];

    /// Its name as the file spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Exec(_) => "exec",
            Self::Engine(_) => "engine",
            Self::Promql(_) => "promql",
            Self::Alert(_) => "alert",
        }
    }

    /// What makes its answers worth less than they seem, for people who read a verdict.
    #[must_use]
    pub fn caveat(&self) -> Option<&'static str> {
        match self {
            Self::Http(http) if http.insecure => Some(
                "it accepts any certificate (`insecure`), so that an impostor's answers would count as the system's",
            ),
            Self::Alert(alert) if alert.alertmanager.is_some() && !alert.firing => Some(alert::NOT_KNOWN),
            _ => None,
        }
    }

    /// Whether no answer is a failure of the system; else it is one of who watches the system (the engine, a monitor), and says nothing
    /// of it.
    #[must_use]
    pub fn silence_is_failure(&self) -> bool {
        match self {
            Self::Http(_) | Self::Tcp(_) | Self::Exec(_) => true,
            Self::Engine(_) | Self::Promql(_) | Self::Alert(_) => false,
        }
    }

    /// How often it asks unless told otherwise.
    #[must_use]
    pub fn default_rate(&self) -> Rate {
        match self {
            Self::Http(_) | Self::Tcp(_) => Rate(10.0),
            Self::Exec(_) | Self::Engine(_) | Self::Promql(_) | Self::Alert(_) => Rate(1.0),
        }
    }

    /// How long an answer may take unless told otherwise.
    #[must_use]
    pub fn default_timeout(&self) -> Span {
        Span(match self {
            Self::Http(_) | Self::Tcp(_) => Duration::from_secs(1),
            Self::Exec(_) | Self::Engine(_) | Self::Promql(_) | Self::Alert(_) => Duration::from_secs(5),
        })
    }
}

/// Asks a check's question once, by the check's name.
#[async_trait]
pub trait Prober: Send + Sync {
    /// The answer, at the latest when the check's timeout is over. Dropping the future gives the request up.
    async fn ask(&self, check: &str) -> Answer;

    /// Why nothing follows from all the good answers so far, in a sentence without its subject, the check: what it asks about was
    /// never seen to exist, and its name may be mistyped.
    fn without_evidence(&self, _check: &str) -> Option<String> {
        None
    }
}

/// What came of asking once.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The answer is what it should be.
    Good {
        /// The value in it, for probes that read one.
        value: Option<String>,
        /// Who gave it, for probes that are told.
        by: Option<String>,
    },
    /// The system did not answer, or answered wrongly.
    Failed(Failure),
    /// The question could not be asked for a reason of our own: resolver, route, descriptors, sent late.
    /// It says nothing about the system.
    CouldNotAsk(String),
}

/// How the system failed to answer, in a few words that samples can be counted by, such as `connection refused`,
/// `timeout` or `status 503`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(pub String);
