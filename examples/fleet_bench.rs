//! What several machines cost: helpers that are started, calls to one, a fault on containers of three machines beside one machine and beside
//! a container for each target, and a plan. The machines are those of `tests/lab/cluster`, with a private engine each.
//!
//! `cargo build --release --example fleet_bench && ./target/release/examples/fleet_bench > table.md`
//!
//! Needs root, and the program `dockerd`. It prints what each figure is the median of.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it measured is its output")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use clap::Parser;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use squall::engine::docker::{Docker, PROGRAM};
use squall::engine::node::Node;
use squall::engine::{Apply as _, Observe as _};
use squall::record::journal;
use squall::record::state::{ChangeState, RunState};
use tokio::process::Command;

/// The service of all containers.
const SERVICE: &str = "fleet-bench";

/// The repository of their image.
const IMAGE: &str = "squall-fleet-bench";

#[derive(Debug, Parser)]
struct Arguments {
    /// On how many engines helpers are started at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 10])]
    engines: Vec<usize>,
    /// How many containers are on each of three machines, and how many are targeted.
    #[arg(long, default_value_t = 100)]
    containers: usize,
    /// Times that each figure is taken.
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// How many calls a helper gets.
    #[arg(long, default_value_t = 1000)]
    calls: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let small = squall::command::shape::if_asked_to().or_else(squall::command::stressor::if_asked_to);
    small.map_or_else(measure, Ok)
}

#[tokio::main]
async fn measure() -> anyhow::Result<ExitCode> {
    if std::env::args().nth(1).is_some_and(|word| !word.starts_with('-')) {
        return Box::pin(squall::command::dispatch(squall::command::cli::Cli::parse())).await;
    }
    let arguments = Arguments::parse();
    let most = arguments.engines.iter().copied().max().unwrap_or_default().max(1);
    let cluster = Cluster::up(most).await?;
    let started = helpers(&cluster, &arguments).await;
    cluster.down().await?;
    started?;
    let cluster = Cluster::up(3).await?;
    let result = faults(&cluster, &arguments).await;
    cluster.down().await?;
    result.map(|()| ExitCode::SUCCESS)
}

/// Helpers on many machines at once, and calls to one of them.
async fn helpers(cluster: &Cluster, arguments: &Arguments) -> anyhow::Result<()> {
    println!("| helpers, started at once | to the first answer of the last | range |\n|---|---|---|");
    for &count in &arguments.engines {
        let mut took = Vec::new();
        for _ in 0..arguments.times {
            let engines = &cluster.engines[..count];
            let begin = Instant::now();
            let all = engines.iter().map(async |docker| {
                let node = Node::begin(Arc::clone(docker), Some(&cluster.image)).await?;
                node.observe().await?;
                anyhow::Ok(node)
            });
            let nodes = try_join_all(all).await?;
            took.push(begin.elapsed());
            for node in nodes {
                node.end().await;
            }
        }
        println!("| {count} | {} |", median_and_range(took));
    }
    let node = Node::begin(Arc::clone(&cluster.engines[0]), Some(&cluster.image)).await?;
    let id = start(&cluster.engines[0], &cluster.hosts[0], &cluster.image, "called").await?;
    let id = squall::model::instance::InstanceId(id);
    println!("\n| a call | median | range |\n|---|---|---|");
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..arguments.calls {
        let begin = Instant::now();
        node.can(&[]).await?;
        let answered = Instant::now();
        node.look(&id).await?;
        let looked = Instant::now();
        cluster.engines[0].look(&id).await?;
        let parts = [answered - begin, looked - answered, looked.elapsed()];
        took.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
    }
    node.end().await;
    let calls = ["to the helper, which asks nothing", "a look at a container by the helper", "the same without it"];
    for (what, took) in calls.into_iter().zip(took) {
        println!("| {what} | {} |", median_and_range(took));
    }
    Ok(())
}

