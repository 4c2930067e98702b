//! Faults of the machine against what was declared, on a real container: what the program in it meets before, while the fault is
//! on, and after, and what its control group says meanwhile.
//!
//! ```sh
//! cargo build --example machine_table
//! ./target/debug/examples/machine_table
//! tests/lab/netem-vm --docker --disk 8G ./target/debug/examples/machine_table
//! ```
//!
//! Needs root and a Docker Engine. It prints a table in Markdown, and fails where something is not as declared.
#![expect(clippy::print_stdout, reason = "what it saw is its output")]

mod cases;
mod stage;
mod within;

use std::process::ExitCode;

use clap::Parser;

use stage::Stage;

#[derive(Debug, Parser)]
struct Arguments {
    /// Only faults that have this in them, or one of these.
    #[arg(long)]
    only: Vec<String>,
    /// A directory of this machine for the container's /data, where the engine's own volumes are on no disk.
    #[arg(long)]
    data: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    // Whoever loads the container is this program, too.
    if let Some(code) = squall::command::stressor::if_asked_to() {
        return Ok(code);
    }
    if std::env::args().nth(1).as_deref() == Some(stage::WITHIN) {
        within::run();
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Runtime::new()?.block_on(measure(&Arguments::parse()))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let stage = Stage::open(arguments.data.as_deref()).await?;
    let result = table(&stage, &arguments.only).await;
    stage.clear().await?;
    Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How often a row is taken at most.
const AT_MOST: usize = 3;

/// Whether everything was as declared.
async fn table(stage: &Stage, only: &[String]) -> anyhow::Result<bool> {
    println!("{}\n", stage.describe());
    println!(
        "| fault | the program meets, before | meanwhile | after | its kernel's counters meanwhile | as before | as declared |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (mut rows, mut good) = (0, 0);
    for case in cases::ALL.iter().filter(|case| only.is_empty() || only.iter().any(|part| case.fault.contains(part))) {
        rows += 1;
        let mut row = stage.row(case).await;
        // What the container's program did in that very moment may hide a fault; what is not as before is never looked past.
        for again in 1..AT_MOST {
            if !row.as_ref().is_ok_and(|row| !row.is_good() && row.is_as_before()) {
                break;
            }
            row = stage.row(case).await.map(|row| row.taken(again));
        }
        match row {
            Ok(row) => {
                good += usize::from(row.is_good());
                println!("{row}");
            }
            Err(e) => println!("| `{}` | – | – | – | – | – | **not seen**: {e:#} |", case.fault),
        }
    }
    println!("\n{good} of {rows} as declared.");
    Ok(good == rows)
}
