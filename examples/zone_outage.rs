//! How far apart the first and the last instance of a zone go out: 60 containers in 3 zones, one of which loses its power, is
//! isolated, or is frozen; through the engine, as a run does it.
//!
//! `cargo build --release --example zone_outage && ./target/release/examples/zone_outage > table.md`
//!
//! Needs root and a Docker Engine. A container is down when what was set has been set: its main process has ended, its traffic
//! is cut off, its processes are frozen. The figures of a line are medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it measured is its output")]

#[path = "containers/mod.rs"]
#[expect(dead_code, reason = "others need more of it")]
mod containers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::future::try_join_all;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use squall::engine::{Ability, Apply as _, Observe as _, Outcome, Tag};
use squall::host::process::Process;
use squall::model::instance::{Aspect, Instance, Kill, RestartPolicy, Setting, Signal, Via};
use squall::model::network::{Direction, Flow, Network, Peer, Peers, Traffic, Treatment};

use containers::{Containers, Member};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many containers there are, a third of them in each zone.
    #[arg(long, default_value_t = 60)]
    count: usize,
    /// Times that each figure is taken.
    #[arg(long, default_value_t = 5)]
    times: usize,
}

/// How long a process may take to end.
const LONGEST: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// What is set on each in turn, and what rolls it back.
struct Mode {
    name: &'static str,
    stages: Vec<Setting>,
    /// Then the bare signals of the kernel, which nothing can be faster than.
    signals: bool,
    back: Vec<Setting>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if let Some(code) = containers::as_squall().await {
        return Ok(code);
    }
    let arguments = Arguments::parse();
    let containers = Containers::start("zone-outage", arguments.count).await?;
    let result = table(&containers, &arguments).await;
    containers.clear().await?;
    result.map(|()| ExitCode::SUCCESS)
}

async fn table(containers: &Containers, arguments: &Arguments) -> anyhow::Result<()> {
    let all = &containers.members;
    println!("| mode | containers | first to last down | all down after | back after |");
    println!("|---|---|---|---|---|");
    for (zone, many) in [(all.len() / 3, "one zone of three"), (all.len(), "all three zones")] {
        let zone = &all[..zone];
        for mode in modes(zone) {
            eprintln!("{}, {} containers", mode.name, zone.len());
            let mut figures = Vec::new();
            for _ in 0..arguments.times {
                figures.push(once(containers, zone, &mode).await?);
            }
            let median = |of: fn(&[Duration; 3]) -> Duration| {
                let mut all: Vec<Duration> = figures.iter().map(of).collect();
                all.sort();
                milliseconds(all[all.len() / 2])
            };
            println!(
                "| {} | {} ({many}) | {} | {} | {} |",
                mode.name,
                zone.len(),
                median(|f| f[0]),
                median(|f| f[1]),
                median(|f| f[2])
            );
        }
    }
    Ok(())
}

fn modes(zone: &[Member]) -> Vec<Mode> {
    let own = zone.iter().map(|m| Peer::Addresses(m.address.into())).collect();
    let traffic = Traffic { peers: Peers::AllBut(own), ..Traffic::all(Direction::Both) };
    let flows = vec![Flow { traffic, treatment: Treatment::Drop }];
    let cut = Setting::Network(Box::new(Network { flows, mechanism: None, seed: 0 }));
    let killed = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });
    let (aside, policy) = (RestartPolicy::Never, RestartPolicy::Always);
    vec![
        Mode {
            name: "power",
            stages: vec![Setting::RestartPolicy(aside), killed],
            signals: false,
            back: vec![Setting::Running(true), Setting::RestartPolicy(policy)],
        },
        Mode {
            name: "bare signals",
            stages: vec![Setting::RestartPolicy(aside)],
            signals: true,
            back: vec![Setting::Running(true), Setting::RestartPolicy(policy)],
        },
        Mode { name: "isolate", stages: vec![cut], signals: false, back: vec![Setting::Mark(Aspect::Network, None)] },
        Mode {
            name: "freeze",
            stages: vec![Setting::Paused(true)],
            signals: false,
            back: vec![Setting::Paused(false)],
        },
    ]
}

