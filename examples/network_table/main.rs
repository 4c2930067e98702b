//! Faults of the network against what was declared, measured between real containers: delays, losses, copies, alterations,
//! order and rate of what is meant, and that something beside it is left alone.
//!
//! ```sh
//! cargo build --example network_table
//! ./target/debug/examples/network_table --mechanism userspace
//! tests/lab/netem-vm ./target/debug/examples/network_table --plain --mechanism netem
//! ./target/debug/examples/network_table --mechanism userspace --streams 100ms                  # one way, at the receiver
//! ```
//!
//! Needs root and a Docker Engine. It prints a table in Markdown, and fails where a figure is not as declared.
#![expect(clippy::print_stdout, reason = "what it measured is its output")]

#[path = "../containers/mod.rs"]
mod containers;

mod cases;
mod judge;
mod measure;
mod row;
mod stage;
mod streams;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use squall::model::network::{Flow, Mechanism, Network, Peer};

use cases::{Expected, Fault, PEER, Selection};
use stage::Stage;

/// Where random choices come from, as far as the mechanism can be told.
const SEED: u64 = 7;

#[derive(Debug, Parser)]
struct Arguments {
    /// Who disturbs packets.
    #[arg(long, value_enum)]
    mechanism: Option<Chosen>,
    /// Between namespaces instead of containers, without an engine.
    #[arg(long)]
    plain: bool,
    /// Only faults whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Only selections (of streams: peers) whose name has this in it.
    #[arg(long, default_value = "")]
    selection: String,
    /// One-way streams under this delay, instead of every fault.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    streams: Option<std::time::Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Chosen {
    Netem,
    Userspace,
}

impl From<Chosen> for Mechanism {
    fn from(chosen: Chosen) -> Self {
        match chosen {
            Chosen::Netem => Self::Netem,
            Chosen::Userspace => Self::Userspace,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    squall::command::shape::if_asked_to().map_or_else(measure, Ok)
}

#[tokio::main]
async fn measure() -> anyhow::Result<ExitCode> {
    if let Some(code) = containers::as_squall().await {
        return Ok(code);
    }
    let arguments = Arguments::parse();
    let stage = if arguments.plain { Stage::plain()? } else { Stage::containers().await? };
    let result = match arguments.streams {
        Some(delay) => streams::table(&stage, arguments.mechanism.map(Into::into), delay, &arguments.selection).await,
        None => table(&stage, &arguments).await,
    };
    stage.clear().await?;
    Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How often a row of times is taken at most.
const AT_MOST: usize = 3;

/// Whether everything was as declared.
async fn table(stage: &Stage, arguments: &Arguments) -> anyhow::Result<bool> {
    let mechanism = arguments.mechanism.map(Mechanism::from);
    let by = match mechanism {
        Some(Mechanism::Netem) => "by the kernel (`mechanism: netem`)",
        Some(Mechanism::Userspace) => "in user space (`mechanism: userspace`)",
        None => "by what this kernel has",
    };
    println!("## Traffic disturbed {by}\n\n{}\n", stage.describe());
    println!("| fault | traffic | datagrams, one way | TCP | beside it | as declared |");
    println!("|---|---|---|---|---|---|");
    let (mut rows, mut good) = (0, 0);
    let peer = Peer::Addresses(stage.ends[PEER].address.into());
    for (n, selection) in cases::selections(peer).iter().enumerate() {
        for fault in cases::faults() {
            let wanted = fault.declared.contains(&arguments.only) && selection.name.contains(&arguments.selection);
            if !wanted || !(n == 0 || fault.everywhere) || !stage.can(&fault, mechanism) {
                continue;
            }
            rows += 1;
            let mut row = disturbed(stage, mechanism, &fault, selection).await;
            // A machine that was held up for a moment says nothing about the fault; that it was, is told.
            let timed = matches!(fault.expected, Expected::Late { .. } | Expected::Rate(_));
            for again in 1..AT_MOST {
                if !timed || row.as_ref().map_or(true, |row| row.complaints.is_empty()) {
                    break;
                }
                row = disturbed(stage, mechanism, &fault, selection).await.map(|row| row.taken(again));
            }
            match row {
                Ok(row) => {
                    println!("{row}");
                    good += usize::from(row.complaints.is_empty());
                }
                Err(e) => {
                    println!("| {} | {} | – | – | – | **not measured**: {e:#} |", fault.declared, selection.name);
                    stage.leave_alone().await?;
                }
            }
        }
    }
    println!("\n{good} of {rows} as declared.");
    Ok(good == rows)
}

/// One row: the fault is laid on, measured, and rolled back.
async fn disturbed(
    stage: &Stage,
    mechanism: Option<Mechanism>,
    fault: &Fault,
    selection: &Selection,
) -> anyhow::Result<row::Row> {
    let measure = || tokio::task::block_in_place(|| row::measure(&stage.ends, fault, selection));
    let Some(treatment) = fault.treatment.clone() else { return measure() };
    let flows = vec![Flow { traffic: selection.traffic.clone(), treatment }];
    stage.disturb(Network { flows, mechanism, seed: SEED }).await?;
    let row = measure();
    stage.leave_alone().await?;
    row
}
