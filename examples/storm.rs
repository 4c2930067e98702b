//! A crash storm on a real Docker Engine: kills the runner, its guard or both, or stops the runner past its deadline, at
//! random moments of real experiments; and compares the settings of every container before and after.
//!
//! `cargo run --release --example storm -- --rounds 100`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its figures")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use clap::Parser;
use rand::rngs::ChaCha12Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use squall::engine::Engine;
use squall::engine::docker::{Docker, PROGRAM};
use squall::host::process;
use squall::instance::{Aspect, Setting};
use squall::journal;
use squall::run::recover;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The subcommands that this program passes on to Squall itself: it is its own runner, guard and victim.
const SQUALL: [&str; 5] = ["run", "guard", "recover", "serve", "shape"];

const FAULTS: [&str; 4] = ["kill: { via: engine }", "kill: { via: host }", "stop: { timeout: 1s }", "pause: {}"];

/// Disturbances of traffic, by every means there is: the kernel's queues, rules, and a process that holds packets.
const NETWORK: [&str; 6] = [
    "latency: { delay: 50ms, mechanism: userspace }",
    "shape: { delay: 20ms, loss: { percent: 5% }, direction: both }",
    "bandwidth: { rate: 1mbit }",
    "partition: {}",
    "blackhole: { port: 80, how: reject }",
    "dns: { answer: nxdomain }",
];

#[derive(Debug, Parser)]
struct Arguments {
    /// How many experiments are disturbed.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Repeats the random choices of an earlier storm.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The latest moment of a blow, in ms from the start of a run; a machine that is slow takes more.
    #[arg(long, default_value_t = 2200)]
    latest: u64,
    /// Disturbs traffic, and nothing else.
    #[arg(long)]
    network: bool,
}

/// Who is hurt in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Casualty {
    Runner,
    Guard,
    Both,
    RunnerStopped,
    Shaper,
}

impl Casualty {
    const ALL: [Self; 5] = [Self::Runner, Self::Guard, Self::Both, Self::RunnerStopped, Self::Shaper];

