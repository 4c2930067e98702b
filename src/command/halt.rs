//! `squall halt` and `squall resume`: a note that every run on this machine heeds.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use crate::host::store::{HALT, StateDir};

pub(super) fn halt(reason: Option<&str>, state: &StateDir) -> anyhow::Result<ExitCode> {
    let reason = told(reason);
    let mut written = Vec::new();
    let mut failed = Ok(());
    for dir in directories(state) {
        match write(&dir, reason) {
            Ok(path) => written.push(path),
            Err(e) => failed = Err(e).with_context(|| format!("cannot write a note in {}", dir.root().display())),
        }
    }
    if written.is_empty() {
        failed?;
    }
    let machine = written.contains(&machine_note());
    say!(
        "halted: {}",
        if machine {
            "every run on this machine"
        } else {
            "every run of this user (as root: every run on this machine)"
        }
    );
    say!("runs that are going on roll everything back; `squall resume` allows new ones");
    Ok(ExitCode::SUCCESS)
}

/// What the note says: who is in a hurry need not say why.
fn told(reason: Option<&str>) -> &str {
    reason.map(str::trim).filter(|reason| !reason.is_empty()).unwrap_or("no reason was given")
}

pub(super) fn resume(state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut removed = 0;
    for path in notes(state) {
        match std::fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            // A note of root's can be taken away by root alone; what it means for this user is said by `note`.
            Err(_) if path == machine_note() && !rustix::process::geteuid().is_root() => {}
            Err(e) => return Err(e).with_context(|| format!("cannot remove {}", path.display())),
        }
    }
    match note(state) {
        Some(reason) => anyhow::bail!("root has halted every run on this machine: {reason}; only root can resume"),
        None if removed == 0 => say!("nothing was halted"),
        None => say!("runs are allowed again"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why runs are halted, if they are. A note that is there and cannot be read halts, too; one in a directory that this user may not
/// look into is not known to be there.
pub(super) fn note(state: &StateDir) -> Option<String> {
    notes(state).into_iter().find_map(|path| match std::fs::read(&path) {
        Ok(text) => Some(String::from_utf8_lossy(&text).trim().to_owned()),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
            ) =>
        {
            None
        }
        Err(e) => Some(format!("the note {} cannot be read: {e}", path.display())),
    })
}

/// Why nothing is begun while runs are halted; `None` if they are not.
pub(super) fn refusal(state: &StateDir) -> Option<String> {
    note(state).map(|note| format!("runs are halted: {note}; `squall resume` allows them again"))
}

/// How often a note is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until runs are halted: why.
pub(super) async fn halted(state: &StateDir) -> String {
    loop {
        if let Some(note) = note(state) {
            return note;
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn machine_note() -> PathBuf {
    StateDir::machine().join(HALT)
}

/// Where a note may be.
fn notes(state: &StateDir) -> Vec<PathBuf> {
    directories(state).iter().map(|dir| dir.root().join(HALT)).collect()
}

/// This state directory, this user's, and root's, which everybody heeds.
fn directories(state: &StateDir) -> Vec<StateDir> {
    let machine = StateDir::find(Some(StateDir::machine()));
    let mut all: Vec<StateDir> = [machine, StateDir::find(None)].into_iter().flatten().chain([state.clone()]).collect();
    all.sort_by(|a, b| a.root().cmp(b.root()));
    all.dedup_by(|a, b| a.root() == b.root());
    all
}

/// Writes the note. Everybody may read it, whatever this user's files are like else.
fn write(dir: &StateDir, reason: &str) -> io::Result<PathBuf> {
    dir.prepare()?;
    let path = dir.root().join(HALT);
    std::fs::write(&path, format!("{reason}\n"))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{told, write};
    use crate::command::cli::{Cli, Command};
    use crate::host::store::StateDir;

    #[test]
    fn everybody_may_read_a_note() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("halt");
        std::fs::write(&note, "an older one").unwrap();
        std::fs::set_permissions(&note, std::fs::Permissions::from_mode(0o600)).unwrap();
        write(&StateDir::find(Some(dir.path().to_owned())).unwrap(), "release day").unwrap();
        assert_eq!(note.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_halt_needs_no_reason() {
        let reason = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Halt { reason } => told(reason.as_deref()).to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&["squall", "halt"]), "no reason was given");
        assert_eq!(reason(&["squall", "halt", " "]), "no reason was given");
        assert_eq!(reason(&["squall", "halt", "release day"]), "release day");
    }
}
