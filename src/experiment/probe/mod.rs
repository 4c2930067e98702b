//! What can be asked: one file per probe, its parameters and how it asks, and one line in the table below.
//!
//! A probe answers one sample; how often it is asked and what is expected of the answers is not its business.

mod answered_by;
mod ask;
mod failure;
mod keys;
mod live;
mod monitor;
mod request;
mod resolve;
mod socket;
#[cfg(test)]
mod tests;
mod value;
mod wanted;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use answered_by::AnsweredBy;
pub use engine::Count;
pub use live::Live;
pub use value::ValueAt;
pub use wanted::{Wanted, WantedBody};

use self::ask::{Ask, ProbeSetup};
use crate::experiment::document::found::Found;
use crate::model::quantity::{Rate, Span};

/// The probes, one line each, for whatever is made of each of them: its module and the type with its variants here, its key in a
/// check, the reading of one.
macro_rules! with_probes {
    ($make:ident) => {
        $make! {
            "http" => Http(http::Http): "Ask over HTTP.",
            "tcp" => Tcp(tcp::Tcp): "Connect over TCP.",
            "exec" => Exec(exec::Exec): "Run a command.",
            "engine" => Engine(engine::EngineProbe): "Ask the engine about a service.",
            "promql" => Promql(promql::Promql): "Ask Prometheus.",
            "alert" => Alert(alert::Alert): "Ask whether an alert fires.",
        }
    };
}
pub(crate) use with_probes;

/// Makes of the table the modules, the type, and the way to each probe's own file.
macro_rules! probes {
    ($($name:literal => $probe:ident($module:ident::$keys:ident): $about:literal,)+) => {
        $(
            mod $module;
            pub use $module::$keys;
        )+

        /// A probe with its parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[expect(clippy::large_enum_variant, reason = "a file has a few of them")]
        pub enum Probe {
            $(
                #[doc = $about]
                #[serde(rename = $name)]
                $probe($keys),
            )+
        }

        impl Probe {
            /// Every probe's name as the file spells it.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// Its name as the file spells it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$probe(_) => $name,)+
                }
            }

            /// The probe's own file.
            #[must_use]
            pub(crate) fn kind(&self) -> &dyn ProbeKind {
                match self {
                    $(Self::$probe(probe) => probe,)+
                }
            }
        }
    };
}

with_probes!(probes);

/// What there is to know of a probe, whichever it is.
pub(crate) trait ProbeKind {
    /// Gets ready to ask: variables are filled in, files are read. Nothing is asked yet.
    ///
    /// # Errors
    /// Where a variable has no value, or something that it needs is unusable.
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>>;

    /// Adds what is wrong with its keys beyond what their types can tell. `own` is its path in the file, its name last.
    fn check(&self, found: &mut Found<'_>, own: &[&str]);

    /// How often it asks, and how long an answer may take, unless told otherwise.
    fn pace(&self) -> Pace;

    /// Whether no answer is a failure of the system; else it is one of who watches the system (the engine, a monitor), and says nothing
    /// of it.
    fn silence_is_failure(&self) -> bool;

    /// What makes its answers worth less than they seem, for people who read a verdict.
    fn caveat(&self) -> Option<&'static str> {
        None
    }

    /// The host and the port that it connects to, as they are written; `None` if it asks something else.
    fn address(&self) -> Option<&str>;

    /// What it asks, in a line.
    fn words(&self) -> String;

    /// What answers it in a simulated world.
    fn simulated(&self) -> Simulated<'_>;
}

/// How often a probe asks, and how long an answer may take.
pub(crate) struct Pace {
    pub(crate) rate: Rate,
    pub(crate) timeout: Span,
}

impl Pace {
    /// Of what customers ask, many at a time.
    const TEN_A_SECOND: Self = Self { rate: Rate(10.0), timeout: Span(Duration::from_secs(1)) };
    /// Of what costs more, or does not change so fast.
    const ONE_A_SECOND: Self = Self { rate: Rate(1.0), timeout: Span(Duration::from_secs(5)) };
}

/// What answers a probe in a simulated world.
pub(crate) enum Simulated<'a> {
    /// The service at the probe's address.
    Service {
        /// Whether a value is read from the answer: the one that is expected.
        reads: bool,
        /// Whether the answer tells which instance gave it.
        tells: bool,
    },
    /// The simulated engine.
    Engine(&'a EngineProbe),
    /// Something else, always: with this value, or with the one that is expected.
    Value(Option<&'static str>),
    /// Monitoring that misses nothing: whether the alert is to fire.
    Alert(bool),
}

/// Takes one sample of a check, by the check's name.
#[async_trait]
pub trait Prober: Send + Sync {
    /// The answer, at the latest when the check's timeout is over. Dropping the future gives the request up.
    async fn ask(&self, check: &str) -> Answer;

    /// The same, with what a contract of degradation is judged by.
    async fn reply(&self, check: &str) -> Reply {
        self.ask(check).await.into()
    }

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
    /// it could not be measured for a reason of our own: resolver, route, descriptors, sent late.
    /// It says nothing about the system.
    NotMeasured(String),
}

/// How the system failed to answer, in a few words that samples can be counted by, such as `connection refused`,
/// `timeout` or `status 503`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(pub String);

/// What came of asking once, as it stands in health and in degradation.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// As it stands where the system is to be healthy.
    pub answer: Answer,
    /// As it stands under what `during` says of answers; `None` where nothing is said, or the probe cannot tell.
    pub degraded: Option<Answer>,
    /// The HTTP status, if there was a whole answer.
    pub status: Option<u16>,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer, degraded: None, status: None }
    }
}

/// A class of HTTP answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 to 599.
    ServerError,
    /// None: refused, reset, timed out.
    NoAnswer,
}

impl Class {
    /// The class of what was answered; `None` where it could not be measured, or the probe does not tell.
    #[must_use]
    pub fn of(reply: &Reply) -> Option<Self> {
        match (reply.status, &reply.answer) {
            (_, Answer::NotMeasured(_)) => None,
            (Some(200..300), _) => Some(Self::Success),
            (Some(300..400), _) => Some(Self::Redirection),
            (Some(400..500), _) => Some(Self::ClientError),
            (Some(500..600), _) => Some(Self::ServerError),
            (Some(_), _) | (None, Answer::Good { .. }) => None,
            (None, Answer::Failed(_)) => Some(Self::NoAnswer),
        }
    }

    /// Its name as the file spells it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoAnswer => "no-answer",
        }
    }
}
