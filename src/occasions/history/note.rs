//! What people noted on weaknesses: who sees to one, what is to be done. No journal knows that, so it is a file of its own
//! beside them, one note a line, to which lines are only ever added.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::host::store::{StateDir, private_file};

const FILE: &str = "weaknesses.ndjson";

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// When it was made.
    pub at: Timestamp,
    /// On which experiment's weakness: the one that was open then.
    pub experiment: String,
    /// Who sees to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// Adds a note; it is on disk when this returns.
///
/// # Errors
/// Where it cannot be written.
pub fn add(state: &StateDir, note: &Note) -> anyhow::Result<()> {
    let path = state.root().join(FILE);
    let mut line = serde_json::to_vec(note)?;
    line.push(b'\n');
    let mut write = || {
        state.prepare()?;
        let mut file = private_file().append(true).read(true).open(&path)?;
        file.lock()?;
        // A line that was cut off by a power cut or a full disk is ended, so that it takes only itself along.
        if std::fs::read(&path)?.last().is_some_and(|b| *b != b'\n') {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_data()
    };
    write().with_context(|| format!("cannot write the note to {}", path.display()))
}

/// All notes, in the order in which they were made. A line that is none was cut off, and is left out.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn all(state: &StateDir) -> anyhow::Result<Vec<Note>> {
    let path = state.root().join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_takes_only_itself_along() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::find(Some(dir.path().join("state"))).unwrap();
        assert_eq!(all(&state).unwrap(), []);
        let note = |owner: &str| Note {
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
            experiment: "kill-one".to_owned(),
            owner: Some(owner.to_owned()),
            action: None,
        };
        add(&state, &note("ana")).unwrap();
        let path = state.root().join(FILE);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"at":"2026-11-2"#);
        std::fs::write(&path, torn).unwrap();
        add(&state, &note("ben")).unwrap();
        assert_eq!(all(&state).unwrap(), [note("ana"), note("ben")]);
    }
}
