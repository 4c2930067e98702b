//! HTTP/1.1 over this machine's sockets, for what Squall serves itself: GET requests, one a connection, bodies of known length.
//! `hyper` reads and writes it; who is answered, for how long and how many at once is decided here.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The longest head that is read, in bytes, and the longest body of an answer.
const HEAD: usize = 8 * 1024;
const BODY: usize = 64 * 1024;

/// The header that tells who has made an answer.
const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The path, without its query.
    Get(String),
    /// Some other method.
    Other,
}

/// A status and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// What the body is: its media type.
    pub kind: Cow<'static, str>,
    /// The body.
    pub body: String,
    /// Who has made it, where that is told (`X-Served-By`).
    pub by: Option<String>,
}

/// How much clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// So many are answered at once. The one that has been at it longest makes room for the next one, so that clients that never
    /// finish their request keep no other one waiting.
    pub at_once: usize,
    /// No client takes longer.
    pub client: Duration,
    /// How long requests that are being answered may go on at the end.
    pub last: Duration,
}

/// Answers until `end` comes, or it is dropped.
pub async fn serve<F: Future<Output = Response> + Send + 'static>(
    listener: TcpListener,
    limits: Limits,
    answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    end: impl Future<Output = ()>,
) {
    let mut clients = JoinSet::new();
    let mut seats: VecDeque<AbortHandle> = VecDeque::new();
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            () = end.as_mut() => break,
        };
        // Out of descriptors, say: that passes.
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        seats.retain(|client| !client.is_finished());
        if seats.len() >= limits.at_once
            && let Some(longest) = seats.pop_front()
        {
            longest.abort();
        }
        let answer = answer.clone();
        seats.push_back(clients.spawn(async move {
            let _ = timeout(limits.client, one(stream, answer)).await;
        }));
    }
    drop(listener);
    let _ = timeout(limits.last, async { while clients.join_next().await.is_some() {} }).await;
}

/// A client's one request. That it went away is its own business.
async fn one<F: Future<Output = Response>>(stream: TcpStream, answer: impl Fn(Request) -> F) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let asked = match *request.method() {
            Method::GET => Request::Get(request.uri().path().to_owned()),
            _ => Request::Other,
        };
        let answer = answer(asked);
        async { Ok::<_, Infallible>(response(answer.await)) }
    });
    let mut http = server::conn::http1::Builder::new();
    http.keep_alive(false).half_close(true).max_buf_size(HEAD);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn response(answer: Response) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let told = [(CONTENT_TYPE, Some(answer.kind.into_owned())), (SERVED_BY, answer.by)];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Asks at host:port for a path, over a connection of its own; the name is looked up anew each time.
///
/// # Errors
/// Where there is no whole answer in this time.
pub async fn get(address: &str, path: &str, within: Duration) -> io::Result<Response> {
    timeout(within, async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let request = hyper::Request::get(path).header(HOST, address).body(Empty::<Bytes>::new());
        let request = request.map_err(io::Error::other)?;
        let mut ask = pin!(async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, BODY).collect().await.map_err(io::Error::other)?.to_bytes();
            let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (kind, by) = (header(CONTENT_TYPE).unwrap_or_default().into(), header(SERVED_BY));
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Response { status: head.status.as_u16(), kind, body, by })
        });
        tokio::select! {
            biased;
            answer = ask.as_mut() => answer,
            // It has ended; what it brought is there.
            _ = connection => ask.await,
        }
    })
    .await?
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMITS: Limits = Limits { at_once: 2, client: Duration::from_secs(20), last: Duration::ZERO };
    const LONG: Duration = Duration::from_secs(20);

    /// What comes of a check while a server says what it was asked for.
    async fn with_server<T>(check: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = |request| {
            ready(Response {
                status: 200,
                kind: "text/plain".into(),
                body: format!("{request:?}"),
                by: Some("me".to_owned()),
            })
        };
        tokio::select! {
            () = serve(listener, LIMITS, echo, pending()) => unreachable!("it serves until it is dropped"),
            checked = check(address) => checked,
        }
    }

    async fn raw(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_request_is_its_method_and_path() {
        with_server(async |address| {
            let asked = async |request: &str| raw(address, request).await;
            let got = asked("GET /checkout?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nGet(\"/checkout\")"), "{got}");
            assert!(asked("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n").await.ends_with("Other"));
            assert!(asked("nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_served_can_be_asked_for() {
        with_server(async |address| {
            let got = get(&address.to_string(), "/stock", LONG).await.unwrap();
            assert_eq!((got.status, got.body.as_str(), got.by.as_deref()), (200, "Get(\"/stock\")", Some("me")));
        })
        .await;
    }

    #[tokio::test]
    async fn who_never_finishes_a_request_keeps_no_other_one_waiting() {
        with_server(async |address| {
            let mut slow = Vec::new();
            for _ in 0..5 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET /slow").await.unwrap();
                slow.push(stream);
            }
            assert_eq!(get(&address.to_string(), "/", LONG).await.unwrap().status, 200);
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_short_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let short = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok").await.unwrap();
        };
        let (got, ()) = tokio::join!(get(&address, "/", LONG), short);
        assert!(got.is_err(), "{got:?}");
    }
}
