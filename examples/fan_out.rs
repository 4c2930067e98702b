//! How long it takes to disturb the traffic of many containers and to roll that back: ours, beside what other tools do: a
//! helper container for each target, and `nsenter` with `nft` for each.
//!
//! `cargo build --release --example fan_out && ./target/release/examples/fan_out > table.md`
//!
//! Needs root and a Docker Engine, whose command `docker` is used for the helpers. The figures of a line come from one run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it measured is its output")]

#[path = "containers/mod.rs"]
mod containers;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::future::try_join_all;
use squall::engine::docker::PROGRAM;
use squall::engine::{Ability, Apply as _, Observe as _, Outcome, Tag};
use squall::model::instance::{Aspect, Setting};
use squall::model::network::{Direction, Flow, Network, Peer, Peers, Shape, Traffic, Treatment};
use tokio::process::Command;

use containers::{Containers, Member};

#[derive(Debug, Parser)]
struct Arguments {
    /// What happens to them.
    #[arg(long, value_enum, default_value_t = Fault::Latency)]
    fault: Fault,
    /// How many containers are targeted.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 100])]
    counts: Vec<usize>,
    /// Times that each figure is taken.
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// Helper containers are slow: no more than so many of them for a figure, which is then scaled up.
    #[arg(long, default_value_t = 10)]
    helpers: usize,
}

/// What happens to the traffic with another container's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    /// It is late by a second; by netem, or where the kernel has none by a process for each container.
    Latency,
    /// It is cut off, by queues of the kernel.
    Partition,
}

impl Fault {
    fn treatment(self) -> Treatment {
        match self {
            Self::Latency => Treatment::Shape(Box::new(Shape { delay: Duration::from_secs(1), ..Shape::default() })),
            Self::Partition => Treatment::Drop,
        }
    }
}

/// How long it took to disturb all, and to roll it back.
type Took = (Duration, Duration);

fn main() -> anyhow::Result<ExitCode> {
    squall::command::shape::if_asked_to().map_or_else(measure, Ok)
}

#[tokio::main]
async fn measure() -> anyhow::Result<ExitCode> {
    if let Some(code) = containers::as_squall().await {
        return Ok(code);
    }
    let arguments = Arguments::parse();
    let most = arguments.counts.iter().max().copied().context("no counts")?;
    let containers = Containers::start("fan-out", most).await?;
    let result = table(&containers, &arguments).await;
    containers.clear().await?;
    result.map(|()| ExitCode::SUCCESS)
}

async fn table(containers: &Containers, arguments: &Arguments) -> anyhow::Result<()> {
    println!(
        "| containers | ours | each | and back | each | `nsenter … nft` | as long as ours | helper containers | as long as ours |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for &count in &arguments.counts {
        eprintln!("{count} containers");
        let targets = &containers.members[..count];
        let (mut our_ways, mut by_command, mut by_helper) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..arguments.times {
            our_ways.push(ours(containers, targets, arguments.fault).await?);
            by_command.push(commands(targets).await?);
        }
        let some = &targets[..count.min(arguments.helpers)];
        let scale = count as f64 / some.len() as f64;
        for _ in 0..arguments.times.min(3) {
            let (there, back) = helpers(&containers.image, some).await?;
            by_helper.push((there.mul_f64(scale), back.mul_f64(scale)));
        }
        let (there, back) = medians(our_ways);
        let (command, _) = medians(by_command);
        let (helper, _) = medians(by_helper);
        let each = |time: Duration| milliseconds(time / u32::try_from(count).unwrap_or(u32::MAX));
        let ratio = |other: Duration| format!("{:.1} times", other.as_secs_f64() / there.as_secs_f64());
        println!(
            "| {count} | {} | {} | {} | {} | {} | {} | {} | {} |",
            milliseconds(there),
            each(there),
            milliseconds(back),
            each(back),
            milliseconds(command),
            ratio(command),
            if scale > 1.0 { format!("{} (from {})", milliseconds(helper), some.len()) } else { milliseconds(helper) },
            ratio(helper)
        );
    }
    Ok(())
}

/// Through the engine, all at once. Each is disturbed in its traffic with another one's address.
async fn ours(containers: &Containers, targets: &[Member], fault: Fault) -> anyhow::Result<Took> {
    let all = &containers.members;
    let instance = containers.docker.look(&all[0].id).await?.context("a container is gone")?;
    let setting = |n: usize| {
        let peers = Peers::These(vec![Peer::Addresses(all[(n + 1) % all.len()].address.into())]);
        let traffic = Traffic { peers, ..Traffic::all(Direction::Both) };
        let flows = vec![Flow { traffic, treatment: fault.treatment() }];
        let setting = Setting::Network(Box::new(Network { flows, mechanism: None, seed: 0 }));
        match containers.docker.ability(&instance, &setting) {
            Ability::As(this) => *this,
            _ => setting,
        }
    };
    let there = set(containers, targets, setting).await?;
    let back = set(containers, targets, |_| Setting::Mark(Aspect::Network, None)).await?;
    Ok((there, back))
}

async fn set(containers: &Containers, targets: &[Member], to: impl Fn(usize) -> Setting) -> anyhow::Result<Duration> {
    let settings: Vec<Setting> = (0..targets.len()).map(to).collect();
    let begin = Instant::now();
    let all = targets.iter().zip(&settings).enumerate().map(async |(change, (target, setting))| {
        let tag = Tag { run: "fan-out".to_owned(), change };
        containers.docker.set(&tag, &target.id, setting).await
    });
    let outcomes = try_join_all(all).await?;
    let took = begin.elapsed();
    ensure!(outcomes.iter().all(|o| *o == Outcome::Done), "not everything was set: {outcomes:?}");
    Ok(took)
}

/// A program for each target and way, one target after the other, as scripts do it.
async fn commands(targets: &[Member]) -> anyhow::Result<Took> {
    const TABLE: &str = "table inet fan_out { chain arriving { type filter hook input priority 0; ip saddr 192.0.2.1 drop; }; \
                         chain leaving { type filter hook output priority 0; ip daddr 192.0.2.1 drop; }; }";
    let mut took = Vec::new();
    for what in [TABLE, "delete table inet fan_out"] {
        let begin = Instant::now();
        for target in targets {
            run(Command::new("nsenter").args(["-t", &target.pid.to_string(), "-n", "nft", what])).await?;
        }
        took.push(begin.elapsed());
    }
    Ok((took[0], took[1]))
}

/// A container for each target that shares its network, one after the other. It does nothing: what is
/// measured is what it costs to be there.
async fn helpers(image: &str, targets: &[Member]) -> anyhow::Result<Took> {
    let mut took = Vec::new();
    for _ in ["there", "back"] {
        let begin = Instant::now();
        for target in targets {
            let network = format!("container:{}", target.id);
            let arguments =
                ["run", "--rm", "--network", &network, "--cap-add", "NET_ADMIN", "--entrypoint", PROGRAM, image];
            run(Command::new("docker").args(arguments).args(["completions", "bash"])).await?;
        }
        took.push(begin.elapsed());
    }
    Ok((took[0], took[1]))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().await.with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn medians(took: Vec<Took>) -> Took {
    let (mut there, mut back): (Vec<_>, Vec<_>) = took.into_iter().unzip();
    let median = |all: &mut Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    (median(&mut there), median(&mut back))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
