//! The command line: what can be said, and its help. No behaviour.

pub mod gameday;
pub mod history;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::Kind;
use crate::experiment::Percent;

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
  0  held         the hypothesis held; everything was rolled back (a rehearsal: it would hold)
  1  broken       a weakness was found; everything was rolled back (a rehearsal: it would break)
  2  invalid      the file or the command line is wrong; nothing was touched
  3  no verdict   the run says nothing about the hypothesis; everything was rolled back
  4  rollback incomplete  something could not be rolled back; `squall recover` retries";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run experiments, one after the other
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Show who would be hit and how it would be undone; touches nothing
    Plan(Plan),
    /// Check files, of experiments and others: every mistake at once
    Validate(Validate),
    /// Print the JSON Schema of experiment files and others, for editors
    Schema {
        /// The schema of which file
        #[arg(long, value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Roll back what dead runs left in place
    Recover(Recover),
    /// Stop every run on this machine, and refuse new ones until `squall resume`
    Halt {
        /// Why, for everybody who meets it
        reason: Option<String>,
    },
    /// Allow runs again after `squall halt`
    Resume,
    /// Render a run's reports again from its journal
    Report(Report),
    /// Tell whether a service is worse under a fault than in an earlier run
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(Compare),
    /// List the runs, newest first
    List(List),
    /// Start experiments when schedule files say so: a daemon
    #[command(after_help = SCHEDULE_EXAMPLES)]
    Schedule(Schedule),
    /// An exercise of several experiments, with the people and lists around it
    #[command(subcommand, after_help = gameday::EXAMPLES)]
    Gameday(gameday::Gameday),
    /// What the runs came to over time, one experiment a line
    History(history::History),
    /// Hypotheses that broke and have not held since
    Weaknesses(history::Weaknesses),
    /// Look at this machine: what works, what does not, and what to do about it
    Doctor(EngineArgs),
    /// A demonstration: two experiments on a small stack that is made and taken away
    #[command(after_help = DEMO_EXIT)]
    Demo(Demo),
    /// Start or stop a stack of local processes from a stack file
    #[command(subcommand)]
    Stack(Stack),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Waits for a runner's end and rolls everything back
    #[command(hide = true)]
    Guard(Guard),
    /// One service of the demonstration's stack
    #[command(hide = true)]
    Serve(Serve),
}

