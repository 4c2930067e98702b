//! The benchmarks: abort latency on a real Docker Engine, start-up beside Chaos Toolkit, and the open-loop sampler.
//!
//! `cargo build --release --bins --examples && ./target/release/examples/bench [--chaos PATH]`
//!
//! Figures of one machine; the ratios are taken in one run. Chaos Toolkit is measured where its `chaos` is named.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions};
use clap::Parser;
use squall::engine::docker::{Docker, PROGRAM};
use squall::host::store::{JOURNAL, StateDir};
use squall::record::event::Phase;
use squall::record::journal;
use tokio::process::Command;
use tokio::time::Instant;

#[derive(Debug, Parser)]
struct Arguments {
    /// Chaos Toolkit's `chaos`, to measure it in the same run.
    #[arg(long)]
    chaos: Option<PathBuf>,
    /// Runs for each figure.
    #[arg(long, default_value_t = 15)]
    runs: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let here = std::env::current_exe()?;
    let examples = here.parent().context("this program is in no directory")?;
    let squall = examples.with_file_name("squall");
    ensure!(squall.exists(), "{} is missing: cargo build --release --bins --examples", squall.display());
    let dir = std::env::temp_dir().join(format!("squall-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = all(&arguments, &squall, examples, &dir).await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn all(arguments: &Arguments, squall: &Path, examples: &Path, dir: &Path) -> anyhow::Result<()> {
    let kernel = rustix::system::uname();
    println!("# Benchmarks\n");
    println!(
        "Measured by `examples/bench.rs` on {} with Linux {}, {} cores; medians of {} runs, ranges in brackets.\n",
        std::env::consts::ARCH,
        kernel.release().to_string_lossy(),
        std::thread::available_parallelism()?,
        arguments.runs
    );
    println!("## From the breach to the fault rolled back\n");
    println!(
        "The time from the first failure beyond the budget being known to the last change rolled back, on a Docker Engine; and how"
    );
    println!("much of it is the engine's own time. Goal: below 30 ms beyond that.\n");
    println!(
        "| fault | breach → rolled back | rest of the call that made it | call that rolls it back | beyond the engine |"
    );
    println!("|---|---|---|---|---|");
    for fault in ["pause", "kill"] {
        println!("{}", abort_latency(fault, arguments.runs, squall, dir).await?);
    }
    println!(
        "\nWith `kill`, the hypothesis breaks while the engine is still busy with the kill itself. A call on its way cannot be stopped,"
    );
    println!(
        "so it is waited for until it ends or its effect is seen, which is counted as the engine's own time, too."
    );
    println!("\n## Start-up\n");
    println!(
        "`squall --version` has a goal of 3 ms and 8 MiB. The no-op run of each has one probe and touches nothing: for Squall a"
    );
    println!(
        "simulated world with phases of 100 ms (baseline, fault, recovery), which are part of the time; for Chaos Toolkit an empty method.\n"
    );
    startup(arguments, squall, dir).await?;
    println!("\n## Open-loop sampling\n");
    println!(
        "One process asks a server on the same machine that freezes for 100 ms in every second. A closed-loop client, which waits for"
    );
    println!(
        "each answer before it asks again, hardly notices. Goal: 5,000 a second with a p99 within 5 % of the truth.\n"
    );
    let sampler = Command::new(examples.join("bench_sampler")).output().await.context("cannot run bench_sampler")?;
    println!("{}", String::from_utf8_lossy(&sampler.stdout).trim());
    Ok(())
}

/// A row: one container that answers over HTTP is targeted until the hypothesis breaks.
async fn abort_latency(fault: &str, runs: usize, squall: &Path, dir: &Path) -> anyhow::Result<String> {
    let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
    let api = bollard::Docker::connect_with_defaults()?;
    let image = docker.image_of(squall, "squall-bench").await?;
    let name = format!("squall-bench-{}", std::process::id());
    let result = async {
        let port = start(&api, &image, &name).await?;
        let file = dir.join(format!("{fault}.yaml"));
        std::fs::write(&file, format!(
            "version: 1\nname: bench-{fault}\nhypothesis: It breaks.\n\
             steady-state:\n  answer: {{ http: 'http://127.0.0.1:{port}/health', rate: 100/s, timeout: 100ms, expect: {{ success: 99% }} }}\n\
             target: {{ name: {name} }}\nfault: {fault}\nblast-radius: {{ max-instances: 1 }}\n\
             timing: {{ warm-up: 300ms, baseline: 500ms, duration: 3s, recovery: 3s }}\n"
        ))?;
        let (mut whole, mut rest, mut own, mut beyond) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for run in 0..runs {
            let state_dir = dir.join(format!("{fault}-{run}"));
            let status = Command::new(squall).env("SQUALL_STATE", &state_dir).arg("run").arg(&file).arg("--quiet")
                .stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
            ensure!(status.code() == Some(1), "run {run} of {fault} ended with {status}, and should have been broken");
            let state = StateDir::find(Some(state_dir))?;
            let state = journal::replay(&state.resolve("last")?.join(JOURNAL))?;
            let latency = state.stopped_in().context("no abort")?;
            let change = &state.changes[0];
            let call = change.rolled_back.as_ref().context("not rolled back")?.took;
            let breach = state.breach().context("no breach")?.at;
            let made = change.injected.as_ref().map(|i| i.at).or(change.verification.as_ref().map(|v| v.at)).context("not made")?;
            let making = Duration::try_from(made.duration_since(breach)).unwrap_or_default();
            rest.push(making);
            whole.push(latency);
            own.push(call);
            beyond.push(latency.saturating_sub(call + making));
        }
        anyhow::Ok(format!(
            "| `{fault}` | {} | {} | {} | {} |",
            milliseconds(&mut whole), milliseconds(&mut rest), milliseconds(&mut own), milliseconds(&mut beyond)
        ))
    }
    .await;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let _ = api.remove_container(&name, Some(options)).await;
    docker.remove_image(&image).await?;
    result
}

async fn start(api: &bollard::Docker, image: &str, name: &str) -> anyhow::Result<u16> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![PROGRAM.to_owned()]),
        cmd: Some(["serve", "store", "--listen", "0.0.0.0:8080"].map(str::to_owned).to_vec()),
        exposed_ports: Some(vec!["8080/tcp".to_owned()]),
        host_config: Some(HostConfig {
            port_bindings: Some([("8080/tcp".to_owned(), Some(vec![binding]))].into()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    api.create_container(Some(CreateContainerOptionsBuilder::new().name(name).build()), body).await?;
    api.start_container(name, None::<StartContainerOptions>).await?;
    Ok(port)
}

async fn startup(arguments: &Arguments, squall: &Path, dir: &Path) -> anyhow::Result<()> {
    let no_op = dir.join("no-op.yaml");
    std::fs::write(
        &no_op,
        "version: 1\nname: no-op\nhypothesis: It answers.\n\
         steady-state: { answer: { tcp: '127.0.0.1:8080', rate: 100/s, timeout: 100ms, expect: { success: 90% } } }\n\
         target: { service: shop }\nfault: { exec: { run: ['true'], undo: ['true'] } }\nblast-radius: { max-instances: 1 }\n\
         timing: { baseline: 100ms, duration: 100ms, recovery: 2s }\n",
    )?;
    let state = dir.join("no-op");
    let ours = |words: &[&str]| {
        let mut command = Command::new(squall);
        command.env("SQUALL_STATE", &state).args(words);
        command
    };
    let file = no_op.display().to_string();
    let version = measure(arguments.runs, || ours(&["--version"])).await?;
    let run = measure(arguments.runs, || ours(&["run", &file, "--engine", "sim", "--quiet"])).await?;
    println!("| | time | memory (largest) |\n|---|---|---|");
    println!(
        "| `squall --version` | {} | {} |\n| `squall run` (no-op) | {} | {} |",
        version.text(),
        version.memory(),
        run.text(),
        run.memory()
    );
    let Some(chaos) = &arguments.chaos else { return Ok(()) };
    let journal = dir.join("chaos.json");
    let file = dir.join("chaos-experiment.json");
    std::fs::write(
        &file,
        r#"{"title":"no-op","description":"no-op","steady-state-hypothesis":{"title":"it answers","probes":[{"type":"probe","name":"answer","tolerance":0,"provider":{"type":"process","path":"true"}}]},"method":[],"rollbacks":[]}"#,
    )?;
    let theirs = |words: &[&str]| {
        let mut command = Command::new(chaos);
        command.current_dir(dir).args(words);
        command
    };
    let (file, journal) = (file.display().to_string(), journal.display().to_string());
    let chaos_version = measure(arguments.runs, || theirs(&["--no-version-check", "--version"])).await?;
    let chaos_run =
        measure(arguments.runs, || theirs(&["--no-version-check", "run", "--journal-path", &journal, &file])).await?;
    println!(
        "| `chaos --version` | {} | {} |\n| `chaos run` (no-op) | {} | {} |",
        chaos_version.text(),
        chaos_version.memory(),
        chaos_run.text(),
        chaos_run.memory()
    );
    let times = |a: &Measured, b: &Measured| a.median().as_secs_f64() / b.median().as_secs_f64();
    let waited = waited(&state)?;
    let own = run.median().saturating_sub(waited);
    println!(
        "\nSquall is {:.0} times as fast to answer `--version`. Of its no-op run {:.0} ms are the phases it was told to take \
         and the simulated engine's call that rolls back; what is its own ({:.1} ms) is {:.0} times as fast.",
        times(&chaos_version, &version),
        waited.as_secs_f64() * 1000.0,
        own.as_secs_f64() * 1000.0,
        chaos_run.median().as_secs_f64() / own.as_secs_f64()
    );
    Ok(())
}

/// How long a no-op run waits because it is told to, by its journal: baseline and fault as planned, the call that rolls
/// back, and the window in which recovery is seen. The median of all runs.
fn waited(state: &Path) -> anyhow::Result<Duration> {
    let state = StateDir::find(Some(state.to_owned()))?;
    let mut all = Vec::new();
    for id in state.runs()? {
        let run = journal::replay(&state.journal(&id))?;
        let timing = run.started.as_ref().context("no start")?.experiment.timing;
        let call = run.changes[0].rolled_back.as_ref().context("not rolled back")?.took;
        let (from, _) = run.span_of(Phase::Recovery).context("no recovery")?;
        let back = run.times.recovery.context("not recovered")?;
        all.push(timing.baseline.0 + timing.duration.0 + call + Duration::try_from(back.duration_since(from))?);
    }
    all.sort();
    all.get(all.len() / 2).copied().context("no run")
}

struct Measured {
    times: Vec<Duration>,
    /// Largest resident set (KiB), by GNU time where it is installed.
    kib: Option<u64>,
}

impl Measured {
    fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        sorted[sorted.len() / 2]
    }
    fn text(&self) -> String {
        milliseconds(&mut self.times.clone())
    }
    fn memory(&self) -> String {
        self.kib.map_or_else(|| "–".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0))
    }
}

async fn measure(runs: usize, command: impl Fn() -> Command) -> anyhow::Result<Measured> {
    let quiet = |mut c: Command| {
        c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        c
    };
    let mut times = Vec::new();
    for run in 0..=runs {
        let mut command = quiet(command());
        let begin = Instant::now();
        let status = command.status().await?;
        if run > 0 {
            times.push(begin.elapsed());
        }
        if !status.success() {
            bail!("{command:?} ended with {status}");
        }
    }
    let plain = command();
    let mut gnu_time = Command::new("/usr/bin/time");
    gnu_time.args(["-f", "%M"]).arg(plain.as_std().get_program()).args(plain.as_std().get_args());
    gnu_time.envs(plain.as_std().get_envs().filter_map(|(k, v)| Some((k, v?))));
    if let Some(dir) = plain.as_std().get_current_dir() {
        gnu_time.current_dir(dir);
    }
    let kib = gnu_time
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .await
        .ok()
        .and_then(|o| String::from_utf8_lossy(&o.stderr).lines().last().and_then(|line| line.trim().parse().ok()));
    Ok(Measured { times, kib })
}

/// Median and range, in ms.
fn milliseconds(times: &mut [Duration]) -> String {
    times.sort();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    format!("{:.1} ms [{:.1}–{:.1}]", ms(times[times.len() / 2]), ms(times[0]), ms(times[times.len() - 1]))
}