/// A fault on containers of several machines and of one, and a plan.
async fn faults(cluster: &Cluster, arguments: &Arguments) -> anyhow::Result<()> {
    for (n, (docker, host)) in cluster.engines.iter().zip(&cluster.hosts).enumerate() {
        let all = (0..arguments.containers)
            .map(async |i| start(docker, host, &cluster.image, &format!("bench-{i}")).await.map(drop));
        stream::iter(all).buffered(2).try_collect::<Vec<()>>().await?;
        eprintln!("{} containers on n{}", arguments.containers, n + 1);
    }
    let latency = "latency: { delay: 50ms, mechanism: userspace, idle: allowed }";
    println!(
        "\n| latency of {} containers | on: median | range | rolled back: median | range |\n|---|---|---|---|---|",
        arguments.containers
    );
    for (what, machines) in [("of one machine", 1), ("of three machines", 3)] {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        for n in 0..arguments.times {
            let name = format!("run-{machines}-{n}");
            let output = cluster.squall("run", &name, machines, latency, arguments.containers).await?;
            let said = String::from_utf8_lossy(&output.stdout);
            // Whether its check could be asked in time is of no interest.
            ensure!(
                matches!(output.status.code(), Some(0 | 3)),
                "{what}: {said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let state = cluster.state_of(&name)?;
            let made = state.changes.iter().filter(|c| c.injected.is_some() && c.rolled_back.is_some()).count();
            ensure!(made == arguments.containers, "{what}: {made} changes were made and rolled back");
            on.push(between(&state, |c| c.injecting, |c| c.injected.as_ref().map(|i| i.at))?);
            off.push(between(&state, |c| c.rolling_back, |c| c.rolled_back.as_ref().map(|r| r.at))?);
        }
        println!("| {what} | {} | {} |", median_and_range(on), median_and_range(off));
    }
    let mut took = Vec::new();
    for _ in 0..arguments.times.min(2) {
        took.push(containers_beside(cluster, arguments.containers).await?);
    }
    println!("| a container beside each on one machine, 16 at once | {} | – | – |", median_and_range(took));
    println!("\n| `plan` | median | range |\n|---|---|---|");
    let mut took = Vec::new();
    for n in 0..arguments.times {
        let begin = Instant::now();
        let output = cluster.squall("plan", &format!("plan-{n}"), 3, "pause: {}", arguments.containers).await?;
        took.push(begin.elapsed());
        ensure!(output.status.success(), "plan: {}", String::from_utf8_lossy(&output.stderr));
    }
    println!("| {} containers on 3 machines | {} |", 3 * arguments.containers, median_and_range(took));
    Ok(())
}

/// From the first of some moments of a run's changes to the last of others.
fn between(
    state: &RunState,
    from: impl Fn(&ChangeState) -> Option<Timestamp>,
    to: impl Fn(&ChangeState) -> Option<Timestamp>,
) -> anyhow::Result<Duration> {
    let from = state.changes.iter().filter_map(from).min().context("it did not begin")?;
    let to = state.changes.iter().filter_map(to).max().context("it did not end")?;
    Ok(to.duration_since(from).unsigned_abs())
}

/// A container for each target of one machine that shares its network and ends at once, as tools without a helper have it.
async fn containers_beside(cluster: &Cluster, count: usize) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let all = (0..count).map(async |n| {
        let network = format!("--network=container:bench-{n}");
        let mut docker = Command::new("docker");
        docker.args(["-H", &cluster.hosts[0], "run", "--rm", &network, "--cap-add=NET_ADMIN", "--entrypoint", PROGRAM]);
        docker.args([&cluster.image, "completions", "bash"]).stdout(Stdio::null());
        let status = docker.status().await.context("run `docker`")?;
        ensure!(status.success(), "`docker run {network}` ended with {status}");
        anyhow::Ok(())
    });
    stream::iter(all).buffer_unordered(16).try_collect::<Vec<()>>().await?;
    Ok(begin.elapsed())
}

/// Machines with an engine each, gone with this value.
struct Cluster {
    hosts: Vec<String>,
    engines: Vec<Arc<Docker>>,
    /// Of this program, on each of them.
    image: String,
    dir: PathBuf,
    holder: tokio::process::Child,
}

