//! The command line: what can be said, and its help. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::Kind;

/// Chaos experiments that take themselves back.
#[derive(Debug, Parser)]
#[command(name = "squall", version, about, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Where journals and reports are kept [default: /var/lib/squall for root, else `$XDG_STATE_HOME/squall`]
    #[arg(long, global = true, value_name = "DIR", env = "SQUALL_STATE")]
    pub state: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The exit codes, at the end of every help.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  held         the hypothesis held; everything was taken back
  1  broken       a weakness was found; everything was taken back
  2  invalid      the file or the command line is wrong; nothing was touched
  3  no verdict   the run says nothing about the hypothesis; everything was taken back
  4  left behind  something could not be taken back; `squall recover` retries";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Show who would be hit and how it would be undone; touches nothing
    Plan(Plan),
    /// Check experiment files: every mistake at once
    Validate(Validate),
    /// Print the JSON Schema of experiment files, for editors
    Schema {
        /// The schema of which file
        #[arg(long, value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Take back what dead runs left behind
    Recover(Recover),
    /// Stop every run on this machine, and refuse new ones until `squall resume`
    Halt {
        /// Why, for everybody who meets it
        reason: String,
    },
    /// Allow runs again after `squall halt`
    Resume,
    /// Render a run's reports again from its journal
    Report(Report),
    /// List the runs
    List {
        /// Print JSON, one run a line
        #[arg(long)]
        json: bool,
    },
    /// Look at this machine: what works, what does not, and what to do about it
    Doctor(EngineArgs),
    /// A demonstration: two experiments on a small stack that is made and taken away
    Demo(Demo),
    /// Start or stop a stack of local processes from a stack file
    #[command(subcommand)]
    Stack(Stack),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Waits for a runner's end and takes everything back
    #[command(hide = true)]
    Guard(Guard),
    /// One service of the demonstration's stack
    #[command(hide = true)]
    Serve(Serve),
    /// Holds, loses and alters the packets of a network namespace; the settings come as JSON on its input
    #[command(hide = true)]
    Shape(Shape),
}

const RUN_EXAMPLES: &str = "\
Examples:
  squall run experiments/kill-one.yaml              on the Docker Engine of this machine
  squall run kill-one.yaml --seed 7                 the same victims again
  squall run kill-one.yaml --engine sim             a rehearsal: nothing real is touched
  squall run kill-one.yaml --stack shop.yaml        on local processes, started for it
  squall run kill-one.yaml --format json | jq .     every event, one a line";

/// Which engine.
#[derive(Debug, Clone, Default, Args)]
pub struct EngineArgs {
    /// Which engine [default: local where --stack is given, else docker]
    #[arg(long, value_enum)]
    pub engine: Option<Kind>,
    /// The stack of local processes; also the world of the sim
    #[arg(long, value_name = "FILE")]
    pub stack: Option<PathBuf>,
    /// The Docker Engine's socket [default: /var/run/docker.sock]
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The experiment
    pub file: PathBuf,
    /// Which engine
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    pub seed: Option<u64>,
    /// Text for people, or events as JSON, one a line
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print only the end
    #[arg(short, long)]
    pub quiet: bool,
    /// How much longer than planned the fault may be on before the guard takes it back
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub grace: std::time::Duration,
    /// Which kind of guard [default: a container where Squall itself runs in one]
    #[arg(long, value_enum, default_value_t)]
    pub guard: GuardChoice,
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

/// Which file a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SchemaOf {
    /// Experiment files.
    #[default]
    Experiment,
    /// Stack files of the local engine.
    Stack,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The experiment
    pub file: PathBuf,
    /// Which engine
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Show the choice that this seed makes
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The experiments
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Also remove the markers of runs that are not known here (a dead machine's)
    #[arg(long)]
    pub unlock: bool,
    /// Which engine to look for markers on
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The run's id, its directory, or `last`
    pub run: String,
    /// Print one format instead of writing all of them beside the journal
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
}

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ReportFormat {
    Html,
    Markdown,
    Json,
    Junit,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which engine [default: docker where one answers, else local]
    #[arg(long, value_enum)]
    pub engine: Option<Kind>,
    /// The Docker Engine's socket [default: /var/run/docker.sock]
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
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
        seat: Option<String>,
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Waits for the end of standard input, then takes the stack away
    #[command(hide = true)]
    Keep {
        /// The stack file
        #[arg(required_unless_present = "demo")]
        file: Option<PathBuf>,
        /// In its place: the containers of a demonstration
        #[arg(long, conflicts_with = "file")]
        demo: Option<String>,
        /// The Docker Engine that they are on
        #[arg(long, value_name = "URL")]
        docker_host: Option<String>,
    },
}

/// Arguments of the guard.
#[derive(Debug, Args)]
pub struct Guard {
    /// The run's journal
    #[arg(long)]
    pub journal: PathBuf,
    /// When it takes everything back, whatever the runner does (RFC 3339)
    #[arg(long)]
    pub deadline: jiff::Timestamp,
    /// The runner's PID, where it is in the same PID namespace
    #[arg(long)]
    pub runner: Option<u32>,
    /// The runner's container, where it lives in one
    #[arg(long)]
    pub runner_container: Option<String>,
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

/// Arguments of the shaper.
#[derive(Debug, Args)]
pub struct Shape {
    /// A file that stands for the namespace
    #[arg(long)]
    pub namespace: PathBuf,
    /// What tells this namespace from others: the file's device and number
    #[arg(long, num_args = 2)]
    pub identity: Vec<u64>,
    /// A process in the namespace, with whose end this one's work ends
    #[arg(long)]
    pub holder: u32,
    /// What the table stands for with which this one's work ends
    #[arg(long)]
    pub mark: String,
}
