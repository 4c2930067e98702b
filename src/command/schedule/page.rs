//! What the daemon shows over HTTP: `/healthz` and `/metrics`. Nothing that can be asked changes anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::view::View;

/// So many are answered at once. The one that has been at it longest makes room for the next one, so that clients that never finish
/// their request keep no other one waiting.
const CLIENTS: usize = 32;
/// No client takes longer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// No request of Squall's is longer, in bytes.
const HEAD: usize = 8 * 1024;

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, view: Arc<View>) {
    let mut clients = JoinSet::new();
    let mut seats: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                seats.retain(|client| !client.is_finished());
                if seats.len() == CLIENTS
                    && let Some(longest) = seats.pop_front()
                {
                    longest.abort();
                }
                let view = view.clone();
                seats.push_back(clients.spawn(async move {
                    let _ = timeout(CLIENT_TIMEOUT, answer(stream, &view)).await;
                }));
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
