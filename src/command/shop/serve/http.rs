//! As much HTTP/1.1 as the demonstration needs: GET, one request a connection, bodies of known length.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest head or answer that is read.
const LIMIT: u64 = 64 * 1024;

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The path, without its query.
    Get(String),
    /// Some other method.
    Other,
    /// Something that is no request.
    Malformed,
}

/// A status and a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// What the body is.
    pub(super) kind: &'static str,
    /// Who has made it, which a server that passes it on tells, too.
    pub(super) by: String,
}

impl Answer {
    pub(super) fn new(by: &str, status: u16, body: &Value) -> Self {
        Self { status, body: format!("{body}\n"), kind: JSON, by: by.to_owned() }
    }
}

/// What all answers are but figures.
const JSON: &str = "application/json";

/// The header that tells who has made an answer.
const SERVED_BY: &str = "X-Served-By";

/// Reads a request's head; GET has no body.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Request> {
    let mut head = Vec::new();
    let mut stream = stream.take(LIMIT);
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(Request::Malformed);
        }
    }
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    Ok(match words[..] {
        ["GET", target, "HTTP/1.1" | "HTTP/1.0"] => {
            Request::Get(target.split('?').next().unwrap_or_default().to_owned())
        }
        [_, _, "HTTP/1.1" | "HTTP/1.0"] => Request::Other,
        _ => Request::Malformed,
    })
}

/// Writes an answer and says that it is the last of this connection.
pub(super) async fn write_answer(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let reason = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let text = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\n{SERVED_BY}: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        answer.status,
        answer.kind,
        answer.by,
        answer.body.len(),
        answer.body
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Asks another service of the stack, over a connection of its own; its name is looked up anew each time.
pub(super) async fn get(address: &str, path: &str, retries: Duration) -> io::Result<Answer> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.take(LIMIT).read_to_string(&mut text).await?;
        parse_answer(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is cut short"))
    };
    timeout(retries, ask).await?
}

/// An answer as [`write_answer`] writes it; nothing where it is not whole.
fn parse_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n")?;
    let status = first.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let header = |name: &str| headers.split("\r\n").find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    let length: usize = header("Content-Length")?.parse().ok()?;
    let by = header(SERVED_BY).unwrap_or_default().to_owned();
    (body.len() == length).then(|| Answer { status, body: body.to_owned(), kind: JSON, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Request {
        read_request(&mut text.as_bytes()).await.unwrap()
    }

    #[tokio::test]
    async fn a_request_is_its_method_and_path() {
        assert_eq!(read("GET /checkout?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await, Request::Get("/checkout".into()));
        assert_eq!(read("POST / HTTP/1.1\r\n\r\n").await, Request::Other);
        assert_eq!(read("nonsense\r\n\r\n").await, Request::Malformed);
        assert_eq!(read("GET / HTTP/1.1\r\nHost:").await, Request::Malformed);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let whole = "HTTP/1.1 200 OK\r\nX-Served-By: shop-1\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(
            parse_answer(whole),
            Some(Answer { status: 200, body: "ok".into(), kind: JSON, by: "shop-1".into() })
        );
        assert_eq!(parse_answer(&whole[..whole.len() - 1]), None);
        assert_eq!(parse_answer(""), None);
    }
}
