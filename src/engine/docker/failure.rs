//! What the engine's refusals mean, and how they are said.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bollard::errors::Error;

use crate::engine::EngineError;

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something that it needs does not exist: the container, or a network of it.
    Missing(String),
    /// The engine answered that it cannot or will not.
    Refused(String),
    /// No answer in this time; it may still happen.
    TimedOut(Duration),
    /// The engine cannot be asked.
    Unreachable(String),
}

/// Awaits a call for a limited time.
pub(super) async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|e| match e {
            Error::DockerResponseServerError { status_code: 404, message } => Failure::Missing(message),
            Error::DockerResponseServerError { message, .. } => Failure::Refused(message),
            Error::RequestTimeoutError => Failure::TimedOut(limit),
            Error::JsonDataError { message, .. } => {
                Failure::Refused(format!("its answer is not understood ({message})"))
            }
            Error::DockerStreamError { error } => Failure::Refused(error),
            e => Failure::Unreachable(unreachable(&e)),
        }),
        Err(_) => Err(Failure::TimedOut(limit)),
    }
}

impl Failure {
    /// As an error of the engine at `address`, when `attempt` was made.
    pub(super) fn error(self, address: &str, attempt: impl FnOnce() -> String) -> EngineError {
        match self {
            Self::Missing(why) | Self::Refused(why) => {
                EngineError::Refused { attempt: attempt(), why: why.trim().to_owned() }
            }
            Self::TimedOut(after) => EngineError::TimedOut { attempt: attempt(), after },
            Self::Unreachable(why) => EngineError::Unreachable { address: address.to_owned(), why },
        }
    }
}

/// Why an engine cannot be asked, and what to do about it.
pub(super) fn unreachable(e: &Error) -> String {
    let mut causes = vec![e.to_string()];
    let mut kind = None;
    let mut cause = e.source();
    while let Some(c) = cause {
        kind = kind.or(c.downcast_ref::<io::Error>().map(io::Error::kind));
        causes.push(c.to_string());
        cause = c.source();
    }
    if let Error::IOError { err } = e {
        kind = kind.or(Some(err.kind()));
    }
    let missing = matches!(e, Error::SocketNotFoundError(_));
    match kind {
        Some(io::ErrorKind::PermissionDenied) => {
            "permission denied on the socket; run as root, or join the group `docker` and log in again".to_owned()
        }
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => not_running(causes.last()),
        _ if missing => not_running(None),
        _ => {
            // Each cause often repeats the one below it.
            causes.dedup_by(|below, above| above.contains(below.as_str()));
            causes.join(": ")
        }
    }
}

fn not_running(cause: Option<&String>) -> String {
    let what = cause.map_or("there is no such socket", String::as_str);
    format!(
        "{what}; is the Docker Engine running? (`systemctl start docker`, or name another one with DOCKER_HOST or \
         --docker-host)"
    )
}
