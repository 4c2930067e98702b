//! The containers that are hit, and a directory for everything else.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    RestartContainerOptionsBuilder, StartContainerOptions,
};
use squall::engine::Engine as _;
use squall::engine::docker::{Docker, PROGRAM};
use squall::host::process;
use squall::journal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::casualty::journal_in;
use crate::look::{Look, inhabitants, mounted, namespace};

/// The word that this program is started with in the containers.
pub(crate) const VICTIM: &str = "victim";

/// Where a container has what can be filled.
const PLACES: [&str; 3] = ["/", "/data", "/memory"];

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

/// The containers that are hit, and a directory for everything else.
pub(crate) struct Field {
    docker: Docker,
    api: bollard::Docker,
    image: String,
    service: String,
    pub(crate) dir: PathBuf,
}

impl Field {
    pub(crate) async fn prepare() -> anyhow::Result<Self> {
        let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
        let api = bollard::Docker::connect_with_defaults()?;
        let service = format!("squall-storm-{}", std::process::id());
        let image = docker.own_image("squall-storm").await?;
        let dir = std::env::temp_dir().join(&service);
        std::fs::create_dir_all(&dir)?;
        let field = Self { docker, api, image, service, dir };
        match field.refill().await {
            Ok(()) => Ok(field),
            Err(e) => field.clear().await.and(Err(e)),
        }
    }

    fn names(&self) -> [String; 3] {
        [1, 2, 3].map(|n| format!("{}-{n}", self.service))
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

    async fn add(&self, name: &str, n: usize) -> anyhow::Result<()> {
        // The last one is of those whose policy an outage of the zone sets aside.
        let policy = if n == 2 { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
        let zone = if n == 1 { "b" } else { "a" };
        let labels = [("squall.service", self.service.as_str()), ("squall.zone", zone)];
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![PROGRAM.to_owned(), VICTIM.to_owned()]),
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
        settled(&format!("both processes of {name}"), || Ok(inhabitants(&id)?.len() == PROCESSES)).await
    }

    async fn inspected(&self, name: &str) -> anyhow::Result<Option<bollard::models::ContainerInspectResponse>> {
        match self.api.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn id(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self.inspected(name).await?.and_then(|found| found.id))
    }

    /// The main process of a container that is there.
    async fn pid(&self, name: &str) -> anyhow::Result<Option<u32>> {
        let pid = self.inspected(name).await?.and_then(|found| found.state).and_then(|state| state.pid);
        Ok(pid.map(u32::try_from).transpose()?)
    }

    /// All that can be seen of every container that is there.
    pub(crate) async fn look(&self) -> anyhow::Result<Look> {
        let fleet = self.docker.observe().await?.into_iter().filter(|i| i.service == self.service);
        let settings = fleet.map(|i| (i.name, i.settings)).collect();
        let mut look = Look { settings, namespaces: [].into(), mounts: [].into() };
        for name in self.names() {
            let Some(pid) = self.pid(&name).await? else { continue };
            look.namespaces.insert(name.clone(), namespace(pid).await?);
            look.mounts.insert(name, mounted(pid)?);
        }
        Ok(look)
    }

    /// Nothing of a run is left that the settings do not tell: no marker, no process, no file.
    pub(crate) async fn is_clean(&self, dir: &Path) -> anyhow::Result<()> {
        let mut left = self.docker.claims().await?.into_iter().filter(|c| c.service == self.service);
        if let Some(claim) = left.next() {
            bail!("a marker is left: {claim:?}");
        }
        let state = journal_in(dir).and_then(|journal| journal::replay(&journal).ok()).unwrap_or_default();
        if let Some(started) = state.started {
            settled("the end of the run's processes", || Ok(of_run(&started.run)?.is_empty())).await?;
        }
        for name in self.names() {
            let beside = self.api.inspect_volume(&name).await?.mountpoint;
            let mut places = vec![PathBuf::from(beside)];
            if let (Some(pid), Some(id)) = (self.pid(&name).await?, self.id(&name).await?) {
                places.extend(PLACES.map(|place| PathBuf::from(format!("/proc/{pid}/root{place}"))));
                let only_its_own = || Ok(inhabitants(&id)?.len() == PROCESSES);
                settled(&format!("nobody but its own in {name}"), only_its_own)
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

    pub(crate) fn start(&self, fault: &str, grace: &str, dir: &Path) -> anyhow::Result<Child> {
        let file = dir.join("experiment.yaml");
        let service = &self.service;
        let (target, radius) = if fault.starts_with("zone-outage") {
            ("zone: a", "max-zones: 1, max-instances: 2")
        } else {
            ("pick: 2", "max-instances: 2")
        };
        std::fs::write(
            &file,
            format!(
                "version: 1\nname: storm\nhypothesis: Nothing stays behind.\n\
                 steady-state:\n  count: {{ engine: {{ service: {service}, count: running }}, rate: 4/s, expect: {{ value: {{ at-least: 0 }} }} }}\n\
                 target: {{ service: {service}, {target} }}\nfault: {{ {fault} }}\nblast-radius: {{ {radius} }}\n\
                 timing: {{ baseline: 500ms, duration: 2s, recovery: 2s }}\n"
            ),
        )?;
        let mut command = Self::squall(dir);
        command.arg("run").arg(&file).args(["--quiet", "--grace", grace]);
        let said = std::fs::File::create(self.dir.join("said"))?;
        Ok(command.stdout(said.try_clone()?).stderr(said).spawn()?)
    }

    /// Restarts a container, as somebody else would.
    pub(crate) async fn restart(&self, name: &str) -> anyhow::Result<()> {
        let options = RestartContainerOptionsBuilder::new().t(0).build();
        Ok(self.api.restart_container(name, Some(options)).await?)
    }

    /// Removes a container, as somebody else would. Its volume stays.
    pub(crate) async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        Ok(self.api.remove_container(name, Some(options)).await?)
    }

    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        for name in self.names() {
            if self.id(&name).await?.is_some() {
                self.remove(&name).await?;
            }
            self.api.remove_volume(&name, None::<RemoveVolumeOptions>).await?;
        }
        self.docker.remove_image(&self.image).await?;
        std::fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}

/// The processes that carry a change of a run.
fn of_run(run: &str) -> anyhow::Result<Vec<u32>> {
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let carries = |pid: &u32| process::variable(*pid, "SQUALL_CHANGE").is_some_and(|tag| tag.starts_with(run));
    Ok(pids.filter(carries).collect())
}

/// Waits until it is so.
async fn settled(what: &str, is: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + LAST;
    while !is()? {
        if Instant::now() >= end {
            bail!("never {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