/// Out and back again: first to last, all out, all back.
async fn once(containers: &Containers, zone: &[Member], mode: &Mode) -> anyhow::Result<[Duration; 3]> {
    let ending = matches!(mode.back[0], Setting::Running(true));
    if ending {
        set(containers, zone, &Setting::RestartPolicy(RestartPolicy::Always)).await?;
    }
    let processes = Arc::new(if ending { processes(zone).await? } else { Vec::new() });
    let watched = Arc::clone(&processes);
    // By a thread of its own, which waits for nothing else.
    let ends = tokio::task::spawn_blocking(move || ends(&watched));
    let begin = Instant::now();
    let out = async {
        let mut done = Vec::new();
        for stage in &mode.stages {
            done = set(containers, zone, stage).await?;
        }
        if mode.signals {
            processes.iter().try_for_each(|process| process.signal(rustix::process::Signal::KILL))?;
        }
        anyhow::Ok(done)
    };
    let done = out.await?;
    // When a process has ended is known to the kernel long before the engine has noticed.
    let ended = ends.await??;
    let down = if ended.is_empty() { done } else { ended };
    let (first, last) = (down.iter().min(), down.iter().max());
    let (first, last) = (*first.context("no container")?, *last.context("no container")?);
    if mode.signals {
        // Until the engine knows, too.
        set(containers, zone, &Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host })).await?;
    }
    let back = Instant::now();
    for stage in &mode.back {
        set(containers, zone, stage).await?;
    }
    Ok([last - first, last - begin, back.elapsed()])
}

/// When each of them has ended.
fn ends(processes: &[Process]) -> anyhow::Result<Vec<Instant>> {
    let mut left: Vec<&Process> = processes.iter().collect();
    let mut ends = Vec::new();
    while !left.is_empty() {
        let mut watched: Vec<PollFd<'_>> = left.iter().map(|p| PollFd::new(*p, PollFlags::IN)).collect();
        ensure!(poll(&mut watched, Some(&LONGEST))? > 0, "{} processes do not end", left.len());
        let now = Instant::now();
        let ended: Vec<bool> = watched.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect();
        ends.extend(ended.iter().filter(|ended| **ended).map(|_| now));
        let mut ended = ended.into_iter();
        left.retain(|_| !ended.next().unwrap_or_default());
    }
    Ok(ends)
}

/// The main processes of all.
async fn processes(zone: &[Member]) -> anyhow::Result<Vec<Process>> {
    let api = bollard::Docker::connect_with_defaults()?;
    let mut all = Vec::new();
    for member in zone {
        let state = api.inspect_container(&member.id.0, None).await?.state.context("a container has no state")?;
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).context("a container has no process")?;
        all.push(Process::open(pid)?.context("a process is gone")?);
    }
    Ok(all)
}

/// Sets it on all at once: when each of them was done.
async fn set(containers: &Containers, zone: &[Member], to: &Setting) -> anyhow::Result<Vec<Instant>> {
    let docker = &containers.docker;
    let instance: Instance = docker.look(&zone[0].id).await?.context("a container is gone")?;
    let to = match docker.ability(&instance, to) {
        Ability::As(this) => *this,
        _ => to.clone(),
    };
    let to = &to;
    docker.prepare(&zone.iter().map(|member| (member.id.clone(), to.clone())).collect::<Vec<_>>()).await;
    let all = zone.iter().enumerate().map(async |(change, member)| {
        let tag = Tag { run: "zone-outage".to_owned(), change };
        let outcome = docker.set(&tag, &member.id, to).await?;
        let done = Instant::now();
        ensure!(outcome != Outcome::Gone, "a container is gone");
        Ok(done)
    });
    try_join_all(all).await
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
