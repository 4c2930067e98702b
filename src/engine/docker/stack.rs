//! Containers on a private network of their own, known by a label and removed by it: for the demonstration.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest, NetworkingConfig, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    LogsOptionsBuilder, StartContainerOptions,
};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::EngineError;

/// How long an order that a process gave before it died may take to have its effect.
const ON_THE_WIRE: Duration = Duration::from_millis(500);

/// A container to be started.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// Its name.
    pub name: String,
    /// Its image, whose entry point gets the command.
    pub image: String,
    /// Arguments of the entry point.
    pub command: Vec<String>,
    /// Its labels, each a key and a value.
    pub labels: Vec<(String, String)>,
    /// The network that it is on, and no other.
    pub network: String,
    /// What the others on the network call it.
    pub alias: String,
    /// A port of it, and the port of this machine's loopback that leads there.
    pub publish: Option<(u16, u16)>,
    /// Whether the engine starts it again after a crash.
    pub restarts: bool,
}

impl Docker {
    /// Makes a network that carries a label.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn make_network(&self, name: &str, label: (&str, &str)) -> Result<(), EngineError> {
        let labels = Some(HashMap::from([(label.0.to_owned(), label.1.to_owned())]));
        let request = NetworkCreateRequest { name: name.to_owned(), labels, ..NetworkCreateRequest::default() };
        let call = self.api.create_network(request);
        within(QUICK, call)
            .await
            .map(drop)
            .map_err(|f| f.error(&self.endpoint.address, || format!("make the network {name}")))
    }

    /// Makes a container and starts it.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn start_new(&self, new: NewContainer) -> Result<(), EngineError> {
        let name = new.name.clone();
        let error = |f: Failure| f.error(&self.endpoint.address, || format!("start {name}"));
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        // Names that the network does not know are known nowhere: no server outside is asked for them. To Podman this would be the
        // server that the container asks, instead of the network's.
        let dns = self.podman.is_none().then(|| vec!["127.0.0.1".to_owned()]);
        let made = within(QUICK, self.api.create_container(Some(options), body(new, dns))).await.map_err(error)?;
        within(QUICK, self.api.start_container(&made.id, None::<StartContainerOptions>)).await.map_err(error)
    }

    /// How many containers carry a label (`key` or `key=value`), in every state.
    ///
    /// # Errors
    /// Where the engine does not say.
    pub async fn count_labelled(&self, label: &str) -> Result<usize, EngineError> {
        self.labelled(label).await.map(|ids| ids.len())
    }

    /// Removes all containers and networks that carry a label, running or not, and says how many. Looks again after
    /// a moment, for what a dead process ordered last, unless `at_once`.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_labelled(&self, label: &str, at_once: bool) -> Result<usize, EngineError> {
        let mut removed = 0;
        loop {
            let containers = self.labelled(label).await?;
            let networks = self.networks_labelled(label).await?;
            let found = containers.len() + networks.len();
            try_join_all(containers.iter().map(|id| self.remove_container(id))).await?;
            for network in networks {
                match within(QUICK, self.api.remove_network(&network)).await {
                    Ok(()) | Err(Failure::Missing(_)) => {}
                    Err(failure) => {
                        return Err(failure.error(&self.endpoint.address, || format!("remove the network {network}")));
                    }
                }
            }
            removed += found;
            if at_once {
                return Ok(removed);
            }
            sleep(ON_THE_WIRE).await;
            if found == 0 && self.labelled(label).await?.is_empty() {
                return Ok(removed);
            }
        }
    }

    /// Removes the images of a repository that no container uses, but for one of them.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn remove_images_of(&self, repository: &str, but: Option<&str>) -> Result<(), EngineError> {
        let filters = HashMap::from([("reference", vec![repository])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = within(QUICK, self.api.list_images(Some(options)))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || format!("list the images of {repository}")))?;
        // Podman writes a registry before the name.
        let is_other = |tag: &&String| but.is_none_or(|but| !tag.ends_with(but));
        let mut failed = None;
        for tag in images.iter().flat_map(|image| &image.repo_tags).filter(is_other) {
            // One that is in use keeps none of the others.
            if let Err(e) = self.remove_image(tag).await {
                failed.get_or_insert(e);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The last lines that a container has printed.
    pub async fn last_words(&self, container: &str) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("5").build();
        let lines = self.api.logs(container, Some(options)).try_collect::<Vec<_>>();
        let lines = within(QUICK, lines).await.unwrap_or_default();
        lines.iter().map(ToString::to_string).collect::<String>().trim().to_owned()
    }

    pub(super) async fn labelled(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let found = self
            .list(ListContainersOptionsBuilder::new().all(true).filters(&filters))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || format!("list the containers with label {label}")))?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    async fn networks_labelled(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found = within(QUICK, self.api.list_networks(Some(options)))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || format!("list the networks with label {label}")))?;
        Ok(found.into_iter().filter_map(|network| network.id).collect())
    }
}

fn body(new: NewContainer, dns: Option<Vec<String>>) -> ContainerCreateBody {
    let endpoint = EndpointSettings { aliases: Some(vec![new.alias]), ..EndpointSettings::default() };
    let binding = |port: u16| PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
    let ports = new.publish.map(|(inside, here)| (format!("{inside}/tcp"), Some(vec![binding(here)])));
    let policy = if new.restarts { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
    ContainerCreateBody {
        image: Some(new.image),
        cmd: Some(new.command),
        labels: Some(new.labels.into_iter().collect()),
        exposed_ports: ports.as_ref().map(|(port, _)| vec![port.clone()]),
        host_config: Some(HostConfig {
            network_mode: Some(new.network.clone()),
            port_bindings: ports.map(|port| HashMap::from([port])),
            restart_policy: Some(RestartPolicy { name: Some(policy), maximum_retry_count: None }),
            dns,
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(new.network, endpoint)])) }),
        ..ContainerCreateBody::default()
    }
}
