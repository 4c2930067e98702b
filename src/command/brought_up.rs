//! What this program has brought up for a while: a note of each stack, on disk before anything of it is started, for `squall recover`
//! to take away what neither the run nor the stack's guard could.
//!
//! A note lies in the stack's directory, and goes with the stack. It is locked by the process that is in charge of the stack, the run
//! or then the guard, and the kernel frees it. It does not know how a stack is made.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::engine::Description;
use crate::host::store::{self, StateDir, private_dir, private_file};

/// The note's name in the directory of its stack.
pub(super) const FILE: &str = "brought-up.json";

/// What was brought up: how it is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Stack {
    /// Its engine; that of processes is the stack itself.
    pub(super) engine: Description,
    /// The project of Compose on that engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
}

/// A note, and the charge that its lock is.
#[derive(Debug)]
pub(super) struct Note {
    dir: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Note {
    /// The note in a stack's directory, by its open and locked file.
    pub(super) fn of(dir: PathBuf, locked: File) -> Self {
        Self { dir, _lock: locked }
    }

    /// Writes the note of a stack that is about to be brought up; `None` where another living process is in charge of it.
    ///
    /// # Errors
    /// Where it cannot be written: then nothing may be brought up.
    pub(super) fn write(dir: &Path, stack: &Stack) -> anyhow::Result<Option<Self>> {
        let write = || -> io::Result<Option<Self>> {
            private_dir(dir)?;
            let mut file = private_file().read(true).write(true).truncate(false).open(dir.join(FILE))?;
            if !store::lock(&file)? {
                return Ok(None);
            }
            file.set_len(0)?;
            file.write_all(&serde_json::to_vec(stack)?)?;
            file.sync_data()?;
            File::open(dir)?.sync_all()?;
            Ok(Some(Self { dir: dir.to_owned(), _lock: file }))
        };
        write().with_context(|| format!("cannot note in {} that a stack is brought up", dir.display()))
    }

    /// Takes charge of a stack as soon as no other process is; `None` where there is no note of it.
    pub(super) fn charge(dir: &Path) -> io::Result<Option<Self>> {
        match File::options().read(true).write(true).open(dir.join(FILE)) {
            Ok(file) => file.lock().map(|()| Some(Self { dir: dir.to_owned(), _lock: file })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The stack is gone, or is not ours: so does the note.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(self.dir.join(FILE));
        // Where nothing else is in it.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// The same where there is a note.
pub(super) fn over(note: Option<&Note>) {
    if let Some(note) = note {
        note.remove();
    }
}

/// A stack that a person brings up is no orphan any more.
pub(super) fn shall_stay(dir: &Path) {
    if let Ok(file) = File::open(dir.join(FILE))
        && matches!(store::lock(&file), Ok(true))
    {
        Note { dir: dir.to_owned(), _lock: file }.remove();
    }
}

/// The directory of a stack.
pub(super) fn directory(state: &StateDir, name: &str) -> PathBuf {
    state.stacks_dir().join(name)
}
