//! Every file of `experiments/` on every engine, over every way to it: each comes to what its first lines say, or is refused when it is
//! planned, with the reason. Before them the conformance suite of engines (`tests/conformance/`).
//!
//! ```sh
//! cargo build --example engine_table && cargo build
//! target/debug/examples/engine_table --engine podman@trixie --way ssh --file latency
//! target/debug/examples/engine_table --at-once 2 --results target/engines.json --write docs/engines.md
//! ```
//!
//! Needs root, and what `tests/lab/cluster` needs. It prints a table for each engine, in Markdown, and fails where a cell is wrong.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tables are its output, and what it is at goes beside them"
)]

mod column;
#[path = "../../tests/conformance/mod.rs"]
mod conformance;
mod conforming;
mod engines;
mod experiment;
mod monitoring;
mod relay;
mod results;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use futures_util::stream::{self, StreamExt as _};

use column::{Cell, SUITE};
use engines::{Kind, Lab, Way};
use experiment::Experiment;
use results::Results;
use table::Table;

#[derive(Debug, Parser)]
struct Arguments {
    /// Only this engine, or these.
    #[arg(long, value_enum)]
    engine: Vec<Kind>,
    /// Only this way to it, or these.
    #[arg(long, value_enum)]
    way: Vec<Way>,
    /// Only files that have this in their names, or one of these; `conformance` is the suite.
    #[arg(long)]
    file: Vec<String>,
    /// How many engines work at the same time.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// A document in which the tables of these engines are replaced; takes whole tables.
    #[arg(long, conflicts_with_all = ["way", "file"])]
    write: Option<PathBuf>,
    /// A file in which what was found is kept: what it knows already, and was not wrong, is not run again.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Runs nothing more: tables of what the file of results knows.
    #[arg(long, requires = "results")]
    known: bool,
    /// The program that runs the experiments; the one that was built beside this one unless given.
    #[arg(long)]
    squall: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == conforming::CONFORM) {
        let squall = words.next().context("`conform` takes the program that is Squall")?;
        return runtime.block_on(conforming::conform(squall.as_ref())).map(|()| ExitCode::SUCCESS);
    }
    runtime.block_on(measure(&Arguments::parse()))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let beside = std::env::current_exe()?.with_file_name("../squall");
    let squall = arguments.squall.clone().unwrap_or(beside);
    let squall = squall.canonicalize().with_context(|| format!("no program at {}: cargo build", squall.display()))?;
    let is_wanted = |name: &str| is_chosen(&arguments.file, |part| name.contains(part.as_str()));
    let mut experiments = Experiment::all()?;
    experiments.retain(|x| is_wanted(&x.name));
    let with_suite = is_wanted(SUITE);
    ensure!(with_suite || !experiments.is_empty(), "nothing has one of {:?} in its name", arguments.file);
    let work = Work {
        known: arguments.known,
        squall,
        with_suite,
        experiments,
        results: Results::open(arguments.results.clone())?,
    };
    let chosen = |all: &[Kind]| -> Vec<Kind> {
        all.iter().copied().filter(|kind| is_chosen(&arguments.engine, |wanted| wanted == kind)).collect()
    };
    let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| is_chosen(&arguments.way, |wanted| wanted == way)).collect();
    let (ways, work) = (&ways, &work);
    let tables = stream::iter(chosen(&Kind::ALL)).map(|kind| async move {
        // The others go on.
        fill(kind, ways, work).await.map_err(|e| eprintln!("{kind}: {e:#}")).ok()
    });
    let mut tables = tables.buffered(arguments.at_once.max(1));
    let mut wrong = 0;
    while let Some(table) = tables.next().await {
        let Some(table) = table else {
            wrong += 1;
            continue;
        };
        wrong += table.wrong();
        println!("{table}");
        if let Some(document) = &arguments.write {
            table.write_into(document)?;
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether something is among what was asked for; everything is, where nothing was.
fn is_chosen<T>(asked: &[T], is: impl FnMut(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(is)
}

/// What is to be done on each engine.
struct Work {
    /// Whether nothing is run any more.
    known: bool,
    squall: PathBuf,
    with_suite: bool,
    experiments: Vec<Experiment>,
    results: Results,
}

/// One engine's table: it is brought up, and goes away with this.
async fn fill(kind: Kind, ways: &[Way], work: &Work) -> anyhow::Result<Table> {
    let lab = Lab::with(kind, &work.squall).await.with_context(|| format!("{kind} does not come up"))?;
    for way in ways {
        let is_to_be_run = |row: &str| !work.known && work.results.lacks(kind, *way, row);
        let experiments: Vec<&Experiment> = work.experiments.iter().filter(|x| is_to_be_run(&x.name)).collect();
        let tell = |row: &str, cell: Cell| {
            eprintln!("{kind} {way} {row}: {cell}");
            work.results.put(kind, *way, row, cell)
        };
        let ran = column::run(&lab, *way, work.with_suite && is_to_be_run(SUITE), &experiments, tell).await;
        ran.with_context(|| format!("{kind} over {way}"))?;
    }
    let rows = work.with_suite.then_some(SUITE).into_iter().chain(work.experiments.iter().map(|x| x.name.as_str()));
    let cells = |row: &str| ways.iter().map(|way| work.results.get(kind, *way, row)).collect();
    let rows = rows.map(|row| (row.to_owned(), cells(row))).collect();
    Ok(Table { kind, described: lab.describe().await?, ways: ways.to_vec(), rows })
}
