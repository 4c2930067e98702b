//! `squall validate`.
#![expect(clippy::print_stderr, reason = "what people see")]

use std::io::Write;
use std::process::ExitCode;

use super::load;
use crate::cli;
use crate::exit;
use crate::experiment::diagnostic::Severity;

/// Good files are named on standard output, mistakes and warnings go to standard error. The exit code says it
/// all: nobody has to read to the end.
pub(super) fn run(args: &cli::Validate) -> ExitCode {
    let mut wrong = 0;
    for file in &args.files {
        match load::any(file) {
            Ok(warnings) => {
                if !warnings.is_empty() {
                    eprintln!("{}\n", warnings.render(load::styled()));
                }
                let warnings = match warnings.count(Severity::Warning) {
                    0 => String::new(),
                    1 => " (1 warning)".to_owned(),
                    n => format!(" ({n} warnings)"),
                };
                let _ = writeln!(std::io::stdout(), "ok     {}{warnings}", file.display());
            }
            Err(trouble) => {
                wrong += 1;
                match &trouble {
                    load::Trouble::Unreadable { .. } => eprintln!("error: {trouble}\n"),
                    load::Trouble::Mistaken(_) => eprintln!("{trouble}\n"),
                }
                let _ = writeln!(std::io::stdout(), "wrong  {}", file.display());
            }
        }
    }
    if wrong > 0 { ExitCode::from(exit::INVALID) } else { ExitCode::SUCCESS }
}
