//! Containers at a glance, as the engine says that they are, for who looks often. One that is listed as before, and of which the engine has
//! told no event since it was inspected, is not inspected again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, EventMessage,
    EventMessageTypeEnum,
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
    /// Whether events are heard.
    hears: bool,
    /// How many were, and how often that began or ended: it only grows.
    count: u64,
    tried: Option<Instant>,
    known: HashMap<String, (Instant, ContainerInspectResponse)>,
}

impl Glances {
    /// What was inspected of a container, if nothing shows that it is another way by now.
    pub(super) fn known(&self, listed: &ContainerSummary) -> Option<ContainerInspectResponse> {
        let state = self.state();
        if !state.hears {
            return None;
        }
        let (since, container) = state.known.get(listed.id.as_ref()?)?;
        (since.elapsed() < BELIEVED && is_listed_so(container, listed)).then(|| container.clone())
    }

    /// Keeps what was inspected, unless an event was heard since `heard`: it may have been inspected before that.
    pub(super) fn learn(&self, heard: u64, container: &ContainerInspectResponse) {
        let mut state = self.state();
        if let Some(id) = container.id.as_ref().filter(|_| state.hears && state.count == heard) {
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
        state.count += 1;
        if let Some(id) = id {
            state.known.remove(&id);
        }
    }

    /// From now on events are heard, or are not any more.
    fn hears(&self, hears: bool) {
        let mut state = self.state();
        (state.hears, state.count) = (hears, state.count + 1);
        state.known.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Docker {
    /// Has the engine's events listened to, if they are not yet: how many were heard; `None` as long as none is.
    pub(super) fn listen(&self) -> Option<u64> {
        {
            let mut state = self.glances.state();
            let lately = state.tried.is_some_and(|at| at.elapsed() < RETRY_AFTER);
            if state.hears || lately || self.podman.is_some() {
                return state.hears.then_some(state.count);
            }
            state.tried = Some(Instant::now());
        }
        let (api, glances) = (self.api.clone(), Arc::downgrade(&self.glances));
        let mut listening = self.glances.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.abort_all();
        listening.spawn(listen(api, glances));
        None
    }
}

/// Listens for as long as there is who wants to know, and something to hear.
async fn listen(api: bollard::Docker, glances: Weak<Glances>) {
    // By the engine's own clock: what happens before the stream is there is told nevertheless.
    let now = within(QUICK, api.info()).await.ok().and_then(|info| info.system_time?.parse::<Timestamp>().ok());
    let Some(now) = now else { return };
    let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
    let wanted = HashMap::from([("type", vec!["container", "network"])]);
    let mut events = Box::pin(api.events(Some(EventsOptionsBuilder::new().since(&since).filters(&wanted).build())));
    let hears = |hears| Weak::upgrade(&glances).map(|glances| glances.hears(hears));
    if hears(true).is_none() {
        return;
    }
    while let Some(Ok(event)) = events.next().await {
        let Some(glances) = Weak::upgrade(&glances) else { return };
        glances.hear(event);
    }
    hears(false);
}

/// Whether the list says the same of a container as it was inspected.
fn is_listed_so(container: &ContainerInspectResponse, listed: &ContainerSummary) -> bool {
    let state = container.state.as_ref();
    let status = state.and_then(|s| s.status).map(|s| s.to_string());
    let health = state.and_then(|s| s.health.as_ref()?.status).map(|s| s.to_string());
    let text = listed.status.as_deref().unwrap_or_default();
    let words = [("(unhealthy)", "unhealthy"), ("(healthy)", "healthy"), ("(health: starting)", "starting")];
    let told = words.into_iter().find(|(shown, _)| text.contains(shown)).map(|(_, word)| word);
    // Only of one that runs, and is not paused, the list says it.
    let is_told = listed.state == Some(ContainerSummaryStateEnum::RUNNING);
    let networks = |all: Option<&HashMap<String, EndpointSettings>>| -> BTreeMap<String, Option<String>> {
        all.into_iter().flatten().map(|(name, at)| (name.clone(), at.endpoint_id.clone())).collect()
    };
    status.is_some()
        && status == listed.state.map(|s| s.to_string())
        && (!is_told || health.filter(|word| word != "none" && !word.is_empty()).as_deref() == told)
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
        assert_eq!(looked_at(&fake).await, ["c1", "c2"], "it is not listened to yet");
        while !looked_at(&fake).await.is_empty() {}
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

    #[tokio::test]
    async fn nothing_is_believed_for_long_nor_without_events() {
        let (fake, _) = engine().await;
        while !looked_at(&fake).await.is_empty() {}
        for (since, _) in fake.docker.glances.state().known.values_mut() {
            *since = since.checked_sub(BELIEVED).expect("this machine is on for longer");
        }
        assert_eq!(looked_at(&fake).await, ["c1", "c2"]);
        fake.falls_silent();
        while looked_at(&fake).await.is_empty() {}
        assert_eq!(looked_at(&fake).await, ["c1", "c2"], "it has no events");
    }
}
