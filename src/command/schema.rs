//! `squall schema`.
#![expect(clippy::print_stdout, reason = "what people see")]

use std::process::ExitCode;

use crate::cli::SchemaOf;
use crate::experiment::{Experiment, schema};
use crate::stack::Stack;

pub(super) fn run(of: SchemaOf) -> ExitCode {
    let schema = match of {
        SchemaOf::Experiment => schema::published::<Experiment>("urn:squall:schema:experiment:1", "Squall experiment"),
        SchemaOf::Stack => schema::published::<Stack>("urn:squall:schema:stack:1", "Squall stack of local processes"),
    };
    println!("{schema:#}");
    ExitCode::SUCCESS
}
