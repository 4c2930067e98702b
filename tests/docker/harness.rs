//! A sandbox for the containers of one test: everything in it is taken away with it, also when the test panics.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use squall::engine::docker::Docker;
use squall::engine::{Observe as _, Tag};
use squall::model::instance::{Instance, InstanceId};

/// Names this process's sandbox: `squall-test-PID-N`.
static SANDBOXES: AtomicUsize = AtomicUsize::new(0);

/// The sandbox that are in use; the last one takes the image away.
static IN_USE: tokio::sync::Mutex<usize> = tokio::sync::Mutex::const_new(0);

/// The containers of one test.
pub(crate) struct Sandbox {
    /// The engine under test.
    pub(crate) docker: Docker,
    /// Where it is, unless it is the usual one.
    pub(crate) host: Option<String>,
    /// The engine's API, to do and see things behind the engine's back.
    pub(crate) api: bollard::Docker,
    /// The prefix of every name in it.
    pub(crate) prefix: String,
    /// The image of our own binary.
    pub(crate) image: String,
    /// Images that are taken away with the sandbox.
    pub(crate) extra_images: Vec<String>,
}

/// What a container is, beside its name. It answers HTTP on port 8080 unless it is told what else to do.
#[derive(Default, Clone)]
pub(crate) struct Spec {
    pub(crate) command: Vec<String>,
    pub(crate) image: Option<String>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) env: Vec<String>,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) restart: Option<RestartPolicyNameEnum>,
    /// Whether its standard input stays open, so that what reads it waits.
    pub(crate) open_stdin: bool,
    pub(crate) host: HostConfig,
}

impl Sandbox {
    pub(crate) async fn new() -> Self {
        Self::on(None).await
    }

    /// A sandbox on another engine than the usual one.
    pub(crate) async fn on(host: Option<String>) -> Self {
        let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_squall"));
        let docker = Docker::connect(host.as_deref()).await.expect("a Docker Engine is there").with_binary(program);
        let api = client(host.as_deref());
        let prefix = format!("squall-test-{}-{}", std::process::id(), SANDBOXES.fetch_add(1, Ordering::Relaxed));
        let mut in_use = IN_USE.lock().await;
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_squall"));
        let image = docker.image_of(program, &repository()).await.expect("an image of our own binary");
        *in_use += usize::from(host.is_none());
        Self { docker, host, api, prefix, image, extra_images: Vec::new() }
    }

    /// Starts a container that is up when this returns.
    pub(crate) async fn start(&self, name: &str, spec: Spec) -> InstanceId {
        let id = self.create(name, spec).await;
        self.api.start_container(&id.0, None::<StartContainerOptions>).await.expect("it starts");
        id
    }

    pub(crate) async fn create(&self, name: &str, spec: Spec) -> InstanceId {
        let command = if spec.command.is_empty() {
            ["serve", "store", "--listen", "0.0.0.0:8080"].map(str::to_owned).to_vec()
        } else {
            spec.command
        };
        let mut labels: HashMap<String, String> = spec.labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        labels.insert("squall.test".to_owned(), self.prefix.clone());
        // The engine publishes only what is exposed as well.
        let exposed_ports = spec.host.port_bindings.as_ref().map(|ports| ports.keys().cloned().collect());
        let restart_policy = spec.restart.map(|name| RestartPolicy { name: Some(name), maximum_retry_count: None });
        let body = ContainerCreateBody {
            image: Some(spec.image.unwrap_or_else(|| self.image.clone())),
            env: Some(spec.env),
            entrypoint: spec.entrypoint,
            cmd: Some(command),
            labels: Some(labels),
            exposed_ports,
            open_stdin: Some(spec.open_stdin),
            host_config: Some(HostConfig { restart_policy, ..spec.host }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&self.name(name)).build();
        let made = self.api.create_container(Some(options), body).await.expect("it is created");
        InstanceId(made.id)
    }

    /// The whole name of a container of this sandbox.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) async fn look(&self, id: &InstanceId) -> Instance {
        self.docker.look(id).await.expect("the engine answers").expect("it exists")
    }

    /// The host's PID of a container's main process; 0 where it has none.
    pub(crate) async fn pid(&self, id: &InstanceId) -> u32 {
        let found = self.api.inspect_container(&id.0, None::<InspectContainerOptions>).await.expect("it exists");
        u32::try_from(found.state.expect("a state").pid.unwrap_or(0)).expect("a PID")
    }

    pub(crate) fn tag(&self, change: usize) -> Tag {
        Tag { run: self.prefix.clone(), change }
    }

    /// Looks until it is as it should be; panics after 20 seconds.
    pub(crate) async fn until(&self, id: &InstanceId, what: &str, is: impl Fn(&Instance) -> bool) -> Instance {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let now = self.look(id).await;
            if is(&now) {
                return now;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {now:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

fn repository() -> String {
    format!("squall-test-{}", std::process::id())
}

fn client(host: Option<&str>) -> bollard::Docker {
    let made = match host {
        None => bollard::Docker::connect_with_unix_defaults(),
        Some(host) => bollard::Docker::connect_with_unix(host, 120, bollard::API_DEFAULT_VERSION),
    };
    made.expect("a client")
}

/// Takes everything of a test away: whatever has its prefix in its name.
async fn clear(
    host: Option<&str>,
    prefix: &str,
    image: &str,
    extra_images: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let api = client(host);
    let named = HashMap::from([("name", vec![format!("{prefix}-")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&named).build();
    for container in api.list_containers(Some(options)).await? {
        remove(&api, &container.id.unwrap_or_default()).await?;
    }
    let volumes = api.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(&named).build())).await?.volumes;
    for volume in volumes.unwrap_or_default() {
        api.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await?;
    }
    for network in api.list_networks(Some(ListNetworksOptionsBuilder::new().filters(&named).build())).await? {
        api.remove_network(&network.id.unwrap_or_default()).await?;
    }
    let docker = Docker::connect(host).await?;
    for extra in extra_images {
        docker.remove_image(extra).await?;
    }
    // Another engine goes away as a whole, and its image with it.
    if host.is_none() {
        let mut in_use = IN_USE.lock().await;
        *in_use -= 1;
        if *in_use == 0 {
            docker.remove_image(image).await?;
        }
    }
    Ok(())
}

/// Removes a container for good. It may be removing itself at this very moment, or be at something else that ends soon.
async fn remove(api: &bollard::Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match api.remove_container(id, Some(options)).await {
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. })
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let (host, prefix, image) = (self.host.clone(), self.prefix.clone(), self.image.clone());
        let extra = std::mem::take(&mut self.extra_images);
        // A thread of its own, because a runtime's thread may not wait for another runtime.
        let cleared = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(clear(host.as_deref(), &prefix, &image, &extra)).map_err(|e| e.to_string())
        })
        .join();
        if !matches!(cleared, Ok(Ok(()))) {
            let why = format!("containers of {} may be left: {cleared:?}", self.prefix);
            assert!(std::thread::panicking(), "{why}");
            // A second panic would hide the first.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
        }
    }
}
