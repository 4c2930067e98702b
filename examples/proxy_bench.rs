//! What a proxy in the path costs: requests per second, their 99th percentile, processor time and memory, beside no proxy and `HAProxy`, on
//! one machine; how much later a single request is; and what idle connections take.
//!
//! `cargo build --release --bin squall --example proxy_bench && ./target/release/examples/proxy_bench`
//!
//! Needs root, and the packages nginx, haproxy and wrk.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use squall::engine::net::proxy::VARIABLE;
use squall::engine::net::userspace::{self, ShaperSetup};
use squall::engine::net::{Laid, lay_here};
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;
use squall::host::process::with_variable;
use squall::model::network::{
    Chosen, Delay, Direction, Existing, Flow, HttpAnswer, HttpFault, Network, Ports, Proxied, ProxyFault, RequestMatch,
    StreamFault, Traffic, Treatment, When,
};

#[derive(Debug, Parser)]
struct Arguments {
    /// How long each measurement takes.
    #[arg(long = "for", default_value = "5s", value_parser = humantime::parse_duration)]
    length: Duration,
    /// How many connections are idle.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
}

const SERVER: &str = "10.88.0.2:8000";
/// `HAProxy` in the namespace of the client.
const HAPROXY: &str = "127.0.0.1:9000";
const TAG: &str = "proxy-bench";

/// Two namespaces with a wire, a server in the one, and files of their own.
struct Stage {
    near: Namespace,
    far: Namespace,
    dir: tempfile::TempDir,
    /// What is ended with this.
    children: Vec<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.children {
            // nginx and HAProxy end their workers on a polite signal.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

impl Stage {
    fn new() -> anyhow::Result<Self> {
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        let dir = tempfile::tempdir()?;
        let stage = Self { near, far, dir, children: Vec::new() };
        let far = stage.far.path();
        run(&stage.near, &format!("ip link add wire type veth peer name wire netns {}", far.display()))?;
        for (at, address) in [(&stage.near, "10.88.0.1"), (&stage.far, "10.88.0.2")] {
            for command in
                ["ip link set lo up", &format!("ip address add {address}/24 dev wire"), "ip link set wire up"]
            {
                run(at, command)?;
            }
            let range = "/proc/sys/net/ipv4/ip_local_port_range";
            at.run(|| std::fs::write(range, "1024 65000"))?;
        }
        Ok(stage)
    }

    fn start(&mut self, name: &str, config: &str, args: &[&str], to: &str) -> anyhow::Result<u32> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, config)?;
        let at = if name == "nginx" { &self.far } else { &self.near };
        let mut command = Command::new(name);
        command.args(args).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = at.run(|| command.spawn()).with_context(|| format!("start {name}"))?;
        let pid = child.id();
        self.children.push(child);
        let to: SocketAddr = to.parse()?;
        let begin = Instant::now();
        while at.run(|| TcpStream::connect(to)).is_err() {
            ensure!(begin.elapsed() < Duration::from_secs(10), "{name} does not listen at {to}");
            std::thread::yield_now();
        }
        let ended = self.children.last_mut().and_then(|child| child.try_wait().ok().flatten());
        ensure!(ended.is_none(), "{name} has ended: {ended:?}");
        Ok(pid)
    }

    /// Requests per second, and the median and the 99th percentile (ms).
    fn wrk(&self, to: &str, connections: usize, keeps: bool, length: Duration) -> anyhow::Result<(f64, f64, f64)> {
        let (connections, seconds) = (connections.to_string(), length.as_secs().max(1).to_string());
        let mut command = Command::new("wrk");
        command.args(["-t", "1", "-c", &connections, "-d", &seconds, "--latency", &format!("http://{to}/")]);
        if !keeps {
            command.args(["-H", "Connection: close"]);
        }
        let output = self.near.run(|| command.output()).context("start wrk")?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
        let after = |word: &str| said.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
        let rate = after("Requests/sec:").context("wrk tells no rate")?.parse()?;
        let late = |word| {
            after(&format!("\n     {word}"))
                .and_then(milliseconds)
                .with_context(|| format!("wrk tells no {word}: {said}"))
        };
        Ok((rate, late("50%")?, late("99%")?))
    }
}

/// What a command says in a namespace.
fn run(at: &Namespace, command: &str) -> anyhow::Result<String> {
    let mut words = command.split_whitespace();
    let program = words.next().context("a program")?;
    let output = at.run(|| Command::new(program).args(words).output()).with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What wrk writes: `1.25ms`.
fn milliseconds(text: &str) -> Option<f64> {
    for (unit, times) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? * times);
        }
    }
    None
}

/// Processor time so far (ms), and memory (MiB), of a process and its children.
fn used(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.split("VmRSS:").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let own = ((ticks(11) + ticks(12)) * 10.0, kib.unwrap_or_default() / 1024.0);
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(used)
        .fold(own, |a, b| (a.0 + b.0, a.1 + b.1))
}

