//! `squall report`: any run's reports again, from its journal.

use std::process::ExitCode;

use crate::cli::{self, ReportFormat};
use crate::journal;
use crate::report::{self, Format};
use crate::store::{JOURNAL, StateDir};

pub(super) fn run(args: &cli::Report, state: &StateDir) -> anyhow::Result<ExitCode> {
    let dir = state.resolve(&args.run)?;
    let run = journal::replay(&dir.join(JOURNAL))?;
    match args.format {
        Some(format) => super::print(&report::render(&run, chosen(format)))?,
        None => {
            for path in report::write_all(&run, &dir)? {
                super::print(&format!("{}\n", path.display()))?;
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
