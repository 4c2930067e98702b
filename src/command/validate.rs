//! `squall validate`.

use std::path::Path;
use std::process::ExitCode;

use super::load;
use crate::command::cli;
use crate::experiment::diagnostic::Severity;
use crate::model::exit;
use crate::report::follow;
use crate::text::visible;

/// Good files are named on standard output, mistakes and warnings go to standard error. The exit code says it
/// all: nobody has to read to the end.
pub(super) fn run(args: &cli::Validate) -> ExitCode {
    let mut wrong = 0;
    for file in &args.files {
        match load::any(file, args.env) {
            Ok(warnings) => {
                if !warnings.is_empty() {
                    follow::complain_styled(&format!("{}\n", warnings.render(load::styled())));
                }
                let warnings = match warnings.count(Severity::Warning) {
                    0 => String::new(),
                    1 => " (1 warning)".to_owned(),
                    n => format!(" ({n} warnings)"),
                };
                say!("ok     {}{warnings}", name(file));
            }
            Err(trouble) => {
                wrong += 1;
                match &trouble {
                    load::FileError::Unreadable { .. } => follow::complain_styled(&format!("error: {trouble}\n")),
                    load::FileError::Mistaken(_) => follow::complain_styled(&format!("{trouble}\n")),
                }
                say!("wrong  {}", name(file));
            }
        }
    }
    if wrong > 0 { ExitCode::from(exit::INVALID) } else { ExitCode::SUCCESS }
}

/// On one line: a name that has several must not say of another file that it is good.
fn name(file: &Path) -> String {
    visible::line(&file.to_string_lossy()).into_owned()
}
