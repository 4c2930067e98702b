//! Several machines with an engine each: which they are, and how each is reached.

mod machine;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use futures_util::future::join_all;

pub(crate) use self::machine::MachineEngine;
use super::{ConnectedEngine, Seen, connected};
use crate::command::cli::{DockerArgs, MachineAt, Meant};
use crate::command::load;
use crate::engine::docker::{self, Docker, Endpoint, Machine};
use crate::engine::fleet::{self, Fleet, SwarmNode};
use crate::engine::{Description, Engine as _, EngineError, Member};
use crate::experiment::fleet_file::{FleetFile, SwarmOf};

/// Several machines as one engine.
pub(crate) struct Machines {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) all: Vec<Arc<MachineEngine>>,
}

/// What is meant on the command line.
///
/// # Errors
/// Where it names a context that does not exist, or a fleet file that is wrong.
pub(in crate::command) fn meant(args: &DockerArgs) -> anyhow::Result<Meant> {
    args.meant(|file| Ok::<FleetFile, anyhow::Error>(load::fleet(file)?.value))
}

/// The engines that are meant, for what is about each by itself.
///
/// # Errors
/// Where that cannot be told, or one of them does not answer.
pub(in crate::command) async fn engines(args: &DockerArgs) -> anyhow::Result<Vec<Arc<Docker>>> {
    let all = match meant(args)? {
        Meant::One(endpoint) => vec![Docker::reach(endpoint).await?],
        several => reached(machines(several).await?).await?,
    };
    Ok(all.into_iter().map(Arc::new).collect())
}

/// Reaches all of several machines.
///
/// # Errors
/// Where one does not answer: targets could be on it.
pub(super) async fn reach(meant: Meant, args: &DockerArgs, seen: Seen<'_>) -> anyhow::Result<Machines> {
    let all = reached(machines(meant).await?).await?;
    let each = join_all(all.into_iter().map(async |docker| {
        let (name, swarm) = (docker.machine().name.clone(), docker.swarm().cloned());
        let connected = connected(docker, args, seen).await?;
        Ok::<_, EngineError>((name, swarm.map(|s| SwarmNode { manages: s.is_manager(), id: s.node }), connected))
    }));
    let mut machines = Vec::new();
    let mut failed = Vec::new();
    for one in each.await {
        match one {
            Ok((name, swarm, connected)) => {
                let member = Member { engine: connected.engine().describe(), name };
                machines.push((MachineEngine::reached(member, connected), swarm));
            }
            Err(e) => failed.push(e),
        }
    }
    let machines = Machines::of(machines);
    if let Some(e) = failed.into_iter().next() {
        // Helpers that have begun are not left to find out by themselves.
        machines.close(true).await;
        return Err(e.into());
    }
    Ok(machines)
}

/// The machines of an earlier run: those that do not answer now are tried again whenever they are needed.
pub(super) async fn reach_again(description: &Description) -> Machines {
    let all: Vec<_> = description.members.iter().map(|member| MachineEngine::later(member.clone())).collect();
    join_all(all.iter().map(|machine| machine.try_now())).await;
    Machines::of(all.into_iter().map(|machine| (machine, None)).collect())
}

impl Machines {
    fn of(all: Vec<(Arc<MachineEngine>, Option<SwarmNode>)>) -> Self {
        let machine = |(engine, swarm): &(Arc<MachineEngine>, Option<SwarmNode>)| fleet::Machine {
            name: engine.name().to_owned(),
            engine: Arc::clone(engine) as _,
            swarm: swarm.clone(),
        };
        let fleet = Arc::new(Fleet::of(all.iter().map(machine).collect()));
        Self { fleet, all: all.into_iter().map(|(engine, _)| engine).collect() }
    }

    /// Those that have answered.
    pub(crate) fn connected(&self) -> Vec<ConnectedEngine> {
        self.all.iter().filter_map(|machine| machine.connected()).collect()
    }

    /// Lets all helpers go; and with all runs of them settled, what they have kept.
    pub(crate) async fn close(&self, settled: bool) {
        join_all(self.connected().iter().map(|connected| Box::pin(connected.close(settled)))).await;
    }
}

/// The machines that are meant, each with a name where one was given.
async fn machines(meant: Meant) -> anyhow::Result<Vec<MachineAt>> {
    Ok(match meant {
        Meant::One(endpoint) => vec![MachineAt { name: None, labels: BTreeMap::new(), endpoint }],
        Meant::Several(all) => all,
        Meant::Swarm { manager, reach } => {
            let template = SwarmOf { reach, ..SwarmOf::default() };
            let nodes = Docker::reach(manager).await?.swarm_nodes().await?;
            let machine = |node: docker::NodeOfSwarm| MachineAt {
                endpoint: Endpoint::at(&template.reach(&node.hostname, &node.address)),
                name: Some(node.hostname),
                labels: node.labels,
            };
            nodes.into_iter().map(machine).collect()
        }
    })
}

/// Reaches each of these; each has a name of its own, and is another engine than the others.
async fn reached(machines: Vec<MachineAt>) -> anyhow::Result<Vec<Docker>> {
    let each = machines.into_iter().map(async |at| {
        let docker = Docker::reach(at.endpoint).await.map_err(|e| (at.name.clone(), e))?;
        let told = docker.machine().name.clone();
        let name = at.name.unwrap_or_else(|| told.clone());
        Ok((docker.with_machine(Machine { name, labels: at.labels }), told))
    });
    let (mut all, mut failed) = (Vec::<(Docker, String)>::new(), Vec::new());
    for one in join_all(each).await {
        match one {
            Ok(told) => all.push(told),
            Err((name, e)) => failed.push(name.map_or_else(|| e.to_string(), |name| format!("{name}: {e}"))),
        }
    }
    if !failed.is_empty() {
        bail!(
            "instances that are meant may be on a machine that does not answer: {}; have it answer, or name the others alone",
            failed.join("; ")
        );
    }
    for (at, (one, told)) in all.iter().enumerate() {
        let name = &one.machine().name;
        let address = one.describe().address;
        if name.is_empty() || name.contains('/') {
            bail!(
                "the engine at {address} does not say what its machine is called; name it in a fleet file (`squall schema --of fleet`)"
            );
        }
        for (other, other_told) in &all[..at] {
            let id = |docker: &Docker| docker.describe().id;
            let there = other.describe().address;
            // Machines that were made of one image have one id.
            if id(one).is_some() && id(one) == id(other) && told == other_told {
                bail!("{there} and {address} are one engine: name it once");
            }
            if other.machine().name == *name {
                bail!(
                    "the machines of {there} and {address} are both called {name}; name them in a fleet file (`squall schema --of fleet`)"
                );
            }
        }
    }
    Ok(all.into_iter().map(|(docker, _)| docker).collect())
}
