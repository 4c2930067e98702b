//! Stacks that no living process is in charge of any more: found by their notes, and taken away.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use super::brought_up::{FILE, Note, Stack, directory};
use super::compose;
use super::connect::{ConnectedEngine, reach_again};
use crate::host::store::{self, StateDir};

/// The stacks that no living process is in charge of any more, by name.
pub(super) fn names(state: &StateDir) -> Vec<String> {
    let entries = std::fs::read_dir(state.stacks_dir()).into_iter().flatten().filter_map(Result::ok);
    let orphan = |note: &Path| note.exists() && !store::is_locked(note);
    let mut names: Vec<String> =
        entries.filter(|e| orphan(&e.path().join(FILE))).filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Takes away a stack that no living process is in charge of; false where one is by now, or it is gone.
///
/// # Errors
/// Where its engine does not answer or refuses.
async fn take_away(state: &StateDir, name: &str) -> anyhow::Result<bool> {
    let dir = directory(state, name);
    let attempt = || format!("cannot take the stack {name} away, which a dead run has brought up");
    let Ok(file) = File::options().read(true).write(true).open(dir.join(FILE)) else { return Ok(false) };
    if !store::lock(&file)? {
        return Ok(false);
    }
    let stack: Stack = serde_json::from_reader(&file).with_context(|| {
        format!(
            "{}: the note on it cannot be read; `squall stack down` or Compose can, then remove the note",
            attempt()
        )
    })?;
    let reached = reach_again(&stack.engine).await.with_context(attempt)?;
    match (&reached, reached.docker(), &stack.project) {
        (_, Some(docker), Some(project)) => compose::take_away(&docker, project).await.with_context(attempt)?,
        (ConnectedEngine::Local(local), ..) => drop(local.down().await.with_context(attempt)?),
        _ => {}
    }
    Note::of(dir, file).remove();
    Ok(true)
}

/// Takes away every stack that no living process is in charge of: the name of each, and what stopped that.
pub(super) async fn take_all_away(state: &StateDir) -> Vec<(String, anyhow::Result<()>)> {
    let mut all = Vec::new();
    for name in names(state) {
        match take_away(state, &name).await {
            Ok(true) => all.push((name, Ok(()))),
            Ok(false) => {}
            Err(e) => all.push((name, Err(e))),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Description, Kind};

    #[test]
    fn a_note_is_an_orphan_when_no_process_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::find(Some(dir.path().to_owned())).unwrap();
        let engine = Description::of(Kind::Docker, "unix:///x", "1");
        let stack = Stack { engine, project: Some("squall-0a1b2c3d".into()) };
        let place = directory(&state, "squall-0a1b2c3d");
        let note = Note::write(&place, &stack).unwrap().expect("no process has it");
        assert!(Note::write(&place, &stack).unwrap().is_none(), "one process is in charge");
        assert!(names(&state).is_empty());
        drop(note);
        // A process that another test has forked has the lock, too, until it is another program.
        while names(&state).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(names(&state), ["squall-0a1b2c3d"]);
        Note::charge(&place).unwrap().expect("it is there").remove();
        assert!(names(&state).is_empty() && !place.exists());
    }
}
