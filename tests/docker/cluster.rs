//! Some machines with a private engine each, on this one: `tests/lab/cluster`, held by the test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use squall::engine::docker::Docker;
use squall::host::net::namespace::Namespace;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::scene::eventually;

static CLUSTERS: AtomicUsize = AtomicUsize::new(0);

/// It goes away with this value, and where this process is killed, by itself.
pub(crate) struct Cluster {
    name: String,
    nodes: usize,
    holder: Child,
}

impl Cluster {
    /// Nodes `n1`, `n2` …, and `op` without an engine.
    pub(crate) async fn of(nodes: usize) -> Self {
        let name = format!("test-{}-{}", std::process::id(), CLUSTERS.fetch_add(1, Ordering::Relaxed));
        // What kills this process and all of its group is not to kill what takes the cluster away.
        let mut holder = script(&["hold", &name, &nodes.to_string()]);
        let mut holder = holder.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let mut said = BufReader::new(holder.stdout.take().expect("a pipe")).lines();
        let ready = timeout(Duration::from_mins(1), said.next_line()).await.expect("it says something").expect("text");
        assert_eq!(ready.as_deref(), Some("ready"), "it did not come up: what it said stands above");
        Self { name, nodes, holder }
    }

    /// The engines joined to a Swarm, of which n1 is the manager; each with an image of this program, by the same name.
    pub(crate) async fn swarm(nodes: usize, repository: &str) -> Self {
        let cluster = Self::of(nodes).await;
        cluster.does(&["swarm"]).await;
        for n in 1..=cluster.nodes {
            let program = Path::new(env!("CARGO_BIN_EXE_squall"));
            let docker = Docker::connect(Some(&cluster.host(&format!("n{n}")))).await.expect("its engine");
            docker.image_of(program, repository).await.expect("an image");
        }
        cluster
    }

    fn directory(&self, node: &str) -> PathBuf {
        let root = std::env::var_os("SQUALL_CLUSTERS").map_or_else(|| "/var/tmp/squall-clusters".into(), PathBuf::from);
        root.join(&self.name).join(node)
    }

    /// The address of a node's engine, as it is reached from everywhere.
    pub(crate) fn host(&self, node: &str) -> String {
        format!("unix://{}", self.directory(node).join("docker.sock").display())
    }

    /// A node's network.
    pub(crate) fn network(&self, node: &str) -> Namespace {
        let pid = std::fs::read_to_string(self.directory(node).join("pid")).expect("it is on");
        Namespace::of(pid.trim().parse().expect("a PID")).expect("these tests need root")
    }

    /// Something of the script's, on this cluster.
    pub(crate) async fn does(&self, args: &[&str]) {
        let args: Vec<&str> = args[..1].iter().chain(&[self.name.as_str()]).chain(&args[1..]).copied().collect();
        let status = script(&args).status().await.expect("bash");
        assert!(status.success(), "{args:?}: {status}");
    }

    /// Waits until a node runs those tasks of a service that its Swarm wants there, and no others.
    pub(crate) async fn settles(&self, node: &str, service: &str) {
        let (on, label) = (format!("node={node}"), format!("label=com.docker.swarm.service.name={service}"));
        let meant = ["service", "ps", service, "--no-trunc", "--filter", &on, "--filter", "desired-state=running"];
        let meant = [&meant[..], &["--format", "{{.Name}}.{{.ID}}"]].concat();
        let there = ["ps", "--no-trunc", "--filter", &label, "--format", "{{.Names}}"];
        eventually("only the tasks that are meant", || async {
            let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
            (lines(self.docker(node, &there).await) == lines(self.docker("n1", &meant).await)).then_some(())
        })
        .await;
    }

    /// A program on a node, which is to be given its arguments.
    pub(crate) fn command(&self, node: &str, program: &str) -> Command {
        script(&["run", &self.name, node, program])
    }

    /// What `docker` says on a node.
    pub(crate) async fn docker(&self, node: &str, args: &[&str]) -> String {
        let output = Command::new("docker").args(["-H", &self.host(node)]).args(args).output().await.expect("docker");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn script(args: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster"));
    command.args(args).stdin(Stdio::null());
    command
}

impl Drop for Cluster {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot await")]
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let end = Instant::now() + Duration::from_secs(30);
        while matches!(self.holder.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let left = self.directory("").exists();
        assert!(!left || std::thread::panicking(), "{} is left", self.directory("").display());
    }
}
