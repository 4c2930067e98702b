//! An engine of each kind on a node of its own, and the ways to it: `tests/lab/cluster`, held by this process. Knows nothing of what is
//! run on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use squall::engine::Engine as _;
use squall::engine::docker::Docker;
use squall::host::net::namespace::Namespace;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The address of the node in its cluster.
const ADDRESS: &str = "10.77.0.1";

/// This program, in the cluster's `bin`.
pub(crate) const ITSELF: &str = "engine_table";

/// How long an engine may take to come up, a Debian 13 that is made included.
const COMES_UP: Duration = Duration::from_mins(9);

/// How long a busy engine may take to answer.
const ANSWERS: Duration = Duration::from_secs(30);

/// The engines, as the cluster calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// This machine's Docker Engine, a private one of the same program.
    Docker,
    /// That of Debian 13.
    #[value(name = "docker@trixie")]
    DockerTrixie,
    /// This machine's Podman.
    Podman,
    /// That of Debian 13.
    #[value(name = "podman@trixie")]
    PodmanTrixie,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Docker, Self::DockerTrixie, Self::Podman, Self::PodmanTrixie];

    pub(crate) fn is_podman(self) -> bool {
        matches!(self, Self::Podman | Self::PodmanTrixie)
    }

    /// Where its socket is on its own host.
    fn socket(self) -> &'static str {
        if self.is_podman() { "/run/podman/podman.sock" } else { "/var/run/docker.sock" }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("none is hidden").get_name())
    }
}

/// The ways to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Way {
    /// Its socket, on its own host.
    Unix,
    /// TLS with certificates of both sides, from another machine.
    Tls,
    /// ssh, from another machine.
    Ssh,
    /// A Docker context that has address and certificates, from another machine.
    Context,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Unix, Self::Tls, Self::Ssh, Self::Context];

    /// Where the runner is.
    pub(crate) fn node(self) -> &'static str {
        if self == Self::Unix { "n1" } else { "op" }
    }
}

/// A node with an engine, and a machine beside it that has none. It goes away with this value, and by itself where this process is killed.
pub(crate) struct Lab {
    pub(crate) kind: Kind,
    name: String,
    holder: Child,
}

fn script() -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster"));
    command.stdin(Stdio::null());
    command
}

impl Lab {
    pub(crate) async fn with(kind: Kind, squall: &Path) -> anyhow::Result<Self> {
        let name = format!("table-{}-{}", std::process::id(), kind.to_string().replace('@', "-"));
        let mut holder = script();
        holder.args(["hold", &name, &kind.to_string()]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn()?;
        let mut said = BufReader::new(holder.stdout.take().context("no pipe")?).lines();
        let lab = Self { kind, name, holder };
        let ready = timeout(COMES_UP, said.next_line()).await.context("it takes too long")??;
        ensure!(ready.as_deref() == Some("ready"), "what tests/lab/cluster said stands above");
        std::fs::copy(squall, lab.path("bin/squall"))?;
        std::fs::copy(std::env::current_exe()?, lab.path("bin").join(ITSELF))?;
        Ok(lab)
    }

    /// A path in the cluster's directory, which is the same on every node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let root = std::env::var_os("SQUALL_CLUSTERS").map_or_else(|| "/var/tmp/squall-clusters".into(), PathBuf::from);
        root.join(&self.name).join(name)
    }

    /// The engine, as far as it can be seen from outside its node.
    pub(crate) async fn engine(&self) -> anyhow::Result<Docker> {
        let socket = if self.kind.is_podman() { "n1/podman/podman.sock" } else { "n1/engine.sock" };
        let address = format!("unix://{}", self.path(socket).display());
        let end = std::time::Instant::now() + ANSWERS;
        loop {
            match Docker::connect(Some(&address)).await {
                Err(_) if std::time::Instant::now() < end => tokio::time::sleep(Duration::from_millis(100)).await,
                reached => return Ok(reached?),
            }
        }
    }

    /// What the engine says that it is, and what it runs on.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let version = self.engine().await?.describe().version;
        let release = std::fs::read(format!("/proc/{}/root/etc/debian_version", self.first_process("n1")?))?;
        Ok(format!("{version}, Debian {}", String::from_utf8_lossy(&release).trim()))
    }

    /// The PID of a node's first process.
    pub(crate) fn first_process(&self, node: &str) -> anyhow::Result<u32> {
        Ok(std::fs::read_to_string(self.path(node).join("pid"))?.trim().parse()?)
    }

    /// The network of a node.
    pub(crate) fn network(&self, node: &str) -> anyhow::Result<Namespace> {
        Ok(Namespace::of(self.first_process(node)?)?)
    }

    /// Squall where a way to the engine begins, with a state directory below the cluster's `state`.
    pub(crate) async fn squall(&self, way: Way, state: &str) -> anyhow::Result<Command> {
        let mut squall = self.reaching(way, "squall").await?;
        squall.arg("--state").arg(self.path("state").join(state));
        Ok(squall)
    }

    /// A program of the cluster's `bin` where a way to the engine begins, told of that way and of nothing else. It is to be given its
    /// arguments.
    pub(crate) async fn reaching(&self, way: Way, program: &str) -> anyhow::Result<Command> {
        let mut command = script();
        // Whatever else this machine is busy with, the engine for instance: a probe that asks late is no verdict.
        command.args(["run", &self.name, way.node(), "nice", "-n", "-10"]).arg(self.path("bin").join(program));
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .kill_on_drop(true)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in
            ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SQUALL_ENGINE", "SQUALL_STATE"]
        {
            command.env_remove(name);
        }
        let config = self.path(&format!("docker-{way}"));
        std::fs::create_dir_all(&config)?;
        command.env("DOCKER_CONFIG", &config);
        match way {
            // The usual socket is found without a word.
            Way::Unix if !self.kind.is_podman() => {}
            Way::Unix => drop(command.env("DOCKER_HOST", format!("unix://{}", self.kind.socket()))),
            Way::Tls => {
                command.env("DOCKER_HOST", format!("tcp://{ADDRESS}:2376"));
                command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", self.path("tls"));
            }
            Way::Ssh => {
                let socket = if self.kind.is_podman() { self.kind.socket() } else { "" };
                command.env("DOCKER_HOST", format!("ssh://root@{ADDRESS}{socket}"));
                let path = std::env::var("PATH").unwrap_or_default();
                command.env("PATH", format!("{}:{path}", self.path("bin").display()));
            }
            Way::Context => {
                self.make_context(&config).await?;
                command.env("DOCKER_CONTEXT", "engine");
            }
        }
        Ok(command)
    }

    /// A context by `docker` itself, unless there is one.
    async fn make_context(&self, config: &Path) -> anyhow::Result<()> {
        if config.join("contexts").exists() {
            return Ok(());
        }
        let file = |name: &str| self.path("tls").join(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
        let endpoint = format!("host=tcp://{ADDRESS}:2376,ca={ca},cert={cert},key={key}");
        let mut docker = Command::new("docker");
        docker.env("DOCKER_CONFIG", config).args(["context", "create", "engine", "--docker", &endpoint]);
        let made = docker.output().await.context("the docker command makes contexts")?;
        ensure!(made.status.success(), "docker context create: {}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }
}

impl Drop for Lab {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot await")]
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while matches!(self.holder.try_wait(), Ok(None)) && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
