//! What probes would see of the simulated world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use tokio::time::{Instant, sleep};

use super::Sim;
use super::traffic::Met;
use crate::experiment::probe::{Answer, Failure, Probe, Prober, Reply, Simulated};
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
        self.reply(check).await.answer
    }

    async fn reply(&self, check: &str) -> Reply {
        let Some(check) = self.checks.get(check) else { return Answer::NotMeasured("no such check".to_owned()).into() };
        let value_of = |value: Option<&str>| value.map_or_else(|| expected(check.expect.value.as_ref()), str::to_owned);
        let (reads, tells) = match check.probe.kind().simulated() {
            Simulated::Service { reads, tells } => (reads, tells),
            Simulated::Value(value) => return Answer::Good { value: Some(value_of(value)), by: None }.into(),
            Simulated::Engine(engine) => return engine.read(&self.sim.peek()).into(),
            // What is to fire does while something is changed, what is not to fire never does.
            Simulated::Alert(fires) if !fires || settings(&self.sim) != self.before => {
                return Answer::Good { value: None, by: None }.into();
            }
            Simulated::Alert(_) => return Answer::Failed(Failure("no such alert".to_owned())).into(),
        };
        let port = check.probe.kind().address().and_then(port_of);
        let met = {
            let mut world = self.sim.world();
            let service = world.service_at(port);
            service.map_or(Met::Refused, |s| world.request(None, &s, Instant::now()))
        };
        let promised = check.during.status.iter().copied().find(|status| !is_good(*status));
        match met {
            Met::Answer(late, by) if ANSWER + late <= check.timeout.0 => {
                sleep(ANSWER + late).await;
                let value = reads.then(|| value_of(None));
                told(check, Answer::Good { value, by: by.filter(|_| tells).map(|id| id.0) })
            }
            // It degrades as the file has it.
            Met::Answer(..) | Met::Silence | Met::Refused if promised.is_some() => {
                let status = promised.unwrap_or_default();
                sleep(ANSWER).await;
                let answer = Answer::Failed(Failure(format!("status {status}")));
                Reply { answer, degraded: Some(Answer::Good { value: None, by: None }), status: Some(status) }
            }
            Met::Refused => told(check, Answer::Failed(Failure("connection refused".to_owned()))),
            Met::Answer(..) | Met::Silence => {
                sleep(check.timeout.0).await;
                told(check, Answer::Failed(Failure("timeout".to_owned())))
            }
        }
    }
}

fn is_good(status: u16) -> bool {
    (200..300).contains(&status)
}

/// An answer of a healthy service, or none, as it stands under what the file says of a degraded one.
fn told(check: &Check, answer: Answer) -> Reply {
    let healthy = matches!(answer, Answer::Good { .. });
    let other = !check.during.status.is_empty() && !check.during.status.iter().any(|status| is_good(*status));
    let degraded = if healthy && other { Answer::Failed(Failure("status 200".to_owned())) } else { answer.clone() };
    let is_http = matches!(check.probe, Probe::Http(_));
    Reply { answer, degraded: Some(degraded), status: (healthy && is_http).then_some(200) }
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
