//! The proxy between both ends of HTTP/2, and of gRPC, which is spoken on it.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::{Reason, client, server};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, Response};
use squall::model::network::{
    Chosen, Delay, Existing, GrpcFault, GrpcStatus, HttpFault, Network, ProxyFault, RequestMatch, When,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pair::{FAR, Pair};
use super::proxy::{InThePath, MEANT, answer, http, nothing, through};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers each request with its path and its body, piece by piece, and a trailer; and what it was asked.
struct Server {
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    fn start(pair: &Pair) -> Self {
        let at: IpAddr = FAR.parse().unwrap();
        let listener = pair.far.run(|| TcpListener::bind((at, MEANT))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (mut tasks, heard) = (JoinSet::new(), Arc::clone(&asked));
        tasks.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&heard)));
            }
        });
        Self { asked, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: tokio::net::TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut connection = server::handshake(stream).await.unwrap();
    let mut exchanges = JoinSet::new();
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        let asked = Arc::clone(&asked);
        exchanges.spawn(async move {
            let path = request.uri().path().to_owned();
            asked.lock().unwrap().push(path.clone());
            let mut body = request.into_body();
            let response = Response::builder().header("x-path", &path).body(()).unwrap();
            let mut to = answer.send_response(response, false).unwrap();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                to.send_data(data, false).unwrap();
            }
            // One that was given up has no end to tell.
            if body.is_end_stream() {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let _ = to.send_trailers(trailers);
            } else {
                asked.lock().unwrap().push(format!("{path} was given up"));
            }
        });
    }
}

/// A client's connection.
struct Client {
    requests: client::SendRequest<Bytes>,
    _tasks: JoinSet<()>,
}

/// What a request was answered.
#[derive(Debug, PartialEq)]
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Client {
    async fn connect(pair: &Pair) -> Self {
        let to: SocketAddr = (FAR.parse::<IpAddr>().unwrap(), MEANT).into();
        let stream = pair.near.run(|| TcpStream::connect(to)).unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let (requests, connection) = timeout(PATIENCE, client::handshake(stream)).await.unwrap().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        Self { requests, _tasks: tasks }
    }

    /// A request whose answer is still to come, and where its body goes.
    async fn begin(&self, path: &str, kind: &str, ends: bool) -> (client::ResponseFuture, h2::SendStream<Bytes>) {
        let uri = format!("http://far:{MEANT}{path}");
        let request = Request::builder().method("POST").uri(uri).header("content-type", kind).body(()).unwrap();
        let mut ready = timeout(PATIENCE, self.requests.clone().ready()).await.unwrap().unwrap();
        ready.send_request(request, ends).unwrap()
    }

    async fn ask(&self, path: &str, kind: &str, body: &[u8]) -> Result<Answered, h2::Error> {
        let (response, mut to) = self.begin(path, kind, false).await;
        to.send_data(Bytes::copy_from_slice(body), true)?;
        timeout(PATIENCE, answered(response)).await.unwrap()
    }
}

