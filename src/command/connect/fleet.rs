//! Several machines with an engine each: which they are, and how each is reached.

mod machine;

use std::sync::Arc;

use anyhow::bail;
use futures_util::future::join_all;

pub(crate) use self::machine::MachineEngine;
use super::{ConnectedEngine, Seen, connected};
use crate::command::cli::{DockerArgs, MachineAt, Meant};
use crate::command::load;
use crate::engine::docker::{self, Docker, Endpoint, Machine};
use crate::engine::fleet::{self, Fleet};
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
        several => reached(several).await?,
    };
    Ok(all.into_iter().map(Arc::new).collect())
}

/// Tries to reach each engine that is meant, with its machine's name; else why it cannot be.
///
/// # Errors
/// Where a Swarm's manager does not tell its nodes.
pub(in crate::command) async fn each(meant: Meant) -> anyhow::Result<Vec<Result<Docker, String>>> {
    Ok(join_all(machines(meant).await?.into_iter().map(one_reached)).await)
}

/// Reaches all of several machines.
///
/// # Errors
/// Where one does not answer: targets could be on it.
pub(super) async fn reach(meant: Meant, args: &DockerArgs, seen: Seen<'_>) -> anyhow::Result<Machines> {
    let all = reached(meant).await?;
    let each = join_all(all.into_iter().map(async |docker| {
        let name = docker.machine().name.clone();
        Ok::<_, EngineError>((name, connected(docker, args, seen).await?))
    }));
    let mut machines = Vec::new();
    let mut failed = Vec::new();
    for one in each.await {
        match one {
            Ok((name, connected)) => {
                let member = Member { engine: connected.engine().describe(), name };
                machines.push(MachineEngine::reached(member, connected));
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
    Machines::of(all)
}

impl Machines {
    fn of(all: Vec<Arc<MachineEngine>>) -> Self {
        let machine = |engine: &Arc<MachineEngine>| fleet::Machine {
            name: engine.name().to_owned(),
            engine: Arc::clone(engine) as _,
        };
        Self { fleet: Arc::new(Fleet::of(all.iter().map(machine).collect())), all }
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
        Meant::One(endpoint) => vec![MachineAt::of(None, endpoint)],
        Meant::Several(all) => all,
        Meant::Swarm { manager, reach } => {
            let template = SwarmOf { reach, ..SwarmOf::default() };
            let nodes = Docker::reach(manager).await?.swarm_nodes().await?;
            nodes.into_iter().map(|node| of_swarm(&template, node)).collect::<anyhow::Result<_>>()?
        }
    })
}

/// A node of a Swarm as a machine.
fn of_swarm(template: &SwarmOf, node: docker::NodeOfSwarm) -> anyhow::Result<MachineAt> {
    let Some(reach) = template.reach(&node.hostname, node.address.as_deref()) else {
        bail!(
            "the Swarm knows no address of its node {}; reach its nodes by {{hostname}}, or name them one by one",
            node.hostname
        )
    };
    Ok(MachineAt {
        endpoint: Endpoint::at(&reach),
        name: Some(node.hostname),
        labels: node.labels,
        node: Some(node.id),
    })
}

/// Reaches one of several machines; else why not, with its name, where it has one.
async fn one_reached(at: MachineAt) -> Result<Docker, String> {
    let named = |why: String| at.name.as_ref().map_or_else(|| why.clone(), |name| format!("{name}: {why}"));
    let docker = Docker::reach(at.endpoint).await.map_err(|e| named(e.to_string()))?;
    let told = docker.describe();
    let is = told.swarm.map(|swarm| swarm.id);
    if at.node.is_some() && at.node != is {
        return Err(named(format!("what answers at {} is another node of a Swarm, or none", told.address)));
    }
    let name = at.name.or(told.host).unwrap_or_default();
    Ok(docker.with_machine(Machine { name, labels: at.labels }))
}

/// Reaches each machine that is meant; each has a name of its own, and is another engine than the others.
async fn reached(meant: Meant) -> anyhow::Result<Vec<Docker>> {
    let (mut all, mut failed) = (Vec::<Docker>::new(), Vec::new());
    for one in each(meant).await? {
        match one {
            Ok(docker) => all.push(docker),
            Err(why) => failed.push(why),
        }
    }
    if !failed.is_empty() {
        bail!(
            "instances that are meant may be on a machine that does not answer: {}; have it answer, or name the others alone",
            failed.join("; ")
        );
    }
    for (at, one) in all.iter().enumerate() {
        let (name, told) = (&one.machine().name, one.describe());
        if name.is_empty() || name.contains('/') {
            bail!(
                "the engine at {} does not say what its machine is called; name it in a fleet file (`squall schema --of fleet`)",
                told.address
            );
        }
        for other in &all[..at] {
            let other_told = other.describe();
            let (there, address) = (&other_told.address, &told.address);
            // Machines that were made of one image have one id.
            if told.id.is_some() && told.id == other_told.id && told.host == other_told.host {
                bail!("{there} and {address} are one engine: name it once");
            }
            if other.machine().name == *name {
                bail!(
                    "the machines of {there} and {address} are both called {name}; name them in a fleet file (`squall schema --of fleet`)"
                );
            }
        }
    }
    Ok(all)
}
