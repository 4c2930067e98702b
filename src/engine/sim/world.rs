//! The sim's world: instances, what is on its way to them, and what their callers would see. No I/O, no waiting.

mod counters;
mod node;
mod request;
mod untouched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;

pub(super) use self::untouched::instance;
use self::untouched::{configured, unstressed};
use super::traffic::Disturbed;
use super::{ExternalAction, Outcome};
use crate::engine::{Claim, NOTHING_LIES_THERE, ONLY_A_MARK};
use crate::experiment::stack::{Service, Stack};
use crate::model::instance::{
    Aspect, CommandLocation, Counted, Epoch, Instance, InstanceId, Laid, RestartPolicy, Setting, Task, Trait, Via,
};
use crate::model::network::Network;
use crate::model::node::{Availability, NodeAvailability};
use crate::model::stressor::StressSpec;

/// How long a restart policy takes to start a crashed instance again.
const RESTART_POLICY: Duration = Duration::from_millis(300);

pub(super) struct World {
    services: IndexMap<String, Service>,
    instances: BTreeMap<InstanceId, Instance>,
    /// Since when an instance does not answer.
    silent: BTreeMap<InstanceId, Instant>,
    /// What happens to the traffic of an instance.
    disturbed: BTreeMap<InstanceId, Disturbed>,
    /// Since when the node of an instance is cut off.
    cut: BTreeMap<InstanceId, Instant>,
    /// Whoever asks from outside.
    customer: Instance,
    /// What is still on its way, and when it arrives.
    pending: Vec<(Instant, InstanceId, Setting)>,
    marks: BTreeSet<String>,
    claims: BTreeMap<String, Claim>,
    births: u64,
    /// When this world began.
    begin: Instant,
    /// What loads an instance, and since when.
    loads: BTreeMap<(InstanceId, Aspect), (StressSpec, Instant)>,
    /// Whose turn it is to be asked, of each service.
    turns: BTreeMap<String, usize>,
}