impl Cluster {
    async fn up(count: usize) -> anyhow::Result<Self> {
        let name = format!("bench-{}-{count}", std::process::id());
        let mut holder = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster"));
        holder.args(["hold", &name, &count.to_string()]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn()?;
        let mut said = tokio::io::BufReader::new(holder.stdout.take().context("a pipe")?);
        let mut ready = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut said, &mut ready).await?;
        ensure!(ready.trim() == "ready", "the cluster did not come up");
        let root = std::env::var_os("SQUALL_CLUSTERS").map_or_else(|| "/var/tmp/squall-clusters".into(), PathBuf::from);
        let root = root.join(&name);
        let hosts: Vec<_> = (1..=count).map(|n| format!("unix://{}/n{n}/docker.sock", root.display())).collect();
        let engines = try_join_all(hosts.iter().map(|host| Docker::connect(Some(host)))).await?;
        let mut image = String::new();
        for docker in &engines {
            image = docker.own_image(IMAGE).await?;
        }
        let dir = root.join("bench");
        std::fs::create_dir(&dir)?;
        Ok(Self { hosts, engines: engines.into_iter().map(Arc::new).collect(), image, dir, holder })
    }

    async fn down(mut self) -> anyhow::Result<()> {
        drop(self.holder.stdin.take());
        self.holder.wait().await?;
        ensure!(!self.dir.exists(), "{} is left", self.dir.display());
        Ok(())
    }

    /// This program as Squall, by helpers, on so many of the machines.
    async fn squall(
        &self,
        word: &str,
        name: &str,
        machines: usize,
        fault: &str,
        count: usize,
    ) -> anyhow::Result<std::process::Output> {
        let file = self.dir.join(format!("{name}.yaml"));
        let text = format!(
            "version: 1\nname: bench\nhypothesis: It is quick.\nsteady-state:\n  \
             count: {{ engine: {{ service: {SERVICE}, count: running }}, rate: 1/s, timeout: 5s, expect: {{ value: {{ at-most: 1000 }} }} }}\n\
             target: {{ service: {SERVICE}, pick: {count} }}\nfault: {{ {fault} }}\nblast-radius: {{ max-instances: {count} }}\n\
             timing: {{ baseline: 3s, duration: 3s, recovery: 10s }}\n"
        );
        std::fs::write(&file, text)?;
        let mut squall = Command::new(std::env::current_exe()?);
        squall.arg(word).arg(&file).args(["--helper", "always", "--helper-image", &self.image]);
        for host in &self.hosts[..machines] {
            squall.args(["--docker-host", host]);
        }
        squall.env("SQUALL_STATE", self.dir.join(name)).env_remove("DOCKER_HOST").stdin(Stdio::null());
        squall.output().await.context("start Squall")
    }

    fn state_of(&self, name: &str) -> anyhow::Result<RunState> {
        let runs = std::fs::read_dir(self.dir.join(name).join("runs"))?.next().context("no run")??;
        Ok(journal::replay(Path::new(&runs.path().join("journal.ndjson")))?)
    }
}

/// A container that does next to nothing.
async fn start(docker: &Docker, host: &str, image: &str, name: &str) -> anyhow::Result<String> {
    let api =
        bollard::Docker::connect_with_unix(host.trim_start_matches("unix://"), 120, bollard::API_DEFAULT_VERSION)?;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(["serve", "store", "--listen", "127.0.0.1:8080"].map(str::to_owned).to_vec()),
        labels: Some(HashMap::from([("squall.service".to_owned(), SERVICE.to_owned())])),
        host_config: Some(HostConfig::default()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let id = api.create_container(Some(options), body).await?.id;
    api.start_container(&id, None::<StartContainerOptions>).await.with_context(|| format!("start {name}"))?;
    ensure!(docker.exists(&id).await?, "{name} is not there");
    Ok(id)
}

/// Two cells of a table.
fn median_and_range(mut took: Vec<Duration>) -> String {
    took.sort();
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
    let (first, median, last) = (took[0], took[took.len() / 2], took[took.len() - 1]);
    format!("{} ms | {}–{}", ms(median), ms(first), ms(last))
}
