//! A crash storm on a real Docker Engine: kills the runner, its guard or both, stops the runner past its deadline, fills the disk that
//! it writes to, or restarts and removes its targets, at random moments of real experiments; and compares everything that can be
//! seen of every container before and after.
//!
//! `cargo run --release --example storm -- --rounds 100`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its figures")]

mod casualty;
mod faults;
mod field;
mod look;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use rand::rngs::ChaCha12Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use casualty::{Blow, Casualty, Disk, Moment};
use field::Field;

/// The subcommands that this program passes on to Squall itself: it is its own runner, guard and victim.
const SQUALL: [&str; 4] = ["run", "guard", "recover", "serve"];

#[derive(Debug, Parser)]
struct Arguments {
    /// How many experiments are disturbed.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Repeats the random choices of an earlier storm.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The latest moment of a blow, in ms: from the start of a run in one round of three, else from the moment at which its
    /// journal names the first injection.
    #[arg(long, default_value_t = 1600)]
    latest: u64,
    /// Disturbs traffic; nothing else, unless `--machine` is there, too.
    #[arg(long)]
    network: bool,
    /// Disturbs limits, processor, memory, disks, processes and zones; nothing else, unless `--network` is there, too.
    #[arg(long)]
    machine: bool,
    /// Only faults that have this in them.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let small = squall::command::shape::if_asked_to().or_else(squall::command::burden::if_asked_to);
    if let Some(code) = small {
        return code;
    }
    let word = std::env::args().nth(1);
    if word.as_deref() == Some(field::VICTIM) {
        field::suffer();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if word.is_some_and(|word| SQUALL.contains(&word.as_str())) {
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
    let mut before = field.look().await?;
    let faults = faults::chosen(arguments.network, arguments.machine, &arguments.only);
    let mut figures: BTreeMap<Casualty, Vec<Duration>> = BTreeMap::new();
    let mut in_place = 0;
    for round in 0..arguments.rounds {
        let fault = faults.choose(&mut rng).context("no fault")?;
        let casualty = *Casualty::ALL.choose(&mut rng).context("no casualty")?;
        let after = Duration::from_millis(rng.random_range(0..arguments.latest));
        let moment = if rng.random_ratio(1, 3) { Moment::OfTheRun(after) } else { Moment::OfTheFault(after) };
        let dir = field.dir.join(format!("round-{round}"));
        let what = format!("round {round}: {fault}, {} {moment:?}", casualty.words());
        let disk = casualty.is_of_disk().then(|| Disk::at(&dir)).transpose()?;
        if disk.is_none() {
            std::fs::create_dir(&dir)?;
        }
        let place = (dir.as_path(), disk.as_ref());
        let blow = casualty::disturb(field, fault, casualty, moment, place).await.context(what.clone())?;
        let end = || casualty::journal_in(&dir).map(|journal| casualty::end_of(&journal)).unwrap_or_default();
        let mut expected = before.clone();
        if let Some(Blow { took, was_on, removed }) = blow {
            in_place += usize::from(was_on);
            figures.entry(casualty).or_default().push(took);
            expected.forget(removed.as_deref());
        }
        let now = field.look().await?;
        ensure!(now == expected, "{what}: {}\n{}", expected.differences(&now), end());
        field.is_clean(&dir).await.with_context(|| format!("{what}\n{}", end()))?;
        if now != before {
            // Whoever was removed comes back as another one.
            field.refill().await?;
            before = field.look().await?;
        }
        if (round + 1) % 10 == 0 {
            eprintln!("{} of {} rounds, all restored", round + 1, arguments.rounds);
        }
    }
    println!("| what was done | rounds | everything as before | until restored: median | longest |");
    println!("|---|---|---|---|---|");
    let disturbed: usize = figures.values().map(Vec::len).sum();
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
        "\n{} rounds, seed {}: {disturbed} were disturbed, {in_place} of them while a fault was in place; the others were over by \
         then.",
        arguments.rounds, arguments.seed
    );
    Ok(())
}
