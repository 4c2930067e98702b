//! Which engine is meant, and everything that a run needs of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::cli::{EngineArgs, GuardChoice};
use crate::engine::docker::Docker;
use crate::engine::local::Local;
use crate::engine::sim::{Sim, SimSenses};
use crate::engine::{Description, Engine, Kind, here};
use crate::event::GuardKind;
use crate::experiment::Experiment;
use crate::probe::{Live, Senses};
use crate::run::guard::{NoSentry, Post, ProcessSentry, Sentry};
use crate::store::StateDir;

use super::{compose, load};

/// An engine that answers.
#[derive(Clone)]
pub(crate) enum Reached {
    Docker(Arc<Docker>),
    Local(Arc<Local>),
    Sim(Arc<Sim>),
}

/// The kind of engine that the command line means.
pub(super) fn kind(args: &EngineArgs) -> Kind {
    let stack = args.stack.as_deref().filter(|file| !compose::is_compose(file));
    args.engine.unwrap_or(if stack.is_some() { Kind::Local } else { Kind::Docker })
}

/// Reaches the engine that the command line means, for an experiment if there is one.
///
/// # Errors
/// Where it does not answer, or the stack file is wrong.
pub(crate) async fn reach(args: &EngineArgs, x: Option<&Experiment>, state: &StateDir) -> anyhow::Result<Reached> {
    Ok(match (kind(args), &args.stack, x) {
        (Kind::Docker, ..) => {
            let docker = Docker::connect(args.docker_host.as_deref()).await?;
            let docker = docker.with_zones(x.map(Experiment::zones).unwrap_or_default()).await?;
            let docker = docker.seeing(args.project.as_deref().map(compose::label));
            Reached::Docker(Arc::new(docker.needing(state.root())))
        }
        (Kind::Local, Some(stack), _) => Reached::Local(Arc::new(Local::open(state, stack)?)),
        (Kind::Local, None, _) => anyhow::bail!("the local engine needs to know its stack; name one with --stack FILE"),
        (Kind::Sim, Some(stack), _) => Reached::Sim(Sim::of_stack(&load::stack(stack)?.value)),
        (Kind::Sim, None, Some(x)) => Reached::Sim(Sim::of_experiment(x)),
        (Kind::Sim, None, None) => Reached::Sim(Sim::nowhere()),
    })
}

/// Reaches the engine of an earlier run.
///
/// # Errors
/// Where it does not answer.
pub(crate) async fn reach_again(description: &Description) -> anyhow::Result<Reached> {
    Ok(match description.kind {
        Kind::Docker => Reached::Docker(Arc::new(Docker::from_description(description).await?)),
        Kind::Local => Reached::Local(Arc::new(Local::from_description(description)?)),
        // That world is gone; an empty one stands for it.
        Kind::Sim => Reached::Sim(Sim::nowhere()),
    })
}

impl Reached {
    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Docker(docker) => docker.clone(),
            Self::Local(local) => local.clone(),
            Self::Sim(sim) => sim.clone(),
        }
    }

    /// Who asks the experiment's probes.
    pub(crate) fn senses(&self, x: &Experiment) -> anyhow::Result<Arc<dyn Senses>> {
        let questions = x.questions();
        Ok(match self {
            Self::Sim(sim) => Arc::new(SimSenses::new(sim.clone(), questions.iter())),
            _ => Arc::new(Live::new(
                questions.iter().map(|(name, check)| (name.as_str(), check)),
                self.engine(),
                here::variable,
            )?),
        })
    }

    /// Who posts guards for a run.
    pub(crate) fn sentry(&self, choice: GuardChoice, state: &StateDir) -> anyhow::Result<Arc<dyn Sentry>> {
        let exe = || std::env::current_exe().context("cannot find this program's own file, which the guard needs");
        let Self::Docker(docker) = self else {
            return Ok(if matches!(self, Self::Sim(_)) {
                Arc::new(NoSentry)
            } else {
                Arc::new(ProcessSentry { exe: exe()? })
            });
        };
        match (docker.own_container(), choice) {
            (Some(own), GuardChoice::Auto | GuardChoice::Container) => {
                Ok(Arc::new(ContainerSentry { docker: docker.clone(), own: own.to_owned() }))
            }
            (None, GuardChoice::Container) => {
                anyhow::bail!(
                    "a container as guard is made from the container that Squall runs in, and this is none; use `--guard process`"
                )
            }
            (Some(_), GuardChoice::Process) if !lasts_beyond_container(state) => {
                anyhow::bail!(
                    "the state directory {} ends with this container, and with it everything that knows how to take a fault back; \
                     give the container a volume for it (`-v squall-state:/var/lib/squall`)",
                    state.root().display()
                )
            }
            _ => Ok(Arc::new(ProcessSentry { exe: exe()? })),
        }
    }
}

/// Whether the state directory is on another file system than the container's own root.
fn lasts_beyond_container(state: &StateDir) -> bool {
    use std::os::unix::fs::MetadataExt;
    let _ = std::fs::create_dir_all(state.root());
    let device = |path: &Path| std::fs::metadata(path).map(|m| m.dev()).ok();
    device(state.root()) != device(Path::new("/"))
}

/// Posts containers, where the runner lives in one: a process would end with the runner's container.
struct ContainerSentry {
    docker: Arc<Docker>,
    own: String,
}

struct ContainerPost {
    docker: Arc<Docker>,
    id: String,
    journal: PathBuf,
}

/// The file by which a guard in a container says that it stands.
pub(super) fn ready_file(journal: &Path) -> PathBuf {
    journal.with_file_name("guard.ready")
}

/// How long a guard in a container may take to stand.
const STAND: Duration = Duration::from_secs(15);

#[async_trait]
impl Sentry for ContainerSentry {
    async fn post(&self, journal: &Path, deadline: Timestamp) -> anyhow::Result<Box<dyn Post>> {
        let ready = ready_file(journal);
        let _ = std::fs::remove_file(&ready);
        let run = journal.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let program = std::env::current_exe().context("cannot find this program's own file, which the guard needs")?;
        let id = self.docker.start_guard(&self.own, &program, journal, deadline, &run).await?;
        let end = Instant::now() + STAND;
        while !ready.exists() {
            if Instant::now() >= end || !self.docker.is_alive(&id).await? {
                self.docker.remove_container(&id).await?;
                anyhow::bail!(
                    "the guard's container did not stand; `squall doctor` in this container says what it lacks"
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Box::new(ContainerPost { docker: self.docker.clone(), id, journal: journal.to_owned() }))
    }
}

#[async_trait]
impl Post for ContainerPost {
    fn kind(&self) -> GuardKind {
        GuardKind::Container
    }

    fn id(&self) -> String {
        self.id.chars().take(12).collect()
    }

    async fn fallen(&mut self) {
        loop {
            sleep(Duration::from_millis(500)).await;
            // An engine that does not answer says nothing about the guard.
            if matches!(self.docker.is_alive(&self.id).await, Ok(false)) {
                return;
            }
        }
    }

    async fn dismiss(self: Box<Self>) {
        if let Err(e) = self.docker.remove_container(&self.id).await {
            tracing::warn!("the guard's container stays until it ends by itself: {e}");
        }
        let _ = std::fs::remove_file(ready_file(&self.journal));
    }
}
