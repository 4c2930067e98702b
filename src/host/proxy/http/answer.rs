//! The answer's way to the client, and answers that no server gave.

use std::io;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::{Affected, Between, Http, MOST, Next};
use crate::host::proxy::body::{Body, Malformed};
use crate::host::proxy::head::{self, Parsed, RequestHead, ResponseHead};
use crate::host::proxy::io::{drain, read, send};
use crate::host::proxy::later::{NONE, Pace};
use crate::model::network::{HttpAnswer, LEAST_DELAY, When};

/// The answer to one request, on its way.
pub(super) struct Download<'a, 'b> {
    pub(super) http: &'a Http,
    pub(super) between: &'a mut Between<'b>,
    pub(super) request: &'a RequestHead,
    /// What has come of it, and has not gone on.
    pub(super) down: &'a mut Vec<u8>,
    pub(super) affected: Option<Affected<'b>>,
}

impl Download<'_, '_> {
    pub(super) async fn run(mut self) -> io::Result<Next> {
        let Some(response) = self.head().await? else { return Ok(Next::Unreadable) };
        if response.status == 101 || self.request.is_connect && (200..300).contains(&response.status) {
            return Ok(Next::Tunnel);
        }
        let fault = &self.http.fault;
        let is_among = |(first, last): &(u16, u16)| (*first..=*last).contains(&response.status);
        if self.request.is_meant && fault.matching.statuses.iter().any(is_among) {
            self.affected = self.http.choose(self.between);
        }
        let Some(mut affected) = self.affected.take() else { return self.pass(response).await };
        if fault.when == When::After {
            self.http.wait(&mut affected, &mut self.between.ended).await;
            if fault.stall {
                affected.happens();
                return Ok(Next::Hold);
            }
            if let Some(answer) = &fault.answer {
                affected.happens();
                return self.replace(response, answer).await;
            }
        }
        if fault.cut_after.is_some() || fault.corrupt_body || fault.bandwidth.is_some() {
            return self.spoil(response, affected).await;
        }
        self.pass(response).await
    }

    /// The head of the answer; nothing where it cannot be read. What comes before it for the time being goes on.
    async fn head(&mut self) -> io::Result<Option<ResponseHead>> {
        let Between { client, server, .. } = *self.between;
        loop {
            if !self.down.is_empty() {
                match head::response(self.down, self.request) {
                    Parsed::Whole(response) if matches!(response.status, 100 | 102..=199) => {
                        send(client, self.down, response.length).await?;
                        continue;
                    }
                    Parsed::Whole(response) => return Ok(Some(response)),
                    Parsed::Partial if self.down.len() < MOST => {}
                    Parsed::Partial | Parsed::Foreign => return Ok(None),
                }
            }
            if read(server, self.down).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// As it is.
    async fn pass(self, response: ResponseHead) -> io::Result<Next> {
        let Between { client, server, .. } = *self.between;
        let (down, mut body) = (self.down, response.body);
        let mut ready = response.length;
        match body.take(&mut down[ready..], |_| {}) {
            Ok(n) => ready += n,
            Err(Malformed) => return Ok(Next::Unreadable),
        }
        loop {
            send(client, down, ready).await?;
            if body.is_done() {
                return Ok(Next::Again);
            }
            if down.is_empty() && read(server, down).await? == 0 {
                // The end of the body, or an end before it: the client sees the same.
                return Ok(Next::Close);
            }
            match body.take(down, |_| {}) {
                Ok(n) => ready = n,
                Err(Malformed) => return Ok(Next::Unreadable),
            }
        }
    }

    /// Another one in its place.
    async fn replace(self, response: ResponseHead, answer: &HttpAnswer) -> io::Result<Next> {
        let Between { client, server, .. } = *self.between;
        drain(self.down, response.length);
        if response.body == Body::UntilClose {
            // It may never end.
            return give(client, answer, self.request, true).await;
        }
        match skip(server, self.down, response.body).await? {
            Skipped::Malformed => Ok(Next::Close),
            skipped => give(client, answer, self.request, skipped == Skipped::Ended || self.request.closes).await,
        }
    }

    /// Its body is not to arrive as it is.
    async fn spoil(self, response: ResponseHead, mut affected: Affected<'_>) -> io::Result<Next> {
        let Between { client, server, .. } = *self.between;
        let (down, mut body, fault) = (self.down, response.body, &self.http.fault);
        let mut pace = Pace::new(NONE, fault.bandwidth, None, self.http.seed.wrapping_add(affected.number));
        let mut left = fault.cut_after.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        send(client, down, response.length).await?;
        loop {
            let taken = body.take(down, |data| {
                if let Some(first) = data.first_mut().filter(|_| fault.corrupt_body) {
                    *first ^= 1;
                    affected.happens();
                }
            });
            let Ok(mut ready) = taken else { return Ok(Next::Unreadable) };
            let is_cut = left.is_some_and(|left| left < ready || left == ready && !body.is_done());
            if let Some(left) = &mut left {
                ready = ready.min(*left);
                *left -= ready;
            }
            while ready > 0 {
                let mut piece = ready;
                if fault.bandwidth.is_some() {
                    piece = ready.min(pace.piece());
                    let due = pace.due(piece);
                    if due > Instant::now() + LEAST_DELAY {
                        affected.happens();
                    }
                    sleep_until(due).await;
                }
                send(client, down, piece).await?;
                ready -= piece;
            }
            if is_cut {
                affected.happens();
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if body.is_done() {
                return Ok(Next::Again);
            }
            if down.is_empty() && read(server, down).await? == 0 {
                return Ok(Next::Close);
            }
        }
    }
}

/// What came of reading a body that does not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    All,
    /// Its connection ended, as it may where nothing else ends it.
    Ended,
    Malformed,
}

/// Reads a body, and does away with it.
pub(super) async fn skip(from: &TcpStream, buffer: &mut Vec<u8>, mut body: Body) -> io::Result<Skipped> {
    loop {
        match body.take(buffer, |_| {}) {
            Ok(n) => drain(buffer, n),
            Err(Malformed) => return Ok(Skipped::Malformed),
        }
        if body.is_done() {
            return Ok(Skipped::All);
        }
        if read(from, buffer).await? == 0 {
            return Ok(Skipped::Ended);
        }
    }
}

/// Gives an answer of its own.
pub(super) async fn give(
    client: &TcpStream,
    answer: &HttpAnswer,
    request: &RequestHead,
    closes: bool,
) -> io::Result<Next> {
    let mut text = written(answer, request.is_head, closes);
    let length = text.len();
    send(client, &mut text, length).await?;
    Ok(if closes { Next::Linger } else { Next::Again })
}

/// An answer as it is sent.
fn written(answer: &HttpAnswer, is_head: bool, closes: bool) -> Vec<u8> {
    use std::fmt::Write as _;
    let HttpAnswer { status, headers, body } = answer;
    // The words after a status mean nothing (RFC 9112, section 4), and are there for people.
    let words = hyper::StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Fault");
    let mut text = format!("HTTP/1.1 {status} {words}\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        let _ = write!(text, "content-length: {}\r\n", body.len());
    }
    if closes {
        text.push_str("connection: close\r\n");
    }
    text.push_str("\r\n");
    if has_body && !is_head {
        text.push_str(body);
    }
    text.into_bytes()
}
