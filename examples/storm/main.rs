//! A crash storm on a real Docker Engine: kills the runner, its guard or both, stops the runner past its deadline, fills the disk that
//! it writes to, or restarts and removes its targets, at random moments of real experiments; or lets the engine itself be sick for a
//! while; or meddles with targets, files and processes; or does so on three machines, of which one may go off. It compares everything that can
//! be seen of every container before and after.
//!
//! `cargo run --release --example storm -- --rounds 100` or `… -- --sick --rounds 500` or `… -- --meddled --rounds 1000`
//! or `… -- --nodes --rounds 100`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its figures")]

mod casualty;
mod faults;
mod field;
mod judge;
mod look;
mod meddled_round;
mod meddling;
mod node_blow;
mod node_round;
mod nodes;
mod sick;
mod sick_round;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::future::join_all;
use rand::rngs::ChaCha12Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use casualty::{Blow, Casualty, Disk, Moment};
use field::Field;

/// The subcommands that this program passes on to Squall itself: it is its own runner, guard and target.
const SQUALL: [&str; 5] = ["run", "guard", "recover", "serve", "node"];

#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
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
    /// By a helper on the engine's host, which can be hurt, too.
    #[arg(long, conflicts_with_all = ["sick", "meddled"])]
    helper: bool,
    /// On three machines with an engine each, of which one may go off or be cut off.
    #[arg(long, conflicts_with_all = ["sick", "meddled", "helper"])]
    nodes: bool,
    /// No process dies: the engine is sick for a while.
    #[arg(long)]
    sick: bool,
    /// With `--sick`: only illnesses that have this in their words.
    #[arg(long, default_value = "")]
    illness: String,
    /// With `--sick`: the engine is reached over TCP, where calls can also be lost and arrive much later.
    #[arg(long, requires = "sick")]
    tcp: bool,
    /// Another process meddles with a target, or with the run's files or processes.
    #[arg(long, conflicts_with = "sick")]
    meddled: bool,
    /// With `--meddled`: only what has this in its words.
    #[arg(long, default_value = "")]
    meddling: String,
    /// With `--meddled` or `--nodes`: the number of the first round, to repeat some of them.
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// With `--meddled` or `--sick`: how many rounds go on at a time, each with containers of its own.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// Only faults that have this in them.
    #[arg(long, default_value = "")]
    only: String,
}

impl Arguments {
    /// The rounds, by number.
    fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.rounds
    }

    /// The randomness of a round, from its own number, so that it can be repeated alone.
    fn rng(&self, number: usize) -> ChaCha12Rng {
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64 + 1);
        rng
    }

    /// Those that say which rounds there are.
    fn filters(&self) -> String {
        let word =
            |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("--{name} '{value}' ") };
        let flag = |name: &str, is_set: bool| if is_set { format!("--{name} ") } else { String::new() };
        flag("network", self.network)
            + &flag("machine", self.machine)
            + &word("only", &self.only)
            + &word("meddling", &self.meddling)
    }
}

fn main() -> ExitCode {
    let small = squall::command::shape::if_asked_to().or_else(squall::command::stressor::if_asked_to);
    if let Some(code) = small {
        return code;
    }
    let word = std::env::args().nth(1);
    if word.as_deref() == Some(field::TARGET) {
        field::suffer();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if word.as_deref() == Some(nodes::OBSERVER) {
        return ended(runtime.block_on(nodes::observe(&std::env::args().nth(2).unwrap_or_default())));
    }
    if word.is_some_and(|word| SQUALL.contains(&word.as_str())) {
        return runtime.block_on(squall::command::dispatch(squall::command::cli::Cli::parse())).unwrap_or_else(|e| {
            eprintln!("error: {e:#}");
            ExitCode::from(2)
        });
    }
    ended(runtime.block_on(storm(&Arguments::parse())))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn storm(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.nodes {
        return node_round::rounds(arguments).await;
    }
    let fields = Field::prepare(if arguments.meddled || arguments.sick { arguments.at_once.max(1) } else { 1 }).await?;
    let result = if arguments.sick {
        sick_round::rounds(&fields, arguments).await
    } else if arguments.meddled {
        meddled_round::rounds(&fields, arguments).await
    } else {
        blow(&fields[0], arguments).await
    };
    Field::clear(&fields).await?;
    if result.is_ok() {
        fields.iter().try_for_each(|field| std::fs::remove_dir_all(&field.dir))?;
    }
    result
}

/// Does all of this, as many at a time as there are fields, each with one of them. What came of each, in no order.
async fn in_lanes<R, T>(
    fields: &[Field],
    rounds: Vec<R>,
    one: impl AsyncFn(&Field, R) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let (all, begun) = (rounds.len(), RefCell::new(rounds.into_iter()));
    let (done, stop) = (RefCell::new(Vec::new()), Cell::new(false));
    let lane = async |field: &Field| {
        // An error of one stops all of them when they are through with theirs.
        while let Some(round) = { begun.borrow_mut().next() }.filter(|_| !stop.get()) {
            let came = one(field, round).await.inspect_err(|_| stop.set(true))?;
            let mut done = done.borrow_mut();
            done.push(came);
            if done.len() % 10 == 0 {
                eprintln!("{} of {all} rounds", done.len());
            }
        }
        anyhow::Ok(())
    };
    join_all(fields.iter().map(lane)).await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(done.into_inner())
}

/// Two cells of a table.
fn median_and_longest(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    format!("{} ms | {} ms", median.as_millis(), longest.as_millis())
}

async fn blow(field: &Field, arguments: &Arguments) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(arguments.seed);
    let mut before = field.look().await?;
    let faults = faults::chosen(arguments.network, arguments.machine, &arguments.only);
    let mut figures: BTreeMap<Casualty, Vec<Duration>> = BTreeMap::new();
    let mut in_place = 0;
    for round in 0..arguments.rounds {
        let fault = faults.choose(&mut rng).context("no fault")?;
        let casualty = *Casualty::all(arguments.helper).choose(&mut rng).context("no casualty")?;
        let after = Duration::from_millis(rng.random_range(0..arguments.latest));
        let moment = if rng.random_ratio(1, 3) { Moment::OfTheRun(after) } else { Moment::OfTheFault(after) };
        let dir = field.dir.join(format!("round-{round}"));
        let what = format!("round {round}: {fault}, {} {moment:?}", casualty.words());
        let disk = casualty.is_of_disk().then(|| Disk::at(&dir)).transpose()?;
        if disk.is_none() {
            std::fs::create_dir(&dir)?;
        }
        let place = (dir.as_path(), disk.as_ref());
        let blow = casualty::disturb(field, (fault, arguments.helper), casualty, moment, place).await;
        let blow = blow.context(what.clone())?;
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
    for (casualty, times) in figures {
        println!("| {} | {n} | {n} | {} |", casualty.words(), median_and_longest(&times), n = times.len());
    }
    println!(
        "\n{} rounds, seed {}: {disturbed} were disturbed, {in_place} of them while a fault was in place; the others were over by \
         then.",
        arguments.rounds, arguments.seed
    );
    Ok(())
}
