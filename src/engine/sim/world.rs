//! The sim's world: instances, what is on its way to them, and what their callers would see. No I/O, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;

use super::{Meddling, Outcome};
use crate::engine::Claim;
use crate::experiment::{Experiment, Text};
use crate::instance::{Aspect, Counted, Epoch, Instance, InstanceId, Setting, Trait, Via};
use crate::stack::{Service, Stack};

/// How long a restart policy takes to start a crashed instance again.
const RESTART_POLICY: Duration = Duration::from_millis(300);

pub(super) struct World {
    services: IndexMap<String, Service>,
    instances: BTreeMap<InstanceId, Instance>,
    /// Since when an instance does not answer.
    silent: BTreeMap<InstanceId, Instant>,
    /// What is still on its way, and when it arrives.
    pending: Vec<(Instant, InstanceId, Setting)>,
    marks: BTreeSet<String>,
    claims: BTreeMap<String, Claim>,
    births: u64,
    turn: usize,
}

/// What a request to a service meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Answer,
    Refused,
    Silence,
}

impl World {
    pub(super) fn of_stack(stack: &Stack) -> Self {
        let mut world = Self {
            services: stack.services.clone(),
            instances: BTreeMap::new(),
            silent: BTreeMap::new(),
            pending: Vec::new(),
            marks: BTreeSet::new(),
            claims: BTreeMap::new(),
            births: 0,
            turn: 0,
        };
        for (service, s) in &stack.services {
            for n in 0..s.replicas {
                let name = format!("{service}-{}", n + 1);
                let epoch = world.birth();
                let instance = Instance {
                    id: InstanceId(name.clone()),
                    name,
                    service: service.clone(),
                    zone: (!s.zones.is_empty()).then(|| s.zones[n % s.zones.len()].clone()),
                    image: None,
                    labels: s.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    epoch,
                    health: None,
                    restarts: 0,
                    addresses: Vec::new(),
                    counted: None,
                    traits: s.restart.then_some(Trait::Restarts).into_iter().collect(),
                    settings: [Setting::Running(true), Setting::Paused(false), Setting::NetworkMark(None)]
                        .map(|s| (s.aspect(), s))
                        .into(),
                };
                world.instances.insert(instance.id.clone(), instance);
            }
        }
        world
    }

    fn birth(&mut self) -> Epoch {
        self.births += 1;
        Epoch(format!("life {}", self.births))
    }

    pub(super) fn fleet(&self) -> Vec<Instance> {
        self.instances.values().cloned().collect()
    }

