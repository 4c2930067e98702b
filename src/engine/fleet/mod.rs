//! Several machines, with an engine each, as one engine. Its ids and names tell the machine (`n2/web-1`); what is asked about an instance
//! is asked of its own machine, by the name that it has there, and what is about all of them is asked of all at the same time.
//!
//! It knows no kind of engine: a machine is whatever implements [`Engine`].

mod joined;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all, select_ok, try_join_all};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::joined::{Told, joined};
use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Kind, Lock, Member, Observe, Outcome, Ran,
    SwarmNode, Tag,
};
use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};
use crate::model::node::NodeAvailability;

/// A machine, and the engine on it.
#[derive(Clone)]
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
}

/// How long managers of a Swarm may take to tell of another machine, whose own look they must not hold up.
const MANAGER: Duration = Duration::from_millis(500);

/// For how long what they told is what they would tell.
const MOMENT: Duration = Duration::from_millis(100);

/// What a machine's managers told last of it, and when.
type LastTold = Mutex<Option<(Instant, NodeAvailability)>>;

/// Several machines as one engine.
#[derive(Clone)]
pub struct Fleet {
    /// Ordered by name: who locks services on several of them takes them in the same order as any other.
    machines: Vec<Machine>,
    /// What managers told last of each of them, and when.
    told: Arc<BTreeMap<String, LastTold>>,
}

impl Fleet {
    /// These machines.
    #[must_use]
    pub fn of(mut machines: Vec<Machine>) -> Self {
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        let told = machines.iter().map(|m| (m.name.clone(), Mutex::default())).collect();
        Self { machines, told: Arc::new(told) }
    }

    /// The machine that has an instance, and what the instance is called there.
    fn of_instance<'a>(&self, id: &'a str) -> Result<(&Machine, &'a str), EngineError> {
        let unknown = |why: String| EngineError::Refused { attempt: format!("find the machine of {id}"), why };
        let names = || self.machines.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
        let (node, there) =
            InstanceId::split(id).ok_or_else(|| unknown(format!("it names none; there are {}", names())))?;
        let machine = self.machines.iter().find(|m| m.name == node);
        let machine = machine.ok_or_else(|| unknown(format!("there are {}", names())))?;
        Ok((machine, there))
    }

    /// The machines that can see to an instance's setting, and what the instance is called there: its own one. But a node of a Swarm is
    /// told by its managers what to do, by any of them.
    fn setting<'a>(
        &'a self,
        id: &InstanceId,
        to: &Setting,
    ) -> Result<(&'a Machine, Vec<&'a Machine>, InstanceId), EngineError> {
        let own = self.at(id);
        if matches!(to, Setting::Availability(_)) {
            let node = own.as_ref().ok().and_then(|(machine, _)| machine.swarm());
            let tells = |m: &&Machine| m.swarm().is_some_and(|s| manages(&s, node.as_ref()));
            let mut telling = self.machines.iter().filter(tells);
            if let Some(first) = telling.next() {
                return Ok((first, telling.collect(), InstanceId(InstanceId::on_its_node(&id.0).to_owned())));
            }
        }
        own.map(|(machine, there)| (machine, Vec::new(), there))
    }

    /// What managers tell of these nodes of their Swarm, which these do not know of themselves.
    async fn availability(&self, machine: &Machine) -> Option<NodeAvailability> {
        let node = machine.swarm().filter(|node| !node.manages)?;
        let asked = async {
            // Many instances of one machine are looked at in the same moment: it is asked once for all of them.
            let mut told = self.told.get(&machine.name)?.lock().await;
            if let Some((_, now)) = told.as_ref().filter(|(at, _)| at.elapsed() < MOMENT) {
                return Some(now.clone());
            }
            let now = self.ask_managers(&node.id, |manager| node.is_managed_by(manager)).await.ok().flatten()?;
            *told = Some((Instant::now(), now.clone()));
            Some(now)
        };
        timeout(MANAGER, asked).await.ok().flatten()
    }

    /// What the first of these managers tells of a node; all are asked at the same time, so that one that is silent holds up no other.
    async fn ask_managers(
        &self,
        node: &str,
        is_meant: impl Fn(&SwarmNode) -> bool,
    ) -> Result<Option<NodeAvailability>, EngineError> {
        let managers = self.machines.iter().filter(|m| m.swarm().is_some_and(|swarm| is_meant(&swarm)));
        let asked = managers.map(|machine| {
            Box::pin(async move {
                match machine.engine.node_availability(node).await {
                    Ok(Some(told)) => Ok(told),
                    Ok(None) => Err(None),
                    Err(e) => Err(Some(machine.failed(e))),
                }
            })
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return Ok(None);
        }
        match select_ok(asked).await {
            Ok((told, _)) => Ok(Some(told)),
            Err(failed) => failed.map_or(Ok(None), Err),
        }
    }

    /// All that the machines tell, asked at the same time; perhaps at a glance.
    async fn together(&self, at_a_glance: bool) -> Result<Vec<Instance>, EngineError> {
        let each = self.machines.iter().map(async |m| {
            let ask = if at_a_glance { m.engine.glance() } else { m.engine.observe() };
            let (instances, availability) = join(ask, self.availability(m)).await;
            let instances = instances.map_err(|e| m.failed(e))?;
            Ok(Told { machine: &m.name, swarm: m.swarm(), availability, instances })
        });
        let told = try_join_all(each).await?;
        if let Some((one, other)) = joined::twins(&told) {
            let attempt = "tell several machines apart".to_owned();
            let why = format!("{one} and {other} have the same containers: one engine is named twice");
            return Err(EngineError::Refused { attempt, why });
        }
        Ok(joined(told))
    }

    /// What machines say about themselves.
    fn told(&self, says: impl Fn(&dyn Engine) -> Option<String>) -> Option<String> {
        let all = self.machines.iter().filter_map(|m| Some(format!("{}: {}", m.name, says(m.engine.as_ref())?)));
        let all: Vec<String> = all.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn at(&self, id: &InstanceId) -> Result<(&Machine, InstanceId), EngineError> {
        let (machine, there) = self.of_instance(&id.0)?;
        Ok((machine, InstanceId(there.to_owned())))
    }
}

impl Machine {
    /// What it is in a Swarm, if it is part of one.
    fn swarm(&self) -> Option<SwarmNode> {
        self.engine.describe().swarm
    }

    /// What goes wrong there, with where that is.
    fn failed(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Unreachable { address, why } => {
                EngineError::Unreachable { address: format!("{address} ({})", self.name), why }
            }
            EngineError::Refused { attempt, why } => EngineError::Refused { attempt: self.on(&attempt), why },
            EngineError::NotBegun { attempt, why } => EngineError::NotBegun { attempt: self.on(&attempt), why },
            EngineError::TimedOut { attempt, after } => EngineError::TimedOut { attempt: self.on(&attempt), after },
            other @ (EngineError::NotMeant { .. } | EngineError::Claimed(_)) => other,
        }
    }

    fn on(&self, attempt: &str) -> String {
        format!("{attempt} on {}", self.name)
    }
}

