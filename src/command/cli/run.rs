//! What can be said about runs: `run`, which is a gate, and the guard.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{EngineArgs, label};

pub(super) const EXAMPLES: &str = "\
Examples:
  squall run experiments/kill-one.yaml              on the Docker Engine of this machine
  squall run kill-one.yaml --seed 7                 the same targets again
  squall run kill-one.yaml --engine sim             a rehearsal: nothing real is touched
  squall run kill-one.yaml --stack shop.yaml        on local processes, started for it
  squall run chaos/*.yaml --stack compose.yaml      on containers, started for them
  squall run kill-one.yaml --format json | jq .     every event, one a line
  squall run chaos/*.yaml --junit junit.xml         a gate: the worst verdict is the exit code
  squall run chaos/*.yaml --tag nightly --repeat 3 --require 2

Of several experiments the worst verdict is the exit code: 4 before 1 before 3 before 0. All files are checked before the
first of them runs; where one is wrong the exit code is 2, and nothing was touched.";

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The experiments
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which engine
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What belongs to a gate
    #[command(flatten)]
    pub gate: Gate,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    pub seed: Option<u64>,
    /// A label of instances that are not targeted, on top of what the file protects; may be given several times
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub protect: Vec<String>,
    /// Text for people, or events as JSON, one a line
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print only the end
    #[arg(short, long)]
    pub quiet: bool,
    /// What rolls the fault back if this process does not
    #[command(flatten)]
    pub guard: GuardArgs,
}

/// The guard of a run.
#[derive(Debug, Clone, Copy, Args)]
pub struct GuardArgs {
    /// How much longer than planned the fault may be on before the guard rolls it back
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub grace: std::time::Duration,
    /// Which kind of guard [default: a container where Squall itself runs in one]
    #[arg(long, value_enum, default_value_t)]
    pub guard: GuardChoice,
}

/// Which experiments, how often, and what is written about all of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "As a gate")]
pub struct Gate {
    /// Only experiments of this name, in which `*` stands for any text; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Only experiments with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Start no further experiment after one that is no pass
    #[arg(long)]
    pub fail_fast: bool,
    /// Run each experiment so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// It has to hold at least so many of these times [default: each time]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub require: Option<u32>,
    /// Compare each experiment with an earlier run of it: a run's id, a directory, a `report.json`, or `last`. May be given
    /// several times; several runs of one experiment are one baseline
    #[arg(long, value_name = "RUN")]
    pub baseline: Vec<String>,
    /// Write one `JUnit` file for all of them
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write one Markdown summary for all of them; also appended to `$GITHUB_STEP_SUMMARY`, where that is set
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
}

/// How a run shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One event a line.
    Json,
}

/// Which guard a run gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GuardChoice {
    /// A container where Squall itself runs in one, else a process.
    #[default]
    Auto,
    /// A process in a session of its own.
    Process,
    /// A container on the engine.
    Container,
}
