//! `squall report`: any run's reports again, from its journal.

use std::path::Path;
use std::process::ExitCode;

use crate::command::cli;
use crate::engine::shell::quote;
use crate::host::store::{JOURNAL, StateDir};
use crate::record::journal;
use crate::report::{self, Format};

pub(super) fn run(args: &cli::Report, state: &StateDir) -> anyhow::Result<ExitCode> {
    let dir = state.resolve(&args.run)?;
    let run = journal::replay(&dir.join(JOURNAL))?;
    match args.format {
        Some(Format::Json) => super::print(&report::render(&run, Format::Json))?,
        Some(format) => super::show(&report::render(&run, format))?,
        None => {
            for path in report::write_all(&run, &dir)? {
                super::show(&format!("{}\n", path.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How the user who has come here through `sudo` gets a page that only root can read; `None` for everybody else.
pub(super) fn for_caller(state: &StateDir, run: &str) -> Option<String> {
    let caller = std::env::var("SUDO_UID").ok();
    let program =
        std::env::args_os().next().map_or_else(|| "squall".to_owned(), |name| name.to_string_lossy().into_owned());
    let is_root = rustix::process::geteuid().is_root();
    is_through_sudo(is_root, caller.as_deref()).then(|| copy(&program, state.root(), run))
}

fn is_through_sudo(is_root: bool, caller: Option<&str>) -> bool {
    is_root && caller.is_some_and(|uid| uid.parse::<u32>().is_ok_and(|uid| uid != 0))
}

/// The command that makes a copy: the shell that it is typed into opens the file, as its own user.
fn copy(program: &str, state: &Path, run: &str) -> String {
    let state = if state == StateDir::machine() {
        String::new()
    } else {
        format!(" --state {}", quote(&state.display().to_string()))
    };
    format!("sudo {}{state} report {run} --format html > report.html", quote(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_user_who_became_root_by_sudo_is_told_how_to_read_it() {
        assert!(is_through_sudo(true, Some("1000")));
        for (is_root, caller) in [(true, None), (true, Some("0")), (true, Some("")), (false, Some("1000"))] {
            assert!(!is_through_sudo(is_root, caller), "{is_root} {caller:?}");
        }
    }

    #[test]
    fn the_command_names_what_is_not_the_default() {
        assert_eq!(copy("squall", &StateDir::machine(), "r1"), "sudo squall report r1 --format html > report.html");
        assert_eq!(
            copy("target/release/squall", Path::new("/a b/it's"), "r1"),
            r"sudo target/release/squall --state '/a b/it'\''s' report r1 --format html > report.html"
        );
    }
}
