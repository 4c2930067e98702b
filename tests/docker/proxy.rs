//! A socket before the engine's, which lets everything through but what a test holds up.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinSet;

const ENGINE: &str = "/var/run/docker.sock";

/// Requests that are never answered, by how they begin: `GET /containers/ID/json`.
type HeldUp = Arc<Mutex<Vec<String>>>;

/// A request that is carried on only so long after its client has given it up, and how many were.
#[derive(Default)]
struct Late {
    request: Mutex<Option<(String, Duration)>>,
    delivered: AtomicUsize,
}

/// A proxy; it ends with this value.
pub(crate) struct Proxy {
    held_up: HeldUp,
    late: Arc<Late>,
    socket: PathBuf,
    /// The same engine by a network.
    port: u16,
    _serving: JoinSet<()>,
}

impl Proxy {
    pub(crate) fn new(dir: &Path) -> Self {
        let socket = dir.join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("a listener");
        let port = tcp.local_addr().expect("an address").port();
        let tcp = TcpListener::from_std(tcp).expect("a listener");
        let (held_up, late) = (HeldUp::default(), Arc::new(Late::default()));
        let mut serving = JoinSet::new();
        let (held, later) = (Arc::clone(&held_up), Arc::clone(&late));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    client = listener.accept() => {
                        let (reader, writer) = client.expect("a connection").0.into_split();
                        connections.spawn(pass(reader, writer, Arc::clone(&held), Arc::clone(&later)));
                    }
                    client = tcp.accept() => {
                        let (reader, writer) = client.expect("a connection").0.into_split();
                        connections.spawn(pass(reader, writer, Arc::clone(&held), Arc::clone(&later)));
                    }
                }
            }
        });
        Self { held_up, late, socket, port, _serving: serving }
    }

    /// The next request that begins so is carried on only so long after its client has given it up.
    pub(crate) fn delay(&self, request: String, after: Duration) {
        *self.late.request.lock().expect("no panic") = Some((request, after));
    }

    /// How many requests were carried on late, and answered.
    pub(crate) fn delivered(&self) -> usize {
        self.late.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn tcp_host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// From now on the engine says nothing to requests that begin so.
    pub(crate) fn hold_up(&self, request: String) {
        self.held_up.lock().expect("no panic").push(request);
    }

    /// From now on it answers them all again.
    pub(crate) fn let_through(&self) {
        self.held_up.lock().expect("no panic").clear();
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// A client writes the head of a request at once.
async fn pass(
    mut from_client: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
    held_up: HeldUp,
    late: Arc<Late>,
) {
    let engine = UnixStream::connect(ENGINE).await.expect("the engine's socket");
    let (mut from_engine, mut to_engine) = engine.into_split();
    let requests = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from_client.read(&mut chunk).await {
            let text = String::from_utf8_lossy(&chunk[..n]).into_owned();
            if held_up.lock().expect("no panic").iter().any(|request| text.starts_with(request.as_str())) {
                // Until the client hangs up.
                while let Ok(1..) = from_client.read(&mut chunk).await {}
                return None;
            }
            let delayed =
                late.request.lock().expect("no panic").take_if(|(request, _)| text.starts_with(request.as_str()));
            if let Some((_, after)) = delayed {
                let mut rest = vec![0; 64 * 1024];
                while let Ok(1..) = from_client.read(&mut rest).await {}
                tokio::time::sleep(after).await;
                to_engine.write_all(&chunk[..n]).await.expect("the engine is there");
                return Some(to_engine);
            }
            if to_engine.write_all(&chunk[..n]).await.is_err() {
                return None;
            }
        }
        let _ = to_engine.shutdown().await;
        std::future::pending().await
    };
    let delayed = tokio::select! {
        delayed = requests => delayed,
        _ = tokio::io::copy(&mut from_engine, &mut to_client) => None,
    };
    if let Some(_open) = delayed {
        let answered = from_engine.read(&mut vec![0; 64 * 1024]).await;
        assert!(matches!(answered, Ok(1..)), "the engine answers");
        late.delivered.fetch_add(1, Ordering::Relaxed);
    }
}
