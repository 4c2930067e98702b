//! Which Docker Engine is meant, or which of several machines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::engine::docker::{Endpoint, Named};
use crate::experiment::fleet_file::{EngineOf, FleetFile};

/// Which Docker Engine is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct DockerArgs {
    /// The Docker Engine's address, by `unix://`, `tcp://` or `ssh://`; several times for several machines [default: the one that the
    /// `docker` command uses, by `DOCKER_HOST`, `DOCKER_CONTEXT` or the current context, else `/var/run/docker.sock`]
    #[arg(long, value_name = "URL")]
    pub docker_host: Vec<String>,
    /// The Docker context whose engine it is; several times for several machines
    #[arg(long, value_name = "NAME", conflicts_with = "docker_host")]
    pub context: Vec<String>,
    /// A file that names several machines with an engine each, and their zones (`squall schema --of fleet`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["docker_host", "context"])]
    pub fleet: Option<PathBuf>,
    /// Whether what needs the engine's own host is done by a helper there, which is also the guard of that host: a container of
    /// Squall's
    #[arg(long, value_enum, default_value_t = HelperChoice::Auto)]
    pub helper: HelperChoice,
    /// The helper's image [default: made from this program]
    #[arg(long, value_name = "IMAGE")]
    pub helper_image: Option<String>,
    /// What another process has found to be meant
    #[arg(long, hide = true, value_name = "JSON", value_parser = json::<Meant>, conflicts_with_all = ["docker_host", "context", "fleet"])]
    pub pinned: Option<Meant>,
}

/// Whether there is a helper on the engine's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HelperChoice {
    /// Where this process cannot do it itself: it is not root, or not on that host
    #[default]
    Auto,
    /// In any case; without one, nothing is touched
    Always,
    /// In no case: what needs the host is refused where this process cannot do it
    Never,
}

/// The engine that is meant, or the engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meant {
    /// One engine.
    One(Endpoint),
    /// Several machines.
    Several(Vec<MachineAt>),
    /// The nodes of a Swarm: how a manager is reached, and how each node is, by a template.
    Swarm {
        /// The manager's engine.
        manager: Endpoint,
        /// A node's address, as in a fleet file.
        reach: String,
    },
}

/// A machine, and how its engine is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineAt {
    /// What it is called; as its engine calls itself, if `None`.
    pub name: Option<String>,
    /// Which node of a Swarm it is, if it was named as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its engine.
    pub endpoint: Endpoint,
}

impl MachineAt {
    /// One of which nothing more was said.
    pub(crate) fn of(name: Option<String>, endpoint: Endpoint) -> Self {
        Self { name, node: None, labels: BTreeMap::new(), endpoint }
    }
}

/// Reads what one process of Squall's passes on to another.
pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

impl DockerArgs {
    /// What is meant; `read` reads a fleet file.
    ///
    /// # Errors
    /// Where a context is named that does not exist, or the file is wrong.
    pub(crate) fn meant(
        &self,
        read: impl FnOnce(&std::path::Path) -> anyhow::Result<FleetFile>,
    ) -> anyhow::Result<Meant> {
        if let Some(pinned) = &self.pinned {
            return Ok(pinned.clone());
        }
        if let Some(file) = &self.fleet {
            return Ok(of_file(&read(file)?)?);
        }
        if self.is_one() {
            return Ok(Meant::One(self.endpoint()?));
        }
        let machine = |name: Option<&String>, named| Ok(MachineAt::of(name.cloned(), Endpoint::meant(named)?));
        let hosts = self.docker_host.iter().map(|host| machine(None, Named { host: Some(host), context: None }));
        let contexts = self.context.iter().map(|name| machine(Some(name), Named { host: None, context: Some(name) }));
        let all: Result<_, EngineError> = hosts.chain(contexts).collect();
        Ok(Meant::Several(all?))
    }

    /// The engine that is meant, for what is about one engine alone.
    ///
    /// # Errors
    /// Where a context is named that does not exist, or several engines are meant.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, EngineError> {
        let several = || EngineError::NotMeant { why: "this is about one engine, and several are named".to_owned() };
        match &self.pinned {
            Some(Meant::One(endpoint)) => Ok(endpoint.clone()),
            Some(_) => Err(several()),
            None if !self.is_one() => Err(several()),
            None => Endpoint::meant(Named {
                host: self.docker_host.first().map(String::as_str),
                context: self.context.first().map(String::as_str),
            }),
        }
    }

    /// The same, where `meant` was decided on, whatever the environment and files say later.
    pub(crate) fn pinned(&self, meant: Meant) -> Self {
        Self { pinned: Some(meant), docker_host: Vec::new(), context: Vec::new(), fleet: None, ..self.clone() }
    }

    /// What was decided on, for another command line.
    pub(crate) fn again(&self) -> Vec<String> {
        let Some(pinned) = &self.pinned else { return Vec::new() };
        let pinned = format!("--pinned={}", serde_json::to_string(pinned).expect("texts only"));
        let helper = self.helper.to_possible_value().map(|choice| format!("--helper={}", choice.get_name()));
        let image = self.helper_image.as_ref().map(|image| format!("--helper-image={image}"));
        [pinned].into_iter().chain(helper).chain(image).collect()
    }

    /// Whether one engine is meant, and not several machines.
    pub(crate) fn is_one(&self) -> bool {
        match &self.pinned {
            Some(meant) => matches!(meant, Meant::One(_)),
            None => self.fleet.is_none() && self.docker_host.len() + self.context.len() <= 1,
        }
    }

    /// The options that name the engine, or the engines, each with its value.
    pub(crate) fn named(&self) -> Vec<(&'static str, String)> {
        let each =
            |option: &'static str, all: &[String]| all.iter().map(|value| (option, value.clone())).collect::<Vec<_>>();
        let fleet: Vec<String> = self.fleet.iter().map(|file| file.display().to_string()).collect();
        [each("--docker-host", &self.docker_host), each("--context", &self.context), each("--fleet", &fleet)].concat()
    }

    /// Whether the command line names an engine, or nothing but the environment does.
    pub(crate) fn is_named(&self) -> bool {
        !self.named().is_empty()
    }
}

/// What a fleet file means.
fn of_file(fleet: &FleetFile) -> Result<Meant, EngineError> {
    if let Some(swarm) = &fleet.swarm {
        let named = Named { host: swarm.host.as_deref(), context: swarm.context.as_deref() };
        return Ok(Meant::Swarm { manager: Endpoint::meant(named)?, reach: swarm.reach.clone() });
    }
    let machine = |(name, engine): (&String, &EngineOf)| {
        let named = Named { host: engine.host.as_deref(), context: engine.context.as_deref() };
        Ok(MachineAt { labels: engine.all_labels(), ..MachineAt::of(Some(name.clone()), Endpoint::meant(named)?) })
    };
    let all: Result<_, EngineError> = fleet.engines.iter().map(machine).collect();
    Ok(Meant::Several(all?))
}
