//! What probes would see of the simulated world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use tokio::time::{Instant, sleep};

use super::Sim;
use super::traffic::Met;
use crate::experiment::probe::{Answer, Failure, Prober, Simulated};
use crate::experiment::{Check, ValueBound};
use crate::model::instance::{Aspect, InstanceId, Setting};

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(5);

/// Answers probes from the sim's world.
pub struct SimProber {
    sim: Arc<Sim>,
    checks: IndexMap<String, Check>,
    /// The world as it was before anything was touched.
    before: Vec<Settings>,
}

type Settings = (InstanceId, BTreeMap<Aspect, Setting>);

impl SimProber {
    /// For these checks.
    pub fn new<'a>(sim: Arc<Sim>, checks: impl Iterator<Item = (&'a String, &'a Check)>) -> Self {
        let before = settings(&sim);
        Self { sim, checks: checks.map(|(name, check)| (name.clone(), check.clone())).collect(), before }
    }
}

#[async_trait]
impl Prober for SimProber {
    async fn ask(&self, check: &str) -> Answer {
        let Some(check) = self.checks.get(check) else { return Answer::NotMeasured("no such check".to_owned()) };
        let value_of = |value: Option<&str>| value.map_or_else(|| expected(check.expect.value.as_ref()), str::to_owned);
        let (reads, tells) = match check.probe.kind().simulated() {
            Simulated::Service { reads, tells } => (reads, tells),
            Simulated::Value(value) => return Answer::Good { value: Some(value_of(value)), by: None },
            Simulated::Engine(engine) => return engine.read(&self.sim.peek()),
            // What is to fire does while something is changed, what is not to fire never does.
            Simulated::Alert(fires) if !fires || settings(&self.sim) != self.before => {
                return Answer::Good { value: None, by: None };
            }
            Simulated::Alert(_) => return Answer::Failed(Failure("no such alert".to_owned())),
        };
        let port = check.probe.kind().address().and_then(port_of);
        let met = {
            let mut world = self.sim.world();
            let service = world.service_at(port);
            service.map_or(Met::Refused, |s| world.request(None, &s, Instant::now()))
        };
        match met {
            Met::Answer(late, by) if ANSWER + late <= check.timeout.0 => {
                sleep(ANSWER + late).await;
                let value = reads.then(|| value_of(None));
                Answer::Good { value, by: by.filter(|_| tells).map(|id| id.0) }
            }
            Met::Refused => Answer::Failed(Failure("connection refused".to_owned())),
            Met::Answer(..) | Met::Silence => {
                sleep(check.timeout.0).await;
                Answer::Failed(Failure("timeout".to_owned()))
            }
        }
    }
}

fn settings(sim: &Sim) -> Vec<Settings> {
    sim.peek().into_iter().map(|i| (i.id, i.settings)).collect()
}

/// A number of a world without a Prometheus: the one that is expected.
fn expected(bound: Option<&ValueBound>) -> String {
    let number = |b: &ValueBound| b.at_least.or(b.at_most).map(|n| n.to_string());
    bound.and_then(|b| b.equals.clone().or_else(|| number(b))).unwrap_or_else(|| "0".to_owned())
}

/// The port in `host:8080`.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}
