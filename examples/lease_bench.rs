//! Whether leases of what is laid on traffic lapse where they should not: many of them, on a machine whose processors are all wanted by
//! others; and how long traffic takes to flow again when their process is killed or stopped.
//!
//! `cargo build --release --example lease_bench && ./target/release/examples/lease_bench --for 10m`
//!
//! Needs root. It fails where one lapses.
#![expect(clippy::disallowed_methods, reason = "there is no runtime")]
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use squall::engine::net::{Laid, lay_here};
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;
use squall::host::net::nft::{self, TableState};
use squall::model::network::{Direction, Flow, Network, Traffic, Treatment};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many leases there are, each in a namespace of its own.
    #[arg(long, default_value_t = 200)]
    leases: usize,
    /// How many processes, each in a session of its own, want a processor for themselves.
    #[arg(long, default_value_t = 16)]
    busy: usize,
    /// For how long.
    #[arg(long = "for", default_value = "10m", value_parser = humantime::parse_duration)]
    length: Duration,
    /// How often a process with one lease is killed, and stopped.
    #[arg(long, default_value_t = 20)]
    ends: usize,
    /// What it is as a process of its own: `busy`, or the path of a namespace to cut off.
    #[arg(long, hide = true)]
    part: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.part.as_deref() {
        Some("busy") => loop {
            black_box(std::process::id());
        },
        Some(namespace) => return keep(&Namespace::at(namespace.as_ref())?),
        None => {}
    }
    let lapsed = under_load(&arguments)?;
    println!("| ended by | until traffic flows, median | longest |\n|---|---|---|");
    for (how, signal) in [("SIGKILL", Signal::KILL), ("SIGSTOP", Signal::STOP)] {
        let mut times = (0..arguments.ends).map(|_| ended_by(signal)).collect::<anyhow::Result<Vec<_>>>()?;
        times.sort();
        let (median, longest) = (times.get(times.len() / 2), times.last());
        if let (Some(median), Some(longest)) = (median, longest) {
            println!("| {how} | {} ms | {} ms |", median.as_millis(), longest.as_millis());
        }
    }
    Ok(if lapsed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that leaves a namespace vanishes, unless it goes to itself.
fn cut() -> Network {
    let flow = Flow { traffic: Traffic::all(Direction::Egress), treatment: Treatment::Drop };
    Network { flows: vec![flow], mechanism: None, seed: 0 }
}

fn lay(namespace: &Namespace, leases: &Leases) -> anyhow::Result<()> {
    let network = cut();
    match namespace.run(|| lay_here(&network.mark(), &network, |_, _| false))? {
        Laid::Done(lease) => leases.keep(lease, std::process::id()),
        Laid::Lacks(_) => anyhow::bail!("a cut takes no process"),
    }
    Ok(())
}

/// How many of the leases have lapsed.
fn under_load(arguments: &Arguments) -> anyhow::Result<usize> {
    let namespaces: Vec<Namespace> = (0..arguments.leases).map(|_| Namespace::new()).collect::<Result<_, _>>()?;
    let leases = Leases::default();
    let busy = Busy::start(arguments.busy)?;
    namespaces.iter().try_for_each(|namespace| lay(namespace, &leases))?;
    let begin = Instant::now();
    let mut lapsed = 0;
    while begin.elapsed() < arguments.length && lapsed == 0 {
        std::thread::sleep(Duration::from_secs(1));
        let is_whole = |namespace: &&Namespace| {
            namespace.run(nft::tables).is_ok_and(|tables| tables.iter().all(|table| table.state == TableState::Whole))
        };
        lapsed = namespaces.iter().filter(|namespace| !is_whole(namespace)).count();
    }
    drop(busy);
    println!("| leases | busy processes | for | lapsed |\n|---|---|---|---|");
    let length = humantime::format_duration(Duration::from_secs(begin.elapsed().as_secs()));
    println!("| {} | {} | {length} | {lapsed} |\n", arguments.leases, arguments.busy);
    Ok(lapsed)
}

/// Processes that are ended with this.
struct Busy(Vec<Child>);

impl Busy {
    fn start(number: usize) -> anyhow::Result<Self> {
        let mut all = Self(Vec::new());
        for _ in 0..number {
            // Who shares a session shares its part of the processors.
            let mut command = Command::new("setsid");
            all.0.push(command.arg(std::env::current_exe()?).args(["--part", "busy"]).spawn()?);
        }
        Ok(all)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The process that keeps one lease, until it is ended.
fn keep(namespace: &Namespace) -> anyhow::Result<ExitCode> {
    let leases = Leases::default();
    lay(namespace, &leases)?;
    println!("laid");
    std::io::stdout().flush()?;
    std::thread::sleep(Duration::from_mins(5));
    Ok(ExitCode::FAILURE)
}

/// A link with nothing at its other end: what is to leave needs no neighbour.
const WIRE: [&str; 6] = [
    "link add wire type veth peer name end",
    "link set wire addrgenmode none",
    "address add 10.99.0.1/24 dev wire",
    "link set wire up",
    "link set end up",
    "neighbour add 10.99.0.2 lladdr 02:00:00:00:00:02 dev wire",
];

/// How long after its process is sent a signal traffic flows.
fn ended_by(signal: Signal) -> anyhow::Result<Duration> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let namespace = Namespace::new()?;
    for command in WIRE {
        let ran = namespace.run(|| Command::new("ip").args(command.split(' ')).status())?;
        ensure!(ran.success(), "ip {command}: {ran}");
    }
    let socket = namespace.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let sent = || namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev")).map(|told| packets(&told));
    let mut keeper = Busy(vec![
        Command::new(std::env::current_exe()?)
            .args(["--part", &namespace.path().display().to_string()])
            .stdout(Stdio::piped())
            .spawn()?,
    ]);
    let keeper = keeper.0.first_mut().context("it was started")?;
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().context("it has an output")?).read_line(&mut line)?;
    ensure!(line == "laid\n", "nothing is laid: {line}");
    let before = sent()?;
    socket.send_to(b"?", "10.99.0.2:9")?;
    ensure!(sent()? == before, "what should vanish passes");
    let process = i32::try_from(keeper.id()).ok().and_then(Pid::from_raw).context("it has an id")?;
    let begin = Instant::now();
    kill_process(process, signal)?;
    while sent()? == before {
        ensure!(begin.elapsed() < PATIENCE, "traffic does not flow again");
        socket.send_to(b"?", "10.99.0.2:9")?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(begin.elapsed())
}

/// How many packets have left by the wire.
fn packets(told: &str) -> u64 {
    let wire = told.lines().find_map(|line| line.trim().strip_prefix("wire:"));
    wire.and_then(|figures| figures.split_whitespace().nth(9)?.parse().ok()).unwrap_or(0)
}