/// Whether it is a manager of that node; of any, where it is not known which one it is.
fn manages(manager: &SwarmNode, node: Option<&SwarmNode>) -> bool {
    manager.manages && node.is_none_or(|node| node.is_managed_by(manager))
}

/// What is asked of a machine: what an instance is called there, and what it is about.
type Asked<'a, T> = (&'a Machine, Vec<(InstanceId, T)>);

/// The same of each machine, by its name.
fn per_machine<'a, T>(all: impl Iterator<Item = ((&'a Machine, InstanceId), T)>) -> BTreeMap<&'a str, Asked<'a, T>> {
    let mut per_machine = BTreeMap::new();
    for ((machine, there), about) in all {
        per_machine.entry(machine.name.as_str()).or_insert((machine, Vec::new())).1.push((there, about));
    }
    per_machine
}

impl Engine for Fleet {
    fn describe(&self) -> Description {
        let members = self.machines.iter().map(|m| Member { name: m.name.clone(), engine: m.engine.describe() });
        let members: Vec<Member> = members.collect();
        let mut versions: Vec<&str> = members.iter().map(|m| m.engine.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        let kind = members.first().map_or(Kind::Docker, |m| m.engine.kind);
        let addresses = members.iter().map(|m| format!("{} ({})", m.name, m.engine.address));
        let (addresses, versions) = (addresses.collect::<Vec<_>>().join(", "), versions.join(", "));
        Description { members, ..Description::of(kind, addresses, versions) }
    }

    fn acted_alone(&self) -> Option<String> {
        self.told(|engine| engine.acted_alone())
    }

    fn acts_alone(&self) -> Option<String> {
        self.told(|engine| engine.acts_alone())
    }
}

#[async_trait]
impl Observe for Fleet {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        self.together(false).await
    }

    async fn glance(&self) -> Result<Vec<Instance>, EngineError> {
        self.together(true).await
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        let (machine, there) = self.at(id)?;
        let (found, availability) = join(machine.engine.look(&there), self.availability(machine)).await;
        let found = found.map_err(|e| machine.failed(e))?;
        Ok(found.map(|instance| joined::on_node(joined::named(&machine.name, instance), availability.as_ref())))
    }

    async fn node_availability(&self, node: &str) -> Result<Option<NodeAvailability>, EngineError> {
        self.ask_managers(node, |swarm| swarm.manages).await
    }
}

