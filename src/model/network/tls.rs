//! What becomes of TLS connections while they begin, which nothing is opened for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Delay;

/// What becomes of connections that begin with a TLS handshake. Nothing that is not asked for: every default is "none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsFault {
    /// For one of these names of servers (SNI, RFC 6066), in which `*` stands for any text; none: for any, or without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How likely one of those is affected (0 to 1).
    pub share: f64,
    /// The client's first message reaches the server so much later.
    #[serde(default, skip_serializing_if = "Delay::is_none")]
    pub delay: Delay,
    /// The handshake comes to no good end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TlsEnd>,
}

/// How a handshake ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsEnd {
    /// By an alert of the server's, which never sees it.
    Alert(TlsAlert),
    /// By a reset, before the server has answered.
    Reset,
    /// It is closed in the middle of the server's first answer.
    Cut,
    /// Never: there is no answer.
    Stall,
}

/// A fatal alert (RFC 8446, section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TlsAlert {
    /// There are no parameters that both ends accept.
    HandshakeFailure = 40,
    /// A certificate is corrupt.
    BadCertificate = 42,
    /// A certificate is revoked.
    CertificateRevoked = 44,
    /// A certificate has expired.
    CertificateExpired = 45,
    /// A certificate is unacceptable for another reason.
    CertificateUnknown = 46,
    /// It is not known who has signed a certificate.
    UnknownCa = 48,
    /// The client may not.
    AccessDenied = 49,
    /// No version that both ends speak.
    ProtocolVersion = 70,
    /// The client's ciphers are too weak.
    InsufficientSecurity = 71,
    /// Something else is broken.
    InternalError = 80,
    /// There is no server of this name.
    UnrecognizedName = 112,
    /// The server wants a certificate of the client's.
    CertificateRequired = 116,
    /// No protocol that both ends speak inside.
    NoApplicationProtocol = 120,
}

impl fmt::Display for TlsEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "refused with the alert {alert}"),
            Self::Reset => f.write_str("reset"),
            Self::Cut => f.write_str("closed in the middle"),
            Self::Stall => f.write_str("never answered"),
        }
    }
}
