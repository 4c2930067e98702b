//! One request of HTTP/2, with its answer, and what becomes of them.

use std::future::poll_fn;

use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::{Instant, sleep_until};

use crate::host::proxy::between::Between;
use crate::host::proxy::counters::count;
use crate::host::proxy::head;
use crate::host::proxy::http::{Affected, Http};
use crate::host::proxy::later::{NONE, Pace};
use crate::model::network::{HttpAnswer, LEAST_DELAY, RequestMatch, When};

/// What it takes to pass one on.
pub(super) struct Exchange<'a, 'b> {
    pub(super) http: &'a Http,
    pub(super) between: &'a Between<'b>,
    pub(super) to_server: SendRequest<Bytes>,
}

/// How the answer's stream ends that has not ended by itself.
enum End {
    /// By a reset for this reason.
    Reset(Reason),
    /// Its client has gone.
    Gone,
    /// Not by itself: a whole connection is lost.
    Lost,
}

impl From<h2::Error> for End {
    fn from(e: h2::Error) -> Self {
        if e.is_io() { Self::Lost } else { Self::Reset(e.reason().unwrap_or(Reason::INTERNAL_ERROR)) }
    }
}

impl<'b> Exchange<'_, 'b> {
    /// From the request to the end of the answer. What fails is told on the stream; whether one of both connections is lost instead.
    pub(super) async fn run(mut self, request: Request<RecvStream>, mut answer: SendResponse<Bytes>) -> bool {
        match self.pass(request, &mut answer).await {
            Ok(()) | Err(End::Gone) => false,
            Err(End::Reset(reason)) => {
                answer.send_reset(reason);
                false
            }
            Err(End::Lost) => true,
        }
    }

    async fn pass(&mut self, request: Request<RecvStream>, answer: &mut SendResponse<Bytes>) -> Result<(), End> {
        let (http, between) = (self.http, self.between);
        count(between.counters.requests());
        let (mut parts, body) = request.into_parts();
        name_server(&mut parts);
        let is_meant = is_meant(&http.fault().matching, &parts);
        let by_status = !http.fault().matching.statuses.is_empty();
        let mut affected = if is_meant && !by_status { http.choose(between) } else { None };
        let is_head = parts.method == Method::HEAD;
        if let Some(affected) = &mut affected
            && http.fault().when == When::Before
        {
            self.wait(affected, answer).await?;
            if http.fault().stall {
                affected.happens();
                return self.hold(answer).await;
            }
            if let Some(instead) = &http.fault().answer {
                affected.happens();
                return give(answer, instead, is_head).await;
            }
        }
        let ready = self.to_server.clone().ready().await;
        // One that takes no more has not seen it.
        let refused = |e: h2::Error| if e.is_io() { End::Lost } else { End::Reset(Reason::REFUSED_STREAM) };
        let mut ready = ready.map_err(refused)?;
        let (response, to_server) = ready.send_request(Request::from_parts(parts, ()), body.is_end_stream())?;
        let mut upload = std::pin::pin!(pass_on(body, to_server));
        let mut download = std::pin::pin!(self.download(response, answer, affected, is_meant && by_status, is_head));
        let mut is_up = false;
        loop {
            tokio::select! {
                biased;
                // Where the server wants no more of it, its answer is still to come; where the client goes, that is known there.
                _ = &mut upload, if !is_up => is_up = true,
                done = &mut download => return done,
            }
        }
    }

    async fn download(
        &self,
        mut response: ResponseFuture,
        answer: &mut SendResponse<Bytes>,
        affected: Option<Affected<'b>>,
        by_status: bool,
        is_head: bool,
    ) -> Result<(), End> {
        let (http, fault) = (self.http, self.http.fault());
        let response = tokio::select! {
            response = &mut response => response?,
            end = reset(answer) => return Err(end),
        };
        let status = response.status().as_u16();
        let is_among = fault.matching.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status));
        let mut affected = if by_status && is_among { http.choose(self.between) } else { affected };
        if let Some(affected) = &mut affected
            && fault.when == When::After
        {
            self.wait(affected, answer).await?;
            if fault.stall {
                affected.happens();
                return self.hold(answer).await;
            }
            if let Some(instead) = &fault.answer {
                affected.happens();
                return give(answer, instead, is_head).await;
            }
        }
        let (parts, body) = response.into_parts();
        let to_client = answer.send_response(Response::from_parts(parts, ()), body.is_end_stream())?;
        if body.is_end_stream() {
            return Ok(());
        }
        match affected.filter(|_| fault.cut_after.is_some() || fault.corrupt_body || fault.bandwidth.is_some()) {
            Some(affected) => self.spoil(body, to_client, affected).await,
            None => pass_on(body, to_client).await,
        }
    }

    /// The body is not to arrive as it is.
    async fn spoil(
        &self,
        mut body: RecvStream,
        mut to_client: SendStream<Bytes>,
        mut affected: Affected<'_>,
    ) -> Result<(), End> {
        let fault = self.http.fault();
        let mut pace = Pace::new(NONE, fault.bandwidth, None, self.http.seed_of(&affected));
        let mut left = fault.cut_after.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        while let Some(data) = next(&mut body, &mut to_client).await? {
            let mut data = if fault.corrupt_body && !data.is_empty() {
                affected.happens();
                let mut altered = data.to_vec();
                altered[0] ^= 1;
                Bytes::from(altered)
            } else {
                data
            };
            let is_cut = left.is_some_and(|left| left < data.len() || left == data.len() && !body.is_end_stream());
            if let Some(left) = &mut left {
                data.truncate(*left);
                *left -= data.len();
            }
            while !data.is_empty() {
                let mut piece = data.len();
                if fault.bandwidth.is_some() {
                    piece = piece.min(pace.piece());
                    let due = pace.due(piece);
                    if due > Instant::now() + LEAST_DELAY {
                        affected.happens();
                    }
                    sleep_until(due).await;
                }
                send(&mut to_client, data.split_to(piece)).await?;
            }
            if is_cut {
                affected.happens();
                return Err(End::Reset(Reason::INTERNAL_ERROR));
            }
        }
        finish(&mut body, &mut to_client).await
    }

    /// Waits as long as the fault says, unless the client goes.
    async fn wait(&self, affected: &mut Affected<'_>, answer: &mut SendResponse<Bytes>) -> Result<(), End> {
        let mut ended = self.between.ended.clone();
        tokio::select! {
            () = self.http.wait(affected, &mut ended) => Ok(()),
            end = reset(answer) => Err(end),
        }
    }

    /// Says nothing until the client goes, or the fault is over.
    async fn hold(&self, answer: &mut SendResponse<Bytes>) -> Result<(), End> {
        let mut ended = self.between.ended.clone();
        tokio::select! {
            end = reset(answer) => Err(end),
            _ = ended.wait_for(|ended| *ended) => Err(End::Reset(Reason::CANCEL)),
        }
    }
}

