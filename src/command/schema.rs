//! `squall schema`.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;

use crate::command::cli::SchemaOf;
use crate::experiment::fleet_file::FleetFile;
use crate::experiment::project_file::ProjectFile;
use crate::experiment::stack::Stack;
use crate::experiment::{Experiment, schema};
use crate::occasions::gameday::Gameday;
use crate::occasions::schedule::Schedule;

pub(super) fn run(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let schema = match of {
        SchemaOf::Experiment => schema::published::<Experiment>("urn:squall:schema:experiment:1", "Squall experiment"),
        SchemaOf::Stack => schema::published::<Stack>("urn:squall:schema:stack:1", "Squall stack of local processes"),
        SchemaOf::Gameday => schema::published::<Gameday>("urn:squall:schema:gameday:1", "Squall game day"),
        SchemaOf::Project => schema::published::<ProjectFile>("urn:squall:schema:project:1", "Squall project file"),
        SchemaOf::Fleet => {
            schema::published::<FleetFile>("urn:squall:schema:fleet:1", "Squall file of several machines")
        }
        SchemaOf::Schedule => schema::published::<Schedule>("urn:squall:schema:schedule:1", "Squall schedule"),
    };
    match writeln!(std::io::stdout(), "{schema:#}") {
        // Whoever reads has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("cannot print the schema")?,
    }
    Ok(ExitCode::SUCCESS)
}
