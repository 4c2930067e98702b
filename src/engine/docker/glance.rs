//! Containers at a glance, as the engine says that they are, for who looks often. One that is listed as before, and of which the engine has
//! told no event since it was inspected, is not inspected again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, EventMessage, EventMessageTypeEnum,
};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failure::within;
use super::{Docker, QUICK};

/// How long what was inspected is believed: a way to the engine may hold its events back.
const BELIEVED: Duration = Duration::from_secs(10);

/// How long an engine that told no events is not asked for them again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What is known of containers. It listens for as long as it is there.
#[derive(Debug, Default)]
pub(super) struct Glances {
    state: Mutex<State>,
    listening: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// How many events were heard; `None` where nothing is.
    heard: Option<u64>,
    tried: Option<Instant>,
    known: HashMap<String, (Instant, ContainerInspectResponse)>,
}

impl Glances {
    /// What was inspected of a container, if nothing shows that it is another way by now.
    pub(super) fn known(&self, listed: &ContainerSummary) -> Option<ContainerInspectResponse> {
        let state = self.state();
        state.heard?;
        let (since, container) = state.known.get(listed.id.as_ref()?)?;
        (since.elapsed() < BELIEVED && is_listed_so(container, listed)).then(|| container.clone())
    }

    /// Keeps what was inspected, unless an event was heard since `heard`: it may have been inspected before that.
    pub(super) fn learn(&self, heard: u64, container: &ContainerInspectResponse) {
        let mut state = self.state();
        if let Some(id) = container.id.as_ref().filter(|_| state.heard == Some(heard)) {
            state.known.insert(id.clone(), (Instant::now(), container.clone()));
        }
    }

    fn hear(&self, event: EventMessage) {
        let (Some(action), Some(actor)) = (event.action, event.actor) else { return };
        // Commands in a container, such as its health check's, change nothing of it.
        if action.starts_with("exec_") || action.starts_with("top") {
            return;
        }
        let id = match event.typ {
            Some(EventMessageTypeEnum::CONTAINER) => actor.id,
            _ => actor.attributes.and_then(|mut all| all.remove("container")),
        };
        let mut state = self.state();
        state.heard = state.heard.map(|n| n + 1);
        if let Some(id) = id {
            state.known.remove(&id);
        }
    }

