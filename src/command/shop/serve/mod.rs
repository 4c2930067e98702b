//! The services of the demonstration's stack: a gateway before some shops before a store.
//!
//! Small, but built as such systems should be: bounded waiting everywhere, and a gateway that goes on to the next shop
//! where one does not answer. They know nothing of experiments.

mod balancer;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::host::http::{self, Limits, Request, Response};
use balancer::Balancer;

/// How long the gateway waits for one shop before it asks the next.
const SHOP_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a shop waits for the store: less than the gateway waits for the shop, so that the right one is blamed.
const STORE_TIMEOUT: Duration = Duration::from_millis(200);
/// As many as there may be, and longer than the gateway takes where no shop answers.
const LIMITS: Limits = Limits { at_once: 10_000, client: Duration::from_secs(10), last: Duration::from_millis(500) };
/// What all answers are but figures.
const JSON: &str = "application/json";

/// A service of the stack.
#[derive(Debug)]
pub struct Service {
    name: String,
    part: Part,
    /// How many answers it gave, by status.
    given: Mutex<BTreeMap<u16, u64>>,
}

#[derive(Debug)]
enum Part {
    Gateway(Balancer),
    Shop { store: String },
    Store,
}

impl Service {
    /// A gateway over shops, each given as host:port.
    #[must_use]
    pub fn gateway(name: String, shops: Vec<String>) -> Self {
        Self::of(name, Part::Gateway(Balancer::over(shops)))
    }

    /// A shop that asks a store, given as host:port.
    #[must_use]
    pub fn shop(name: String, store: String) -> Self {
        Self::of(name, Part::Shop { store })
    }

    /// A store.
    #[must_use]
    pub fn store(name: String) -> Self {
        Self::of(name, Part::Store)
    }

    fn of(name: String, part: Part) -> Self {
        Self { name, part, given: Mutex::default() }
    }

    /// Answers on `listen` (host:port) until SIGTERM or SIGINT; also as PID 1, for which neither has a default action.
    ///
    /// # Errors
    /// Where it cannot listen there.
    pub async fn run(self, listen: &str) -> anyhow::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let service = Arc::new(self);
        let end = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        http::serve(listener, LIMITS, move |request| Arc::clone(&service).respond(request), end).await;
        Ok(())
    }

    async fn respond(self: Arc<Self>, request: Request) -> Response {
        let answer = match request {
            Request::Get(path) if path == "/metrics" => self.metrics(),
            Request::Get(path) => self.answer(&path).await,
            Request::Other => self.says(405, &json!({ "error": "GET only" })),
        };
        *self.given().entry(answer.status).or_default() += 1;
        answer
    }

    fn says(&self, status: u16, body: &Value) -> Response {
        Response { status, kind: JSON.into(), body: format!("{body}\n"), by: Some(self.name.clone()) }
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Figures for a Prometheus.
    fn metrics(&self) -> Response {
        let mut body = "# TYPE http_requests_total counter\n".to_owned();
        for (status, n) in self.given().iter() {
            let _ = writeln!(body, "http_requests_total{{code=\"{status}\"}} {n}");
        }
        Response { status: 200, body, kind: "text/plain; version=0.0.4".into(), by: Some(self.name.clone()) }
    }

    async fn answer(&self, path: &str) -> Response {
        match (&self.part, path) {
            (_, "/health") => self.says(200, &json!({ "name": self.name, "status": "ok" })),
            (Part::Gateway(shops), "/checkout") => match shops.get("/checkout", SHOP_TIMEOUT).await {
                Some(answer) => answer,
                None => self.says(503, &json!({ "error": "no shop answers" })),
            },
            (Part::Shop { store }, "/checkout") => match http::get(store, "/stock", STORE_TIMEOUT).await {
                Ok(Response { status: 200, body, .. }) => {
                    let stock: Value = serde_json::from_str(&body).unwrap_or_default();
                    self.says(200, &json!({ "order": "accepted", "shop": self.name, "store": stock }))
                }
                Ok(_) | Err(_) => self.says(503, &json!({ "error": "the store does not answer", "shop": self.name })),
            },
            (Part::Store, "/stock") => self.says(200, &json!({ "store": self.name, "stock": 42 })),
            _ => self.says(404, &json!({ "error": "there is nothing here", "path": path })),
        }
    }
}

/// Whether a service at host:port answers a path with a good status within `retries`.
pub async fn answers(address: &str, path: &str, retries: Duration) -> bool {
    http::get(address, path, retries).await.is_ok_and(|answer| answer.status == 200)
}