/// What a proxy is asked to do.
fn faults() -> Vec<(&'static str, Network)> {
    let http = |share, answer| {
        ProxyFault::Http(Box::new(HttpFault {
            matching: RequestMatch { paths: vec!["/*".to_owned()], ..RequestMatch::default() },
            chosen: Chosen { share, ..Chosen::default() },
            when: When::Before,
            answer,
            delay: Delay::default(),
            stall: false,
            cut_after: None,
            corrupt_body: false,
            bandwidth: None,
        }))
    };
    let stream = ProxyFault::Stream(StreamFault {
        share: 0.0,
        direction: Direction::Both,
        delay: Delay::default(),
        bandwidth: None,
        slice: None,
        limit: None,
        slow_close: Duration::ZERO,
        hang: false,
        end: None,
    });
    let answer = HttpAnswer { status: 503, headers: Vec::new(), body: "x".repeat(512) };
    let network = |fault| {
        let ports = vec![Ports { first: 8000, last: 8000 }];
        let traffic = Traffic { remote_ports: ports, ..Traffic::all(Direction::Egress) };
        let treatment = Treatment::Proxy(Proxied { existing: Existing::Reset, fault });
        Network { flows: vec![Flow { traffic, treatment }], mechanism: None, seed: 7 }
    };
    vec![
        ("squall, `tcp`, nothing affected", network(stream)),
        ("squall, `http`, nothing affected", network(http(0.0, None))),
        ("squall, `http`, 10 % answered 503", network(http(0.1, Some(answer)))),
    ]
}

/// The worker's program, which is built beside this one.
fn squall() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(Path::parent).context("a directory")?.join("squall");
    ensure!(program.exists(), "build {} first", program.display());
    Ok(program)
}

async fn lay(stage: &Stage, leases: &Leases, network: &Network) -> anyhow::Result<u32> {
    let (program, mark) = (squall()?, network.mark());
    let setup = ShaperSetup {
        program: &program,
        namespace: &stage.near,
        tag: TAG,
        change: TAG,
        holder: std::process::id(),
        mark: &mark,
    };
    let Laid::Lacks(lack) = stage.near.run(|| lay_here(&mark, network, |_, _| false))? else { bail!("no proxy") };
    leases.keep(userspace::lay(&setup, network, lack).await?, std::process::id());
    Ok(with_variable(VARIABLE, TAG).first().context("a proxy")?.pid())
}

fn row(stage: &Stage, what: &str, to: &str, proxy: Option<u32>, length: Duration) -> anyhow::Result<()> {
    for (connections, keeps) in [(64, true), (512, true), (64, false), (512, false)] {
        let before = proxy.map(used).unwrap_or_default();
        let (rate, _, p99) = stage.wrk(to, connections, keeps, length)?;
        let after = proxy.map(used).unwrap_or_default();
        let per_request = (after.0 - before.0) * 1000.0 / (rate * length.as_secs_f64());
        let keeps = if keeps { "kept" } else { "one each" };
        println!("| {what} | {connections} | {keeps} | {rate:.0} | {p99:.2} | {per_request:.1} | {:.1} |", after.1);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let limit = rustix::process::getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let mut stage = Stage::new()?;
    let nginx = "worker_processes 1; daemon off; pid DIR/pid; error_log DIR/log;
        events { worker_connections 20000; }
        http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_header_timeout 600s;
          server { listen 10.88.0.2:8000 backlog=8192; location / { return 200 \"BODY\"; } } }";
    let dir = stage.dir.path().display().to_string();
    stage.start("nginx", &nginx.replace("BODY", &"x".repeat(512)).replace("DIR", &dir), &["-c"], SERVER)?;
    let haproxy = "global\n nbthread 2\n maxconn 9000\ndefaults\n mode http\n timeout client 600s\n timeout server 600s\n timeout connect 5s
frontend in\n bind 127.0.0.1:9000\n default_backend out\nbackend out\n server far 10.88.0.2:8000\n";
    let haproxy = stage.start("haproxy", haproxy, &["-db", "-f"], HAPROXY)?;
    println!("| in the path | connections | | requests/s | p99 (ms) | processor time (µs a request) | memory (MiB) |");
    println!("|---|---|---|---|---|---|---|");
    row(&stage, "nothing", SERVER, None, arguments.length)?;
    row(&stage, "HAProxy, re-pointed", HAPROXY, Some(haproxy), arguments.length)?;
    let (_, direct, _) = stage.wrk(SERVER, 1, true, arguments.length)?;
    let (_, by_haproxy, _) = stage.wrk(HAPROXY, 1, true, arguments.length)?;
    let mut later = Vec::new();
    for (what, network) in faults() {
        let leases = Leases::default();
        let proxy = lay(&stage, &leases, &network).await?;
        row(&stage, what, SERVER, Some(proxy), arguments.length)?;
        later.push((what, stage.wrk(SERVER, 1, true, arguments.length)?.1 - direct));
        userspace::clear(&stage.near, TAG).await?;
    }
    println!(
        "\nA single request after the other: {:.0} µs at the median; later by {:.0} µs through HAProxy",
        direct * 1e3,
        (by_haproxy - direct) * 1e3
    );
    for (what, later) in later {
        println!("- {what}: later by {:.0} µs", later * 1e3);
    }
    let leases = Leases::default();
    let (_, network) = faults().swap_remove(1);
    let proxy = lay(&stage, &leases, &network).await?;
    let server: SocketAddr = SERVER.parse()?;
    let idle: Vec<TcpStream> =
        stage.near.run(|| (0..arguments.idle).map(|_| TcpStream::connect(server)).collect::<Result<_, _>>())?;
    let open =
        || userspace::counted(&stage.near, TAG, &network.mark()).ok().and_then(|c| c.proxy).map_or(0, |p| p.open);
    while open() < idle.len() as u64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("\n{} idle connections: {:.1} MiB", idle.len(), used(proxy).1);
    userspace::clear(&stage.near, TAG).await?;
    Ok(())
}
