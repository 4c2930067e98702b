//! `squall halt` and `squall resume`: a note that every run on this machine heeds.
#![expect(clippy::print_stdout, reason = "what people see")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::store::StateDir;

const NOTE: &str = "halt";

pub(super) fn halt(reason: &str, state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut written = Vec::new();
    let mut failed = Ok(());
    for path in notes(state) {
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, format!("{reason}\n")));
        match made {
            Ok(()) => written.push(path),
            Err(e) => failed = Err(e).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    if written.is_empty() {
        failed?;
    }
    let machine = written.contains(&machine_note());
    println!(
        "halted: {}",
        if machine {
            "every run on this machine"
        } else {
            "every run of this user (as root: every run on this machine)"
        }
    );
    println!("runs that are going on take everything back; `squall resume` allows new ones");
    Ok(ExitCode::SUCCESS)
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
        None if removed == 0 => println!("nothing was halted"),
        None => println!("runs are allowed again"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why runs are halted, if they are.
pub(super) fn note(state: &StateDir) -> Option<String> {
    notes(state).into_iter().find_map(|path| std::fs::read_to_string(path).ok()).map(|text| text.trim().to_owned())
}

fn machine_note() -> PathBuf {
    StateDir::machine().join(NOTE)
}

/// Where a note may be: in this state directory, in this user's, and in root's, which everybody heeds.
fn notes(state: &StateDir) -> Vec<PathBuf> {
    let mut paths = vec![state.root().join(NOTE), machine_note()];
    if let Ok(own) = StateDir::find(None) {
        paths.push(own.root().join(NOTE));
    }
    paths.sort();
    paths.dedup();
    paths
}
