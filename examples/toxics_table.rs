//! What `tcp` does to real connections beside what was declared: each of Toxiproxy's toxics, both ways. Fails where a figure is not near what
//! was declared, or a neighbour is met.
//!
//! `cargo build --bin squall --example toxics_table && ./target/debug/examples/toxics_table`
//!
//! Needs root.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use squall::engine::net::userspace::{self, ShaperSetup};
use squall::engine::net::{Laid, lay_here};
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;
use squall::model::network::{
    Delay, Direction, Distribution, Existing, Flow, Network, Ports, Proxied, ProxyFault, Slice, StreamEnd, StreamFault,
    Traffic, Treatment,
};

const FAR: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 2);
/// The port that is meant, and its neighbour.
const MEANT: u16 = 8000;
const NEIGHBOUR: u16 = 8001;
const TAG: &str = "toxics-table";

/// Two namespaces with a wire.
struct Stage {
    near: Namespace,
    far: Namespace,
}

impl Stage {
    fn new() -> anyhow::Result<Self> {
        let stage = Self { near: Namespace::new()?, far: Namespace::new()? };
        let far = stage.far.path();
        run(&stage.near, &format!("ip link add wire type veth peer name wire netns {}", far.display()))?;
        for (at, address) in [(&stage.near, "10.89.0.1"), (&stage.far, "10.89.0.2")] {
            for command in
                ["ip link set lo up", &format!("ip address add {address}/24 dev wire"), "ip link set wire up"]
            {
                run(at, command)?;
            }
        }
        Ok(stage)
    }

    /// Both ends of a new connection: the client's, and the server's.
    fn connect(&self, port: u16) -> anyhow::Result<(TcpStream, TcpStream)> {
        let to = SocketAddr::from((FAR, port));
        let listener = self.far.run(|| TcpListener::bind(to))?;
        let client = self.near.run(|| TcpStream::connect(to))?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(Duration::from_secs(20)))?;
        }
        Ok((client, server))
    }
}

fn run(at: &Namespace, command: &str) -> anyhow::Result<()> {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap_or_default());
    let status = at.run(|| program.args(words).status())?;
    ensure!(status.success(), "{command}: {status}");
    Ok(())
}

