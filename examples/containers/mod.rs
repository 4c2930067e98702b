//! Containers to measure on: made from the very program that measures, on a network of their own, removed by their label.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use clap::Parser as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use squall::engine::docker::Docker;
use squall::model::instance::InstanceId;

/// How many are started at a time: more only wait for each other in the engine.
const AT_ONCE: usize = 2;

/// How often removing is tried again.
const CLEARINGS: usize = 10;

/// A container.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: InstanceId,
    pub(crate) pid: u32,
    pub(crate) address: IpAddr,
}

/// Some containers on a network.
#[derive(Debug)]
pub(crate) struct Containers {
    pub(crate) docker: Docker,
    pub(crate) image: String,
    pub(crate) members: Vec<Member>,
    repository: String,
    label: String,
}

/// Runs as Squall itself where that is meant: what the containers run, and what the engine starts beside them. `None` where
/// the program was started to measure.
pub(crate) async fn as_squall() -> Option<ExitCode> {
    std::env::args().nth(1).filter(|word| !word.starts_with('-'))?;
    Some(match Box::pin(squall::command::dispatch(squall::command::cli::Cli::parse())).await {
        Ok(code) => code,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::from(2)
        }
    })
}

impl Containers {
    /// Starts so many that do next to nothing. What was started is gone again where that fails.
    pub(crate) async fn start(purpose: &str, count: usize) -> anyhow::Result<Self> {
        let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
        let repository = format!("squall-{purpose}");
        let label = format!("squall.{purpose}={}", std::process::id());
        let image = docker.own_image(&repository).await?;
        let mut containers = Self { docker, image, members: Vec::new(), repository, label };
        match containers.fill(count).await {
            Ok(()) => Ok(containers),
            Err(e) => containers.clear().await.and(Err(e)),
        }
    }

    async fn fill(&mut self, count: usize) -> anyhow::Result<()> {
        let network = format!("{}-{}", self.repository, std::process::id());
        let (key, value) = self.label.split_once('=').context("a label")?;
        let labels = HashMap::from([(key.to_owned(), value.to_owned())]);
        self.docker.make_network(&network, (key, value)).await?;
        // With the client's own patience: on an emulated machine a start takes its time.
        let api = bollard::Docker::connect_with_defaults()?;
        let begun =
            stream::iter(1..=count).map(|n| start(&api, format!("{network}-{n}"), &self.image, &network, &labels));
        self.members = begun.buffered(AT_ONCE).try_collect().await?;
        Ok(())
    }

    /// Removes them, their network and their image.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        // The engine is asked to remove them all at once, which it may take longer over than it is given for one.
        for _ in 0..CLEARINGS {
            if self.docker.remove_labelled(&self.label, true).await.is_ok() {
                break;
            }
        }
        self.docker.remove_labelled(&self.label, true).await?;
        Ok(self.docker.remove_images_of(&self.repository, None).await?)
    }
}

async fn start(
    api: &bollard::Docker,
    name: String,
    image: &str,
    network: &str,
    labels: &HashMap<String, String>,
) -> anyhow::Result<Member> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(["serve", "store", "--listen", "0.0.0.0:8080"].map(str::to_owned).to_vec()),
        labels: Some(labels.clone()),
        host_config: Some(HostConfig { network_mode: Some(network.to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let id = api.create_container(Some(options), body).await?.id;
    api.start_container(&id, None::<StartContainerOptions>).await.with_context(|| format!("cannot start {name}"))?;
    let told = api.inspect_container(&id, None).await?;
    let pid = told.state.and_then(|s| s.pid).and_then(|pid| u32::try_from(pid).ok()).context("it has no PID")?;
    let networks = told.network_settings.and_then(|s| s.networks).unwrap_or_default();
    let address = networks.into_values().find_map(|n| n.ip_address).context("it has no address")?.parse()?;
    Ok(Member { id: InstanceId(id), pid, address })
}
