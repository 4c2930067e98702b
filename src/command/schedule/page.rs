//! What the daemon shows over HTTP: `/healthz` and `/metrics`. Nothing that can be asked changes anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::view::View;

/// So many are answered at once; others wait.
const CLIENTS: usize = 8;
/// No client takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No request of ours is longer, in bytes.
const HEAD: usize = 8 * 1024;

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, view: Arc<View>) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Ok(seat) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let view = view.clone();
                clients.spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &view)).await;
                    drop(seat);
                });
            }
            // Out of descriptors, say: that passes.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, view: &View) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() > HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let (status, kind, body) = respond(std::str::from_utf8(line).unwrap_or_default(), view);
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(line: &str, view: &View) -> (&'static str, &'static str, String) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, target.split('?').next().unwrap_or_default()) {
        ("GET", "/healthz") => match view.trouble() {
            None => ("200 OK", TEXT, "ok\n".to_owned()),
            Some(why) => ("503 Service Unavailable", TEXT, format!("{why}\n")),
        },
        ("GET", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", view.metrics()),
        ("GET", _) => ("404 Not Found", TEXT, "there are /healthz and /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", TEXT, "only GET; nothing can be changed here\n".to_owned()),
    }
}
