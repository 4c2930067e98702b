//! Faults of gRPC calls, as faults of the HTTP/2 requests that they are ("gRPC over HTTP2", the gRPC project).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Chosen, Delay, HttpAnswer, HttpFault, RequestMatch, When};

/// What becomes of single gRPC calls. Nothing that is not asked for: every default is "none".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GrpcFault {
    /// Of one of these services (`shop.v1.Orders`), in which `*` stands for any text; none: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// One of these methods, as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Which of those are affected.
    pub chosen: Chosen,
    /// Whether the server sees them.
    pub when: When,
    /// What they end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GrpcStatus>,
    /// What it says beside that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// They are later: before the server has them, or after it has begun to answer.
    #[serde(default, skip_serializing_if = "Delay::is_none")]
    pub delay: Delay,
    /// They have no answer.
    #[serde(default)]
    pub stall: bool,
    /// The call is reset after so many bytes of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<u64>,
}

/// What a call ends with that does not end well ("Status codes and their use in gRPC").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum GrpcStatus {
    /// Its caller has given it up.
    Cancelled = 1,
    /// An error that says no more.
    Unknown = 2,
    /// It asks for what makes no sense.
    InvalidArgument = 3,
    /// Its time is over, whether it was done or not.
    DeadlineExceeded = 4,
    /// There is no such thing.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// Its caller may not.
    PermissionDenied = 7,
    /// A quota is used up, or a resource.
    ResourceExhausted = 8,
    /// The system is not in a state for it.
    FailedPrecondition = 9,
    /// Another one came between.
    Aborted = 10,
    /// It asks for more than there is.
    OutOfRange = 11,
    /// The server has no such method.
    Unimplemented = 12,
    /// Something is broken.
    Internal = 13,
    /// Not now: it may be tried again.
    Unavailable = 14,
    /// Data are lost.
    DataLoss = 15,
    /// It is not known who its caller is.
    Unauthenticated = 16,
}

impl GrpcFault {
    /// The same of the requests that calls are.
    #[must_use]
    pub fn as_http(&self) -> HttpFault {
        let any = || vec!["*".to_owned()];
        let or_any = |names: &[String]| if names.is_empty() { any() } else { names.to_vec() };
        let (services, methods) = (or_any(&self.services), or_any(&self.methods));
        let paths = services.iter().flat_map(|s| methods.iter().map(move |m| format!("/{s}/{m}"))).collect();
        HttpFault {
            matching: RequestMatch {
                paths,
                headers: vec![("content-type".to_owned(), "application/grpc*".to_owned())],
                ..RequestMatch::default()
            },
            chosen: self.chosen,
            when: self.when,
            // An answer that is all trailers.
            answer: self.status.map(|status| HttpAnswer {
                status: 200,
                headers: [
                    ("content-type", "application/grpc".to_owned()),
                    ("grpc-status", (status as u8).to_string()),
                    ("grpc-message", escaped(&self.message)),
                ]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
                body: String::new(),
            }),
            delay: self.delay,
            stall: self.stall,
            cut_after: self.cut_after,
            corrupt_body: false,
            bandwidth: None,
        }
    }
}

/// A message as it is sent: all but printable ASCII, and percent signs, as `%` and two digits for each byte.
fn escaped(message: &str) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for byte in message.bytes() {
        if matches!(byte, 0x20..=0x7e) && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_request_for_its_service_and_method() {
        let fault = GrpcFault {
            services: vec!["shop.*".to_owned(), "Store".to_owned()],
            methods: Vec::new(),
            chosen: Chosen::default(),
            when: When::Before,
            status: Some(GrpcStatus::Unavailable),
            message: "50% zu spät".to_owned(),
            delay: Delay::default(),
            stall: false,
            cut_after: None,
        };
        let http = fault.as_http();
        assert_eq!(http.matching.paths, ["/shop.*/*", "/Store/*"]);
        let answer = http.answer.unwrap();
        let header = |name| answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("grpc-status"), Some("14"));
        assert_eq!(header("grpc-message"), Some("50%25 zu sp%C3%A4t"));
        assert_eq!(GrpcStatus::Unavailable.to_string(), "UNAVAILABLE");
    }
}
