//! The containers that are targeted, and a directory for everything else.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    RestartContainerOptionsBuilder, StartContainerOptions,
};
use rustix::process::Pid;
use squall::engine::docker::{Docker, PROGRAM};
use squall::engine::{Description, Lock as _, Observe as _};
use squall::host::process;
use squall::model::instance::{Instance, InstanceId};
use squall::record::journal;
use squall::record::state::RunState;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::casualty::journal_in;
use crate::faults;
use crate::look::{Look, inhabitants, mounted, namespace};

/// The word that this program is started with in the containers.
pub(crate) const TARGET: &str = "target";

/// Where a container has what can be filled.
const PLACES: [&str; 3] = ["/", "/data", "/memory"];

/// What is run.
pub(crate) struct Order<'a> {
    /// As under `fault:` in an experiment.
    pub(crate) fault: &'a str,
    pub(crate) duration: &'a str,
    /// How much longer than planned the fault may be on.
    pub(crate) grace: &'a str,
    /// Of the run's random choices.
    pub(crate) seed: Option<u64>,
    /// Another engine than the usual one.
    pub(crate) engine: Option<&'a str>,
    /// By a helper on the engine's host.
    pub(crate) helper: bool,
}

/// How many processes run in each container.
const PROCESSES: usize = 2;

/// How long the last of a run's processes may take to be gone.
const LAST: Duration = Duration::from_secs(10);

/// A service, with another process beside it.
#[expect(clippy::zombie_processes, reason = "it ends with the container")]
pub(crate) fn suffer() -> ! {
    let serve = |port: &str| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["serve", "store", "--listen", &format!("127.0.0.1:{port}")]);
        command
    };
    serve("8081").spawn().expect("it starts");
    panic!("it starts: {}", serve("8080").exec());
}

/// What the last container of a field is called, which no run is about.
pub(crate) const BYSTANDER: &str = "bystander";

/// The containers that are targeted, one that is not, a network that none of them is on, and a directory for everything else.
pub(crate) struct Field {
    docker: Docker,
    api: bollard::Docker,
    image: String,
    service: String,
    pub(crate) dir: PathBuf,
}

impl Field {
    /// So many of them.
    pub(crate) async fn prepare(count: usize) -> anyhow::Result<Vec<Self>> {
        let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
        let image = docker.own_image("squall-storm").await?;
        let mut fields = Vec::new();
        for n in 1..=count {
            let service = format!("squall-storm-{}-{n}", std::process::id());
            let dir = std::env::temp_dir().join(&service);
            std::fs::create_dir_all(&dir)?;
            let api = bollard::Docker::connect_with_defaults()?;
            fields.push(Self { docker: docker.clone(), api, image: image.clone(), service, dir });
        }
        let made = async {
            for field in &fields {
                field.make_network().await?;
                field.refill().await?;
            }
            anyhow::Ok(())
        };
        match made.await {
            Ok(()) => Ok(fields),
            Err(e) => Self::clear(&fields).await.and(Err(e)),
        }
    }

    /// That of the machine on which this process is, with nothing in it yet.
    pub(crate) async fn of_machine(service: &str) -> anyhow::Result<Self> {
        let docker = Docker::connect(None).await?;
        let image = docker.own_image("squall-storm").await?;
        let api = bollard::Docker::connect_with_defaults()?;
        Ok(Self { docker, api, image, service: service.to_owned(), dir: PathBuf::new() })
    }

    /// The network that none of its containers is on.
    pub(crate) async fn make_network(&self) -> anyhow::Result<()> {
        Ok(self.docker.make_network(&self.service, ("squall.storm", &self.service)).await?)
    }

    /// The image of its containers.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// Of every container.
    pub(crate) fn names(&self) -> [String; 4] {
        ["1", "2", "3", BYSTANDER].map(|n| format!("{}-{n}", self.service))
    }

    /// Of those that may be targeted.
    pub(crate) fn targets(&self) -> [String; 3] {
        let [one, two, three, _] = self.names();
        [one, two, three]
    }

    /// Makes every container that is not there.
    pub(crate) async fn refill(&self) -> anyhow::Result<()> {
        for (n, name) in self.names().into_iter().enumerate() {
            if self.pid(&name).await?.is_none() {
                self.add(&name, n).await?;
            }
        }
        Ok(())
    }

    /// Starts every container that has ended.
    pub(crate) async fn start_ended(&self) -> anyhow::Result<()> {
        for name in self.names() {
            if self.pid(&name).await? == Some(0) {
                self.api.start_container(&name, None::<StartContainerOptions>).await?;
            }
        }
        Ok(())
    }

    /// Makes a container anew under the name of one that may be there.
    pub(crate) async fn replace(&self, name: &str) -> anyhow::Result<()> {
        let n = self.names().iter().position(|other| other == name).context("a container of the field")?;
        if self.id(name).await?.is_some() {
            self.remove(name).await?;
        }
        self.add(name, n).await
    }

