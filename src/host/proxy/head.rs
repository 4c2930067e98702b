//! The heads of HTTP/1 messages: what of them decides how far the message goes, and whether it is meant. Pure.
//!
//! Whatever two programs could read in two ways (RFC 9112, section 11.2) is not read here at all.

use super::body::Body;
use crate::model::network::RequestMatch;
use crate::text::glob::glob;

/// How many headers a message may have that is read along.
const HEADERS: usize = 128;

/// What came of looking for a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// It is there.
    Whole(T),
    /// More is to come.
    Partial,
    /// It is none, or none that every program reads in the same way.
    Foreign,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is something else that a head tells")]
pub(super) struct RequestHead {
    /// How many bytes it has.
    pub(super) length: usize,
    /// What follows it.
    pub(super) body: Body,
    /// Which is answered without a body.
    pub(super) is_head: bool,
    /// It asks for a tunnel.
    pub(super) is_connect: bool,
    /// Its sender may wait for a word before the body follows.
    pub(super) expects: bool,
    /// Nothing follows on its connection.
    pub(super) closes: bool,
    /// Whether it is meant, as far as the request tells.
    pub(super) is_meant: bool,
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    /// How many bytes it has.
    pub(super) length: usize,
    /// Its status.
    pub(super) status: u16,
    /// What follows it.
    pub(super) body: Body,
}

/// Reads the head of a request.
pub(super) fn request(bytes: &[u8], matching: &RequestMatch) -> Parsed<RequestHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Foreign,
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Parsed::Foreign;
    };
    let lines = Lines { bytes: &bytes[..length], headers: request.headers };
    let Some(body) = lines.body(version, Body::Done) else { return Parsed::Foreign };
    Parsed::Whole(RequestHead {
        length,
        body,
        is_head: method == "HEAD",
        is_connect: method == "CONNECT",
        expects: lines.values("expect").next().is_some(),
        closes: lines.closes(version),
        is_meant: is_meant(matching, method, target, |name| lines.values(name).collect()),
    })
}

/// Reads the head of the response to a request.
pub(super) fn response(bytes: &[u8], request: &RequestHead) -> Parsed<ResponseHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Foreign,
    };
    let (Some(status), Some(version)) = (response.code, response.version) else { return Parsed::Foreign };
    let lines = Lines { bytes: &bytes[..length], headers: response.headers };
    let Some(body) = lines.body(version, Body::UntilClose) else { return Parsed::Foreign };
    let has_none = request.is_head || matches!(status, 100..=199 | 204 | 304);
    Parsed::Whole(ResponseHead { length, status, body: if has_none { Body::Done } else { body } })
}

/// The lines of a head.
struct Lines<'a> {
    bytes: &'a [u8],
    headers: &'a [httparse::Header<'a>],
}

impl<'a> Lines<'a> {
    fn values(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// How far the message goes, which is `unsaid` where it does not say so; nothing where it does not say it clearly.
    fn body(&self, version: u8, unsaid: Body) -> Option<Body> {
        // Some programs end a line at a line feed alone, others do not.
        let bare = self.bytes.iter().enumerate().any(|(n, b)| *b == b'\n' && (n == 0 || self.bytes[n - 1] != b'\r'));
        if bare {
            return None;
        }
        let mut lengths = self.values("content-length");
        let (length, encoding) = (lengths.next(), self.values("transfer-encoding").collect::<Vec<_>>());
        match (length, encoding.as_slice()) {
            (None, []) => Some(unsaid),
            (None, [chunked]) if version == 1 && chunked.eq_ignore_ascii_case(b"chunked") => Some(Body::CHUNKED),
            (Some(length), []) => {
                let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                if !digits || lengths.any(|other| other != length) {
                    return None;
                }
                let length = std::str::from_utf8(length).ok()?.parse().ok()?;
                Some(if length == 0 { Body::Done } else { Body::Length(length) })
            }
            _ => None,
        }
    }

    fn closes(&self, version: u8) -> bool {
        let says = |word: &str| {
            let mut words = self.values("connection").flat_map(|value| value.split(|b| *b == b','));
            words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        };
        says("close") || version == 0 && !says("keep-alive")
    }
}

/// Whether a request is meant, as far as it tells: `values` are those of a header.
pub(super) fn is_meant<'a>(
    matching: &'a RequestMatch,
    method: &str,
    target: &str,
    values: impl Fn(&'a str) -> Vec<&'a [u8]>,
) -> bool {
    if matching.is_every_one() {
        return true;
    }
    // The form that proxies are asked in has the host before the path.
    let absolute = target.split_once("://").filter(|_| !target.starts_with('/'));
    let path = absolute.map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let among = |patterns: &[String], value: &str| patterns.is_empty() || patterns.iter().any(|p| glob(p, value));
    let host = || {
        let host = values("host").first().copied().map(text).unwrap_or_default().to_ascii_lowercase();
        let without = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        without.map_or(host.clone(), |(name, _)| name.to_owned())
    };
    (matching.methods.is_empty() || matching.methods.iter().any(|m| m == method))
        && among(&matching.paths, path)
        && (matching.hosts.is_empty() || among(&matching.hosts, &host()))
        && matching.headers.iter().all(|(name, wanted)| values(name).iter().any(|value| glob(wanted, &text(value))))
}

#[cfg(test)]
mod tests;
