//! Whom to tell, and what: recipients as they stand in a file, messages, and what each kind of recipient gets of one.
//! Computation alone; what tries to reach anybody is [`send`].

pub mod check;
mod json;
mod pagerduty;
mod post;
pub mod send;
mod slack;
mod webhook;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::Text;
use crate::model::exit::Verdict;

pub use pagerduty::PagerDuty;
pub use webhook::Webhook;

/// A recipient of messages about what happens. Exactly one way of telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// An incoming webhook of Slack, or of what understands the same JSON. The URL is a secret.
    Slack(Text),
    /// `PagerDuty`, over its Events API v2.
    #[serde(rename = "pagerduty")]
    PagerDuty(PagerDuty),
    /// Any URL: gets the message as JSON.
    Webhook(Webhook),
    /// A program on this machine: gets the message as JSON on its standard input. No shell.
    Command(Vec<Text>),
    /// A file on this machine: gets the message as a line of JSON at its end.
    File(Text),
}

/// What somebody is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Message {
    /// When that was.
    pub at: Timestamp,
    /// The same for all messages about one thing, so that a later one can be put beside the earlier.
    pub key: String,
    /// Whether that thing begins, goes on, or is over.
    pub stage: Stage,
    /// How urgent it is.
    pub severity: Severity,
    /// All of it, in a line.
    pub title: String,
    /// More, in lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What that came to, where it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The run's id, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where its report is: a file on this machine, or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

/// What a message is about, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// An experiment.
    Experiment(String),
    /// A game day.
    Gameday(String),
}

/// Which of the three messages of an incident it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It begins.
    Initial,
    /// Something has happened meanwhile.
    Update,
    /// It is over.
    Resolution,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// To know.
    Info,
    /// To look at.
    Warning,
    /// A weakness.
    Error,
    /// Something is not as it was, and a person has to see to it.
    Critical,
}

impl Severity {
    /// How urgent a verdict is.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Held | Verdict::Rehearsed | Verdict::RehearsedBroken => Self::Info,
            Verdict::NoVerdict => Self::Warning,
            Verdict::Broken => Self::Error,
            Verdict::LeftBehind => Self::Critical,
        }
    }
}

impl Subject {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Experiment(name) | Self::Gameday(name) => name,
        }
    }
}

/// A message as tests have it.
#[cfg(test)]
fn example() -> Message {
    Message {
        at: "2026-11-21T10:00:00Z".parse().expect("a time"),
        key: "squall/gameday/20261121-100000-black-friday".to_owned(),
        stage: Stage::Update,
        severity: Severity::Error,
        title: "Black Friday rehearsal: one replica dies: broken".to_owned(),
        text: vec![
            "More than 2 of 200 <checkout> requests failed.".to_owned(),
            "Scenario 2 of 4 & counting".to_owned(),
        ],
        subject: Subject::Gameday("black-friday".to_owned()),
        verdict: Some(Verdict::Broken),
        run: Some("20261121-101500-kill-one".to_owned()),
        report: Some("/var/lib/squall/gamedays/20261121-100000-black-friday/report.html".to_owned()),
    }
}
