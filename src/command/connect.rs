//! Which engine is meant, and everything that a run needs of it.

pub(super) mod fleet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::command::cli::{DockerArgs, EngineArgs, GuardChoice, HelperChoice, Meant};
use crate::engine::docker::{self, Docker};
use crate::engine::local::Local;
use crate::engine::node::Node;
use crate::engine::sim::{Sim, SimProber};
use crate::engine::{Description, Engine, EngineError, Kind, here};
use crate::experiment::Experiment;
use crate::experiment::probe::{Live, Prober};
use crate::host::store::StateDir;
use crate::model::zones::Zones;
use crate::record::event::GuardKind;
use crate::record::journal::Recorder;
use crate::run::guard::{GuardHandle, GuardLauncher, NoGuard, ProcessLauncher, deadline};

use self::fleet::Machines;
use super::{compose, load, rehearsed};

/// An engine that answers.
#[derive(Clone)]
pub(crate) enum ConnectedEngine {
    Docker(Arc<Docker>),
    /// A Docker Engine with a helper on its host.
    Node(Arc<Node>),
    /// Several machines.
    Fleet(Arc<Machines>),
    Local(Arc<Local>),
    Sim(Arc<Sim>),
}

/// The kind of engine that the command line means.
pub(super) fn kind(args: &EngineArgs) -> Kind {
    let stack = args.stack.as_deref().filter(|file| !compose::is_compose(file));
    args.engine.unwrap_or(if stack.is_some() { Kind::Local } else { Kind::Docker })
}

/// Decides once which engine is meant: `docker context use` must not send a later run of the same command to another one.
///
/// # Errors
/// Where that cannot be told.
pub(super) fn pin(args: &mut EngineArgs) -> anyhow::Result<()> {
    if kind(args) == Kind::Docker {
        args.docker = args.docker.pinned(fleet::meant(&args.docker)?);
    }
    Ok(())
}

/// Reaches the engine that the command line means, for an experiment if there is one.
///
/// # Errors
/// Where it does not answer, or the stack file is wrong.
pub(crate) async fn reach(
    args: &EngineArgs,
    x: Option<&Experiment>,
    state: &StateDir,
) -> anyhow::Result<ConnectedEngine> {
    Ok(match (kind(args), &args.stack, x) {
        (Kind::Docker, ..) => {
            let zones = x.map(Experiment::zones).unwrap_or_default();
            let seen = Seen { zones: &zones, project: args.project.as_deref(), state: state.root() };
            match fleet::meant(&args.docker)? {
                Meant::One(endpoint) => connected(Docker::reach(endpoint).await?, &args.docker, seen).await?,
                several => ConnectedEngine::Fleet(Arc::new(fleet::reach(several, &args.docker, seen).await?)),
            }
        }
        (Kind::Local, Some(stack), _) => ConnectedEngine::Local(Arc::new(Local::open(state, stack)?)),
        (Kind::Local, None, _) => anyhow::bail!("the local engine needs to know its stack; name one with --stack FILE"),
        (Kind::Sim, stack, x) => {
            let named = x.and_then(|x| x.stack.as_ref()).map(PathBuf::from);
            match (stack.as_ref().or(named.as_ref()), x) {
                (Some(stack), _) if compose::is_compose(stack) => {
                    ConnectedEngine::Sim(Sim::of_stack(&rehearsed::stack(stack)?))
                }
                (Some(stack), _) => ConnectedEngine::Sim(Sim::of_stack(&load::stack(stack)?.value)),
                (None, Some(x)) => ConnectedEngine::Sim(Sim::of_experiment(x)),
                (None, None) => ConnectedEngine::Sim(Sim::nowhere()),
            }
        }
    })
}

/// Reaches the engine of an earlier run.
///
/// # Errors
/// Where it does not answer.
pub(crate) async fn reach_again(description: &Description) -> anyhow::Result<ConnectedEngine> {
    Ok(match description.kind {
        _ if !description.members.is_empty() => ConnectedEngine::Fleet(Arc::new(fleet::reach_again(description).await)),
        Kind::Docker => {
            let docker = Arc::new(Docker::from_description(description).await?);
            match &description.helper {
                Some(helper) => ConnectedEngine::Node(Arc::new(Node::resume(docker, helper))),
                None => ConnectedEngine::Docker(docker),
            }
        }
        Kind::Local => ConnectedEngine::Local(Arc::new(Local::from_description(description)?)),
        // That world is gone; an empty one stands for it.
        Kind::Sim => ConnectedEngine::Sim(Sim::nowhere()),
    })
}

