//! What can be said about stacks: `stack`, `demo` and the services of the demonstration.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DockerArgs;
use super::docker::json;
use crate::engine::{Description, Kind};

pub(super) const DEMO_EXIT: &str = "\
Exit codes: 0 where both experiments came out as expected, 1 where not, 3 where it was stopped (Ctrl-C). The stack is taken
away all the same.";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which engine [default: docker where one answers, else local]
    #[arg(long, value_enum)]
    pub engine: Option<Kind>,
    /// Which Docker Engine
    #[command(flatten)]
    pub docker: DockerArgs,
    /// Leave the stack up for the files in experiments/
    #[arg(long)]
    pub keep: bool,
    /// Only bring the stack up for the files in experiments/: no demonstration
    #[arg(long, conflicts_with = "keep")]
    pub up: bool,
    /// Take a stack away that was left up
    #[arg(long, conflicts_with_all = ["keep", "up"])]
    pub down: bool,
}

/// A stack of local processes.
#[derive(Debug, Subcommand)]
pub enum Stack {
    /// Start it and wait until it answers
    Up {
        /// The stack file
        file: PathBuf,
    },
    /// Stop it
    Down {
        /// The stack file
        file: PathBuf,
    },
    /// Show its processes
    Status {
        /// The stack file
        file: PathBuf,
    },
    /// Starts one process in a session of its own, prints its PID and ends
    #[command(hide = true)]
    Spawn {
        /// File for its output
        #[arg(long)]
        log: PathBuf,
        /// Its place in the stack's own network, as JSON
        #[arg(long)]
        slot: Option<String>,
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Waits for the end of standard input, then takes the stack away
    #[command(hide = true)]
    Keep {
        /// The stack file
        #[arg(required_unless_present_any = ["demo", "project"])]
        file: Option<PathBuf>,
        /// In its place: the containers of a demonstration
        #[arg(long, conflicts_with = "file", requires = "on")]
        demo: Option<String>,
        /// In its place: a project of Compose
        #[arg(long, conflicts_with_all = ["file", "demo"], requires = "on")]
        project: Option<String>,
        /// The engine that they are on, as a journal describes it
        #[arg(long, value_name = "JSON", value_parser = json::<Box<Description>>)]
        on: Option<Box<Description>>,
    },
}

/// Arguments of a demonstration service.
#[derive(Debug, Args)]
pub struct Serve {
    /// Its part
    #[arg(value_enum)]
    pub role: Role,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Whom it asks, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub upstream: Vec<String>,
    /// What it calls itself
    #[arg(long, default_value = "")]
    pub name: String,
}

/// The parts of the demonstration's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Balances over the shops, and goes on to the next where one does not answer.
    Gateway,
    /// Asks the store.
    Shop,
    /// Answers.
    Store,
}