    async fn add(&self, name: &str, n: usize) -> anyhow::Result<()> {
        // The last one is of those whose policy an outage of the zone sets aside.
        let policy = if n == 2 { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
        let zone = if n == 1 { "b" } else { "a" };
        let service = if name.ends_with(BYSTANDER) { name } else { &self.service };
        let labels = [("squall.service", service), ("squall.zone", zone)];
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![PROGRAM.to_owned(), TARGET.to_owned()]),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            host_config: Some(HostConfig {
                restart_policy: Some(RestartPolicy { name: Some(policy), maximum_retry_count: None }),
                binds: Some(vec![format!("{name}:/data")]),
                tmpfs: Some([("/memory".to_owned(), "size=16m,nr_inodes=500".to_owned())].into()),
                memory: Some(128 << 20),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.api.create_container(Some(options), body).await?;
        self.api.start_container(name, None::<StartContainerOptions>).await?;
        let id = self.id(name).await?.context("it is there")?;
        settled(&format!("both processes of {name}"), || Ok(inhabitants(&id).len() == PROCESSES)).await
    }

    async fn inspected(&self, name: &str) -> anyhow::Result<Option<bollard::models::ContainerInspectResponse>> {
        match self.api.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(crate) async fn id(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self.inspected(name).await?.and_then(|found| found.id))
    }

    /// The main process of a container that is there.
    pub(crate) async fn pid(&self, name: &str) -> anyhow::Result<Option<u32>> {
        let pid = self.inspected(name).await?.and_then(|found| found.state).and_then(|state| state.pid);
        Ok(pid.map(u32::try_from).transpose()?)
    }

    /// All that can be seen of every container that is there.
    pub(crate) async fn look(&self) -> anyhow::Result<Look> {
        let fleet = self.docker.observe().await?.into_iter().filter(|i| self.names().contains(&i.name));
        let settings = fleet.map(|i| (i.name, i.settings)).collect();
        let mut look = Look { settings, namespaces: [].into(), mounts: [].into() };
        for name in self.names() {
            let Some(pid) = self.pid(&name).await?.filter(|pid| *pid > 0) else { continue };
            look.namespaces.insert(name.clone(), namespace(pid).await?);
            let id = self.id(&name).await?.unwrap_or_default();
            look.mounts.insert(name, mounted(pid, &id)?);
        }
        Ok(look)
    }

    /// Whether a lock on its service is there.
    pub(crate) async fn is_locked(&self) -> anyhow::Result<bool> {
        Ok(self.docker.claims().await?.iter().any(|c| c.service == self.service))
    }

    /// Nothing of a run is left that the settings do not tell: no lock, no process, no file.
    pub(crate) async fn is_clean(&self, dir: &Path) -> anyhow::Result<()> {
        let mut left = self.docker.claims().await?.into_iter().filter(|c| c.service == self.service);
        if let Some(claim) = left.next() {
            bail!("a lock is left: {claim:?}");
        }
        let state = journal_in(dir).and_then(|journal| journal::replay(&journal).ok()).unwrap_or_default();
        if let Some(started) = state.started {
            let end = Instant::now() + LAST;
            for of_run in sessions(&started.engine) {
                while self.docker.sessions().await?.iter().any(|session| session.name == of_run) {
                    ensure!(Instant::now() < end, "the session of its helper, {of_run}, is left");
                    sleep(Duration::from_millis(20)).await;
                }
            }
            settled("the end of the run's processes", || Ok(of_run(&started.run).next().is_none())).await?;
        }
        for name in self.names() {
            let beside = self.api.inspect_volume(&name).await?.mountpoint;
            let mut places = vec![PathBuf::from(beside)];
            if let (Some(pid), Some(id)) = (self.pid(&name).await?.filter(|pid| *pid > 0), self.id(&name).await?) {
                places.extend(PLACES.map(|place| PathBuf::from(format!("/proc/{pid}/root{place}"))));
                let only_its_own = || {
                    let all = inhabitants(&id);
                    Ok(all.len() == PROCESSES && all.iter().all(|process| !process.is_stopped))
                };
                settled(&format!("its own processes alone in {name}, none of them stopped"), only_its_own)
                    .await
                    .with_context(|| format!("{:?}", inhabitants(&id)))?;
            }
            if let Some(left) = places.iter().map(|place| place.join(".squall")).find(|place| place.exists()) {
                bail!("{} is left", left.display());
            }
        }
        Ok(())
    }

    pub(crate) fn squall(dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
        command.env("SQUALL_STATE", dir).stdin(Stdio::null());
        command
    }

    /// Starts a run.
    pub(crate) fn start(&self, order: &Order<'_>, dir: &Path) -> anyhow::Result<Child> {
        let file = dir.join("experiment.yaml");
        let Order { fault, duration, grace, seed, engine, helper } = order;
        let (target, radius) = if fault.starts_with("zone-outage") {
            ("zone: a", "max-zones: 1, max-instances: 2")
        } else {
            ("pick: 2", "max-instances: 2")
        };
        std::fs::write(&file, faults::experiment(&self.service, fault, (target, radius), duration))?;
        let mut command = Self::squall(dir);
        command.arg("run").arg(&file).args(["--quiet", "--grace", grace]);
        command.args(seed.map(|seed| format!("--seed={seed}")));
        command.args(engine.map(|host| format!("--docker-host={host}")));
        if *helper {
            command.args(["--helper", "always", "--helper-image", &self.image]);
        }
        let said = std::fs::File::create(self.dir.join("said"))?;
        Ok(command.stdout(said.try_clone()?).stderr(said).spawn()?)
    }

    /// What the last run has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    /// The main processes of a run's helpers on this engine.
    pub(crate) async fn helpers(&self, state: &RunState) -> anyhow::Result<Vec<Pid>> {
        let of_run: Vec<&str> = state.started.iter().flat_map(|started| sessions(&started.engine)).collect();
        let named = |i: &Instance| of_run.iter().any(|session| i.name.starts_with(session));
        let mut pids = Vec::new();
        for helper in self.docker.observe().await?.into_iter().filter(named) {
            let pid = self.pid(&helper.name).await?.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            pids.extend(pid);
        }
        Ok(pids)
    }

    /// Restarts a container, as another process would.
    pub(crate) async fn restart(&self, name: &str) -> anyhow::Result<()> {
        let options = RestartContainerOptionsBuilder::new().t(0).build();
        Ok(self.api.restart_container(name, Some(options)).await?)
    }

    /// Removes a container, as another process would. Its volume stays.
    pub(crate) async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        Ok(self.api.remove_container(name, Some(options)).await?)
    }

    /// Removes every lock on the service, as another process would.
    pub(crate) async fn remove_locks(&self) -> anyhow::Result<()> {
        for claim in self.docker.claims().await?.into_iter().filter(|c| c.service == self.service) {
            self.docker.release(&claim).await?;
        }
        Ok(())
    }

    /// The life that each container is in: its id, and when it was started.
    pub(crate) async fn lives(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut lives = BTreeMap::new();
        for name in self.names() {
            let Some(found) = self.inspected(&name).await? else { continue };
            let started = found.state.and_then(|state| state.started_at).unwrap_or_default();
            lives.insert(name, format!("{} since {started}", found.id.unwrap_or_default()));
        }
        Ok(lives)
    }

    /// How an instance is, as the engine tells it.
    pub(crate) async fn instance(&self, id: &InstanceId) -> anyhow::Result<Option<Instance>> {
        Ok(self.docker.look(id).await?)
    }

    /// Removes everything but the directories.
    pub(crate) async fn clear(fields: &[Self]) -> anyhow::Result<()> {
        for field in fields {
            for name in field.names() {
                if field.id(&name).await?.is_some() {
                    field.remove(&name).await?;
                }
                field.api.remove_volume(&name, None::<RemoveVolumeOptions>).await?;
            }
            field.docker.remove_labelled(&format!("squall.storm={}", field.service), true).await?;
        }
        let Some(field) = fields.first() else { return Ok(()) };
        // A helper whose starter was killed before it could start it is removed by a recovery, when it is old enough.
        let end = Instant::now() + Duration::from_secs(40);
        loop {
            let mut recover = Self::squall(&field.dir);
            recover.args(["recover", "--helper-image", &field.image]).stdout(Stdio::null());
            ensure!(recover.status().await?.success(), "the last recovery is incomplete");
            match field.docker.remove_image(&field.image).await {
                Err(_) if Instant::now() < end => sleep(Duration::from_secs(1)).await,
                removed => return Ok(removed?),
            }
        }
    }
}

/// The sessions of a run's helpers, on one machine or on several.
fn sessions(engine: &Description) -> impl Iterator<Item = &str> {
    let all = std::iter::once(engine).chain(engine.members.iter().map(|member| &member.engine));
    all.filter_map(|engine| engine.helper.as_ref()).map(|helper| helper.session.as_str())
}

/// The processes that carry a change of a run.
fn of_run(run: &str) -> impl Iterator<Item = u32> {
    process::all().filter(move |pid| process::variable(*pid, "SQUALL_CHANGE").is_some_and(|tag| tag.starts_with(run)))
}

/// Waits until it is so.
pub(crate) async fn settled(what: &str, is: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + LAST;
    while !is()? {
        if Instant::now() >= end {
            bail!("never {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
