//! Experiments on an engine that is sick for a while: nothing may be left when it is well again, no run may pass whose fault was
//! never seen from outside, and none may take for ever.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rustix::process::Signal;
use squall::host::process;
use squall::run::recover;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::casualty::{end_of, journal_in, restored};
use crate::field::{Field, Order};
use crate::look::Look;
use crate::sick::{Illness, SickEngine, Sickness};
use crate::{Arguments, in_lanes, median_and_longest};

/// A run takes 5 s; the longest that it may wait for an engine that is sick for at most 8 s, several calls after each other.
const LONGEST: Duration = Duration::from_mins(3);

/// What the look from outside sees while it is on; of load, it sees nothing.
fn is_seen(fault: &str) -> bool {
    ["cpu", "memory", "process", "disk-fill", "file-descriptors", "sockets"].iter().all(|kind| !fault.starts_with(kind))
}

/// What came of the rounds of one illness.
#[derive(Default)]
struct Figures {
    took: Vec<Duration>,
    /// How many runs ended with each exit code.
    exits: BTreeMap<i32, usize>,
}

/// A round as it is planned.
struct Round {
    number: usize,
    fault: &'static str,
    sickness: Sickness,
    falls_ill: Duration,
    recovers: Duration,
}

/// What came of it.
struct Outcome {
    illness: Illness,
    took: Duration,
    code: i32,
    /// Whether a call met the illness.
    met: bool,
}

fn plan(arguments: &Arguments) -> anyhow::Result<Vec<Round>> {
    let faults = crate::faults::chosen(arguments.network, arguments.machine, &arguments.only);
    let round = |number: usize| {
        let mut rng = arguments.rng(number);
        Ok(Round {
            number,
            fault: faults.choose(&mut rng).context("no fault")?,
            sickness: Sickness::random(&mut rng, &arguments.illness, arguments.tcp)?,
            falls_ill: Duration::from_millis(rng.random_range(0..4000)),
            recovers: Duration::from_millis(rng.random_range(100..8000)),
        })
    };
    arguments.numbers().map(round).collect()
}

pub(crate) async fn rounds(fields: &[Field], arguments: &Arguments) -> anyhow::Result<()> {
    let outcomes = in_lanes(fields, plan(arguments)?, async |field, round| one(field, &round, arguments).await).await?;
    let mut figures: BTreeMap<Illness, Figures> = BTreeMap::new();
    for outcome in &outcomes {
        let figures = figures.entry(outcome.illness).or_default();
        figures.took.push(outcome.took);
        *figures.exits.entry(outcome.code).or_default() += 1;
    }
    println!("| the engine | rounds | everything as before | exit codes | a run took: median | longest |");
    println!("|---|---|---|---|---|---|");
    for (illness, Figures { took, exits }) in figures {
        let exits: Vec<String> = exits.iter().map(|(code, n)| format!("{code}: {n}")).collect();
        let times = median_and_longest(&took);
        println!("| {} | {n} | {n} | {} | {times} |", illness.words(), exits.join(", "), n = took.len());
    }
    let met = outcomes.iter().filter(|o| o.met).count();
    println!("\n{} rounds, seed {}: in {met} of them the illness met a call.", outcomes.len(), arguments.seed);
    Ok(())
}

async fn one(field: &Field, round: &Round, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Round { number, fault, sickness, falls_ill, recovers } = round;
    let what = format!("round {number}: {fault}, {sickness:?} after {falls_ill:?} for {recovers:?}");
    let dir = field.dir.join(format!("round-{number}"));
    std::fs::create_dir(&dir)?;
    let end = || journal_in(&dir).map(|journal| end_of(&journal)).unwrap_or_default();
    let before = field.look().await?;
    let engine = SickEngine::new(&dir, arguments.seed + *number as u64, arguments.tcp).await?;

    let begun = Instant::now();
    let order = Order {
        fault,
        duration: "2s",
        grace: "60s",
        seed: Some(*number as u64),
        engine: Some(engine.host()),
        helper: false,
    };
    let mut runner = field.start(&order, &dir)?;
    let disturbed = async {
        sleep(*falls_ill).await;
        engine.fall_ill(*sickness);
        sleep(*recovers).await;
        engine.recover()
    };
    let (calls, ended) = tokio::join!(disturbed, watched(field, &before, &mut runner));
    let (status, seen) = ended.with_context(|| format!("{what}\n{}", end()))?;
    let took = begun.elapsed();
    let code = status.code().with_context(|| format!("{what}: a runner that was killed\n{}", end()))?;
    ensure!([0, 1, 3, 4].contains(&code), "{what}: exit {code}: {}\n{}", field.said(), end());
    ensure!(code != 0 || seen || !is_seen(fault), "{what}: a pass, and the fault was never seen\n{}", end());
    if arguments.tcp {
        // Its guard may go on watching for calls that come late, and keeps the journal meanwhile.
        closed(&dir).await.with_context(|| what.clone())?;
    } else {
        restored(&dir, true).await.with_context(|| what.clone())?;
    }
    // What is still on its way may come when the run is over: the process that rolls it back has to be through with that, too.
    let through = engine.delivered(LATEST).await
        && is_as(field, &before, if arguments.tcp { LATE } else { Duration::ZERO }).await?;
    if field.is_locked().await? {
        // So may the request for a lock by which it was to be removed: that names a holder who is proven dead. What this says of
        // the locks of other lanes is not of interest.
        Field::squall(&dir).args(["recover", "--unlock"]).stdout(Stdio::null()).status().await?;
    }
    let now = field.look().await?;
    ensure!(through && now == before, "{what}: {}\n{}", before.differences(&now), end());
    field.is_clean(&dir).await.with_context(|| format!("{what}\n{}", end()))?;
    // A guard that watches on would find no engine any more.
    for guard in process::with_variable("SQUALL_STATE", &dir.to_string_lossy()) {
        guard.signal(Signal::KILL)?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(Outcome { illness: sickness.illness, took, code, met: calls > 0 })
}

/// Sees that the run is rolled back, be it that its guard watches on.
async fn closed(dir: &Path) -> anyhow::Result<()> {
    let recovered = Field::squall(dir).arg("recover").stdout(Stdio::null()).status().await?;
    ensure!(recovered.success(), "recover ended with {recovered}");
    let journal = journal_in(dir);
    ensure!(journal.is_none_or(|journal| !recover::needs_recovery(&journal)), "it is not rolled back");
    Ok(())
}

/// How long calls may be on their way, and how long one that came late may be in effect.
const LATEST: Duration = Duration::from_mins(1);
const LATE: Duration = Duration::from_secs(10);

/// Whether everything is as before, at most so much later.
async fn is_as(field: &Field, before: &Look, patience: Duration) -> anyhow::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        if field.look().await? == *before {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// How a run ends, and whether anything differed meanwhile from how it was before.
async fn watched(field: &Field, before: &Look, runner: &mut Child) -> anyhow::Result<(ExitStatus, bool)> {
    let begun = Instant::now();
    let mut seen = false;
    loop {
        if let Some(status) = runner.try_wait()? {
            return Ok((status, seen));
        }
        if begun.elapsed() > LONGEST {
            runner.kill().await?;
            bail!("a run that goes on and on");
        }
        // A container may be on its way between two states.
        seen |= field.look().await.map_or(true, |look| look != *before);
        sleep(Duration::from_millis(200)).await;
    }
}