/// When the client wants no answer any more.
async fn reset(answer: &mut SendResponse<Bytes>) -> End {
    let _ = poll_fn(|cx| answer.poll_reset(cx)).await;
    End::Gone
}

/// Passes a body on, with its trailers.
async fn pass_on(mut body: RecvStream, mut to: SendStream<Bytes>) -> Result<(), End> {
    if body.is_end_stream() {
        return Ok(());
    }
    while let Some(data) = next(&mut body, &mut to).await? {
        send(&mut to, data).await?;
    }
    finish(&mut body, &mut to).await
}

/// What comes next of a body, unless it is not wanted any more.
async fn next(body: &mut RecvStream, to: &mut SendStream<Bytes>) -> Result<Option<Bytes>, End> {
    let data = tokio::select! {
        data = body.data() => data.transpose()?,
        _ = poll_fn(|cx| to.poll_reset(cx)) => return Err(End::Gone),
    };
    if let Some(data) = &data {
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(data)
}

async fn send(to: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), End> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = poll_fn(|cx| to.poll_capacity(cx)).await.ok_or(End::Gone)??;
        to.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

async fn finish(body: &mut RecvStream, to: &mut SendStream<Bytes>) -> Result<(), End> {
    match body.trailers().await? {
        Some(trailers) => to.send_trailers(trailers)?,
        None => to.send_data(Bytes::new(), true)?,
    }
    Ok(())
}

/// Gives an answer that no server gave.
async fn give(answer: &mut SendResponse<Bytes>, instead: &HttpAnswer, is_head: bool) -> Result<(), End> {
    let HttpAnswer { status, headers, body } = instead;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        // What cannot be sent was refused when the experiment was read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    let has_none = is_head || body.is_empty() || matches!(status, 204 | 304);
    let mut to = answer.send_response(response, has_none)?;
    if !has_none {
        send(&mut to, Bytes::from(body.clone())).await?;
        to.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

/// A client may name the server in `host` alone (RFC 9113, section 8.3.1), which this client of the server's does in `:authority`.
fn name_server(request: &mut Parts) {
    let host = request.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let (None, Some(host)) = (request.uri.authority(), host) {
        let mut uri = std::mem::take(&mut request.uri).into_parts();
        uri.authority = Some(host);
        // One without a scheme is no request of HTTP/2: what it is, is told where it is sent.
        request.uri = Uri::from_parts(uri).unwrap_or_default();
    }
}

fn is_meant(matching: &RequestMatch, request: &Parts) -> bool {
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    head::is_meant(matching, request.method.as_str(), target, |name| {
        let told = authority.filter(|_| name == "host");
        told.into_iter().chain(request.headers.get_all(name).iter().map(HeaderValue::as_bytes)).collect()
    })
}