async fn answered(response: client::ResponseFuture) -> Result<Answered, h2::Error> {
    let (parts, mut from) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = from.data().await {
        let data = data?;
        from.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = from.trailers().await?.unwrap_or_default();
    Ok(Answered { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

fn on(path: &str) -> RequestMatch {
    RequestMatch { paths: vec![path.to_owned()], hosts: vec!["far".to_owned()], ..RequestMatch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_requests_of_a_connection_are_answered_in_place_of_the_server() {
    let path =
        InThePath::with(&http(HttpFault { matching: on("/fail*"), answer: Some(answer(503)), ..nothing() })).await;
    let server = Server::start(&path.pair);
    let client = Client::connect(&path.pair).await;
    let large = vec![7; 3 << 20];
    let (whole, failed, small) = tokio::join!(
        client.ask("/large", "x", &large),
        client.ask("/fail/1", "x", b"?"),
        client.ask("/", "x", b"hello")
    );
    let (whole, failed, small) = (whole.unwrap(), failed.unwrap(), small.unwrap());
    assert!(whole.status == 200 && whole.body == large, "{} of {} bytes", whole.body.len(), large.len());
    assert_eq!((failed.status, failed.body.as_slice()), (503, b"squall".as_slice()));
    assert_eq!(failed.headers["retry-after"], "5");
    assert_eq!((small.status, small.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(
        (&small.headers["x-path"], &small.trailers["grpc-status"]),
        (&"/".parse().unwrap(), &"0".parse().unwrap())
    );
    assert!(!server.asked().iter().any(|path| path.starts_with("/fail")), "the server has not seen it");
    path.tells("what was met", |told| (told.requests, told.meant, told.affected, told.opaque) == (3, 1, 1, 0));
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_held_holds_up_no_other_and_is_given_up_like_any() {
    let path = InThePath::with(&http(HttpFault { matching: on("/stall"), stall: true, ..nothing() })).await;
    let server = Server::start(&path.pair);
    let client = Client::connect(&path.pair).await;
    let (stalled, _to) = client.begin("/stall", "x", true).await;
    assert_eq!(client.ask("/", "x", b"hello").await.unwrap().body, b"hello");
    path.tells("one is held", |told| told.affected == 1);
    // A request in the middle of its body is given up: so it is for the server.
    let (response, to) = client.begin("/endless", "x", false).await;
    let response = response.await.unwrap();
    drop((response, to));
    for _ in 0..200 {
        if server.asked().contains(&"/endless was given up".to_owned()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.asked(), ["/", "/endless", "/endless was given up"]);
    path.clear().await;
    assert_eq!(stalled.await.unwrap_err().reason(), Some(Reason::CANCEL), "it is over with the fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_lost_cut_or_altered_and_the_next_one_is_not() {
    let body = vec![b'x'; 5000];
    let first = Chosen { first: Some(1), ..Chosen::default() };
    for fault in [
        HttpFault { when: When::After, answer: Some(answer(504)), ..nothing() },
        HttpFault { cut_after: Some(1000), ..nothing() },
        HttpFault { corrupt_body: true, ..nothing() },
    ] {
        let path = InThePath::with(&http(HttpFault { chosen: first, ..fault.clone() })).await;
        let server = Server::start(&path.pair);
        let client = Client::connect(&path.pair).await;
        let spoilt = client.ask("/pay", "x", &body).await;
        if fault.cut_after.is_some() {
            assert_eq!(spoilt.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        } else if fault.corrupt_body {
            let spoilt = spoilt.unwrap();
            assert!(spoilt.body.len() == 5000 && spoilt.body != body && !spoilt.trailers.is_empty());
        } else {
            assert_eq!(spoilt.unwrap().status, 504);
        }
        assert_eq!(client.ask("/pay", "x", &body).await.unwrap().body, body, "on the same connection");
        assert_eq!(server.asked().iter().filter(|path| *path == "/pay").count(), 2, "the server has seen both");
        path.tells("one of two", |told| (told.requests, told.affected) == (2, 1));
        path.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_is_a_connection_that_does() {
    let path = InThePath::with(&http(nothing())).await;
    let server = Server::start(&path.pair);
    let client = Client::connect(&path.pair).await;
    let (response, mut to) = client.begin("/", "x", false).await;
    let mut body = response.await.unwrap().into_body();
    to.send_data(Bytes::from_static(b"one"), false).unwrap();
    assert_eq!(timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap(), "one");
    drop(server);
    let end = timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap_err();
    assert!(end.is_io(), "{end:?}");
    path.clear().await;
}

fn calls(status: Option<GrpcStatus>, cut_after: Option<u64>) -> Network {
    let fault = GrpcFault {
        services: vec!["shop.v1.Orders".to_owned()],
        methods: vec!["Place".to_owned()],
        chosen: Chosen::default(),
        when: When::Before,
        status,
        message: "not now".to_owned(),
        delay: Delay::default(),
        stall: false,
        cut_after,
    };
    through(ProxyFault::Grpc(Box::new(fault)), Existing::Reset)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_with_its_status_and_a_stream_of_another_method_passes_message_by_message() {
    let path = InThePath::with(&calls(Some(GrpcStatus::Unavailable), None)).await;
    let server = Server::start(&path.pair);
    let client = Client::connect(&path.pair).await;
    let refused = client.ask("/shop.v1.Orders/Place", "application/grpc+proto", b"\0\0\0\0\0").await.unwrap();
    assert_eq!((refused.status, refused.body.len()), (200, 0));
    assert_eq!(refused.headers["grpc-status"], "14");
    assert_eq!(refused.headers["grpc-message"], "not now");
    let page = client.ask("/shop.v1.Orders/Place", "text/html", b"").await.unwrap();
    assert!(!page.headers.contains_key("grpc-status"), "it is no call");
    let (response, mut to) = client.begin("/shop.v1.Orders/Watch", "application/grpc", false).await;
    let mut body = response.await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        to.send_data(Bytes::from(message), false).unwrap();
        let data = timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
        assert_eq!(data, message, "the answer comes before the next message");
    }
    to.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    assert_eq!(server.asked(), ["/shop.v1.Orders/Place", "/shop.v1.Orders/Watch"]);
    path.tells("one call", |told| (told.requests, told.meant, told.affected) == (3, 1, 1));
    path.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_in_the_middle() {
    let path = InThePath::with(&calls(None, Some(4))).await;
    let _server = Server::start(&path.pair);
    let client = Client::connect(&path.pair).await;
    let (response, mut to) = client.begin("/shop.v1.Orders/Place", "application/grpc", false).await;
    let mut body = response.await.unwrap().into_body();
    to.send_data(Bytes::from_static(b"one"), false).unwrap();
    assert_eq!(timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap(), "one");
    to.send_data(Bytes::from_static(b"two"), false).unwrap();
    let mut rest = Vec::new();
    let end = loop {
        match timeout(PATIENCE, body.data()).await.unwrap().unwrap() {
            Ok(data) => rest.extend_from_slice(&data),
            Err(e) => break e.reason(),
        }
    };
    assert!(rest.len() <= 1 && end == Some(Reason::INTERNAL_ERROR), "{rest:?}, {end:?}");
    path.clear().await;
}
