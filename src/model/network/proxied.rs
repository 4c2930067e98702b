//! What a proxy in the path does with connections, as plain data.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::grpc::GrpcFault;
use super::redis::RedisError;
use super::tls::TlsFault;
use super::{Direction, Distribution};
use crate::text::humantime_text;

/// What a process in the path does with the TCP connections of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proxied {
    /// What becomes of connections that were open before.
    pub existing: Existing,
    /// What becomes of those that go through it.
    pub fault: ProxyFault,
}

/// What becomes of connections that are open when a proxy comes into the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// They are reset: the client connects again, and then through the proxy.
    #[default]
    Reset,
    /// They are left alone, and are not affected.
    Leave,
}

/// What a proxy does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyFault {
    /// To connections of whichever protocol.
    Stream(StreamFault),
    /// To single HTTP requests.
    Http(Box<HttpFault>),
    /// To TLS connections, while they begin.
    Tls(Box<TlsFault>),
    /// To single gRPC calls.
    Grpc(Box<GrpcFault>),
    /// To Redis commands: this share of those that it is about is answered with an error.
    Redis {
        /// Which.
        error: RedisError,
        /// From 0 to 1.
        share: f64,
    },
    /// To connections to `PostgreSQL`: this share of them is refused.
    Postgres {
        /// By which error.
        error: SqlError,
        /// From 0 to 1.
        share: f64,
    },
}

/// An error that a `PostgreSQL` server refuses a connection with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SqlError {
    /// Its SQLSTATE: five capitals and digits (`PostgreSQL` documentation, "`PostgreSQL` Error Codes").
    pub code: String,
    /// What it says.
    pub message: String,
}

/// How much later something is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Delay {
    /// How much.
    #[serde(with = "humantime_text")]
    pub delay: Duration,
    /// By how much that varies: half the width of a uniform distribution, the standard deviation of others.
    #[serde(with = "humantime_text")]
    pub jitter: Duration,
    /// How it varies.
    pub distribution: Distribution,
}

impl Delay {
    /// Whether nothing is later.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.delay.is_zero() && self.jitter.is_zero()
    }
}

/// What becomes of connections, whatever is spoken on them. Nothing that is not asked for: every default is "none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StreamFault {
    /// How likely a connection is affected, for as long as it lasts (0 to 1).
    pub share: f64,
    /// Which bytes: those that leave the instance, those that arrive, or both.
    pub direction: Direction,
    /// They are later.
    #[serde(default, skip_serializing_if = "Delay::is_none")]
    pub delay: Delay,
    /// So many bits pass in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// They arrive in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// After so many bytes the connection is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The end of the stream arrives so much later.
    #[serde(default, with = "humantime_text")]
    pub slow_close: Duration,
    /// Nothing passes.
    #[serde(default)]
    pub hang: bool,
    /// How it ends, whatever passes on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<StreamEnd>,
}

/// How what passes is cut to pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slice {
    /// How many bytes a piece has, at most.
    pub size: u64,
    /// How long after one piece the next one comes.
    #[serde(with = "humantime_text")]
    pub every: Duration,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StreamEnd {
    /// How long after its beginning.
    #[serde(with = "humantime_text")]
    pub after: Duration,
    /// By a reset (else it is closed, as if all had been said).
    pub reset: bool,
}

/// What becomes of single HTTP requests. Nothing that is not asked for: every default is "none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpFault {
    /// Which requests are meant.
    #[serde(default, skip_serializing_if = "RequestMatch::is_every_one")]
    pub matching: RequestMatch,
    /// Which of those are affected.
    pub chosen: Chosen,
    /// Whether the server sees them.
    pub when: When,
    /// What is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<HttpAnswer>,
    /// They are later: before the server has them, or after it has answered.
    #[serde(default, skip_serializing_if = "Delay::is_none")]
    pub delay: Delay,
    /// They have no answer.
    #[serde(default)]
    pub stall: bool,
    /// The connection is reset after so many bytes of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<u64>,
    /// Bits of the answer's body are turned over.
    #[serde(default)]
    pub corrupt_body: bool,
    /// So many bits of the answer's body pass in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

/// Which HTTP requests are meant. In texts, `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RequestMatch {
    /// By one of these methods; none: by any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// For one of these paths, without the query; none: for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// For one of these hosts, without the port; none: for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// With each of these headers (names in lower case) of this value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Which the server answers with one of these statuses, from the first to the last; none: with any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<(u16, u16)>,
}

impl RequestMatch {
    /// Whether every request is meant.
    #[must_use]
    pub fn is_every_one(&self) -> bool {
        *self == Self::default()
    }
}

/// Which of the requests that are meant are affected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chosen {
    /// Only the first so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Only each so-manieth (1: each).
    pub every: u64,
    /// How likely, of those (0 to 1).
    pub share: f64,
}

impl Default for Chosen {
    fn default() -> Self {
        Self { first: None, every: 1, share: 1.0 }
    }
}

/// Whether the server sees a request that is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the server has it.
    #[default]
    Before,
    /// After the server has answered: its work is done, and its answer is lost.
    After,
}

/// An answer that no server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, beside those that say how long it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Its body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// What has become of the connections that a proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ProxyStatistics {
    /// Connections that came through it.
    pub connections: u64,
    /// Connections that were open before, and were reset.
    pub reset: u64,
    /// HTTP requests on them.
    pub requests: u64,
    /// Of these, the ones that are meant.
    pub meant: u64,
    /// Requests or connections that were affected.
    pub affected: u64,
    /// Connections that are encrypted, which no request can be read on.
    pub encrypted: u64,
    /// Connections that speak something else than HTTP, or not clearly.
    pub opaque: u64,
    /// Connections whose server could not be reached.
    pub unreachable: u64,
    /// Connections that are open now.
    pub open: u64,
}
