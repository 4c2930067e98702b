//! What can be said about earlier runs: `history`, `weaknesses`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use crate::model::exit::Verdict;
use crate::occasions::history::Moment;

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct History {
    /// Something else than a look
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
    /// Which runs
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What else can be done with the history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// List the experiments and game days that say how often they are due, the most overdue first
    Due {
        /// Files of experiments and game days that may never have been run
        files: Vec<PathBuf>,
        /// Print JSON, one experiment a line
        #[arg(long)]
        json: bool,
    },
    /// Remove old runs, with journal and reports: those that neither --keep nor --older-than keeps
    Prune(Prune),
}

/// Which runs; everything that is given must fit.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// The experiment's name; `*` stands for any text. May be repeated
    #[arg(short, long = "experiment", value_name = "NAME")]
    pub experiments: Vec<String>,
    /// The verdict. May be repeated
    #[arg(long = "verdict", value_parser = verdict(), value_name = "VERDICT")]
    pub verdicts: Vec<Verdict>,
    /// Not before this: `30d` (ago), `2026-11-01`, `2026-11-01T09:30:00Z`
    #[arg(long, value_name = "MOMENT")]
    pub since: Option<Moment>,
    /// Before this
    #[arg(long, value_name = "MOMENT")]
    pub until: Option<Moment>,
    /// A tag of the experiment. May be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
}

/// A verdict, by its word.
fn verdict() -> impl TypedValueParser<Value = Verdict> {
    let words = PossibleValuesParser::new(Verdict::ALL.map(Verdict::word));
    words.try_map(|word| Verdict::ALL.into_iter().find(|v| v.word() == word).ok_or("no such verdict"))
}

/// Arguments of `history prune`.
#[derive(Debug, Args)]
#[group(id = "old", required = true, multiple = true, args = ["keep", "older_than"])]
pub struct Prune {
    /// Keep the newest N runs of each experiment
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep runs that are younger, such as `90d`
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub older_than: Option<Duration>,
    /// Remove nothing, and list what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `weaknesses`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Weaknesses {
    /// Something else than a look
    #[command(subcommand)]
    pub command: Option<WeaknessCommand>,
    /// Also those that a later run closed
    #[arg(long)]
    pub all: bool,
    /// Print JSON, one weakness a line
    #[arg(long)]
    pub json: bool,
}

/// What else can be done with weaknesses.
#[derive(Debug, Subcommand)]
pub enum WeaknessCommand {
    /// Note who sees to an open weakness, or what is to be done
    Note(Note),
}

/// Arguments of `weaknesses note`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["owner", "action"])]
pub struct Note {
    /// The experiment's name
    pub experiment: String,
    /// Who sees to it
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// What is to be done
    #[arg(long, value_name = "TEXT")]
    pub action: Option<String>,
}