    fn is_deaf(&self) {
        let mut state = self.state();
        state.heard = None;
        state.known.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Docker {
    /// Listens to the engine's events, if it does not yet: how many were heard; `None` where it tells none.
    pub(super) async fn listen(&self) -> Option<u64> {
        {
            let mut state = self.glances.state();
            let lately = state.tried.is_some_and(|at| at.elapsed() < RETRY_AFTER);
            if state.heard.is_some() || lately || self.podman.is_some() {
                return state.heard;
            }
            state.tried = Some(Instant::now());
        }
        // By the engine's own clock: what happens before the stream is there is told nevertheless.
        let now = within(QUICK, self.api.info()).await.ok()?.system_time?;
        let now: Timestamp = now.parse().ok()?;
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let wanted = HashMap::from([("type", vec!["container", "network"])]);
        let events = EventsOptionsBuilder::new().since(&since).filters(&wanted).build();
        let (api, glances) = (self.api.clone(), Arc::downgrade(&self.glances));
        let mut listening = self.glances.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.abort_all();
        self.glances.state().heard = Some(0);
        listening.spawn(async move {
            let mut events = Box::pin(api.events(Some(events)));
            while let Some(Ok(event)) = events.next().await {
                let Some(glances) = Weak::upgrade(&glances) else { return };
                glances.hear(event);
            }
            if let Some(glances) = Weak::upgrade(&glances) {
                glances.is_deaf();
            }
        });
        Some(0)
    }
}

/// Whether the list says the same of a container as it was inspected.
fn is_listed_so(container: &ContainerInspectResponse, listed: &ContainerSummary) -> bool {
    let state = container.state.as_ref();
    let status = state.and_then(|s| s.status).map(|s| s.to_string());
    let health = state.and_then(|s| s.health.as_ref()?.status).map(|s| s.to_string());
    // `Up 3 minutes (unhealthy)`, `Up 2 seconds (health: starting)`.
    let text = listed.status.as_deref().unwrap_or_default();
    let told = ["unhealthy", "healthy", "starting"].into_iter().find(|word| text.contains(word));
    let networks = |all: Option<&HashMap<String, EndpointSettings>>| -> BTreeMap<String, Option<String>> {
        all.into_iter().flatten().map(|(name, at)| (name.clone(), at.endpoint_id.clone())).collect()
    };
    status.is_some()
        && status == listed.state.map(|s| s.to_string())
        && health.filter(|word| word != "none" && !word.is_empty()).as_deref() == told
        && networks(container.network_settings.as_ref().and_then(|s| s.networks.as_ref()))
            == networks(listed.network_settings.as_ref().and_then(|s| s.networks.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Observe as _;
    use crate::engine::docker::fake::Fake;

    fn listed(id: &str, state: &str, endpoint: &str) -> Value {
        json!({ "Id": id, "State": state, "Status": "Up 3 minutes",
                "NetworkSettings": { "Networks": { "front": { "EndpointID": endpoint } } } })
    }

    fn inspected(id: &str, state: &str, endpoint: &str) -> Value {
        let is = |what: &str| state == what;
        json!({ "Id": id, "Name": format!("/{id}"), "Config": {}, "HostConfig": {},
                "State": { "Status": state, "Running": !is("exited"), "Paused": is("paused") },
                "NetworkSettings": { "Networks": { "front": { "EndpointID": endpoint } } } })
    }

    /// An engine with two containers, of which the first is in a state that the test sets.
    async fn engine() -> (Fake, Arc<Mutex<(&'static str, &'static str)>>) {
        let first = Arc::new(Mutex::new(("running", "e1")));
        let now = Arc::clone(&first);
        let fake = Fake::new(move |_, request| {
            let (state, endpoint) = *now.lock().unwrap();
            let told = match request {
                "GET /containers/json" => json!([listed("c1", state, endpoint), listed("c2", "running", "e2")]),
                "GET /containers/c1/json" => inspected("c1", state, endpoint),
                "GET /containers/c2/json" => inspected("c2", "running", "e2"),
                _ => return (404, r#"{"message":"no such thing"}"#.to_owned()),
            };
            (200, told.to_string())
        })
        .await;
        (fake, first)
    }

    /// Which containers are inspected for a glance.
    async fn looked_at(fake: &Fake) -> Vec<String> {
        let before = fake.asked().len();
        assert_eq!(fake.docker.glance().await.unwrap().len(), 2);
        let mut asked: Vec<String> =
            fake.asked().split_off(before).iter().filter_map(|r| Some(r.split('/').nth(2)?.to_owned())).collect();
        asked.retain(|what| what.starts_with('c') && what != "json");
        asked.sort();
        asked
    }

    #[tokio::test]
    async fn what_has_not_changed_is_not_inspected_again() {
        let (fake, first) = engine().await;
        assert_eq!(looked_at(&fake).await, ["c1", "c2"]);
        assert!(looked_at(&fake).await.is_empty());
        // The list shows it, though no event has come yet.
        *first.lock().unwrap() = ("paused", "e1");
        assert_eq!(looked_at(&fake).await, ["c1"]);
        *first.lock().unwrap() = ("paused", "e9");
        assert_eq!(looked_at(&fake).await, ["c1"]);
        assert!(looked_at(&fake).await.is_empty());
        // What no list shows: it was restarted.
        let event = |action: &str| json!({ "Type": "container", "Action": action, "Actor": { "ID": "c2" } });
        fake.tells(&event("exec_start: ps"));
        fake.tells(&event("restart"));
        let mut again = looked_at(&fake).await;
        while again.is_empty() {
            again = looked_at(&fake).await;
        }
        assert_eq!(again, ["c2"]);
        // An event that comes while it is inspected has it inspected once more.
        while !looked_at(&fake).await.is_empty() {}
        let whole = fake.asked().len();
        fake.docker.observe().await.unwrap();
        assert_eq!(fake.asked().len(), whole + 3, "who looks at all of it gets all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_believed_for_long_nor_without_events() {
        let (fake, _) = engine().await;
        looked_at(&fake).await;
        assert!(looked_at(&fake).await.is_empty());
        tokio::time::advance(BELIEVED).await;
        assert_eq!(looked_at(&fake).await, ["c1", "c2"]);
        fake.falls_silent();
        while looked_at(&fake).await.is_empty() {}
        assert_eq!(looked_at(&fake).await, ["c1", "c2"], "it has no events");
    }
}
