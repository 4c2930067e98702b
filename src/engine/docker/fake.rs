//! An engine that answers what a test wants, over a real socket: for answers that a real one gives rarely.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::Docker;

/// A fake engine; it ends with this value.
pub(super) struct Fake {
    pub(super) docker: Docker,
    asked: Arc<Mutex<Vec<String>>>,
    events: Mutex<Option<broadcast::Sender<String>>>,
    _serving: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Fake {
    /// One that gives `answer(n, "GET /path")` as status and body, where `n` counts the requests from 0.
    pub(super) async fn new(answer: impl Fn(usize, &str) -> (u16, String) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let seen = Arc::clone(&asked);
        let (events, told) = broadcast::channel::<String>(16);
        serving.spawn(async move {
            let mut streams = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                    if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let request = text.split(['?', '\r']).next().unwrap_or_default().replace(" HTTP/1.1", "");
                if request == "GET /events" {
                    let mut told = told.resubscribe();
                    streams.spawn(async move {
                        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
                        let _ = socket.write_all(head.as_bytes()).await;
                        while let Ok(event) = told.recv().await {
                            let _ = socket.write_all(format!("{event}\n").as_bytes()).await;
                        }
                    });
                    continue;
                }
                let (status, body) = if request == "GET /version" {
                    (200, r#"{"Version":"0","ApiVersion":"1.41"}"#.to_owned())
                } else if request == "GET /info" {
                    (200, r#"{"ID":"fake","SystemTime":"2026-11-30T12:00:00.5Z"}"#.to_owned())
                } else {
                    let n = {
                        let mut all = seen.lock().unwrap();
                        all.push(request.clone());
                        all.len() - 1
                    };
                    answer(n, &request)
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        let docker = Docker::connect(Some(&format!("unix://{}", path.display()))).await.unwrap();
        Self { docker, asked, events: Mutex::new(Some(events)), _serving: serving, _dir: dir }
    }

    /// Tells an event to who listens.
    pub(super) fn tells(&self, event: &Value) {
        let events = self.events.lock().unwrap();
        let _ = events.as_ref().expect("it tells events").send(event.to_string());
    }

    /// Ends the streams of events, also those to come.
    pub(super) fn falls_silent(&self) {
        self.events.lock().unwrap().take();
    }

    /// What was asked so far, beside the version and who it is.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