    fn words(self) -> &'static str {
        match self {
            Self::Runner => "SIGKILL of the runner",
            Self::Guard => "SIGKILL of the guard",
            Self::Both => "SIGKILL of both, then `recover`",
            Self::RunnerStopped => "SIGSTOP of the runner past its deadline",
            Self::Shaper => "SIGKILL of the processes that hold packets",
        }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if std::env::args().nth(1).is_some_and(|word| SQUALL.contains(&word.as_str())) {
        return runtime.block_on(squall::command::dispatch(squall::cli::Cli::parse())).unwrap_or_else(|e| {
            eprintln!("error: {e:#}");
            ExitCode::from(2)
        });
    }
    match runtime.block_on(storm(&Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn storm(arguments: &Arguments) -> anyhow::Result<()> {
    let field = Field::prepare().await?;
    let result = blow(&field, arguments).await;
    field.clear().await?;
    result
}

async fn blow(field: &Field, arguments: &Arguments) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(arguments.seed);
    let before = field.settings().await?;
    let namespaces = field.namespaces().await?;
    let faults = if arguments.network { NETWORK.to_vec() } else { [FAULTS.as_slice(), &NETWORK].concat() };
    let mut figures: BTreeMap<Casualty, Vec<Duration>> = BTreeMap::new();
    let mut in_place = 0;
    for round in 0..arguments.rounds {
        let fault = faults.choose(&mut rng).context("no fault")?;
        let casualty = *Casualty::ALL.choose(&mut rng).context("no casualty")?;
        let moment = Duration::from_millis(rng.random_range(0..arguments.latest));
        let dir = field.dir.join(format!("round-{round}"));
        let what = format!("round {round}: {fault}, {} after {moment:?}", casualty.words());
        let (took, was_on) = disturb(field, fault, casualty, moment, &dir).await.context(what.clone())?;
        in_place += usize::from(was_on);
        figures.entry(casualty).or_default().push(took);
        let after = field.settings().await?;
        ensure!(after == before, "{what}: settings are not as before\n  before {before:?}\n  after  {after:?}");
        let after = field.namespaces().await?;
        ensure!(
            after == namespaces,
            "{what}: a namespace is not as before\n  before {namespaces:?}\n  after  {after:?}"
        );
        ensure!(field.docker.claims().await?.iter().all(|c| c.service != field.service), "{what}: a marker was left");
        if (round + 1) % 10 == 0 {
            eprintln!("{} of {} rounds, all restored", round + 1, arguments.rounds);
        }
    }
    println!("| what was done to Squall | rounds | settings as before | until restored: median | longest |");
    println!("|---|---|---|---|---|");
    for (casualty, mut times) in figures {
        times.sort();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "| {} | {n} | {n} | {} ms | {} ms |",
            casualty.words(),
            median.as_millis(),
            longest.as_millis(),
            n = times.len()
        );
    }
    println!(
        "\n{} rounds, seed {}; in {in_place} of them a fault was in place at that moment.",
        arguments.rounds, arguments.seed
    );
    Ok(())
}

/// One experiment and what happens to it. Tells how long it took from there until everything was as before, and whether a
/// fault was in place at that moment.
async fn disturb(
    field: &Field,
    fault: &str,
    casualty: Casualty,
    moment: Duration,
    dir: &Path,
) -> anyhow::Result<(Duration, bool)> {
    let mut runner = field.start(fault, dir)?;
    let pid = Pid::from_raw(i32::try_from(runner.id().context("the runner ended at once")?)?).context("no PID")?;
    if let Ok(status) = timeout(moment, runner.wait()).await {
        bail!("the run ended before it was disturbed: {status:?}");
    }
    let journal = journal_in(dir);
    let state = journal.as_ref().and_then(|path| journal::replay(path).ok()).unwrap_or_default();
    let was_on = state.changes.iter().any(|c| c.injected.is_some() && c.reverted.is_none());
    let guard = state.guards.last().and_then(|(_, id)| id.parse().ok()).and_then(Pid::from_raw);
    let from = Instant::now();
    // The guard first: a runner that is killed first would give it a head start.
    if matches!(casualty, Casualty::Guard | Casualty::Both)
        && let Some(guard) = guard
    {
        let _ = kill_process(guard, Signal::KILL);
    }
    match casualty {
        Casualty::Runner | Casualty::Both => kill_process(pid, Signal::KILL)?,
        Casualty::RunnerStopped => kill_process(pid, Signal::STOP)?,
        Casualty::Guard => {}
        Casualty::Shaper => {
            let run = state.started.as_ref().map(|s| s.run.clone()).unwrap_or_default();
            for change in &state.changes {
                let tag = format!("{run}.{}", change.change.n);
                process::with_variable("SQUALL_CHANGE", &tag).iter().try_for_each(|p| p.signal(Signal::KILL))?;
            }
        }
    }
    if casualty == Casualty::RunnerStopped && guard.is_none() {
        // Stopped before there was a guard, and so before there was a fault: nobody needs to do anything.
        kill_process(pid, Signal::KILL)?;
    }
    timeout(Duration::from_mins(1), runner.wait()).await.context("the runner goes on and on")??;
    let Some(journal) = journal_in(dir) else { return Ok((from.elapsed(), false)) };
    if casualty == Casualty::Both || guard.is_none() {
        let status = Field::squall(dir).arg("recover").stdout(Stdio::null()).status().await?;
        ensure!(status.success(), "recover ended with {status}");
    }
    let end = Instant::now() + Duration::from_mins(1);
    while recover::needs_recovery(&journal) || journal::is_locked(&journal) {
        if Instant::now() >= end {
            let text = std::fs::read_to_string(&journal).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(12).collect();
            bail!("nobody finished {}; its end, last line first:\n{}", journal.display(), last.join("\n"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok((from.elapsed(), was_on))
}

fn journal_in(dir: &Path) -> Option<PathBuf> {
    let run = std::fs::read_dir(dir.join("runs")).ok()?.next()?.ok()?;
    let journal = run.path().join("journal.ndjson");
    journal::replay(&journal).is_ok_and(|s| s.started.is_some()).then_some(journal)
}

/// The containers that are hit, and a directory for everything else.
struct Field {
    docker: Docker,
    api: bollard::Docker,
    image: String,
    service: String,
    containers: Vec<String>,
    dir: PathBuf,
}

impl Field {
    async fn prepare() -> anyhow::Result<Self> {
        let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
        let api = bollard::Docker::connect_with_defaults()?;
        let service = format!("squall-storm-{}", std::process::id());
        let image = docker.own_image("squall-storm").await?;
        let dir = std::env::temp_dir().join(&service);
        std::fs::create_dir_all(&dir)?;
        let mut field = Self { docker, api, image, service, containers: Vec::new(), dir };
        for n in 1..=3 {
            if let Err(e) = field.add(n).await {
                field.clear().await?;
                return Err(e);
            }
        }
        Ok(field)
    }

    async fn add(&mut self, n: usize) -> anyhow::Result<()> {
        let name = format!("{}-{n}", self.service);
        let policy = if n == 3 { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![PROGRAM.to_owned()]),
            cmd: Some(["serve", "store", "--listen", "127.0.0.1:8080"].map(str::to_owned).to_vec()),
            labels: Some([("squall.service".to_owned(), self.service.clone())].into()),
            host_config: Some(HostConfig {
                restart_policy: Some(RestartPolicy { name: Some(policy), maximum_retry_count: None }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        self.api.create_container(Some(options), body).await?;
        self.containers.push(name.clone());
        self.api.start_container(&name, None::<StartContainerOptions>).await?;
        Ok(())
    }

    /// The settings of every container, once they are at rest.
    async fn settings(&self) -> anyhow::Result<BTreeMap<String, BTreeMap<Aspect, Setting>>> {
        let fleet = self.docker.observe().await?;
        Ok(fleet.into_iter().filter(|i| i.service == self.service).map(|i| (i.name, i.settings)).collect())
    }

    /// What lies on the traffic of every container, as the tools that people use tell it: queues, filters, rules and links.
    async fn namespaces(&self) -> anyhow::Result<Vec<String>> {
        let mut namespaces = Vec::new();
        for name in &self.containers {
            let found = self.api.inspect_container(name, None::<InspectContainerOptions>).await?;
            let pid = found.state.and_then(|s| s.pid).context("no PID")?.to_string();
            let mut text = String::new();
            for words in
                ["tc qdisc", "tc filter show dev eth0 egress", "tc filter show dev eth0 ingress", "nft list ruleset"]
            {
                let output = Command::new("nsenter").args(["-t", &pid, "-n"]).args(words.split(' ')).output().await?;
                text += &String::from_utf8_lossy(&output.stdout);
            }
            let output = Command::new("nsenter").args(["-t", &pid, "-n", "ip", "-o", "link"]).output().await?;
            // Numbers and addresses of interfaces are others in another life.
            let links = String::from_utf8_lossy(&output.stdout).into_owned();
            let name = |line: &str| line.split([':', '@']).nth(1).unwrap_or_default().trim().to_owned();
            text += &links.lines().map(name).collect::<Vec<_>>().join(" ");
            namespaces.push(text);
        }
        Ok(namespaces)
    }

    fn squall(dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
        command.env("SQUALL_STATE", dir).stdin(Stdio::null());
        command
    }

    fn start(&self, fault: &str, dir: &Path) -> anyhow::Result<Child> {
        std::fs::create_dir_all(dir)?;
        let file = dir.join("experiment.yaml");
        let service = &self.service;
        std::fs::write(
            &file,
            format!(
                "version: 1\nname: storm\nhypothesis: Nothing stays behind.\n\
                 steady-state:\n  count: {{ engine: {{ service: {service}, count: running }}, rate: 20/s, expect: {{ value: {{ at-least: 0 }} }} }}\n\
                 target: {{ service: {service}, pick: 2 }}\nfault: {{ {fault} }}\nblast-radius: {{ max-instances: 2 }}\n\
                 timing: {{ baseline: 500ms, duration: 1500ms, recovery: 2s }}\n"
            ),
        )?;
        let mut command = Self::squall(dir);
        command.arg("run").arg(&file).args(["--quiet", "--grace", "1s"]);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    async fn clear(&self) -> anyhow::Result<()> {
        for name in &self.containers {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.api.remove_container(name, Some(options)).await?;
        }
        self.docker.remove_image(&self.image).await?;
        std::fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}