/// Whether a run on an engine has a helper on its host.
///
/// # Errors
/// Where the engine does not tell what that depends on.
pub(super) async fn wants_helper(docker: &Docker, choice: HelperChoice) -> Result<bool, EngineError> {
    Ok(match choice {
        HelperChoice::Never => false,
        HelperChoice::Always => true,
        HelperChoice::Auto => !docker.is_on_its_host().await?,
    })
}

/// What of an engine is seen, and how.
#[derive(Clone, Copy)]
struct Seen<'a> {
    zones: &'a Zones,
    project: Option<&'a str>,
    state: &'a Path,
}

/// An engine that was reached, as it is seen, with a helper where one is wanted.
async fn connected(docker: Docker, args: &DockerArgs, seen: Seen<'_>) -> Result<ConnectedEngine, EngineError> {
    let docker = docker.with_zones(seen.zones.clone()).await?.with_label_filter(seen.project.map(docker::of_project));
    helped(Arc::new(docker.with_reserve(seen.state)), args).await
}

/// The same with a helper on its host, where one is wanted.
async fn helped(docker: Arc<Docker>, args: &DockerArgs) -> Result<ConnectedEngine, EngineError> {
    if !wants_helper(&docker, args.helper).await? {
        return Ok(ConnectedEngine::Docker(docker));
    }
    match Node::begin(Arc::clone(&docker), args.helper_image.as_deref()).await {
        Ok(node) => Ok(ConnectedEngine::Node(Arc::new(node))),
        Err(e) if args.helper == HelperChoice::Always => Err(e),
        Err(e) => {
            complain!(
                "warning: there is no helper on the engine's host, so that faults of traffic, machine and disk are refused, and nothing \
                 there rolls back if this machine goes: {e}"
            );
            Ok(ConnectedEngine::Docker(docker))
        }
    }
}

impl ConnectedEngine {
    /// The Docker Engines that it is made of, as far as they have answered.
    pub(crate) fn dockers(&self) -> Vec<Arc<Docker>> {
        match self {
            Self::Docker(docker) => vec![Arc::clone(docker)],
            Self::Node(node) => vec![Arc::clone(node.docker())],
            Self::Fleet(machines) => machines.connected().iter().flat_map(Self::dockers).collect(),
            Self::Local(_) | Self::Sim(_) => Vec::new(),
        }
    }

    /// The first of several machines that has not answered yet, if there is one.
    pub(crate) fn unreached(&self) -> Option<String> {
        let Self::Fleet(machines) = self else { return None };
        machines.all.iter().find(|machine| machine.connected().is_none()).map(|machine| machine.name().to_owned())
    }

    /// The Docker Engine, where it is a single one.
    pub(crate) fn docker(&self) -> Option<Arc<Docker>> {
        self.dockers().pop().filter(|_| !matches!(self, Self::Fleet(_)))
    }

    /// Sees that the node has all that is recorded of a run, from now on before it can have an effect there. Where that cannot be, each
    /// call to the node says why.
    pub(crate) async fn entrust(&self, rec: &Recorder) {
        if let Self::Fleet(machines) = self {
            join_all(machines.all.iter().map(|machine| machine.entrust(rec))).await;
        }
        let Self::Node(node) = self else { return };
        let (run, keeper) = (rec.run(), Arc::clone(node));
        rec.mirror(Box::new(move |line| keeper.tell(&run, line)));
        if let Err(e) = node.hold(&rec.run()).await {
            complain!("warning: {e}");
        }
    }

    /// The image of its helper, if it has one and is a single engine.
    pub(crate) fn helper_image(&self) -> Option<&str> {
        match self {
            Self::Node(node) => Some(&node.helper().image),
            Self::Docker(_) | Self::Fleet(_) | Self::Local(_) | Self::Sim(_) => None,
        }
    }

