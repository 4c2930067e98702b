//! The history at size: fills a state directory with synthetic runs and prints how long commands take there.
//!
//! `cargo build --release --bins --examples && ./target/release/examples/history --runs 50000`
//!
//! Times are those of whole processes, from start to end, as a person waits for them.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use squall::engine::{Description, Kind};
use squall::experiment::{Experiment, read};
use squall::host::store::StateDir;
use squall::model::quantity;
use squall::record::event::{Event, FORMAT, Judged, Latency, Phase, Reason, Stamped, Started, Window};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many runs, over five years.
    #[arg(long, default_value_t = 50_000)]
    runs: u32,
    /// Of how many experiments.
    #[arg(long, default_value_t = 40)]
    experiments: u32,
    /// How often each command is timed.
    #[arg(long, default_value_t = 9)]
    times: usize,
}

const EXPERIMENT: &str = "
version: 1
name: kill-one-NN
hypothesis: Losing one of three shop instances goes unnoticed by customers.
due: every month
tags: [shop]
steady-state:
  checkout: { http: 'http://127.0.0.1:8080/checkout', rate: 50/s, timeout: 1s, expect: { success: 99%, p95: 300ms } }
target: { service: shop }
fault: kill
blast-radius: { max-instances: 1 }
";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let here = std::env::current_exe()?;
    let squall = here.parent().context("this program is in no directory")?.with_file_name("squall");
    ensure!(squall.exists(), "{} is missing: cargo build --release --bins --examples", squall.display());
    let dir = tempfile::Builder::new().prefix("squall-history-").tempdir()?;
    let state = StateDir::find(Some(dir.path().to_owned()))?;
    let (last, size) = fill(&arguments, &state)?;

    println!("| what | {} runs of {} experiments |", arguments.runs, arguments.experiments);
    println!("|---|---|");
    let first = timed(&squall, dir.path(), &["history"])?;
    println!(
        "| `squall history`, the database made from the journals ({} MiB) | {:.1} s |",
        size >> 20,
        first.as_secs_f64()
    );
    let line: &[&[&str]] = &[
        &["history"],
        &["history", "--since", "30d"],
        &["history", "--experiment", "kill-one-07"],
        &["weaknesses"],
        &["list"],
        &["report", &last, "--format", "json"],
    ];
    for args in line {
        let mut took: Vec<Duration> =
            (0..arguments.times).map(|_| timed(&squall, dir.path(), args)).collect::<Result<_, _>>()?;
        took.sort();
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        let said: Vec<&str> = args.iter().map(|a| if *a == last { "RUN" } else { a }).collect();
        println!(
            "| `squall {}` | {:.0} ms [{:.0}–{:.0}] |",
            said.join(" "),
            ms(took[took.len() / 2]),
            ms(took[0]),
            ms(took[took.len() - 1])
        );
    }
    Ok(())
}

fn timed(squall: &Path, state: &Path, args: &[&str]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let status = Command::new(squall)
        .args(args)
        .env("SQUALL_STATE", state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "squall {args:?} ended with {status}");
    Ok(began.elapsed())
}

/// The id of a run from the middle, and the size of all journals in bytes.
fn fill(arguments: &Arguments, state: &StateDir) -> anyhow::Result<(String, u64)> {
    let now = Timestamp::now();
    let step = SignedDuration::from_hours(24 * 365 * 5) / i32::try_from(arguments.runs)?;
    let (mut middle, mut size) = (String::new(), 0);
    let experiments: Vec<Experiment> = (0..arguments.experiments)
        .map(|n| {
            let text = EXPERIMENT.replace("NN", &format!("{n:02}"));
            read::experiment("it", text.as_bytes(), &quantity::unset)
                .map(|r| r.value)
                .map_err(|m| anyhow::anyhow!("{m}"))
        })
        .collect::<Result<_, _>>()?;
    for n in 0..arguments.runs {
        let began = now - step * i32::try_from(arguments.runs - n)?;
        let x = &experiments[n as usize % experiments.len()];
        let id = format!("{}-{}-{:04x}", began.strftime("%Y%m%dT%H%M%SZ"), x.name, n % 0x1_0000);
        let text = journal(&id, x, n, began)?;
        size += text.len() as u64;
        std::fs::create_dir_all(state.run_dir(&id))?;
        std::fs::File::create(state.journal(&id))?.write_all(&text)?;
        if n == arguments.runs / 2 {
            middle = id;
        }
    }
    Ok((middle, size))
}

/// A run of half a minute with a window each second; one in twenty breaks, one in fifty has no verdict.
fn journal(id: &str, x: &Experiment, n: u32, began: Timestamp) -> anyhow::Result<Vec<u8>> {
    let latency = Latency { p50: 12.0, p95: 20.5, p99: 22.0 + f64::from(n % 50), max: 91.0 };
    let mut events = vec![Event::Started(Box::new(Started {
        format: FORMAT,
        version: "0.1.0".to_owned(),
        run: id.to_owned(),
        experiment: x.clone(),
        file: "experiments/kill-one.yaml".to_owned(),
        seed: u64::from(n),
        engine: Description::of(Kind::Docker, "unix:///x", "20.10"),
        owner: "ana@staging".to_owned(),
        process: None,
    }))];
    for (phase, seconds) in [(Phase::Baseline, 5), (Phase::During, 20), (Phase::Recovery, 5)] {
        events.push(Event::PhaseBegan { phase, planned_ms: None });
        for _ in 0..seconds {
            events.push(Event::Sampled(Window {
                check: "checkout".to_owned(),
                phase,
                from: began + SignedDuration::from_secs(i64::try_from(events.len())?),
                length_ms: 1000,
                samples: 50,
                failed: 0,
                unmeasured: 0,
                latency: Some(latency),
                value: None,
                by: BTreeMap::default(),
                failures: BTreeMap::new(),
                standings: Vec::new(),
            }));
        }
        events.push(Event::Judged(Judged {
            check: "checkout".to_owned(),
            safety: false,
            phase,
            samples: 50 * seconds,
            failed: 0,
            unmeasured: 0,
            not_judged: 0,
            unmeasured_why: BTreeMap::new(),
            failures: BTreeMap::new(),
            answers: BTreeMap::new(),
            longest_outage_ms: 0,
            latency: Some(latency),
            distribution: (1..60).map(|i| (i * 1000, i)).collect(),
            standings: Vec::new(),
        }));
    }
    events.push(Event::Recovery {
        rto_ms: Some(1000 + u64::from(n % 500)),
        checks: BTreeMap::new(),
        missed: BTreeMap::new(),
        never_lost: BTreeSet::new(),
    });
    let reason = match n {
        n if n % 20 == 7 => Reason::HypothesisBroken,
        n if n % 50 == 9 => Reason::BaselineNotMet,
        _ => Reason::HypothesisHeld,
    };
    events.push(Event::Finished { verdict: reason.verdict(), reason, text: "`checkout` 97 %".to_owned() });
    let mut text = Vec::new();
    for (seq, event) in events.into_iter().enumerate() {
        let at = began + SignedDuration::from_secs(i64::try_from(seq)?);
        serde_json::to_writer(&mut text, &Stamped { seq: seq as u64, at, event })?;
        text.push(b'\n');
    }
    Ok(text)
}
