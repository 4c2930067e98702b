//! What probes would see of the simulated world.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use tokio::time::{Instant, sleep};

use super::Sim;
use super::world::Met;
use crate::experiment::Check;
use crate::probe::{Answer, Failure, Probe, Senses};

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(5);

/// Answers probes from the sim's world.
pub struct SimSenses {
    sim: Arc<Sim>,
    checks: IndexMap<String, Check>,
}

impl SimSenses {
    /// For these checks.
    pub fn new<'a>(sim: Arc<Sim>, checks: impl Iterator<Item = (&'a String, &'a Check)>) -> Self {
        Self { sim, checks: checks.map(|(name, check)| (name.clone(), check.clone())).collect() }
    }
}

#[async_trait]
impl Senses for SimSenses {
    async fn ask(&self, check: &str) -> Answer {
        let Some(check) = self.checks.get(check) else { return Answer::CouldNotAsk("no such check".to_owned()) };
        let port = match &check.probe {
            Probe::Http(http) => port_of(&http.url.0),
            Probe::Tcp(tcp) => port_of(&tcp.address.0),
            Probe::Exec(_) => return Answer::Good { value: Some("0".to_owned()) },
            Probe::Engine(engine) => return Answer::Good { value: Some(engine.read(&self.sim.peek()).to_string()) },
        };
        let met = {
            let mut world = self.sim.world();
            let service = world.service_at(port);
            service.map_or(Met::Refused, |s| world.request(None, &s, Instant::now()))
        };
        match met {
            Met::Answer(late) if ANSWER + late <= check.timeout.0 => {
                sleep(ANSWER + late).await;
                Answer::Good { value: None }
            }
            Met::Refused => Answer::Failed(Failure("connection refused".to_owned())),
            Met::Answer(_) | Met::Silence => {
                sleep(check.timeout.0).await;
                Answer::Failed(Failure("timeout".to_owned()))
            }
        }
    }
}

/// The port in `http://host:8080/path` or `host:8080`.
fn port_of(address: &str) -> Option<u16> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next()?.rsplit_once(':')?.1.parse().ok()
}