/// Nothing is done.
fn untouched() -> StreamFault {
    StreamFault {
        share: 1.0,
        direction: Direction::Both,
        delay: Delay::default(),
        bandwidth: None,
        slice: None,
        limit: None,
        slow_close: Duration::ZERO,
        hang: false,
        end: None,
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One row: a toxic, the same as a fault, and how it is measured.
struct Row {
    toxic: &'static str,
    keys: &'static str,
    fault: StreamFault,
    measure: fn(&Stage, Direction) -> anyhow::Result<String>,
    /// Whether a way makes a difference.
    ways: &'static [Direction],
}

const EITHER: &[Direction] = &[Direction::Ingress, Direction::Egress];
const BOTH: &[Direction] = &[Direction::Both];

fn rows() -> Vec<Row> {
    let end = |after, reset| Some(StreamEnd { after, reset });
    let late = |delay, jitter| Delay { delay, jitter, distribution: Distribution::Uniform };
    vec![
        Row {
            toxic: "latency 100 ms",
            keys: "delay: 100ms",
            fault: StreamFault { delay: late(ms(100), Duration::ZERO), ..untouched() },
            measure: |stage, _| round_trips(stage, 100.0, 0.0),
            ways: EITHER,
        },
        Row {
            toxic: "latency 100 ms, jitter 20 ms",
            keys: "delay: 100ms, jitter: 20ms",
            fault: StreamFault { delay: late(ms(100), ms(20)), ..untouched() },
            measure: |stage, _| round_trips(stage, 100.0, 20.0),
            ways: EITHER,
        },
        Row {
            toxic: "bandwidth 1000 KB/s",
            keys: "bandwidth: 8mbit",
            fault: StreamFault { bandwidth: Some(8_000_000), ..untouched() },
            measure: rate,
            ways: EITHER,
        },
        Row {
            toxic: "slow_close 500 ms",
            keys: "slow-close: 500ms",
            fault: StreamFault { slow_close: ms(500), ..untouched() },
            measure: closes,
            ways: EITHER,
        },
        Row {
            toxic: "timeout 500 ms",
            keys: "accept-then-hang: true, close-after: 500ms",
            fault: StreamFault { hang: true, end: end(ms(500), false), ..untouched() },
            measure: |stage, _| ends(stage, 500.0, false),
            ways: BOTH,
        },
        Row {
            toxic: "reset_peer 500 ms",
            keys: "reset-after: 500ms",
            fault: StreamFault { end: end(ms(500), true), ..untouched() },
            measure: |stage, _| ends(stage, 500.0, true),
            ways: BOTH,
        },
        Row {
            toxic: "slicer 1000 bytes, 10 ms",
            keys: "slice: { size: 1000b, every: 10ms }",
            fault: StreamFault { slice: Some(Slice { size: 1000, every: ms(10) }), ..untouched() },
            measure: pieces,
            ways: EITHER,
        },
        Row {
            toxic: "limit_data 10000 bytes",
            keys: "limit: 10000b",
            fault: StreamFault { limit: Some(10_000), ..untouched() },
            measure: limit,
            ways: EITHER,
        },
        Row {
            toxic: "toxicity 0.25",
            keys: "share: 25%, close-after: 0s",
            fault: StreamFault { share: 0.25, end: end(Duration::ZERO, false), ..untouched() },
            measure: |stage, _| share(stage),
            ways: BOTH,
        },
    ]
}

/// The end that says something, and the one that hears it, for a way: what is received comes from the server.
fn ends_of(stage: &Stage, way: Direction) -> anyhow::Result<(TcpStream, TcpStream)> {
    let (client, server) = stage.connect(MEANT)?;
    Ok(if way == Direction::Ingress { (server, client) } else { (client, server) })
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How long bytes take there and back.
fn trips(client: &mut TcpStream, mut server: TcpStream, times: usize) -> anyhow::Result<Vec<f64>> {
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while server.read_exact(&mut byte).and_then(|()| server.write_all(&byte)).is_ok() {}
    });
    let mut took = Vec::new();
    for _ in 0..times {
        let begin = Instant::now();
        client.write_all(b"x")?;
        client.read_exact(&mut [0])?;
        took.push(in_ms(begin.elapsed()));
    }
    client.shutdown(Shutdown::Both)?;
    ensure!(echo.join().is_ok(), "the echo has ended");
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn round_trips(stage: &Stage, delay: f64, jitter: f64) -> anyhow::Result<String> {
    let (mut client, server) = stage.connect(MEANT)?;
    let took = trips(&mut client, server, 40)?;
    let (least, median, most) = (took[0], took[20], took[39]);
    ensure!(least >= delay - jitter - 0.5 && most <= delay + jitter + 15.0, "{least} to {most} ms");
    ensure!((median - delay).abs() <= jitter / 2.0 + 5.0, "{median} ms");
    Ok(format!("{median:.1} ms ({least:.1} to {most:.1})"))
}

fn rate(stage: &Stage, way: Direction) -> anyhow::Result<String> {
    const BYTES: usize = 2_000_000;
    let (mut from, mut to) = ends_of(stage, way)?;
    let sender = std::thread::spawn(move || from.write_all(&vec![0; BYTES]));
    let begin = Instant::now();
    to.read_exact(&mut vec![0; BYTES])?;
    let rate = BYTES as f64 / 1000.0 / begin.elapsed().as_secs_f64();
    ensure!(sender.join().is_ok_and(|sent| sent.is_ok()), "it is sent");
    ensure!((900.0..=1050.0).contains(&rate), "{rate} KB/s");
    Ok(format!("{rate:.0} KB/s"))
}

fn closes(stage: &Stage, way: Direction) -> anyhow::Result<String> {
    let (from, mut to) = ends_of(stage, way)?;
    let begin = Instant::now();
    from.shutdown(Shutdown::Write)?;
    ensure!(to.read(&mut [0])? == 0, "it is closed");
    near(in_ms(begin.elapsed()), 500.0)
}

fn near(took: f64, declared: f64) -> anyhow::Result<String> {
    ensure!((declared - 1.0..declared + 40.0).contains(&took), "{took} ms");
    Ok(format!("{took:.1} ms"))
}

fn ends(stage: &Stage, after: f64, reset: bool) -> anyhow::Result<String> {
    let begin = Instant::now();
    let (mut client, mut server) = stage.connect(MEANT)?;
    client.write_all(b"x")?;
    let ended = client.read(&mut [0]);
    let took = in_ms(begin.elapsed());
    match ended {
        Ok(0) if !reset => {}
        Err(e) if reset && e.kind() == ErrorKind::ConnectionReset => {}
        other => bail!("{other:?}"),
    }
    // What was said before the end arrives, unless nothing passes.
    let heard = server.read(&mut [0]).is_ok_and(|n| n == 1);
    ensure!(heard == reset, "the server has heard it: {heard}");
    near(took, after)
}

fn pieces(stage: &Stage, way: Direction) -> anyhow::Result<String> {
    const BYTES: usize = 20_000;
    let (mut from, mut to) = ends_of(stage, way)?;
    from.write_all(&vec![0; BYTES])?;
    let (mut all, mut sizes, mut gaps, mut last) = (0, Vec::new(), Vec::new(), None::<Instant>);
    let mut room = vec![0; BYTES];
    while all < BYTES {
        let n = to.read(&mut room)?;
        ensure!(n > 0, "it ends early");
        all += n;
        sizes.push(n);
        let now = Instant::now();
        gaps.extend(last.map(|last| in_ms(now - last)));
        last = Some(now);
    }
    gaps.sort_by(f64::total_cmp);
    sizes.sort_unstable();
    let (size, gap) = (sizes[sizes.len() / 2], gaps[gaps.len() / 2]);
    ensure!(size == 1000 && (8.0..=15.0).contains(&gap), "{size} bytes, {gap} ms");
    Ok(format!("{} pieces of {size} bytes, {gap:.1} ms apart (medians)", sizes.len()))
}

fn limit(stage: &Stage, way: Direction) -> anyhow::Result<String> {
    let (mut from, mut to) = ends_of(stage, way)?;
    // Its end may come before all of it is sent.
    let sender = std::thread::spawn(move || from.write_all(&vec![0; 50_000]).is_ok());
    let mut arrived = Vec::new();
    to.read_to_end(&mut arrived)?;
    ensure!(sender.join().is_ok() && arrived.len() == 10_000, "{} bytes", arrived.len());
    Ok(format!("{} bytes, then closed", arrived.len()))
}

fn share(stage: &Stage) -> anyhow::Result<String> {
    const CONNECTIONS: usize = 400;
    let mut ended = 0;
    for _ in 0..CONNECTIONS {
        let (mut client, mut server) = stage.connect(MEANT)?;
        server.write_all(b"x")?;
        ended += usize::from(client.read(&mut [0])? == 0);
    }
    // Four standard deviations.
    ensure!((65..=135).contains(&ended), "{ended}");
    Ok(format!("{ended} of {CONNECTIONS} connections"))
}

/// The worker's program, which is built beside this one.
fn squall() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(Path::parent).context("a directory")?.join("squall");
    ensure!(program.exists(), "build {} first", program.display());
    Ok(program)
}

async fn measured(treatment: Treatment, measure: impl Fn(&Stage) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let (stage, program, leases) = (Stage::new()?, squall()?, Leases::default());
    let ports = vec![Ports { first: MEANT, last: MEANT }];
    let traffic = Traffic { remote_ports: ports, ..Traffic::all(Direction::Egress) };
    let network = Network { flows: vec![Flow { traffic, treatment }], mechanism: None, seed: 7 };
    let mark = network.mark();
    let namespace = &stage.near;
    let (tag, holder) = (TAG, std::process::id());
    let setup = ShaperSetup { program: &program, namespace, tag, change: TAG, holder, mark: &mark };
    leases.keep(
        match namespace.run(|| lay_here(&mark, &network, |_, _| false))? {
            Laid::Done(lease) => lease,
            Laid::Lacks(lack) => userspace::lay(&setup, &network, lack).await?,
        },
        holder,
    );
    let told = measure(&stage);
    let (mut client, server) = stage.connect(NEIGHBOUR)?;
    let neighbour = trips(&mut client, server, 20)?;
    userspace::clear(namespace, TAG).await?;
    ensure!(neighbour[10] < 10.0, "its neighbour took {} ms", neighbour[10]);
    Ok(format!("{} | {:.2} ms", told?, neighbour[10]))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("| toxic, as Toxiproxy names it | way | `tcp` | measured | round trip of a neighbour |");
    println!("|---|---|---|---|---|");
    for Row { toxic, keys, fault, measure, ways } in rows() {
        for way in ways {
            let fault = StreamFault { direction: *way, ..fault.clone() };
            let (named, keys) = match way {
                Direction::Ingress => ("downstream", format!("{keys}, direction: ingress")),
                Direction::Egress => ("upstream", format!("{keys}, direction: egress")),
                Direction::Both => ("both", keys.to_owned()),
            };
            let proxied = Proxied { existing: Existing::Reset, fault: ProxyFault::Stream(fault) };
            let told = measured(Treatment::Proxy(proxied), |stage| measure(stage, *way)).await;
            println!("| {toxic} | {named} | `{keys}` | {} |", told.with_context(|| format!("{toxic}, {named}"))?);
        }
    }
    let refused = |stage: &Stage| {
        let to = SocketAddr::from((FAR, MEANT));
        let _listener = stage.far.run(|| TcpListener::bind(to))?;
        let begin = Instant::now();
        let error = stage.near.run(|| TcpStream::connect(to)).err().context("it is accepted")?;
        ensure!(error.kind() == ErrorKind::ConnectionRefused, "{error}");
        Ok(format!("refused after {:.2} ms", in_ms(begin.elapsed())))
    };
    let told = measured(Treatment::Refuse(Existing::Reset), refused).await?;
    println!("| down | both | `refuse: true` | {told} |");
    Ok(())
}