    /// Lets the helper go, if there is one; and with all runs of it settled, what it has kept.
    pub(crate) async fn close(&self, settled: bool) {
        match self {
            Self::Node(node) if settled => node.end().await,
            Self::Node(node) => node.close().await,
            Self::Fleet(machines) => machines.close(settled).await,
            Self::Docker(_) | Self::Local(_) | Self::Sim(_) => {}
        }
    }

    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Docker(docker) => docker.clone(),
            Self::Node(node) => node.clone(),
            Self::Fleet(machines) => machines.fleet.clone(),
            Self::Local(local) => local.clone(),
            Self::Sim(sim) => sim.clone(),
        }
    }

    /// Who asks the experiment's probes.
    pub(crate) fn prober(&self, x: &Experiment) -> anyhow::Result<Arc<dyn Prober>> {
        let checks = x.all_checks();
        Ok(match self {
            Self::Sim(sim) => Arc::new(SimProber::new(sim.clone(), checks.iter())),
            Self::Docker(_) | Self::Node(_) | Self::Fleet(_) | Self::Local(_) => Arc::new(Live::new(
                checks.iter().map(|(name, check)| (name.as_str(), check)),
                self.engine(),
                here::variable_in_use,
            )?),
        })
    }

    /// What starts the guards of a run.
    pub(crate) fn launcher(&self, choice: GuardChoice, state: &StateDir) -> anyhow::Result<Arc<dyn GuardLauncher>> {
        let exe = || std::env::current_exe().context("cannot find this program's own file, which the guard needs");
        match self {
            Self::Docker(_) | Self::Node(_) | Self::Fleet(_) => {}
            Self::Local(_) => return Ok(Arc::new(ProcessLauncher { exe: exe()? })),
            Self::Sim(_) => return Ok(Arc::new(NoGuard)),
        }
        let own = self.dockers().into_iter().find_map(|docker| Some((docker.own_container()?.to_owned(), docker)));
        match (own, choice) {
            (Some((own, docker)), GuardChoice::Auto | GuardChoice::Container) => {
                Ok(Arc::new(ContainerLauncher { docker, own }))
            }
            (None, GuardChoice::Container) => {
                anyhow::bail!(
                    "a container as guard is made from the container that Squall runs in, and this is none; use `--guard process`"
                )
            }
            (Some(_), GuardChoice::Process) if !lasts_beyond_container(state) => {
                anyhow::bail!(
                    "the state directory {} ends with this container, and with it everything that knows how to roll a fault back; \
                     give the container a volume for it (`-v squall-state:/var/lib/squall`)",
                    state.root().display()
                )
            }
            _ => Ok(Arc::new(ProcessLauncher { exe: exe()? })),
        }
    }
}

/// Whether the state directory is on another file system than the container's own root.
fn lasts_beyond_container(state: &StateDir) -> bool {
    use std::os::unix::fs::MetadataExt;
    let _ = state.prepare();
    let device = |path: &Path| std::fs::metadata(path).map(|m| m.dev()).ok();
    device(state.root()) != device(Path::new("/"))
}

/// Posts containers, where the runner lives in one: a process would end with the runner's container.
struct ContainerLauncher {
    docker: Arc<Docker>,
    own: String,
}

struct GuardContainer {
    docker: Arc<Docker>,
    id: String,
    journal: PathBuf,
}

/// The file by which a guard in a container says that it stands.
pub(super) fn ready_file(journal: &Path) -> PathBuf {
    journal.with_file_name("guard.ready")
}

/// How long a guard in a container may take to stand.
const READY_TIMEOUT: Duration = Duration::from_secs(15);

#[async_trait]
impl GuardLauncher for ContainerLauncher {
    async fn launch(&self, journal: &Path, left: Duration) -> anyhow::Result<Box<dyn GuardHandle>> {
        let ready = ready_file(journal);
        let _ = std::fs::remove_file(&ready);
        let run = journal.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let program = std::env::current_exe().context("cannot find this program's own file, which the guard needs")?;
        let id = self.docker.start_guard(&self.own, &program, journal, &deadline(left), &run).await?;
        let end = Instant::now() + READY_TIMEOUT;
        while !ready.exists() {
            if Instant::now() >= end || !self.docker.is_alive(&id).await? {
                self.docker.remove_container(&id).await?;
                anyhow::bail!(
                    "the guard's container was not ready; `squall doctor` in this container says what it lacks"
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Box::new(GuardContainer { docker: self.docker.clone(), id, journal: journal.to_owned() }))
    }
}

#[async_trait]
impl GuardHandle for GuardContainer {
    fn kind(&self) -> GuardKind {
        GuardKind::Container
    }

    fn id(&self) -> String {
        self.id.chars().take(12).collect()
    }

    async fn has_exited(&mut self) {
        loop {
            sleep(Duration::from_millis(500)).await;
            // An engine that does not answer says nothing about the guard.
            if matches!(self.docker.is_alive(&self.id).await, Ok(false)) {
                return;
            }
        }
    }

    async fn shutdown(self: Box<Self>) {
        if let Err(e) = self.docker.remove_container(&self.id).await {
            tracing::warn!("the guard's container stays until it ends by itself: {e}");
        }
        let _ = std::fs::remove_file(ready_file(&self.journal));
    }
}
