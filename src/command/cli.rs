//! The command line: what can be said, and its help. No behaviour.

mod docker;
pub mod gameday;
pub mod history;
mod run;
mod stack;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::docker::{DockerArgs, HelperChoice, MachineAt, Meant};
pub use self::run::{Format, Gate, GuardArgs, GuardChoice, Run};
pub use self::stack::{Demo, Role, Serve, Stack};
use crate::engine::Kind;
use crate::experiment::Percent;

/// Chaos experiments that roll themselves back.
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
    #[command(after_help = run::EXAMPLES)]
    Run(Run),
    /// Show who would be targeted and how it would be undone; touches nothing
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
        /// The reason: shown wherever a run is refused because of it
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
    #[command(after_help = stack::DEMO_EXIT)]
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
    /// The helper on an engine's own host, for a runner that is not there
    #[command(hide = true)]
    Node(Node),
    /// One service of the demonstration's stack
    #[command(hide = true)]
    Serve(Serve),
}

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
    /// Which Docker Engine
    #[command(flatten)]
    pub docker: DockerArgs,
}

impl EngineArgs {
    /// The same for who asks the engine alone.
    #[must_use]
    pub fn without_helper(&self) -> Self {
        let docker = DockerArgs { helper: HelperChoice::Never, ..self.docker.clone() };
        Self { docker, ..self.clone() }
    }
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
    /// Files of several machines (`fleet.yaml`).
    Fleet,
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
    /// A label of instances that are not targeted, on top of what the file protects; may be given several times
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
    /// Also check that every environment variable that the files use is set here
    #[arg(long)]
    pub env: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// How long to wait if another process is rolling back [default: as long as that may take]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub wait: Option<std::time::Duration>,
    /// Also remove the locks on services of the engine whose runs are proven dead
    #[arg(long)]
    pub unlock: bool,
    /// Only remove the locks of this run, although Squall cannot know that it is dead: for a run on
    /// another machine that you know is
    #[arg(long, value_name = "RUN", conflicts_with = "unlock")]
    pub force_unlock: Option<String>,
    /// Close a run that Squall cannot roll back, after you have rolled it back by hand; WHY says what you did
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
    pub format: Option<crate::report::Format>,
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

/// Arguments of the helper on a node.
#[derive(Debug, Args)]
pub struct Node {
    /// Where its engine's socket is on that host
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// Where it keeps what it holds: a directory that is called like its session
    #[arg(long, value_name = "DIR")]
    pub session: PathBuf,
}

/// A label, `key` or `key=value`.
fn label(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("`*` stands for itself in a label: write `key` for every value of it, or `key=value`".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a daemon passes on to its runs means the same engine, whatever the environment says there.
    #[test]
    fn an_engine_that_was_decided_on_is_read_on_another_command_line() {
        let named = DockerArgs { docker_host: vec!["tcp://h:1".to_owned()], ..DockerArgs::default() };
        let none = |_: &std::path::Path| anyhow::bail!("there is no file");
        let again = named.pinned(named.meant(none).unwrap()).again();
        let words = ["squall", "plan", "x.yaml"].into_iter().map(str::to_owned).chain(again);
        let Command::Plan(plan) = Cli::try_parse_from(words).unwrap().command else { panic!("it is a plan") };
        assert_eq!(plan.engine.docker.endpoint().unwrap(), named.endpoint().unwrap());
    }
}