const RUN_EXAMPLES: &str = "\
Examples:
  squall run experiments/kill-one.yaml              on the Docker Engine of this machine
  squall run kill-one.yaml --seed 7                 the same victims again
  squall run kill-one.yaml --engine sim             a rehearsal: nothing real is touched
  squall run kill-one.yaml --stack shop.yaml        on local processes, started for it
  squall run chaos/*.yaml --stack compose.yaml      on containers, started for them
  squall run kill-one.yaml --format json | jq .     every event, one a line
  squall run chaos/*.yaml --junit junit.xml         a gate: the worst verdict is the exit code
  squall run chaos/*.yaml --tag nightly --repeat 3 --require 2

Of several experiments the worst verdict is the exit code: 4 before 1 before 3 before 0. All files are checked before the
first of them runs; where one is wrong the exit code is 2, and nothing was touched.";

const DEMO_EXIT: &str = "\
Exit codes: 0 where both experiments came out as expected, 1 where not, 3 where it was stopped (Ctrl-C). The stack is taken
away all the same.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  squall compare 7f3a last                          two runs on this machine
  squall compare main/report.json last              against an artifact of another pipeline
  squall compare 7f3a 9c2e --no-worse-than 20%      exit 1 where it is worse than that, 3 where it cannot be told";

const SCHEDULE_EXAMPLES: &str = "\
Examples:
  squall schedule staging.yaml --next 20            when would what start? starts nothing
  squall schedule staging.yaml                      works until SIGTERM; figures on http://127.0.0.1:9797/metrics
  systemctl reload squall-schedule                  (SIGHUP) looks at once whether the files have changed";

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Show at most so many; 0: all [default: 20, with --json all]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print JSON, one run a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `schedule`.
#[derive(Debug, Args)]
pub struct Schedule {
    /// The schedule files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only print the next so many starts, as if the files were first seen now
    #[arg(long, value_name = "N")]
    pub next: Option<usize>,
    /// Where `/healthz` and `/metrics` are shown; `off`: nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9797")]
    pub listen: String,
    /// The seed of all random times and choices [default: one that is kept in the state directory]
    #[arg(long)]
    pub seed: Option<u64>,
    /// On which engine
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Which engine.
#[derive(Debug, Clone, Default, Args)]
pub struct EngineArgs {
    /// Which engine [default: local where --stack is a stack file, else docker]
    #[arg(long, value_enum)]
    pub engine: Option<Kind>,
    /// The stack of local processes, also the world of the sim; or a compose file, for `run` and
    /// `gameday run`
    #[arg(long, value_name = "FILE")]
    pub stack: Option<PathBuf>,
    /// The compose project that is seen of a Docker Engine; all of it where there is none
    #[arg(skip)]
    pub project: Option<String>,
    /// The Docker Engine's socket [default: /var/run/docker.sock]
    #[arg(long, value_name = "URL", env = "DOCKER_HOST")]
    pub docker_host: Option<String>,
}

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
    /// A label of instances that are not hit, on top of what the file protects; may be given several times
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
    /// Hold each experiment against an earlier run of it: a run's id, a directory, a `report.json`, or `last`; may be given
    /// several times, and runs of one experiment are taken together
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

/// Which file a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SchemaOf {
    /// Experiment files.
    #[default]
    Experiment,
    /// Stack files of the local engine.
    Stack,
    /// Schedule files.
    Schedule,
    /// Game-day files.
    Gameday,
    /// Project files (`squall.yaml`).
    Project,
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
    /// A label of instances that are not hit, on top of what the file protects; may be given several times
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub protect: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The files: experiments, schedules, game days
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Also check that the variables in what is asked, told and run are set here, as a run needs them
    #[arg(long)]
    pub env: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// How long to wait for a rollback that another process is at [default: as long as it may take]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub wait: Option<std::time::Duration>,
    /// Also remove the locks on services of the engine whose runs are proven dead
    #[arg(long)]
    pub unlock: bool,
    /// Only remove the locks of this run, dead or not known to be: you know that it is (on another machine)
    #[arg(long, value_name = "RUN", conflicts_with = "unlock")]
    pub force_unlock: Option<String>,
    /// Close a run of which something is left that Squall cannot roll back: you have seen to it, and say what you did
    #[arg(long, num_args = 2, value_names = ["RUN", "WHY"], conflicts_with_all = ["unlock", "force_unlock", "wait"])]
    pub settle: Option<Vec<String>>,
    /// Which engine to look for locks on
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The run that was before: its id, its directory, a journal, a `report.json`, or `last`
    pub base: String,
    /// The run that is compared with it
    pub new: String,
    /// By how much latency may be longer [default: what the experiment says, else 10%]
    #[arg(long, value_name = "SHARE")]
    pub no_worse_than: Option<Percent>,
    /// By how many percentage points more may fail [default: what the experiment says, else 2%]
    #[arg(long, value_name = "SHARE")]
    pub failures: Option<Percent>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
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
        #[arg(long, conflicts_with = "file")]
        demo: Option<String>,
        /// In its place: a project of Compose
        #[arg(long, conflicts_with_all = ["file", "demo"])]
        project: Option<String>,
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
    /// When it rolls everything back, whatever the runner does: so long after the machine's boot
    #[arg(long, value_parser = humantime::parse_duration)]
    pub deadline: std::time::Duration,
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

/// A label, `key` or `key=value`.
fn label(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("`*` stands for itself in a label: write `key` for every value of it, or `key=value`".to_owned());
    }
    Ok(text.to_owned())
}