    pub(super) fn get(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    pub(super) fn marks(&self) -> Vec<String> {
        self.marks.iter().cloned().collect()
    }

    pub(super) fn later(&mut self, at: Instant, id: InstanceId, setting: Setting) {
        self.pending.push((at, id, setting));
    }

    /// Lets arrive what is due.
    pub(super) fn settle(&mut self, now: Instant) {
        self.pending.sort_by_key(|(at, ..)| *at);
        while self.pending.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, id, setting) = self.pending.remove(0);
            let _ = self.set(&id, &setting);
        }
    }

    pub(super) fn set(&mut self, id: &InstanceId, to: &Setting) -> Result<Outcome, String> {
        let Some(instance) = self.instances.get(id) else { return Ok(Outcome::Gone) };
        let (running, paused) = (instance.is_running(), instance.settings[&Aspect::Paused] == Setting::Paused(true));
        let now = Instant::now();
        Ok(match to {
            Setting::Running(true) if running => Outcome::Already,
            Setting::Running(true) => {
                self.start(id);
                Outcome::Done
            }
            Setting::Running(false) | Setting::Killed(_) | Setting::Stopped { .. } if !running => Outcome::Already,
            Setting::Running(false) | Setting::Stopped { .. } => {
                self.end(id, now);
                Outcome::Done
            }
            Setting::Killed(kill) => {
                let crash = kill.via == Via::Host && instance.traits.contains(&Trait::Restarts);
                self.end(id, now);
                if crash {
                    self.later(now + RESTART_POLICY, id.clone(), Setting::Running(true));
                    if let Some(i) = self.instances.get_mut(id) {
                        i.restarts += 1;
                    }
                }
                Outcome::Done
            }
            Setting::Restarted { .. } => {
                self.end(id, now);
                self.start(id);
                Outcome::Done
            }
            Setting::Paused(want) if *want == paused => Outcome::Already,
            Setting::Paused(true) if !running => return Err(format!("{id} is not running")),
            Setting::Paused(want) => {
                if let Some(i) = self.instances.get_mut(id) {
                    i.settings.insert(Aspect::Paused, Setting::Paused(*want));
                }
                if *want {
                    self.silent.insert(id.clone(), now);
                } else {
                    self.silent.remove(id);
                }
                Outcome::Done
            }
            Setting::Network(_) | Setting::ConnectionsReset(_) if !running => {
                return Err(format!("{id} is not running"));
            }
            Setting::Network(network) => self.mark(id, Some(network.mark())),
            Setting::NetworkMark(mark) => self.mark(id, mark.clone()),
            Setting::ConnectionsReset(_) => Outcome::Done,
            Setting::Ran(command) => match command.run.as_slice() {
                [verb, mark] if verb == "touch" => {
                    if self.marks.insert(format!("{id}: {mark}")) {
                        Outcome::Done
                    } else {
                        Outcome::Already
                    }
                }
                [verb, mark] if verb == "rm" => {
                    self.marks.remove(&format!("{id}: {mark}"));
                    Outcome::Done
                }
                [verb, ..] if verb == "false" => return Err("exit status 1".to_owned()),
                _ => Outcome::Done,
            },
        })
    }

    fn mark(&mut self, id: &InstanceId, mark: Option<String>) -> Outcome {
        let Some(i) = self.instances.get_mut(id) else { return Outcome::Gone };
        i.counted = mark.as_ref().map(|_| Counted { packets: 1, dropped: 0 });
        let before = i.settings.insert(Aspect::Network, Setting::NetworkMark(mark.clone()));
        if before == Some(Setting::NetworkMark(mark)) { Outcome::Already } else { Outcome::Done }
    }

    fn start(&mut self, id: &InstanceId) {
        let epoch = self.birth();
        self.silent.remove(id);
        if let Some(i) = self.instances.get_mut(id) {
            i.epoch = epoch;
            i.settings.insert(Aspect::Running, Setting::Running(true));
            i.settings.insert(Aspect::Paused, Setting::Paused(false));
            i.settings.insert(Aspect::Network, Setting::NetworkMark(None));
            i.counted = None;
        }
    }

    fn end(&mut self, id: &InstanceId, now: Instant) {
        self.silent.insert(id.clone(), now);
        if let Some(i) = self.instances.get_mut(id) {
            i.settings.insert(Aspect::Running, Setting::Running(false));
            i.settings.insert(Aspect::Paused, Setting::Paused(false));
            i.settings.insert(Aspect::Network, Setting::NetworkMark(None));
            i.counted = None;
        }
    }

    pub(super) fn meddle(&mut self, id: &InstanceId, what: Meddling) {
        let now = Instant::now();
        match what {
            Meddling::Remove => {
                self.instances.remove(id);
            }
            Meddling::Restart => {
                self.end(id, now);
                self.start(id);
            }
            Meddling::Kill => self.end(id, now),
            Meddling::Unpause => {
                let _ = self.set(id, &Setting::Paused(false));
            }
        }
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Option<Claim> {
        let taken = self.claims.entry(claim.service.clone()).or_insert_with(|| claim.clone());
        (taken.run != claim.run).then(|| taken.clone())
    }

    pub(super) fn release(&mut self, service: &str, run: &str) {
        if self.claims.get(service).is_some_and(|c| c.run == run) {
            self.claims.remove(service);
        }
    }

    pub(super) fn claims(&self) -> Vec<Claim> {
        self.claims.values().cloned().collect()
    }

    /// The service that listens on a port; without a port, the first one.
    pub(super) fn service_at(&self, port: Option<u16>) -> Option<String> {
        let here = |s: &Service| match (s.port, port) {
            (Some(first), Some(port)) => {
                (first..first.saturating_add(u16::try_from(s.replicas).unwrap_or(1))).contains(&port)
            }
            _ => false,
        };
        self.services.iter().find(|(_, s)| here(s)).or_else(|| self.services.first()).map(|(name, _)| name.clone())
    }

    /// What a request to a service meets: its instances take turns, callers notice a silent one after `failover`, and
    /// it cannot answer without the services that it needs.
    pub(super) fn request(&mut self, service: &str, now: Instant) -> Met {
        let Some(s) = self.services.get(service).cloned() else { return Met::Refused };
        let members: Vec<InstanceId> =
            self.instances.values().filter(|i| i.service == service).map(|i| i.id.clone()).collect();
        if members.is_empty() {
            return Met::Refused;
        }
        self.turn += 1;
        let failover = s.failover.map_or(Duration::ZERO, |f| f.0);
        for k in 0..members.len() {
            let id = &members[(self.turn + k) % members.len()];
            let Some(since) = self.silent.get(id) else {
                return s
                    .needs
                    .iter()
                    .map(|n| self.request(n, now))
                    .find(|met| *met != Met::Answer)
                    .unwrap_or(Met::Answer);
            };
            if now.saturating_duration_since(*since) < failover {
                return self.met(id);
            }
        }
        self.met(&members[0])
    }

    fn met(&self, id: &InstanceId) -> Met {
        if self.instances.get(id).is_some_and(Instance::is_running) { Met::Silence } else { Met::Refused }
    }
}

/// A plausible stack for an experiment that is rehearsed without one.
pub(super) fn stack_for(x: &Experiment) -> Stack {
    let service = |labels: &[String]| Service {
        command: vec![Text("simulated".to_owned())],
        replicas: 3,
        zones: ["a", "b", "c"].map(str::to_owned).to_vec(),
        port: None,
        environment: IndexMap::new(),
        labels: labels
            .iter()
            .map(|l| l.split_once('=').map_or((l.clone(), String::new()), |(k, v)| (k.to_owned(), v.to_owned())))
            .collect(),
        needs: Vec::new(),
        failover: None,
        restart: x.fault.heal() == crate::fault::Heal::Itself,
    };
    let name = x.target.service.clone().unwrap_or_else(|| "service".to_owned());
    Stack {
        version: 1,
        name: "rehearsal".to_owned(),
        services: [(name, service(&x.target.labels))].into_iter().collect(),
    }
}
