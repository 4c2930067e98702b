//! `squall report`: any run's reports again, from its journal.
#![expect(clippy::print_stdout, reason = "prints the report, or where it is")]

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{self, ReportFormat};
use crate::journal;
use crate::report::{self, Format};
use crate::store::{JOURNAL, StateDir};

pub(super) fn run(args: &cli::Report, state: &StateDir) -> anyhow::Result<ExitCode> {
    let dir = state.resolve(&args.run)?;
    let run = journal::replay(&dir.join(JOURNAL))?;
    match args.format {
        Some(format) => print(&report::render(&run, chosen(format)))?,
        None => {
            for path in report::write_all(&run, &dir)? {
                println!("{}", path.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(format: ReportFormat) -> Format {
    match format {
        ReportFormat::Html => Format::Html,
        ReportFormat::Markdown => Format::Markdown,
        ReportFormat::Json => Format::Json,
        ReportFormat::Junit => Format::Junit,
    }
}

/// Prints; a reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}