#[async_trait]
impl Apply for Fleet {
    async fn prepare(&self, all: &[(InstanceId, Setting)]) {
        let placed = all.iter().filter_map(|it| {
            let (first, _, there) = self.setting(&it.0, &it.1).ok()?;
            Some(((first, there), it))
        });
        let per_machine = per_machine(placed);
        let prepared = per_machine.into_values().map(async |(machine, all)| {
            let all: Vec<_> = all.into_iter().map(|(there, (_, to))| (there, to.clone())).collect();
            machine.engine.prepare(&all).await;
        });
        join_all(prepared).await;
    }

    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let (first, others, there) = self.setting(id, to)?;
        let mut outcome = first.engine.set(tag, &there, to).await.map_err(|e| first.failed(e));
        for machine in others {
            let Err(before) = outcome else { break };
            // One that knows why a fault must not be made is not passed over.
            if matches!(before, EngineError::Refused { .. }) && matches!(to, Setting::Availability(to) if to.of_run) {
                return Err(before);
            }
            let unanswered = matches!(before, EngineError::TimedOut { .. } | EngineError::Unreachable { .. });
            outcome = match machine.engine.set(tag, &there, to).await.map_err(|e| machine.failed(e)) {
                // What was not answered may still come.
                Err(EngineError::Refused { .. } | EngineError::NotBegun { .. }) if unanswered => Err(before),
                other => other,
            };
        }
        if matches!(to, Setting::Availability(_)) {
            // What they told before is over.
            for told in self.told.values() {
                *told.lock().await = None;
            }
        }
        outcome
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        let place = |(instance, to): &(Instance, Setting)| {
            self.setting(&instance.id, to).map(|(first, _, there)| (first, there))
        };
        let places: Vec<_> = all.iter().map(place).collect::<Result<_, _>>()?;
        let asked = per_machine(places.into_iter().zip(0..)).into_values().map(async |(machine, places)| {
            let there = |(_, at): &(InstanceId, usize)| (joined::there(&all[*at].0), all[*at].1.clone());
            let asked: Vec<_> = places.iter().map(there).collect();
            let answers = machine.engine.can(&asked).await.map_err(|e| machine.failed(e))?;
            Ok::<_, EngineError>(places.into_iter().map(|(_, at)| at).zip(answers).collect::<Vec<_>>())
        });
        let answers: BTreeMap<usize, Ability> = try_join_all(asked).await?.into_iter().flatten().collect();
        Ok(answers.into_values().collect())
    }

    async fn cannot_start(&self, instance: &InstanceId, command: &Command) -> Option<String> {
        match self.at(instance) {
            Ok((machine, there)) => machine.engine.cannot_start(&there, command).await,
            Err(e) => Some(e.to_string()),
        }
    }

    /// A name can mean another address on each machine: all of them.
    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        let each = self.machines.iter().map(async |m| m.engine.addresses_of(host).await.map_err(|e| m.failed(e)));
        let mut all = try_join_all(each).await?.concat();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn by_hand(&self, change: &Change, to: &Setting) -> String {
        match self.setting(&change.instance, to) {
            Ok((machine, _, instance)) => {
                let name = InstanceId::on_its_node(&change.name).to_owned();
                machine.engine.by_hand(&Change { instance, name, ..change.clone() }, to)
            }
            Err(e) => format!("set {} back to {to} ({e})", change.name),
        }
    }
}

#[async_trait]
impl Lock for Fleet {
    fn marked_as(&self, service: &str) -> String {
        self.machines.first().map_or_else(|| service.to_owned(), |m| m.engine.marked_as(service))
    }

    /// One machine after the other, always in the same order: of two runs that want the same service, one gets none of it.
    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        for machine in &self.machines {
            machine.engine.claim(claim).await.map_err(|e| machine.failed(e))?;
        }
        Ok(())
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        let each = self.machines.iter().map(async |m| m.engine.release(claim).await.map_err(|e| m.failed(e)));
        // Those that can be released are.
        join_all(each).await.into_iter().collect()
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        let each = self.machines.iter().map(async |m| m.engine.claims().await.map_err(|e| m.failed(e)));
        let mut all: Vec<Claim> = Vec::new();
        for claim in try_join_all(each).await?.into_iter().flatten() {
            if !all.contains(&claim) {
                all.push(claim);
            }
        }
        Ok(all)
    }

    async fn claims_at(&self, id: &InstanceId) -> Result<Vec<Claim>, EngineError> {
        let (machine, there) = self.at(id)?;
        machine.engine.claims_at(&there).await.map_err(|e| machine.failed(e))
    }
}

#[async_trait]
impl Execute for Fleet {
    async fn exec(&self, instance: &str, command: &[String], timeout: Duration) -> Result<Ran, EngineError> {
        let (machine, there) = self.of_instance(instance)?;
        machine.engine.exec(there, command, timeout).await.map_err(|e| machine.failed(e))
    }

    async fn end_abandoned(&self) {
        join_all(self.machines.iter().map(|m| m.engine.end_abandoned())).await;
    }
}

#[cfg(test)]
mod tests;
