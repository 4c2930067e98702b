//! `squall completions`: a script that a shell reads.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};

use crate::command::cli::Cli;

pub(super) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    // Rendered first, then written: clap_complete panics where a pipe is closed, and that is no error.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&Cli::command()), "squall", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write the completions to standard output: {e}"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A command without what its help hides, which completions would show.
fn shown(command: &Command) -> Command {
    // They live as long as the process, which makes one script and ends.
    let leaked = |text: &str| -> &'static str { String::leak(text.to_owned()) };
    let mut shown = Command::new(leaked(command.get_name()))
        .args(command.get_arguments().filter(|a| !a.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|c| !c.is_hide_set()).map(self::shown));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(leaked(version));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &Command) -> Vec<String> {
        command.get_subcommands().flat_map(|c| [vec![c.get_name().to_owned()], names(c)].concat()).collect()
    }

    #[test]
    fn what_help_hides_is_not_completed() {
        let hidden = ["spawn", "runner-container", "slot"];
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut shown(&Cli::command()), "squall", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in script.split(|c: char| !c.is_alphanumeric() && c != '-') {
                assert!(!hidden.contains(&word), "{shell}: {word}");
            }
            assert!(script.contains("recover") && script.contains("force-unlock"), "{shell}");
        }
        let (all, left) = (names(&Cli::command()), names(&shown(&Cli::command())));
        let mut gone: Vec<&str> = all.iter().filter(|name| !left.contains(name)).map(String::as_str).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["guard", "keep", "node", "serve", "spawn"], "and nothing else goes");
    }
}
