//! The journal of a living run, read by another process meanwhile: what was read is kept, and the file is held open, whatever becomes
//! of its name and of what is in it. Writes nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{JournalError, failed, fold};
use crate::record::state::RunState;

/// A journal that is watched.
#[derive(Debug)]
pub struct Watch {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Whole lines.
    pub(super) bytes: Vec<u8>,
}

impl Watch {
    /// Opens a journal and reads what is in it.
    ///
    /// # Errors
    /// Where it cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::options().read(true).write(true).open(path).map_err(failed("open", path))?;
        let mut watch = Self { file, path: path.to_owned(), bytes: Vec::new() };
        watch.read_on().map_err(failed("read", path))?;
        Ok(watch)
    }

    /// Reads the lines that are new. One that writes goes on behind what it has written, also in a file that was cut off.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn read_on(&mut self) -> io::Result<()> {
        let known = self.bytes.len();
        let length = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX);
        if length <= known {
            return Ok(());
        }
        let mut new = vec![0; length - known];
        let read = self.file.read_at(&mut new, known as u64)?;
        let whole = new[..read].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.bytes.extend_from_slice(&new[..whole]);
        Ok(())
    }

    /// The run as it is, as far as was read.
    ///
    /// # Errors
    /// Where it was written by a newer program.
    pub fn state(&self) -> Result<RunState, JournalError> {
        fold(&self.bytes, &self.path).map(|(state, _)| state)
    }

    /// Returns when no process has the journal any more. From then on this one has it.
    ///
    /// # Errors
    /// Where the lock cannot be waited for.
    pub fn freed(&self) -> io::Result<impl FnOnce() -> io::Result<()> + Send + 'static> {
        let file = self.file.try_clone()?;
        Ok(move || file.lock())
    }
}
