//! Where the demonstration plays: containers on Docker, or plain processes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::{ACTS, LABEL, NAME, Ports, stack};
use crate::command::shop::serve;
use crate::engine::Observe as _;
use crate::engine::docker::{Docker, NewContainer};
use crate::engine::local::Local;
use crate::host::store::{StateDir, private_dir, private_file};
use crate::model::instance::Instance;

/// How long the stack may take until a customer can check out.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A place for the demonstration's stack.
#[derive(Debug, Clone)]
pub enum DemoStack {
    /// Containers on a private network.
    Docker {
        /// The engine.
        docker: Arc<Docker>,
        /// The value of the label of everything that is made.
        id: String,
    },
    /// Plain processes.
    Local {
        /// The engine.
        local: Arc<Local>,
        /// The stack file.
        file: PathBuf,
    },
}

/// The directory of the files that the demonstration writes.
fn directory(state: &StateDir) -> PathBuf {
    state.root().join("demo")
}

impl DemoStack {
    /// A place on Docker.
    #[must_use]
    pub fn docker(docker: Docker) -> Self {
        Self::Docker { docker: Arc::new(docker), id: format!("{:08x}", rand::random::<u32>()) }
    }

    /// A place for plain processes on these ports.
    ///
    /// # Errors
    /// Where the stack file cannot be written, or is that of a stack that is up.
    pub async fn local(state: &StateDir, ports: Ports) -> anyhow::Result<Self> {
        if let Some(earlier) = Self::earlier_local(state)? {
            earlier.refuse_if_taken().await?;
        }
        let file = directory(state).join("stack.yaml");
        write(&file, &stack(ports))?;
        Ok(Self::Local { local: Arc::new(Local::open(state, &file)?), file })
    }

    /// The local stack of an earlier demonstration, where there was one.
    ///
    /// # Errors
    /// Where its stack file cannot be read.
    pub fn earlier_local(state: &StateDir) -> anyhow::Result<Option<Self>> {
        let file = directory(state).join("stack.yaml");
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(Self::Local { local: Arc::new(Local::open(state, &file)?), file }))
    }

    /// Whether it is free.
    ///
    /// # Errors
    /// Where the stack of some demonstration is up there already, or the engine does not say.
    pub async fn refuse_if_taken(&self) -> anyhow::Result<()> {
        let is_taken = match self {
            Self::Docker { docker, .. } => docker.count_labelled(LABEL).await? > 0,
            Self::Local { local, .. } => local.observe().await?.iter().any(Instance::is_running),
        };
        if is_taken {
            bail!("the stack of a demonstration is up already; `squall demo --down` takes it away");
        }
        Ok(())
    }

    /// Writes the experiments for these ports; their files, in the order of the acts.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn experiments(state: &StateDir, ports: Ports) -> anyhow::Result<Vec<PathBuf>> {
        let write_one = |act: &super::Act| {
            let file = directory(state).join(act.file);
            write(&file, &act.experiment(ports)).map(|()| file)
        };
        ACTS.iter().map(write_one).collect()
    }

    /// Brings the stack up and waits until a customer can check out.
    ///
    /// # Errors
    /// Where it does not come up; what has been made is still there.
    pub async fn up(&self, ports: Ports) -> anyhow::Result<()> {
        match self {
            Self::Docker { docker, id } => containers(docker, id, ports).await?,
            Self::Local { local, .. } => drop(local.up().await?),
        }
        let gateway = format!("127.0.0.1:{}", ports.gateway);
        let deadline = Instant::now() + READY_TIMEOUT;
        while !serve::answers(&gateway, "/checkout", Duration::from_secs(1)).await {
            if Instant::now() > deadline {
                let retries = humantime::format_duration(READY_TIMEOUT);
                let said = match self {
                    Self::Docker { docker, .. } => docker.last_words(&format!("{NAME}-gateway-1")).await,
                    Self::Local { .. } => String::new(),
                };
                bail!(
                    "no customer can check out at http://{gateway}/checkout after {retries}; try `squall demo --engine \
                     local`. {said}"
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Takes away everything that this demonstration has made; `came_up` where nothing that it ordered is still on its
    /// way.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub async fn down(&self, came_up: bool) -> anyhow::Result<()> {
        match self {
            Self::Docker { docker, id } => {
                docker.remove_labelled(&format!("{LABEL}={id}"), came_up).await?;
                docker.remove_images_of(NAME, None).await?;
            }
            Self::Local { local, .. } => drop(local.down().await?),
        }
        Ok(())
    }

    /// Takes away every demonstration's stack; whether there was one.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub async fn down_all(&self) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Docker { docker, .. } => {
                let removed = docker.remove_labelled(LABEL, true).await?;
                docker.remove_images_of(NAME, None).await?;
                removed > 0
            }
            Self::Local { local, .. } => local.down().await? > 0,
        })
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        private_dir(file.parent().unwrap_or(Path::new("/")))?;
        private_file().write(true).truncate(true).open(file)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}; --state DIR names another place", file.display()))
}

/// The same stack as that of `examples/shop/`, with names in place of ports.
async fn containers(docker: &Docker, id: &str, ports: Ports) -> anyhow::Result<()> {
    let image = docker.own_image(NAME).await?;
    docker.make_network(NAME, (LABEL, id)).await?;
    let container = |service: &str, n: u16, upstream: &str, zone: Option<&str>| {
        let alias = format!("{service}-{n}");
        let mut command: Vec<String> =
            ["serve", service, "--name", &alias, "--listen", "0.0.0.0:8080"].map(str::to_owned).to_vec();
        if !upstream.is_empty() {
            command.extend(["--upstream", upstream].map(str::to_owned));
        }
        let mut labels = vec![(LABEL.to_owned(), id.to_owned()), ("squall.service".to_owned(), service.to_owned())];
        labels.extend(zone.map(|zone| ("squall.zone".to_owned(), zone.to_owned())));
        NewContainer {
            name: format!("{NAME}-{alias}"),
            image: image.clone(),
            command,
            labels,
            network: NAME.to_owned(),
            alias,
            publish: None,
            restarts: false,
        }
    };
    docker.start_new(container("store", 1, "", Some("a"))).await?;
    for (n, zone) in [(1, "a"), (2, "b"), (3, "c")] {
        let shop = container("shop", n, "store-1:8080", Some(zone));
        docker.start_new(NewContainer { restarts: true, ..shop }).await?;
    }
    let gateway = container("gateway", 1, "shop-1:8080,shop-2:8080,shop-3:8080", None);
    docker.start_new(NewContainer { publish: Some((8080, ports.gateway)), ..gateway }).await?;
    Ok(())
}
