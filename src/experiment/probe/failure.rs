//! From an error to an answer in a few words: was it the system that failed, or could we not ask?
//!
//! The words are the same for the same failure, so that samples can be counted by them. They never hold a URL, a header
//! or a name, which may be secret.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustls::CertificateError;

use super::{Answer, Failure};

/// The response of a sample that took too long.
pub(super) fn timeout() -> Answer {
    failed("timeout")
}

pub(super) fn failed(words: impl Into<String>) -> Answer {
    Answer::Failed(Failure(words.into()))
}

/// What an error of the operating system says.
pub(super) fn of_io(error: &io::Error) -> Answer {
    let ours = |words: &str| Answer::NotMeasured(words.to_owned());
    // Reasons on this side of the wire: the system was not even asked.
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NETUNREACH | Errno::NETDOWN) => return ours("no route from here"),
        Some(Errno::ADDRNOTAVAIL) => return ours("no free port or address"),
        Some(Errno::MFILE | Errno::NFILE) => return ours("out of file descriptors"),
        Some(Errno::NOBUFS | Errno::NOMEM) => return ours("out of memory for sockets"),
        Some(Errno::PERM | Errno::ACCESS) => return ours("not permitted"),
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => failed("connection refused"),
        io::ErrorKind::ConnectionReset => failed("connection reset"),
        io::ErrorKind::ConnectionAborted => failed("connection aborted"),
        io::ErrorKind::HostUnreachable => failed("host unreachable"),
        io::ErrorKind::TimedOut => timeout(),
        // Of a unix socket: who listens there makes it, and takes it away.
        io::ErrorKind::NotFound => failed("no such socket"),
        io::ErrorKind::WouldBlock => failed("no room in the socket's queue"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => failed("closed early"),
        kind => failed(kind.to_string()),
    }
}

/// What an error says that may have others beneath it: the deepest that means something.
pub(super) fn of(error: &(dyn Error + 'static)) -> Answer {
    let mut deepest = error;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return failed(of_tls(tls));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.get_ref() {
                // An error in the clothes of one of the operating system's.
                Some(inner) => {
                    deepest = inner;
                    next = Some(inner);
                    continue;
                }
                None => return of_io(io),
            }
        }
        deepest = error;
        next = error.source();
    }
    match deepest.to_string() {
        text if text.contains("closed before") || text.contains("end of file") || text.contains("unexpected EOF") => {
            failed("closed early")
        }
        text => failed(short(&text)),
    }
}

/// A TLS error without the names and times in it, which would make every failure another one.
fn of_tls(error: &rustls::Error) -> String {
    let words = match error {
        rustls::Error::InvalidCertificate(certificate) => return format!("tls: {}", of_certificate(certificate)),
        rustls::Error::InvalidMessage(_) => "not TLS",
        other => return format!("tls: {}", short(&other.to_string())),
    };
    format!("tls: {words}")
}

fn of_certificate(error: &CertificateError) -> String {
    let words = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate not valid yet",
        // The common name is no name of a server's any more (RFC 9525).
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "certificate without a subjectAltName"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate for another name"
        }
        CertificateError::UnknownIssuer => "unknown issuer",
        CertificateError::Revoked => "certificate revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate not for a server"
        }
        CertificateError::BadSignature => "bad signature of the certificate",
        CertificateError::BadEncoding => "certificate not readable",
        // What the verifier has no variant for, it has a name for.
        CertificateError::Other(why) => match why.0.to_string().as_str() {
            "CaUsedAsEndEntity" => "a CA's certificate as the server's own",
            other => return format!("invalid certificate ({})", short(other)),
        },
        other => return format!("invalid certificate ({})", short(&format!("{other:?}"))),
    };
    words.to_owned()
}

/// The first words of a text.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MOST {
        return line.to_owned();
    }
    line.chars().take(MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_theirs_are_told_apart() {
        let of_errno = |errno: Errno| of(&io::Error::from_raw_os_error(errno.raw_os_error()));
        for theirs in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
            assert!(matches!(of_errno(theirs), Answer::Failed(_)), "{theirs:?}");
        }
        for ours in [Errno::NETUNREACH, Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::PERM] {
            assert!(matches!(of_errno(ours), Answer::NotMeasured(_)), "{ours:?}");
        }
    }

    #[test]
    fn a_certificate_is_refused_with_the_cause() {
        let name = || rustls::pki_types::ServerName::try_from("shop").unwrap();
        let presented = |names: &[&str]| CertificateError::NotValidForNameContext {
            expected: name(),
            presented: names.iter().map(ToString::to_string).collect(),
        };
        for (error, words) in [
            (presented(&["DNS:elsewhere"]), "certificate for another name"),
            (presented(&[]), "certificate without a subjectAltName"),
            (CertificateError::UnknownIssuer, "unknown issuer"),
            (CertificateError::UnhandledCriticalExtension, "invalid certificate (UnhandledCriticalExtension)"),
        ] {
            let error = rustls::Error::InvalidCertificate(error);
            assert_eq!(of(&error), failed(format!("tls: {words}")));
        }
    }

    #[test]
    fn the_same_failure_has_the_same_words() {
        let expired = |at| {
            let time = |s| rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(s));
            rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time: time(at), not_after: time(1) })
        };
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, expired(5));
        assert_eq!(of(&wrapped), failed("tls: certificate expired"));
        assert_eq!(of(&wrapped), of(&io::Error::new(io::ErrorKind::InvalidData, expired(6))));
    }
}
