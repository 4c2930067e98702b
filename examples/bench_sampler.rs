//! Can one process hold 5,000 open-loop HTTP requests a second, and does it see what a stalling server does to people?
//!
//! A server on this machine stalls for 100 ms in every second: it holds its answers until the stall is over. So one in ten
//! waits for up to 100 ms, and the 99th percentile is about 90 ms; the truth is computed from when each sample was due
//! (plus the median of an answer without a stall). A closed-loop client (ten workers, each waits for its answer before it
//! asks again) asks least while the server stalls, and so hardly notices.
//!
//! `cargo run --release --example bench_sampler [-- RATE SECONDS]` prints one row of a Markdown table.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]
#![expect(clippy::cast_precision_loss, reason = "fewer samples than a float can count")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use indexmap::IndexMap;
use squall::engine::sim::Sim;
use squall::experiment::probe::{Answer, Live, Prober};
use squall::experiment::stack::Stack;
use squall::experiment::{Check, Expect, Rate};
use squall::model::quantity;
use squall::record::event::Phase;
use squall::run::sample::{Sample, Sampler, Series};
use squall::run::steady::Judge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

const STALL: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_secs(1);
const WORKERS: usize = 10;

/// For how long the server will not answer, so long after it was started.
fn stalls_for(age: Duration) -> Duration {
    let into = Duration::from_nanos(u64::try_from(age.as_nanos() % EVERY.as_nanos()).unwrap_or_default());
    STALL.saturating_sub(into)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rate: f64 = arguments.next().map_or(Ok(5000.0), |a| a.parse()).context("RATE is a number per second")?;
    let length: u64 = arguments.next().map_or(Ok(10), |a| a.parse()).context("SECONDS is a whole number")?;
    let length = Duration::from_secs(length);

    let started = Instant::now();
    let port = serve(started)?;
    let prober = prober(port)?;
    let closed = closed_loop(Arc::clone(&prober), length / 3).await;
    let open = open_loop(prober, Rate(rate), length, started).await?;

    println!(
        "| wanted/s | sent/s | answered/s | not measured | open-loop p99 | true p99 | of it the stall | off by | closed-loop p99 |\n\
         |---|---|---|---|---|---|---|---|---|\n\
         | {rate} | {:.0} | {:.0} | {:.2} % | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} % | {closed:.1} ms |",
        open.sent,
        open.answered,
        open.unmeasured * 100.0,
        open.p99,
        open.truth,
        open.stall,
        (open.p99 / open.truth - 1.0).abs() * 100.0,
    );
    Ok(())
}

/// Serves on a thread of its own, which ends with the process.
fn serve(started: Instant) -> anyhow::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    // Where a backlog has no room the kernel lets clients try again a second later, and that would be measured.
    let listener = socket.listen(4096)?.into_std()?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await?;
                connections.spawn(answer(stream, started));
                while connections.try_join_next().is_some() {}
            }
            #[expect(unreachable_code, reason = "names the type of the block's errors")]
            anyhow::Ok(())
        })
    });
    Ok(port)
}

async fn answer(mut stream: TcpStream, started: Instant) -> std::io::Result<()> {
    let mut request = [0; 1024];
    while stream.read(&mut request).await? > 0 {
        let stall = stalls_for(started.elapsed());
        if !stall.is_zero() {
            tokio::time::sleep(stall).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
    }
    Ok(())
}

fn prober(port: u16) -> anyhow::Result<Arc<dyn Prober>> {
    let url = format!("http://127.0.0.1:{port}/");
    let check: Check = serde_json::from_value(serde_json::json!({ "http": { "url": url }, "timeout": "1s" }))?;
    let nothing = Stack { version: 1, name: "none".to_owned(), network: None, services: IndexMap::new() };
    Ok(Arc::new(Live::new([("it", &check)], Sim::of_stack(&nothing), quantity::unset)?))
}

struct Measured {
    sent: f64,
    answered: f64,
    unmeasured: f64,
    p99: f64,
    truth: f64,
    /// The truth without the time that an answer takes anyway, which on a busy machine is long.
    stall: f64,
}

async fn open_loop(
    prober: Arc<dyn Prober>,
    rate: Rate,
    length: Duration,
    started: Instant,
) -> anyhow::Result<Measured> {
    let series = Series { check: "it".to_owned(), rate, timeout: Duration::from_secs(1) };
    let (sampler, mut arriving) = Sampler::start(vec![series], prober);
    let origin = sampler.origin().into_std();
    // A second to warm up, then whole seconds, so that each has one stall.
    let from = Duration::from_secs(1);
    let mut judge = Judge::new("it", false, Phase::Baseline, &Expect::default(), rate, from, length);
    let (mut dues, mut good) = (Vec::new(), Vec::new());
    while let Some(sample) = arriving.recv().await {
        match sample {
            Sample::Asked { seq, due, .. } => {
                judge.asked(seq, due);
                if due >= from && due < from + length {
                    dues.push(due);
                } else if due > from + length + Duration::from_secs(2) {
                    break;
                }
            }
            Sample::Answered { seq, due, end, reply, .. } => {
                judge.answered(seq, due, end, &reply.answer);
                if matches!(reply.answer, Answer::Good { .. }) && due >= from && due < from + length {
                    good.push(end.saturating_sub(due));
                }
            }
        }
    }
    sampler.stop().await;
    let judged = judge.finish(from + length, true).0;
    let unmeasured = judged.unmeasured as f64 / judged.samples.max(1) as f64;
    let p99 = judged.latency.context("the server never answered")?.p99;

    let service = at(&mut good, 0.5);
    let age = origin.duration_since(started);
    let mut stalls: Vec<Duration> = dues.iter().map(|due| stalls_for(age + *due)).collect();
    let stall = at(&mut stalls, 0.99);
    Ok(Measured {
        sent: (judged.samples - judged.unmeasured) as f64 / length.as_secs_f64(),
        answered: good.len() as f64 / length.as_secs_f64(),
        unmeasured,
        p99,
        truth: (stall + service).as_secs_f64() * 1e3,
        stall: stall.as_secs_f64() * 1e3,
    })
}

/// The 99th percentile (ms) that clients see who ask again only after the answer.
async fn closed_loop(prober: Arc<dyn Prober>, length: Duration) -> f64 {
    let end = Instant::now() + length;
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let prober = Arc::clone(&prober);
        workers.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                prober.ask("it").await;
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    let mut latencies = workers.join_all().await.concat();
    at(&mut latencies, 0.99).as_secs_f64() * 1e3
}

/// The value at a quantile.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
fn at(values: &mut [Duration], quantile: f64) -> Duration {
    values.sort_unstable();
    let place = (values.len() as f64 * quantile).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or_default()
}