impl World {
    pub(super) fn of_stack(stack: &Stack) -> Self {
        let mut world = Self {
            services: stack.services.clone(),
            instances: BTreeMap::new(),
            silent: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            cut: BTreeMap::new(),
            customer: instance("customer", 0, 0),
            pending: Vec::new(),
            marks: BTreeSet::new(),
            claims: BTreeMap::new(),
            births: 0,
            begin: Instant::now(),
            loads: BTreeMap::new(),
            turns: BTreeMap::new(),
        };
        for (at, (service, s)) in stack.services.iter().enumerate() {
            for n in 0..s.replicas {
                let mut instance = Instance {
                    node: (!s.nodes.is_empty()).then(|| s.nodes[n % s.nodes.len()].clone()),
                    zone: (!s.zones.is_empty()).then(|| s.zones[n % s.zones.len()].clone()),
                    labels: s.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    project: s.project.clone(),
                    epoch: world.birth(),
                    ..instance(service, at + 1, n)
                };
                if let Some(who) = &s.orchestrator {
                    instance.traits.insert(Trait::Orchestrated(format!("{who} ({service})")));
                    let node = instance.node.clone().unwrap_or_default();
                    let given = NodeAvailability { node, is: Availability::Active, of_run: false };
                    instance.settings.insert(Aspect::NodeAvailability, Setting::Availability(given));
                    instance.task = Some(Task { id: instance.id.0.clone(), slot: Some((n + 1).to_string()) });
                }
                let policy = if s.restart { RestartPolicy::Always } else { RestartPolicy::Never };
                restarted(&mut instance, policy);
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
        self.instances.values().map(|i| self.shown(i)).collect()
    }

    pub(super) fn get(&self, id: &InstanceId) -> Option<Instance> {
        self.instances.get(id).map(|i| self.shown(i))
    }

    /// An instance with its counters: whatever limits or loads it here is met.
    fn shown(&self, i: &Instance) -> Instance {
        let load = |aspect| self.loads.get(&(i.id.clone(), aspect)).filter(|_| i.is_running());
        Instance { counters: Some(counters::of(self.begin.elapsed(), load)), ..i.clone() }
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
            if setting == Setting::Running(true) && self.instances.get(&id).is_some_and(|i| !i.is_running()) {
                self.start(&id);
            } else {
                let _ = self.set(&id, &setting);
            }
        }
    }

    pub(super) fn set(&mut self, id: &InstanceId, to: &Setting) -> Result<Outcome, String> {
        let Some(instance) = self.instances.get(id) else {
            return match to {
                Setting::Ran(command) if command.place == CommandLocation::Here => self.ran(id, &command.run),
                _ => Ok(Outcome::Gone),
            };
        };
        let (running, paused) = (instance.is_running(), instance.settings[&Aspect::Paused] == Setting::Paused(true));
        let now = Instant::now();
        Ok(match to {
            Setting::Running(true) if running => Outcome::Already,
            Setting::Running(true) if instance.is_over() => Outcome::Gone,
            Setting::Running(true) => {
                self.start(id);
                Outcome::Done
            }
            // A limit ended with the life that it was made for.
            Setting::Running(false)
            | Setting::Killed(_)
            | Setting::Stopped { .. }
            | Setting::Limit(_)
            | Setting::ReadOnly(_)
                if !running =>
            {
                Outcome::Already
            }
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
            Setting::Network(_)
            | Setting::ConnectionsReset(_)
            | Setting::Filled(_)
            | Setting::Stressor(_)
            | Setting::Signalled(_)
                if !running =>
            {
                return Err(format!("{id} is not running"));
            }
            Setting::Network(network) => self.disturb(id, Some(network), now),
            Setting::Filled(_) | Setting::Freed(_) | Setting::Stressor(_) => self.lay(id, to),
            Setting::Mark(_, Some(_)) => return Err(ONLY_A_MARK.to_owned()),
            Setting::Mark(aspect, None) => match aspect.laid() {
                Some(Laid::Traffic) => self.disturb(id, None, now),
                Some(Laid::Isolation) => self.set_of_node(id, to),
                Some(Laid::Filling | Laid::Cpu | Laid::Memory | Laid::Connections | Laid::Still) => self.lay(id, to),
                None => return Err(NOTHING_LIES_THERE.to_owned()),
            },
            Setting::Limit(_) | Setting::ReadOnly(_) if instance.settings.get(&to.aspect()) == Some(to) => {
                Outcome::Already
            }
            Setting::Limit(_) | Setting::ReadOnly(_) => {
                if let Some(i) = self.instances.get_mut(id) {
                    i.settings.insert(to.aspect(), to.clone());
                }
                Outcome::Done
            }
            Setting::Isolated(_) | Setting::Availability(_) => self.set_of_node(id, to),
            Setting::ConnectionsReset(_) | Setting::Signalled(_) => Outcome::Done,
            Setting::RestartPolicy(_) if instance.settings.get(&Aspect::RestartPolicy) == Some(to) => Outcome::Already,
            Setting::RestartPolicy(policy) => {
                if let Some(i) = self.instances.get_mut(id) {
                    restarted(i, *policy);
                }
                Outcome::Done
            }
            Setting::Ran(command) if command.place == CommandLocation::Target && instance.is_over() => Outcome::Gone,
            Setting::Ran(command) if command.place == CommandLocation::Target && !running => {
                return Err(format!("{id} is not running"));
            }
            Setting::Ran(command) => return self.ran(id, &command.run),
        })
    }

    fn ran(&mut self, id: &InstanceId, command: &[String]) -> Result<Outcome, String> {
        Ok(match command {
            [verb, mark] if verb == "touch" => {
                if self.marks.insert(format!("{id}: {mark}")) {
                    Outcome::Done
                } else {
                    Outcome::Already
                }
            }
            [verb, .., mark] if verb == "rm" => {
                self.marks.remove(&format!("{id}: {mark}"));
                Outcome::Done
            }
            [verb, ..] if verb == "false" => return Err("exit status 1".to_owned()),
            _ => Outcome::Done,
        })
    }

    /// Lays something on a disk, or has a process load an instance, or takes that away again.
    fn lay(&mut self, id: &InstanceId, to: &Setting) -> Outcome {
        let Some(i) = self.instances.get_mut(id) else { return Outcome::Gone };
        let now = to.observed_as().filter(|now| i.settings.get(&to.aspect()) != Some(now));
        let Some(now) = now else { return Outcome::Already };
        i.settings.insert(to.aspect(), now);
        let load = (id.clone(), to.aspect());
        if let Setting::Stressor(stressor) = to {
            self.loads.insert(load, (stressor.work.clone(), Instant::now()));
        } else {
            self.loads.remove(&load);
        }
        Outcome::Done
    }

    fn disturb(&mut self, id: &InstanceId, to: Option<&Network>, now: Instant) -> Outcome {
        let Some(i) = self.instances.get_mut(id) else { return Outcome::Gone };
        let mark = Setting::Mark(Aspect::Network, to.map(Network::mark));
        if i.settings.get(&Aspect::Network) == Some(&mark) {
            return Outcome::Already;
        }
        i.settings.insert(Aspect::Network, mark);
        i.counted = to.map(|_| Counted::default());
        match to {
            Some(network) => self.disturbed.insert(id.clone(), Disturbed::new(network.clone(), now)),
            None => self.disturbed.remove(id),
        };
        Outcome::Done
    }

    fn start(&mut self, id: &InstanceId) {
        let epoch = self.birth();
        self.silent.remove(id);
        self.disturbed.remove(id);
        if let Some(i) = self.instances.get_mut(id) {
            i.epoch = epoch;
            i.settings.insert(Aspect::Running, Setting::Running(true));
            i.settings.insert(Aspect::Paused, Setting::Paused(false));
            i.settings.insert(Aspect::Network, Setting::Mark(Aspect::Network, None));
            i.settings.extend(configured().into_iter().map(|s| (s.aspect(), s)));
            i.counted = None;
        }
    }

    /// Has an orchestrator start another one for one that has ended, on a node that is given tasks.
    fn replace(&mut self, ended: &Instance, now: Instant) {
        let (birth, mut other) = (self.birth(), ended.clone());
        let name = format!("{}-{}", ended.id, birth.0.replace(' ', "-"));
        if let Some(task) = &mut other.task {
            task.id.clone_from(&name);
        }
        (other.id, other.name, other.epoch) = (InstanceId(name.clone()), name, birth);
        if let Some(Setting::Availability(availability)) = other.settings.get_mut(&Aspect::NodeAvailability) {
            (availability.is, availability.of_run) = (Availability::Active, false);
        }
        self.later(now + RESTART_POLICY, other.id.clone(), Setting::Running(true));
        self.instances.insert(other.id.clone(), other);
    }

    fn end(&mut self, id: &InstanceId, now: Instant) {
        self.silent.insert(id.clone(), now);
        self.disturbed.remove(id);
        if let Some(i) = self.instances.get_mut(id) {
            i.settings.insert(Aspect::Running, Setting::Running(false));
            i.settings.insert(Aspect::Paused, Setting::Paused(false));
            i.settings.insert(Aspect::Network, Setting::Mark(Aspect::Network, None));
            i.settings.extend(unstressed().map(|s| (s.aspect(), s)));
            i.counted = None;
        }
        if let Some(ended) = self.instances.get(id).filter(|i| i.is_over()).cloned() {
            self.replace(&ended, now);
        }
    }

    pub(super) fn act_on(&mut self, id: &InstanceId, what: ExternalAction) {
        let now = Instant::now();
        match what {
            ExternalAction::Remove => {
                self.instances.remove(id);
            }
            ExternalAction::Restart => {
                self.end(id, now);
                self.start(id);
            }
            ExternalAction::Kill => self.end(id, now),
            ExternalAction::Pause => {
                let _ = self.set(id, &Setting::Paused(true));
            }
            ExternalAction::Flush => {
                self.disturb(id, None, now);
            }
            ExternalAction::Rename => self.change(id, |i| i.name.push_str("-renamed")),
            ExternalAction::Disconnect => self.change(id, |i| i.addresses.clear()),
            ExternalAction::ResetLimits => {
                self.change(id, |i| i.settings.extend(configured().into_iter().map(|s| (s.aspect(), s))));
            }
            ExternalAction::Unpause => {
                let _ = self.set(id, &Setting::Paused(false));
            }
        }
    }

    fn change(&mut self, id: &InstanceId, how: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.instances.get_mut(id) {
            how(instance);
        }
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Option<Claim> {
        let taken = self.claims.entry(claim.service.clone()).or_insert_with(|| claim.clone());
        (taken.run != claim.run).then(|| taken.clone())
    }

    pub(super) fn release(&mut self, claim: &Claim) {
        if self.claims.get(&claim.service).is_some_and(|c| c.run == claim.run) {
            self.claims.remove(&claim.service);
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
}

/// Has its engine do this when it ends by itself. Whether it did so already before is what its trait says.
fn restarted(i: &mut Instance, policy: RestartPolicy) {
    i.settings.insert(Aspect::RestartPolicy, Setting::RestartPolicy(policy));
    if policy == RestartPolicy::Never {
        i.traits.remove(&Trait::Restarts);
    } else {
        i.traits.insert(Trait::Restarts);
    }
}
