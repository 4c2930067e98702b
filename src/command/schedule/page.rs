//! What the daemon shows over HTTP: `/healthz` and `/metrics`. Nothing that can be asked changes anything.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::view::View;
use crate::host::http::{Limits, Request, Response, serve as answers};

const LIMITS: Limits = Limits { at_once: 32, client: Duration::from_secs(5), last: Duration::ZERO };

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, view: Arc<View>) {
    answers(listener, LIMITS, move |request| ready(respond(&request, &view)), pending()).await;
}

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(request: &Request, view: &View) -> Response {
    let (status, kind, body) = match request {
        Request::Get(path) if path == "/healthz" => match view.trouble() {
            None => (200, TEXT, "ok\n".to_owned()),
            Some(why) => (503, TEXT, format!("{why}\n")),
        },
        Request::Get(path) if path == "/metrics" => (200, "text/plain; version=0.0.4; charset=utf-8", view.metrics()),
        Request::Get(_) => (404, TEXT, "there are /healthz and /metrics\n".to_owned()),
        Request::Other => (405, TEXT, "only GET; nothing can be changed here\n".to_owned()),
    };
    Response { status, kind: kind.into(), body, by: None }
}
