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
use futures_util::future::{join_all, try_join_all};

use self::joined::joined;
use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Kind, Lock, Member, Observe, Outcome, Ran, Tag,
};
use crate::model::instance::{Change, Command, Instance, InstanceId, Setting};

/// A machine, and the engine on it.
#[derive(Clone)]
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// What it is in a Swarm, if it is part of one.
    pub swarm: Option<SwarmNode>,
}

/// What a machine is in a Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmNode {
    /// What the Swarm calls it.
    pub id: String,
    /// Whether it knows what runs on the other nodes.
    pub manages: bool,
}

/// Several machines as one engine.
#[derive(Clone)]
pub struct Fleet {
    /// Ordered by name: who locks services on several of them takes them in the same order as any other.
    machines: Vec<Machine>,
}

impl Fleet {
    /// These machines.
    #[must_use]
    pub fn of(mut machines: Vec<Machine>) -> Self {
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        Self { machines }
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

    fn at(&self, id: &InstanceId) -> Result<(&Machine, InstanceId), EngineError> {
        let (machine, there) = self.of_instance(&id.0)?;
        Ok((machine, InstanceId(there.to_owned())))
    }
}

impl Machine {
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

impl Engine for Fleet {
    fn describe(&self) -> Description {
        let members = self.machines.iter().map(|m| Member { name: m.name.clone(), engine: m.engine.describe() });
        let members: Vec<Member> = members.collect();
        let mut versions: Vec<&str> = members.iter().map(|m| m.engine.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        Description {
            kind: members.first().map_or(Kind::Docker, |m| m.engine.kind),
            address: members
                .iter()
                .map(|m| format!("{} ({})", m.name, m.engine.address))
                .collect::<Vec<_>>()
                .join(", "),
            tls: None,
            id: None,
            helper: None,
            version: versions.join(", "),
            members,
        }
    }

    fn acted_alone(&self) -> Option<String> {
        let all = self.machines.iter().filter_map(|m| Some(format!("{}: {}", m.name, m.engine.acted_alone()?)));
        let all: Vec<String> = all.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[async_trait]
impl Observe for Fleet {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        let each = self.machines.iter().map(async |m| Ok((m, m.engine.observe().await.map_err(|e| m.failed(e))?)));
        let told = try_join_all(each).await?;
        if let Some((one, other)) = joined::twins(&told) {
            let attempt = "tell several machines apart".to_owned();
            let why = format!("{one} and {other} have the same containers: one engine is named twice");
            return Err(EngineError::Refused { attempt, why });
        }
        Ok(joined(told))
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        let (machine, there) = self.at(id)?;
        let found = machine.engine.look(&there).await.map_err(|e| machine.failed(e))?;
        Ok(found.map(|instance| joined::named(&machine.name, instance)))
    }
}

#[async_trait]
impl Apply for Fleet {
    async fn prepare(&self, all: &[(InstanceId, Setting)]) {
        let mut per_machine: BTreeMap<&str, (&Machine, Vec<(InstanceId, Setting)>)> = BTreeMap::new();
        for (id, to) in all {
            if let Ok((machine, there)) = self.at(id) {
                per_machine.entry(&machine.name).or_insert((machine, Vec::new())).1.push((there, to.clone()));
            }
        }
        join_all(per_machine.values().map(|(machine, all)| machine.engine.prepare(all))).await;
    }

    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        let (machine, there) = self.at(id)?;
        machine.engine.set(tag, &there, to).await.map_err(|e| machine.failed(e))
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        let mut per_machine: BTreeMap<&str, (&Machine, Vec<usize>)> = BTreeMap::new();
        for (at, (instance, _)) in all.iter().enumerate() {
            let (machine, _) = self.at(&instance.id)?;
            per_machine.entry(&machine.name).or_insert((machine, Vec::new())).1.push(at);
        }
        let asked = per_machine.into_values().map(async |(machine, places)| {
            let there = |at: &usize| (joined::there(&all[*at].0), all[*at].1.clone());
            let asked: Vec<_> = places.iter().map(there).collect();
            let answers = machine.engine.can(&asked).await.map_err(|e| machine.failed(e))?;
            Ok::<_, EngineError>(places.into_iter().zip(answers).collect::<Vec<_>>())
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
        match self.at(&change.instance) {
            Ok((machine, instance)) => {
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
