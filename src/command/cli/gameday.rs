//! What can be said about game days.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::{EngineArgs, GuardArgs};
use crate::model::quantity::Day;
use crate::occasions::gameday::event::Mark;
use crate::report::Format;
use crate::report::gameday::FORMATS;

const RUN_EXAMPLES: &str = "\
Examples:
  squall gameday run autumn.yaml                    asks the commander before each scenario
  squall gameday run autumn.yaml --yes              the checklist before it is done
  squall gameday run autumn.yaml --engine sim       a rehearsal: nothing real is touched
  squall gameday run autumn.yaml --unattended --yes --stack shop.yaml

The worst verdict is the exit code: 4 before 1 before 3 before 0; a scenario that was left out is no verdict.";

/// From any other terminal, while it goes on.
pub const EXAMPLES: &str = "\
Examples:
  squall gameday run autumn.yaml                    in one terminal
  squall gameday mark detected --by ana             in any other, while it goes on
  squall gameday note \"checkout shows errors\"
  squall gameday action \"A second store\" --owner ben --due 2026-12-15
  squall gameday status
  squall gameday report --format markdown           afterwards, for the wiki";

/// What to do with game days.
#[derive(Debug, Subcommand)]
pub enum Gameday {
    /// Walk through a game day: its checklists, its scenarios, its messages
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
    /// Note an observation
    Note {
        /// What
        text: String,
        /// Who
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Say how far people have got with what goes wrong: the time counts from the injection
    Mark {
        /// How far
        #[arg(value_enum)]
        mark: Mark,
        /// Who says so
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Note what is to be done
    Action(Action),
    /// Show where the game day is: scenarios, clocks, notes
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a game day's report again, or print it in one format
    Report {
        /// Which: its id, the unambiguous end or begin of it, or `last`
        #[arg(default_value = "last", value_name = "ID")]
        gameday: String,
        /// Print this format instead of writing all
        #[arg(long, value_parser = format())]
        format: Option<Format>,
    },
    /// List the game days
    List {
        /// Print JSON, one game day a line
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `gameday run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The game day
    pub file: PathBuf,
    /// Take the checklist before the game day as done, without asking
    #[arg(long)]
    pub yes: bool,
    /// Begin every scenario without asking
    #[arg(long)]
    pub unattended: bool,
    /// Which engine
    #[command(flatten)]
    pub engine: EngineArgs,
    /// A label of instances that are not targeted, on top of what the files protect; may be given several times
    #[arg(long, value_name = "LABEL")]
    pub protect: Vec<String>,
    /// Print only the end of each run
    #[arg(short, long)]
    pub quiet: bool,
    /// What rolls the faults back if this process does not
    #[command(flatten)]
    pub guard: GuardArgs,
}

/// Arguments of `gameday action`.
#[derive(Debug, Args)]
pub struct Action {
    /// What
    pub text: String,
    /// Who sees to it
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Until when, such as `2026-12-15`
    #[arg(long, value_name = "DAY")]
    pub due: Option<Day>,
    /// Because of which scenario, from 1 [default: the one that goes on, or was the last to begin]
    #[arg(long, value_name = "N")]
    pub scenario: Option<usize>,
}

/// The formats of a game day's report, as words of the command line.
fn format() -> impl TypedValueParser<Value = Format> {
    let words = PossibleValuesParser::new(FORMATS.iter().filter_map(ValueEnum::to_possible_value));
    words.try_map(|word| <Format as ValueEnum>::from_str(&word, false))
}
